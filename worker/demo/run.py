"""`mekiki demo`: publish, watch, check that nothing is missing, report."""

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from pydantic import BaseModel
from rich.console import Console

from schemas.policy import Policy
from schemas.search import SearchResult
from worker.demo.broker import EmbeddedBroker
from worker.demo.observe import Observer, Seen, missing_outcomes
from worker.demo.pages import save_pages
from worker.demo.program import Program
from worker.demo.publish import Published, Publisher
from worker.demo.report import Run, write_report
from worker.demo.store import HOST, ObjectStore
from worker.demo.uploads import Pictures, Planner, Upload, pictures_in
from worker.demo.watch import LiveTable
from worker.errors import ConfigurationError, StageError
from worker.model.bundle import load_policy, read_manifest
from worker.settings import KafkaSettings, Settings
from worker.stream.kafka import create_consumer, create_producer
from worker.stream.topics import topics_of

ASSETS = Path(__file__).parent / "assets"
REPORT = "report.html"
PAGES = "console"

_PUBLISH_SECONDS = 10.0
_READY_SECONDS = 60.0
# Without any new outcome for so long, what is missing will not come any more.
_PATIENCE_SECONDS = 20.0
# Of a threshold, from where a person decides with --console: a few of the photos with the starter bundle.
_BAND = 0.45
_NEIGHBOURS = 5
_SHOWN_MISSING = 10


def run_demo(
    settings: Settings,
    *,
    images: Path | None,
    out: Path,
    assets: Path = ASSETS,
    seconds: float = _PUBLISH_SECONDS,
    with_console: bool = False,
) -> int:
    """Show the program at work on `images`, else on the demo's own photos; leaves out/report.html.

    `with_console`, some images are left to people, and the console is there to click through until Ctrl-C.

    Returns:
        0 when every published event got its outcome, else 1.

    Raises:
        ConfigurationError: there are no images, or `out` cannot be written.
        MekikiError: the broker or the program did not start, or failed.

    """
    console = Console()
    # A missing bundle is told before anything starts.
    manifest, _ = read_manifest(settings.model.bundle, settings.model.signature_key)
    pictures = pictures_in(assets, images)
    report = _writable(out) / REPORT
    with _ended_by_signals(), ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mekiki-demo-")))
        store = stack.enter_context(ObjectStore())
        with console.status("starting a broker, then mekiki run"):
            broker = stack.enter_context(EmbeddedBroker([topic.name for topic in topics_of(settings)]))
            running = demo_settings(settings, broker.bootstrap_servers, store.url, pictures, work)
            if with_console:
                running = with_review_band(running, load_policy(running, manifest))
            program = stack.enter_context(Program(running, work / "mekiki.log"))
            uploads = Planner(settings.topics.uploaded, store, work).plan(pictures)
            program.wait_until_ready(_READY_SECONDS)
        watched = _watch(running, uploads, program, console, seconds)
        neighbours = _neighbours(program, watched.seen)
        problems = _problems(watched, program.index_state().vectors, neighbours)
        page = stack.enter_context(_console_of(running, program, work)) if with_console else None
        with console.status("writing the report"):
            write_report(
                report,
                Run(
                    manifest=manifest,
                    policy=load_policy(settings, manifest),
                    provider=settings.model.provider,
                    own_images=images,
                    published=watched.published,
                    seen=watched.seen,
                    neighbours=neighbours,
                    metrics=program.metrics(),
                    index=program.index_state(),
                    began_at=watched.began_at,
                    seconds=watched.seconds,
                    problems=problems,
                    pages=None if page is None else _saved_pages(page, report.parent),
                ),
            )
        if page is not None:
            _show_console(page, program, console)
    return _conclude(console, watched, problems, report)


@dataclass(frozen=True)
class Watched:
    """What was published, what was seen of it, and for how long."""

    published: list[Published]
    seen: Seen
    began_at: datetime
    seconds: float


def demo_settings(
    settings: Settings, bootstrap_servers: str, store_url: str, pictures: Pictures, work: Path
) -> Settings:
    """`settings` with the demo's broker, object store, folder and index directory."""
    updates: dict[str, dict[str, Any]] = {
        "fetch": {
            "folder": pictures.photo_folder,
            "object_url": f"{store_url}/{{bucket}}/{{key}}",
            "schemes": ["https", "http"],
            "allowed_networks": [f"{HOST}/32"],
        },
        # The embedded broker does not store transactional offsets. Of its uploads many are broken on purpose.
        "score": {"delivery": "at_least_once", "rejection_limit": {"ratio": 1}},
        # Small generations, so that builds and swaps happen while one watches.
        "index": {"directory": work / "index", "snapshot_records": 64},
    }
    kafka = KafkaSettings(
        bootstrap_servers=bootstrap_servers,
        request_timeout=15,
        properties={"log_level": "3"},
        # The embedded broker answers a fetch that finds nothing only after its whole wait, 500 ms by default.
        consumer={"fetch.wait.max.ms": "20"},
    )
    sections: dict[str, BaseModel] = {"kafka": kafka}
    for name, values in updates.items():
        section = getattr(settings, name)
        sections[name] = type(section).model_validate({**section.model_dump(), **values})
    return settings.model_copy(update=sections)


