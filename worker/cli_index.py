"""`mekiki index stats|verify|export|import|compact`: an index directory that no role owns."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from worker.errors import ConfigurationError
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.index.offline.stats import IndexStats

Command = Callable[[Settings, argparse.Namespace, Console], int]


def add_index_commands(index: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    """Put the commands beside `mekiki index`, the role itself; `common` are options that each one takes."""
    commands = index.add_subparsers(metavar="COMMAND", title="without the role, on its directory")

    def add(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, parents=[common], help=text, description=text)
        sub.set_defaults(command=command)
        sub.add_argument("--directory", type=Path, metavar="DIR", help="in place of index.directory")
        return sub

    told = add("stats", _stats, "what a directory holds: vectors, segments, generations, offsets, bytes")
    told.add_argument("--format", choices=("text", "json"), default="text")
    add("verify", _verify, "whether every byte is what was written, and all agrees; status 1 if not")
    export = add("export", _export, "write the newest generation as a Parquet file (mekiki[parquet])")
    export.add_argument("--out", type=Path, required=True, metavar="FILE")
    taken = add("import", _import, "fill an empty directory from a Parquet file (mekiki[parquet])")
    taken.add_argument("file", type=Path, metavar="FILE")
    taken.add_argument("--space", metavar="NAME", help="of the vectors, where the file does not say it")
    add("compact", _compact, "merge segments, and drop deleted vectors from the disk")


@contextmanager
def _counting(console: Console, name: str) -> Iterator[Callable[[int], object]]:
    columns = (TextColumn("{task.description}"), TextColumn("{task.completed:,.0f}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(name, total=None)
        yield lambda count: progress.advance(task, count)


def _directory(settings: Settings, options: argparse.Namespace) -> Path:
    directory: Path | None = options.directory
    if directory is None and settings.index.backend != "ngt":
        raise ConfigurationError(
            f"index.backend is {settings.index.backend}: these commands work on a directory of NGT's; "
            "name one by --directory"
        )
    return directory or settings.index.directory


def _stats(settings: Settings, options: argparse.Namespace, _: Console) -> int:
    from worker.index.offline.owned import owned  # noqa: PLC0415
    from worker.index.offline.stats import stats  # noqa: PLC0415

    with owned(_directory(settings, options)) as directory:
        told = stats(directory)
    if options.format == "json":
        print(told.model_dump_json(indent=2))  # noqa: T201 - what the command answers
    else:
        _print_stats(told, Console())
    return 0


def _verify(settings: Settings, options: argparse.Namespace, console: Console) -> int:
    from worker.index.offline.owned import owned  # noqa: PLC0415
    from worker.index.offline.verify import verify  # noqa: PLC0415

    findings, faults = Console(), 0
    with owned(_directory(settings, options)) as directory:
        for found in verify(directory):
            findings.print("[bold red]FAIL[/]" if found.faults else "[green]ok[/]  ", found.subject)
            for fault in found.faults:
                findings.print(f"     {escape(fault)}", highlight=False, soft_wrap=True)
            faults += len(found.faults)
    console.print(f"{faults} faults" if faults else f"{directory} is whole")
    return 1 if faults else 0


def _export(settings: Settings, options: argparse.Namespace, console: Console) -> int:
    from worker.index.offline.owned import owned  # noqa: PLC0415
    from worker.index.offline.parquet import export_index  # noqa: PLC0415

    with owned(_directory(settings, options)) as directory, _counting(console, "export") as progress:
        images = export_index(directory, options.out, progress)
    console.print(f"{options.out}: {images} images")
    return 0


def _import(settings: Settings, options: argparse.Namespace, console: Console) -> int:
    from worker.index.offline.owned import owned  # noqa: PLC0415
    from worker.index.offline.parquet import import_index  # noqa: PLC0415
    from worker.index.offline.segments import child_builds  # noqa: PLC0415

    place = _directory(settings, options)
    place.mkdir(parents=True, exist_ok=True)
    with owned(place) as directory, _counting(console, "import") as progress:
        images = import_index(
            options.file,
            directory,
            settings.topics.embedded,
            child_builds(settings.index.build_threads),
            options.space,
            progress,
        )
    console.print(f"{directory}: {images} images")
    return 0


def _compact(settings: Settings, options: argparse.Namespace, console: Console) -> int:
    from worker.index.offline.compact import compact  # noqa: PLC0415
    from worker.index.offline.owned import owned  # noqa: PLC0415
    from worker.index.offline.segments import child_builds  # noqa: PLC0415

    with owned(_directory(settings, options)) as directory:
        done = compact(directory, child_builds(settings.index.build_threads))
    console.print(
        f"{directory}: {done.segments[0]} segments to {done.segments[1]}, {done.dropped} vectors dropped, "
        f"{done.bytes[0]:,} bytes to {done.bytes[1]:,}",
        highlight=False,
    )
    return 0


def _print_stats(told: "IndexStats", console: Console) -> None:
    console.print(
        f"{told.directory}: {told.vectors:,} searchable vectors of {told.identity.dim} dimensions, space "
        f"{told.identity.space}, topic {told.identity.topic}; {told.deleted:,} replaced or deleted",
        highlight=False,
        soft_wrap=True,
    )
    console.print(
        f"{told.bytes:,} bytes, {told.unused_bytes:,} of them not of the newest generation; "
        f"{told.free_bytes:,} free. The tail lives in the role: none is on disk",
        highlight=False,
    )
    table = Table("generation", "made (UTC)", "segments", "offsets", box=None)
    for generation in told.generations:
        made = generation.fault or f"{generation.created_at:%Y-%m-%d %H:%M:%S}"
        offsets = " ".join(f"{p}:{offset}" for p, offset in sorted(generation.offsets.items()))
        table.add_row(generation.name, escape(made), str(len(generation.segments)), offsets)
    console.print(table)
    table = Table(
        "segment", "images", "searchable", "distinct vectors", "graph", "filters", "bytes", box=None
    )
    for each in told.segments:
        sizes = (each.images, each.searchable, each.distinct_vectors)
        parts = ["yes" if has else "no" for has in (each.has_graph, each.has_attributes)]
        table.add_row(each.name, *(f"{size:,}" for size in sizes), *parts, f"{each.bytes:,}")
    console.print(table)
