"""`mekiki bundle assemble`, `pull`, `show`, `diff` and `calibrate`."""

import argparse
from pathlib import Path

from export.bundle.assemble import assemble
from export.bundle.calibrate import calibrate, write
from export.bundle.pull import pull
from export.bundle.show import diff, show
from export.bundle.take import take
from export.errors import DatasetError


def assemble_bundle(arguments: argparse.Namespace) -> int:
    """Put Parts together; 0 when done.

    Raises:
        PartError: a Part is missing or damaged.
        PartsDoNotFit: the Parts cannot stand in one bundle.
        ParityError: a head gives other numbers in the bundle than alone.

    """
    found = [part for text in arguments.part for part in take(text)]
    out = Path(arguments.out)
    assemble(found, arguments.name, arguments.version, out, check=not arguments.no_check)
    print(show(out))  # noqa: T201 - the command's result
    return 0


def pull_bundle(arguments: argparse.Namespace) -> int:
    """Bring a bundle from where it is kept; 0 when it is there.

    Raises:
        ConfigurationError: the URL is of no store that is known, or there are no keys in the file of keys.
        BundleError: the store does not give it, or it is damaged, or not signed as asked for.

    """
    found = pull(
        arguments.url, Path(arguments.folder), arguments.sha256, arguments.ca_file, arguments.signature_key
    )
    print(found)  # noqa: T201 - the command's result
    return 0


def show_bundle(arguments: argparse.Namespace) -> int:
    """Print what a bundle holds."""
    print(show(Path(arguments.bundle)))  # noqa: T201 - the command's result
    return 0


def diff_bundles(arguments: argparse.Namespace) -> int:
    """Print what sets two bundles apart; 0 if nothing does, else 1, as diff(1)."""
    text = diff(Path(arguments.first), Path(arguments.second))
    print(text or "no difference")  # noqa: T201 - the command's result
    return 1 if text else 0


def calibrate_bundle(arguments: argparse.Namespace) -> int:
    """Print thresholds, or write them; 0 when done.

    Raises:
        BundleError: the bundle is missing or damaged.
        DatasetError: the labels do not do.

    """
    if not 0 < arguments.mistakes < 1:
        raise DatasetError(f"--mistakes {arguments.mistakes} is no share: write 0.01 or the like")
    found = calibrate(Path(arguments.bundle), arguments.labels, arguments.mistakes, arguments.reference)
    if arguments.write:
        version = arguments.version or "calibrated"
        print(f"# {write(Path(arguments.bundle), found, version, Path(arguments.write))}")  # noqa: T201
    if arguments.out:
        Path(arguments.out).write_text(found.toml(), encoding="utf-8")
    print(found.toml(), end="")  # noqa: T201 - the command's result
    return 0
