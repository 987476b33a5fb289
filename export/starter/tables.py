"""`python -m export.starter.tables`: the starter's product photos as tables that `mekiki train` reads."""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from export.starter.photos import Photo, of_split, read_clothing, read_grocery
from export.starter.recipe import SPLITS


def main(argv: Sequence[str] | None = None) -> int:
    """Write train.csv, calibration.csv and test.csv: path, label, kind, department, sender_id."""
    parser = argparse.ArgumentParser(prog="python -m export.starter.tables", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with clothing/ and grocery/")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    arguments = parser.parse_args(argv)
    photos = [*read_clothing(arguments.data), *read_grocery(arguments.data)]
    arguments.out.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        with (arguments.out / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["path", "label", "kind", "department", "sender_id"])
            rows.writerows(_row(photo) for photo in of_split(photos, split))
    return 0


def _row(photo: Photo) -> list[str]:
    """A photo without a sender, a grocery, is a group of its own; one without a kind has an empty label."""
    department = photo.tags[-1] if photo.group == "grocery" else photo.group
    sender = photo.sender or photo.path.name
    return [str(photo.path.resolve()), photo.group, photo.tags[0] if photo.tags else "", department, sender]


if __name__ == "__main__":
    raise SystemExit(main())
