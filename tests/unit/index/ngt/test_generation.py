import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.index.indexing import IDENTITY, manifest_of, open_directory
from worker.index.ngt.checksums import Damaged
from worker.index.ngt.generation import OldFormat, generation_name, read_manifest, write_manifest


def written(path):
    manifest = manifest_of(
        open_directory(path), [], 0, {0: 7, 2: 77}, datetime.now(UTC) - timedelta(seconds=5)
    )
    write_manifest(path, manifest)
    return manifest


def test_a_manifest_comes_back_as_it_was_written(tmp_path):
    manifest = written(tmp_path)
    assert read_manifest(tmp_path) == manifest
    assert manifest.offsets == {0: 7, 2: 77}
    assert manifest.name == generation_name(1) == "generation-00000001"
    assert 5 <= manifest.age() < 60


@pytest.mark.parametrize("name", ["manifest.json", "manifest.json.sha256"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing", "not text"])
def test_damage_is_found(tmp_path, name, damage):
    written(tmp_path)
    file = tmp_path / name
    raw = bytearray(file.read_bytes())
    if damage == "flipped":
        raw[len(raw) // 2] ^= 1
    file.write_bytes({"truncated": raw[: len(raw) // 2], "not text": b"\xff\xfe"}.get(damage, raw))
    if damage == "missing":
        file.unlink()
    with pytest.raises(Damaged):
        read_manifest(tmp_path)


def test_one_of_an_earlier_release_is_told_from_a_damaged_one(tmp_path):
    raw = json.dumps({"format": 1, "identity": IDENTITY.model_dump()}).encode()
    (tmp_path / "manifest.json").write_bytes(raw)
    (tmp_path / "manifest.json.sha256").write_text(hashlib.sha256(raw).hexdigest())
    with pytest.raises(OldFormat):
        read_manifest(tmp_path)
