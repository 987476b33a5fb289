"""`python -m export.starter.tables`: the starter's product photos as tables that `mekiki train` reads."""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from export.starter.photos import of_split, read_clothing, read_grocery
from export.starter.recipe import SPLITS


def main(argv: Sequence[str] | None = None) -> int:
    """Write train.csv, calibration.csv and test.csv with the columns path and label."""
    parser = argparse.ArgumentParser(prog="python -m export.starter.tables", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with clothing/ and grocery/")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    arguments = parser.parse_args(argv)
    photos = [*read_clothing(arguments.data), *read_grocery(arguments.data)]
    arguments.out.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        with (arguments.out / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["path", "label"])
            rows.writerows([photo.path.resolve(), photo.group] for photo in of_split(photos, split))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
