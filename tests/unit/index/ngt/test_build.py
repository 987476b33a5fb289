import os

import numpy as np
import pytest

from tests.unit.index.indexing import IDENTITY, axis, filled, open_directory, searched, snapshot
from worker.index.attributes import nothing_known
from worker.index.ngt import build as build_module
from worker.index.ngt.build import BuildRequest, build, write_request


def test_equal_vectors_are_stored_once_and_negative_zero_is_zero(tmp_path):
    live, _ = filled(3)
    for image_id in ("z", "y", "x"):
        live.upsert(image_id, axis(0) * (-1.0 if image_id == "y" else 1.0) ** 2 + np.float32(-0.0))
    segment = snapshot(live, open_directory(tmp_path))
    assert (segment.manifest.images, segment.manifest.vectors) == (6, 4)
    assert [near.image_id for near in searched(segment, axis(0), 3, 99)] == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("ids", "count"), [(["a", "a"], 2), (["a"], 2), (["a", "b"], 1)], ids=["twice", "few", "many"]
)
def test_a_request_that_does_not_fit_is_refused(tmp_path, ids, count):
    request = BuildRequest(identity=IDENTITY, ids=ids, threads=1)
    write_request(tmp_path, request, np.eye(16, dtype="f4")[:count], nothing_known(count))
    with pytest.raises(ValueError, match="ids"):
        build(tmp_path)


def test_what_ngt_does_not_hold_is_no_segment(tmp_path, monkeypatch):
    monkeypatch.setattr(build_module, "EXACT_UP_TO", 0)
    monkeypatch.setattr(build_module.np, "array_equal", lambda *_: False)
    request = BuildRequest(identity=IDENTITY, ids=["a"], threads=1)
    write_request(tmp_path, request, axis(0)[None], nothing_known(1))
    with pytest.raises(RuntimeError, match="does not hold"):
        build(tmp_path)


def test_every_file_is_durable_before_the_segment_is_published(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    live, _ = filled(5)
    directory = open_directory(tmp_path)
    publish = directory.publish_segment

    def published(built):
        for path in [built, *built.rglob("*")]:
            assert path.stat().st_ino in synced, path
        synced.clear()
        target = publish(built)
        assert synced == [tmp_path.stat().st_ino], "the rename itself"
        return target

    monkeypatch.setattr(directory, "publish_segment", published)
    assert len(list(snapshot(live, directory).path.rglob("*"))) >= 7
