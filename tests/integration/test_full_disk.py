"""A scan whose output has no room left says so."""

import shutil
from pathlib import Path

import pytest

import worker.demo
from worker.cli import main


def test_a_scan_onto_a_full_disk_ends_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = next(iter(sorted(Path(worker.demo.__path__[0], "assets", "photos").glob("*.jpg"))))
    for number in range(30):  # more lines than a buffer holds
        shutil.copy(photo, tmp_path / f"{number}.jpg")
    assert main(["scan", str(tmp_path), "--vectors", "--out", "/dev/full"]) == 1
    assert "--out /dev/full cannot be written" in capsys.readouterr().err
