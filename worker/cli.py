"""The command `mekiki`."""

import argparse
import getpass
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from worker.cli_index import add_index_commands
from worker.errors import ConfigurationError, MekikiError, StageError
from worker.role_names import INDEX, SCORE
from worker.settings import Settings, load_settings

# Each command imports what it needs: `mekiki --help` and `mekiki check` start at once.
_TRAINING = {
    "train": "train a model",
    "evaluate": "measure a model",
    "bundle": "put trained heads together; look at a bundle",
    "tags": "add, retrain, remove, list or show tags of a set",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 for a failure, 2 for wrong settings or usage."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in _TRAINING:
        return _training(given)
    options = _parser().parse_args(given)
    console = Console(stderr=True)
    try:
        settings = load_settings(options.config, dict([*(options.set or ()), *options.set_later]))
        from worker.log import configure_logging  # noqa: PLC0415

        configure_logging(settings.log)
        command: Callable[[Settings, argparse.Namespace, Console], int] = options.command
        return command(settings, options, console)
    except MekikiError as error:
        return _failed(error, console)
    except KeyboardInterrupt:
        return 130


def _failed(error: MekikiError, console: Console) -> int:
    console.print(f"[bold red]mekiki:[/] {escape(_lines(str(error)))}", highlight=False, soft_wrap=True)
    return 2 if isinstance(error, ConfigurationError) else 1


def _lines(text: str) -> str:
    """Of an error that tells several things, one a line."""
    from worker.shown import shown  # noqa: PLC0415

    return "\n".join(shown(line) for line in text.split("\n"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mekiki", description="Judge, tag and index marketplace images as they are uploaded."
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML")
    common.add_argument(
        "--set",
        type=_assignment,
        action="append",
        metavar="SECTION.KEY=VALUE",
        help="one setting; wins over MEKIKI_SECTION__KEY and the file",
    )
    common.set_defaults(set_later=[])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[..., int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, parents=[common], help=text, description=text)
        sub.set_defaults(command=command)
        return sub

    demo = add("demo", _demo, "watch images being judged, on a broker of its own, and write a report")
    demo.add_argument(
        "--images", type=Path, metavar="DIR", help="your own images in place of the product photos"
    )
    demo.add_argument(
        "--out", type=Path, default=Path("out"), metavar="DIR", help="where the report goes (out)"
    )
    demo.add_argument("--console", action="store_true", help="leave some images to you, on a page")
    add(SCORE, _run, "consume uploads; publish verdicts, tags, scores and vectors").set_defaults(
        roles=(SCORE,)
    )
    index = add(INDEX, _run, "keep the search index and answer searches")
    index.set_defaults(roles=(INDEX,))
    add_index_commands(index, _later_options())
    add("run", _run, "both roles in one process").set_defaults(roles=(SCORE, INDEX))
    _add_folder_commands(add)
    _add_search(add)
    add("console", _console, "a page to see decisions, overrule them and try thresholds")
    add("reembed", _reembed, "publish the vectors of the embedded topic again in the space of index.next")
    add("webhooks", _webhooks, "tell platforms that own the queue which verdicts ask for a person")
    add("check", _check, "look at settings, bundle, broker and topics; say what is wrong")
    topics = commands.add_parser("topics", help="the Kafka topics").add_subparsers(required=True)
    create = topics.add_parser("create", parents=[common], help="make the topics that are missing")
    create.set_defaults(command=_create_topics)
    replay = add("replay", _replay, "send rejected events back to the input, after a fix")
    replay.add_argument(
        "--reason", metavar="REASON", help="only this reason, or those it begins, such as fetch."
    )
    replay.add_argument(
        "--from",
        dest="source",
        choices=(SCORE, INDEX),
        default=SCORE,
        help="whose dead letters (score)",
    )
    review = add("review", _review, "a person's word on an image: it overrules the policy")
    review.add_argument("word", choices=("accept", "block", "undo"), help="undo takes an earlier word back")
    review.add_argument("image_id", metavar="IMAGE_ID")
    review.add_argument("--reviewer", metavar="NAME", help="who decides (the user's name)")
    review.add_argument("--reason", metavar="TEXT", help="why")
    _add_trials(commands, common)
    labels = commands.add_parser("labels", help="people's words as labels").add_subparsers(required=True)
    export = labels.add_parser("export", parents=[common], help="write what people decided about, labelled")
    export.set_defaults(command=_export_labels)
    export.add_argument("--out", type=Path, required=True, metavar="DIR")
    export.add_argument("--since", metavar="WHEN", help="2026-11-01, 7d or 24h (all that the topic holds)")
    export.add_argument(
        "--seller", metavar="REGEX", help="its first group in the image id is the seller (the listing)"
    )
    why = add("why", _why, "all that happened to an image, from the log")
    why.add_argument("image_id", metavar="IMAGE_ID")
    for name, text in _TRAINING.items():
        needs = "" if name == "bundle" else " (needs the train extra)"
        commands.add_parser(name, help=f"{text}{needs}", add_help=False)
    return parser


def _later_options() -> argparse.ArgumentParser:
    """The common options once more, behind a command of a command: what was given before it stays."""
    later = argparse.ArgumentParser(add_help=False)
    later.add_argument("--config", type=Path, default=argparse.SUPPRESS, metavar="FILE", help="as TOML")
    later.add_argument(
        "--set",
        type=_assignment,
        action="append",
        dest="set_later",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="one setting",
    )
    return later


def _add_trials(commands: Any, common: argparse.ArgumentParser) -> None:
    policy = commands.add_parser("policy", help="try a policy").add_subparsers(required=True)
    diff = policy.add_parser("diff", parents=[common], help="what another policy would have decided")
    diff.set_defaults(command=_policy_diff)
    diff.add_argument("--policy", type=Path, required=True, metavar="NEW", help="JSON or TOML")
    diff.add_argument("--since", metavar="WHEN", help="2026-11-01, 7d or 24h (all that the topic holds)")
    diff.add_argument("--reviewed", action="store_true", help="with precision and recall by people's words")
    diff.add_argument("--format", choices=("text", "json", "html"), default="text")
    diff.add_argument("--out", type=Path, metavar="FILE", help="in place of standard output")
    shadow = commands.add_parser("shadow", help="try a bundle").add_subparsers(required=True)
    told = shadow.add_parser("report", parents=[common], help="where model.shadow decides otherwise")
    told.set_defaults(command=_shadow_report)
    told.add_argument("--since", metavar="WHEN", help="2026-11-01, 7d or 24h (all that the topic holds)")
    told.add_argument("--format", choices=("text", "json", "html"), default="text")
    told.add_argument("--out", type=Path, metavar="FILE", help="in place of standard output")


def _add_folder_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    folder = add("scan", _scan, "judge every file of a folder; one JSON line each")
    folder.add_argument("folder", type=Path, metavar="DIR")
    folder.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="JSON lines; - for standard output"
    )
    folder.add_argument("--vectors", action="store_true", help="with each image's embedding")
    copies = add("duplicates", _duplicates, "find copies of one photo in a folder (mekiki[duplicates])")
    copies.add_argument("folder", type=Path, metavar="DIR")
    copies.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="JSON lines: pairs, then groups; - for output"
    )
    copies.add_argument(
        "--candidates", type=_positive, metavar="N", help="nearest images by vector that are looked at (20)"
    )


def _add_search(add: Callable[..., argparse.ArgumentParser]) -> None:
    search = add("search", _search, "ask a running index: the images like one, plus and minus attributes")
    asked = search.add_mutually_exclusive_group(required=True)
    asked.add_argument("--image", type=Path, metavar="FILE")
    asked.add_argument("--image-id", metavar="ID", help="of an image in the index, which is left out")
    for sign in ("plus", "minus"):
        search.add_argument(
            f"--{sign}",
            action="append",
            default=[],
            metavar="TERM",
            help="an attribute of the bundle, or image:ID; with a weight as NAME=0.5",
        )
    search.add_argument(
        "--exclude", action="append", default=[], metavar="ID", help="an image that is no result; any number"
    )
    for name, text in (
        ("category", "of this category; any number, one of them"),
        ("listing", "of this listing; any number, one of them"),
        ("tag", "with this predicted tag; any number, all of them"),
    ):
        search.add_argument(f"--{name}", action="append", default=[], metavar="NAME", help=text)
    for name, text in (("from", "then or later"), ("before", "earlier than that")):
        search.add_argument(
            f"--uploaded-{name}", metavar="TIME", help=f"uploaded {text}: 2026-11-01T00:00:00Z"
        )
    search.add_argument("--k", type=_positive, default=10, metavar="N", help="most results (10)")
    search.add_argument(
        "--order-by",
        metavar="NAME",
        help="a preference of the bundle: the results by its score, highest first",
    )
    search.add_argument("--distinct", action="store_true", help="one of each group of copies")
    search.add_argument("--cursor", metavar="TEXT", help="the next page: of the answer before, same search")
    search.add_argument("--url", help="of the index role (http.host and http.port)")
    search.add_argument("--key-file", type=Path, metavar="FILE", help="with a key of its http.keys_file")


def _assignment(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r}: write section.key=value")
    return key, value


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number, 1 or more")
    return int(text)


def _training(arguments: list[str]) -> int:
    # Bundles are put together and looked at without torch; what needs it says so itself.
    if arguments[0] not in {"bundle", "tags"} and importlib.util.find_spec("torch") is None:
        print("mekiki: training needs torch: install mekiki[train] (make train-setup)", file=sys.stderr)  # noqa: T201
        return 2
    training: Callable[[list[str]], int] = importlib.import_module("export.cli").main
    return training(arguments)


def _run(settings: Settings, options: argparse.Namespace, console: Console) -> int:
    from worker.fetch.fetch import build_fetcher  # noqa: PLC0415
    from worker.roles import run_roles  # noqa: PLC0415

    return _to_its_end(lambda: run_roles(settings, options.roles, build_fetcher), console)


def _to_its_end(run: Callable[[], None], console: Console) -> int:
    """What fetches images, and the process with it."""
    from worker import watchdog  # noqa: PLC0415

    status = 0
    try:
        run()
    except MekikiError as error:
        status = _failed(error, console)
    except Exception:  # noqa: BLE001 - a bug: nothing is left to do but to say so
        console.print_exception()
        status = 1
    # Not by returning: a thread that is still at an image, or at a dead host, would be waited for.
    watchdog.end_process(status)
    return status


def _console(settings: Settings, _: argparse.Namespace, __: Console) -> int:
    if importlib.util.find_spec("sqlalchemy") is None:
        raise ConfigurationError("the console needs SQLAlchemy: install mekiki[console]")
    from worker.run_console import run_console  # noqa: PLC0415

    run_console(settings)
    return 0


def _reembed(settings: Settings, _: argparse.Namespace, console: Console) -> int:
    from worker.run_reembed import run_reembed  # noqa: PLC0415

    return _to_its_end(lambda: run_reembed(settings), console)


def _webhooks(settings: Settings, _: argparse.Namespace, __: Console) -> int:
    from worker.run_webhooks import run_webhooks  # noqa: PLC0415

    run_webhooks(settings)
    return 0


def _demo(settings: Settings, options: argparse.Namespace, _: Console) -> int:
    from worker.demo.run import run_demo  # noqa: PLC0415

    return run_demo(settings, images=options.images, out=options.out, with_console=options.console)


def _scan(settings: Settings, options: argparse.Namespace, console: Console) -> int:
    from worker.commands import scan_folder  # noqa: PLC0415

    if not options.folder.is_dir():
        raise ConfigurationError(f"{options.folder} is not a folder")
    with _progress(console) as progress:
        task = progress.add_task("scan", total=None)
        try:
            counts = scan_folder(
                settings, options.folder, options.out, options.vectors, lambda: progress.advance(task)
            )
        except OSError as error:  # reading is the pipeline's, which raises no OSError
            raise StageError(f"--out {options.out} cannot be written: {error}") from error
    console.print(f"{sum(counts.values())} files: {', '.join(f'{n} {name}' for name, n in counts.items())}")
    return 0


def _duplicates(settings: Settings, options: argparse.Namespace, console: Console) -> int:
    from worker.commands import find_duplicates  # noqa: PLC0415

    if not options.folder.is_dir():
        raise ConfigurationError(f"{options.folder} is not a folder")
    with _progress(console) as progress:
        tasks = {name: progress.add_task(name, total=None) for name in ("read", "compare")}
        try:
            counts = find_duplicates(
                settings,
                options.folder,
                options.out,
                options.candidates,
                lambda name: progress.advance(tasks[name]),
            )
        except OSError as error:
            raise StageError(f"--out {options.out}, or the folder for temporary files: {error}") from error
    console.print(f"{counts['group']} groups, {counts['pair']} pairs, {counts['rejection']} files left out")
    return 0


def _search(settings: Settings, options: argparse.Namespace, console: Console) -> int:
    from worker.search import ask, build_request, read_filter  # noqa: PLC0415

    where = read_filter(
        {
            "categories": options.category,
            "listing_ids": options.listing,
            "tags": options.tag,
            "uploaded_from": options.uploaded_from,
            "uploaded_before": options.uploaded_before,
        }
    )
    request = build_request(
        options.image,
        options.image_id,
        options.plus,
        options.minus,
        options.k,
        options.exclude,
        where,
        options.order_by,
        options.cursor,
        options.distinct,
    )
    url = options.url or f"http://{settings.http.host}:{settings.http.port}"
    answer = ask(url, request, key_file=options.key_file)
    for result in answer.results:
        print(f"{result.distance:.4f}\t{result.image_id}")  # noqa: T201 - what the command answers
    console.print(f"{len(answer.results)} images of {answer.space} in {answer.took_ms:.0f} ms")
    if answer.cursor is not None:
        console.print(f"the next page: --cursor {answer.cursor}", highlight=False, soft_wrap=True)
    return 0


def _check(settings: Settings, _: argparse.Namespace, __: Console) -> int:
    from worker.check import check  # noqa: PLC0415

    findings, failed = Console(), 0  # on standard output: they are what was asked for
    for finding in check(settings):
        mark = "[green]ok[/]  " if finding.holds else "[bold red]FAIL[/]"
        findings.print(
            f"{mark} {escape(_lines(f'{finding.subject}: {finding.detail}'))}",
            highlight=False,
            soft_wrap=True,
        )
        failed += not finding.holds
    return 1 if failed else 0


def _create_topics(settings: Settings, _: argparse.Namespace, console: Console) -> int:
    from worker.stream.topics import create_topics  # noqa: PLC0415

    for name, result in create_topics(settings).items():
        console.print(f"{result:8} {name}", highlight=False)
    return 0


def _replay(settings: Settings, options: argparse.Namespace, console: Console) -> int:
    from worker.commands import replay  # noqa: PLC0415

    with _progress(console) as progress:
        task = progress.add_task("replay", total=None)
        sent, passed = replay(
            settings, options.source, options.reason, lambda count: progress.advance(task, count)
        )
    reasons = "".join(f", {count} {why}" for why, count in sorted(passed.items()))
    console.print(f"{sent} events sent back, {passed.total()} passed over{reasons}", soft_wrap=True)
    return 0


def _review(settings: Settings, options: argparse.Namespace, console: Console) -> int:
    from worker.review.commands import review  # noqa: PLC0415

    reviewer = options.reviewer or getpass.getuser()
    event = review(settings, options.word, options.image_id, reviewer, options.reason)
    text = f"{event.decision} of {event.image_id} by {event.reviewer} sent as event {event.event_id}"
    console.print(escape(text), highlight=False, soft_wrap=True)
    return 0


def _policy_diff(settings: Settings, options: argparse.Namespace, console: Console) -> int:
    from worker.policy.commands import instant, near_pictures, policy_diff, read_policy  # noqa: PLC0415
    from worker.policy.report import html, print_text  # noqa: PLC0415

    policy, since = read_policy(options.policy), options.since and instant(options.since)
    with _progress(console) as progress:
        task = progress.add_task("verdicts", total=None)
        report = policy_diff(
            settings,
            policy,
            since,
            reviewed=options.reviewed,
            progress=lambda count: progress.advance(task, count),
        )
    _write(
        options,
        lambda out: print_text(report, _console_of(out)),
        report.model_dump_json,
        lambda: html(report, near_pictures(settings, report)),
    )
    return 0


def _write(
    options: argparse.Namespace,
    text: Callable[[TextIO], None],
    as_json: Callable[..., str],
    html: Callable[[], str],
) -> None:
    """A report in the form and to the place that was asked for."""
    try:
        with options.out.open("w", encoding="utf-8") if options.out else nullcontext(sys.stdout) as out:
            if options.format == "text":
                text(out)
            elif options.format == "json":
                out.write(f"{as_json(indent=2)}\n")
            else:
                out.write(html())
    except OSError as error:
        raise ConfigurationError(f"--out {options.out} cannot be written: {error}") from error


def _console_of(out: TextIO) -> Console:
    return Console(file=out, width=None if out is sys.stdout else 160)


def _shadow_report(settings: Settings, options: argparse.Namespace, console: Console) -> int:
    from worker.policy.commands import instant  # noqa: PLC0415
    from worker.shadow.commands import furthest_pictures, shadow_report  # noqa: PLC0415
    from worker.shadow.report import html, print_text  # noqa: PLC0415

    since = options.since and instant(options.since)
    with _progress(console) as progress:
        task = progress.add_task("images", total=None)
        report = shadow_report(settings, since, lambda count: progress.advance(task, count))
    _write(
        options,
        lambda out: print_text(report, _console_of(out)),
        report.model_dump_json,
        lambda: html(report, furthest_pictures(settings, report)),
    )
    return 0


def _export_labels(settings: Settings, options: argparse.Namespace, console: Console) -> int:
    from worker.labels.commands import export_labels  # noqa: PLC0415
    from worker.policy.commands import instant  # noqa: PLC0415

    try:
        seller = re.compile(options.seller) if options.seller else None
    except re.error as error:
        raise ConfigurationError(f"--seller {options.seller!r}: {error}") from error
    if seller is not None and not seller.groups:
        raise ConfigurationError(
            f"--seller {options.seller!r} has no group: write (shop-[0-9]+)/ or the like"
        )
    since = options.since and instant(options.since)
    with _progress(console) as progress:
        task = progress.add_task("labels", total=None)
        counts = export_labels(
            settings, options.out, since, seller, lambda count: progress.advance(task, count)
        )
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    console.print(f"{options.out}: {told or 'none'}")
    return 0


def _why(settings: Settings, options: argparse.Namespace, console: Console) -> int:
    from worker.review.commands import why  # noqa: PLC0415

    steps = why(settings, options.image_id)
    for step in steps:
        print(f"{step.at:%Y-%m-%d %H:%M:%S.%f}"[:23], f"{step.kind:13} {step.text}  [{step.place}]")  # noqa: T201
    if not steps:
        console.print(escape(f"the log does not speak of {options.image_id!r}"), highlight=False)
    return 0 if steps else 1


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


if __name__ == "__main__":
    sys.exit(main())
