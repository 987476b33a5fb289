"""Broken uploads: one of each kind. That the worker rejects each for its reason is in test_uploads."""

from datetime import UTC, datetime
from pathlib import Path

from schemas.rejection import RejectionReason
from tests.images import photo
from worker.demo.broken import broken_uploads
from worker.demo.store import ObjectStore


def test_each_is_another_upload_broken_in_a_way_of_its_own(tmp_path: Path) -> None:
    photo(1, 64, 48).save(tmp_path / "sound.jpg")
    made = list(broken_uploads("uploads", tmp_path / "sound.jpg", ObjectStore(), tmp_path))
    assert len({broken.name for broken in made}) == len({broken.what for broken in made}) == len(made)
    records = [broken.make(datetime.now(UTC)) for broken in made]
    assert {record.topic for record in records} == {"uploads"}
    assert len({record.key for record in records}) == len(records)
    assert len({record.value for record in records}) == len(records)


def test_they_show_most_of_the_reasons_there_are(tmp_path: Path) -> None:
    photo(1, 64, 48).save(tmp_path / "sound.jpg")
    made = broken_uploads("uploads", tmp_path / "sound.jpg", ObjectStore(), tmp_path)
    assert len({broken.reason for broken in made}) > len(RejectionReason) / 2