def with_review_band(settings: Settings, policy: Policy) -> Settings:
    """`settings` that leave to people what comes near half of a threshold: a few of the demo's photos."""
    thresholds = {
        name: threshold
        if threshold.review is not None or threshold.block is None
        else threshold.model_copy(update={"review": round(_BAND * threshold.block, 4)})
        for name, threshold in policy.thresholds.items()
    }
    band = policy.model_copy(update={"thresholds": thresholds})
    model = settings.model.model_copy(update={"policy": band, "policy_file": None})
    return settings.model_copy(update={"model": model})


def _console_of(settings: Settings, program: Program, work: Path) -> Program:
    """The console over what `program` does."""
    values = {"search_url": program.url, "database": f"sqlite:///{work}/console.db", "sign_in": "none"}
    mine = settings.model_copy(update={"console": settings.console.model_copy(update=values)})
    return Program(mine, work / "console.log", "console")


def _saved_pages(console: Program, out: Path) -> Path:
    """The console's pages as files below `out`.

    Raises:
        StageError: they cannot be had.

    """
    console.wait_until_ready(_READY_SECONDS)
    try:
        return save_pages(console.url, out / PAGES)
    except OSError as error:
        raise StageError(f"the console's pages were not saved: {error}") from error


def _show_console(console: Program, program: Program, terminal: Console) -> None:
    """Let people click until Ctrl-C."""
    terminal.print(
        f"Console: [bold]{console.url}/review[/], where some images wait for you; Ctrl-C ends the demo",
        highlight=False,
        soft_wrap=True,
    )
    try:
        while True:
            time.sleep(0.5)
            console.raise_if_ended()
            program.raise_if_ended()
    except KeyboardInterrupt:
        terminal.print("ending")


def _watch(
    settings: Settings, uploads: list[Upload], program: Program, console: Console, seconds: float
) -> Watched:
    """Publish `uploads` and read what comes of them, with the live table on `console`."""
    consumer = create_consumer(settings.kafka, {"group.id": "mekiki-demo"})
    producer = create_producer(settings.kafka, {})
    began_at, began = datetime.now(UTC), time.monotonic()
    try:
        observer = Observer(consumer, settings.topics)
        publisher = Publisher(producer, uploads, seconds)
        with LiveTable(console, publisher, observer.seen, program) as table:
            _until_complete(publisher, observer, program, table)
    finally:
        consumer.close()
        producer.flush(1)
    return Watched(publisher.published, observer.seen, began_at, time.monotonic() - began)


def _until_complete(publisher: Publisher, observer: Observer, program: Program, table: LiveTable) -> None:
    """Return when every upload has its outcome, or nothing has come for `_PATIENCE_SECONDS`."""
    last_news = time.monotonic()
    while True:
        publisher.turn()
        now = time.monotonic()
        if observer.poll(0.02) or not publisher.finished:
            last_news = now
        elif now - last_news > _PATIENCE_SECONDS or not missing_outcomes(publisher.published, observer.seen):
            return
        program.raise_if_ended()
        table.refresh()


def _problems(watched: Watched, indexed: int, neighbours: dict[str, list[SearchResult]]) -> list[str]:
    """Whatever is not as promised: outcomes that lack, an index that holds other images than it should."""
    problems = missing_outcomes(watched.published, watched.seen)
    problems += [f"the index rejected a vector: {each.detail}" for each in watched.seen.index_rejections]
    should = [image_id for image_id, searchable in watched.seen.searchable.items() if searchable]
    problems += [f"the index lacks {image_id}" for image_id in should if image_id not in neighbours]
    if len(should) != indexed:
        problems.append(f"the index holds {indexed} images, it should hold {len(should)}")
    return problems


def _neighbours(program: Program, seen: Seen) -> dict[str, list[SearchResult]]:
    """The nearest images of every searchable one that the program's own search API knows."""
    found = {
        image_id: program.neighbours(image_id, _NEIGHBOURS)
        for image_id, searchable in seen.searchable.items()
        if searchable
    }
    return {image_id: results for image_id, results in found.items() if results is not None}


def _conclude(console: Console, watched: Watched, problems: list[str], report: Path) -> int:
    console.print()
    if problems:
        console.print(f"[bold red]{len(problems)} of the promised outcomes are missing:[/]")
        for problem in problems[:_SHOWN_MISSING]:
            console.print(f"  {problem}", highlight=False, markup=False)
    else:
        count = len(watched.published)
        console.print(
            f"[bold green]Every one of {count} events got its outcome[/] in {watched.seconds:.1f} s."
        )
    console.print(f"Report: [bold]{report}[/]", highlight=False, soft_wrap=True)
    return 1 if problems else 0


def _writable(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=out):
            return out
    except OSError as error:
        raise ConfigurationError(f"--out {out} cannot be written: {error}") from error


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does, so that its processes end with it."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
