"""Scan gives one line a file, in order, with a bounded number under way."""

import io
import json
import random
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from schemas.events import Code
from schemas.rejection import RejectionReason
from worker import scan as scanning
from worker.errors import ConfigurationError, Rejection, StageError
from worker.fetch.lanes import LaneLimits, Lanes
from worker.scan import files_under, scan
from worker.score.outcome import Verdict
from worker.score.pipeline import Pipeline, PipelineLimits
from worker.score.prepare import Prepared


@pytest.fixture
def folder(tmp_path):
    for name in ("b/2.jpg", "b/1.jpg", "a.jpg", "c/d/e.txt", "z.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / b"\xff.jpg".decode("utf-8", "surrogateescape")).write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    return tmp_path


class Stages:
    """The pipeline's two callables, which count what is under way at once."""

    def __init__(self):
        self.under_way = self.most = 0
        self.lock = threading.Lock()
        self.rng = random.Random(3)

    def prepare(self, read):
        event = read()
        with self.lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        time.sleep(self.rng.random() / 100)
        if event.image.path.endswith(".txt"):
            with self.lock:
                self.under_way -= 1
            raise Rejection(RejectionReason.IMAGE_NOT_AN_IMAGE, "text")
        return Prepared(event, "0" * 64, np.zeros((2, 2, 3), np.uint8))

    def judge(self, batch):
        with self.lock:
            self.under_way -= len(batch)
        vector = np.array([1.0], np.float32)
        return [
            Verdict(image.event, "0" * 64, "accept", [], {"text": 0.25}, [], vector, image.event.uploaded_at)
            for image in batch
        ]


def run(folder, *, vectors=False, max_in_flight=3, stages=None):
    stages = stages or Stages()
    out = io.StringIO()
    limits = PipelineLimits(threads=8, batch_size=2, batch_wait=0.001)
    with Pipeline(stages.prepare, stages.judge, Lanes(LaneLimits()), limits) as pipeline:
        counts = scan(
            folder, out, pipeline, vectors=vectors, max_in_flight=max_in_flight, progress=lambda: None
        )
    return counts, [json.loads(line) for line in out.getvalue().splitlines()], stages


def test_one_line_a_file_ordered_by_path(folder):
    counts, lines, _ = run(folder)
    assert [line["path"] for line in lines] == [
        "a.jpg",
        "b/1.jpg",
        "b/2.jpg",
        "c/d/e.txt",
        "z.jpg",
        "\udcff.jpg",
    ]
    assert counts == {"accept": 5, "rejection": 1}
    assert lines[3] == {
        "path": "c/d/e.txt",
        "outcome": "rejection",
        "reason": "image.not_an_image",
        "detail": "text",
    }
    assert lines[0]["scores"] == {"text": 0.25}
    assert "vector" not in lines[0]


def test_codes_where_some_were_read(folder):
    code = Code(format="QRCode", payload="https://example.com", area_share=0.25)
    stages = Stages()
    judge = stages.judge
    stages.judge = lambda batch: [
        replace(verdict, codes=[code] if verdict.event.image.path == "a.jpg" else [])
        for verdict in judge(batch)
    ]
    _, lines, _ = run(folder, stages=stages)
    assert lines[0]["codes"] == [{"format": "QRCode", "payload": "https://example.com", "area_share": 0.25}]
    assert not any("codes" in line for line in lines[1:])


def test_vectors_on_request(folder):
    _, lines, _ = run(folder, vectors=True)
    assert lines[0]["vector"] == {"dim": 1, "dtype": "float32", "data": "AACAPw=="}


def test_no_more_than_the_bound_are_under_way(tmp_path):
    for number in range(60):
        (tmp_path / f"{number:03}.jpg").write_bytes(b"x")
    counts, lines, stages = run(tmp_path, max_in_flight=4)
    assert counts == {"accept": 60}
    assert [line["path"] for line in lines] == sorted(line["path"] for line in lines)
    assert stages.most <= 4


def test_a_failure_of_ours_ends_the_scan(folder):
    def fail(_):
        raise OSError("disk")

    stages = Stages()
    stages.judge = fail
    with pytest.raises(StageError, match="disk"):
        run(folder, stages=stages)


def test_links_are_followed_and_loops_of_them_end(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (root / "own").mkdir(parents=True)
    (outside / "deep" / "1.jpg").write_bytes(b"x")
    (root / "own" / "2.jpg").write_bytes(b"x")
    (root / "file.jpg").symlink_to(outside / "deep" / "1.jpg")
    (root / "folder").symlink_to(outside)
    (root / "sibling").symlink_to("own")
    (root / "broken.jpg").symlink_to("nowhere")
    (root / "itself").symlink_to("itself")
    (root / "own" / "up").symlink_to(root)
    assert list(files_under(root)) == [
        "broken.jpg", "file.jpg", "folder/deep/1.jpg", "itself", "own/2.jpg", "own/up",
        "sibling/2.jpg", "sibling/up",
    ]  # fmt: skip


def test_folders_that_all_link_to_each_other_are_walked_in_no_time(tmp_path):
    names = [f"f{number:02}" for number in range(12)]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(b"x")
        for other in names:
            (tmp_path / name / f"to-{other}").symlink_to(f"../{other}")
    paths = list(files_under(tmp_path))
    assert {f"{name}/a.jpg" for name in names} <= set(paths)
    assert len(paths) < 2000


def test_a_folder_inside_that_cannot_be_read_is_a_line(folder, monkeypatch):
    entries = scanning._entries

    def refused(path):
        if path.name == "d":
            raise PermissionError(13, "Permission denied")
        return entries(path)

    monkeypatch.setattr(scanning, "_entries", refused)
    assert "c/d" in list(files_under(folder))


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be scanned"):
        next(files_under(tmp_path / "missing"))
