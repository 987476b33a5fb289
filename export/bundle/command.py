"""`mekiki bundle assemble`, `show` and `diff`."""

import argparse
from pathlib import Path

from export.bundle.assemble import assemble
from export.bundle.show import diff, show
from export.bundle.take import take


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


def show_bundle(arguments: argparse.Namespace) -> int:
    """Print what a bundle holds."""
    print(show(Path(arguments.bundle)))  # noqa: T201 - the command's result
    return 0


def diff_bundles(arguments: argparse.Namespace) -> int:
    """Print what sets two bundles apart; 0 if nothing does, else 1, as diff(1)."""
    text = diff(Path(arguments.first), Path(arguments.second))
    print(text or "no difference")  # noqa: T201 - the command's result
    return 1 if text else 0
