import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.unit.index.indexing import filled, open_directory
from worker.index.ngt.builder import BuildFailed, SegmentBuild


def test_a_child_builds_what_was_set_aside(tmp_path):
    directory = open_directory(tmp_path)
    live, vectors = filled(50)
    build = SegmentBuild(directory, live.freeze().batch, threads=1)
    segment = build.outcome.result(60)
    assert len(segment) == 50
    segment.path = directory.publish_segment(segment.path)
    assert [path.name for path in tmp_path.iterdir()] == ["segment-00000001"]
    for image_id, vector in vectors.items():
        assert np.array_equal(segment.vector(segment.positions[image_id]), vector)


def test_a_child_that_fails_says_why_and_leaves_nothing(tmp_path):
    directory = open_directory(tmp_path)
    live, _ = filled(5)
    frozen = live.freeze()
    frozen.tail.ids[1] = "i0"  # twice the same image
    build = SegmentBuild(directory, frozen.batch, threads=1)
    with pytest.raises(BuildFailed, match=r"(?s)bytes free on its disk.*4 different"):
        build.outcome.result(60)
    assert list(tmp_path.iterdir()) == []


def test_cancelling_ends_the_child_and_leaves_nothing(tmp_path):
    directory = open_directory(tmp_path)
    live, _ = filled(5)
    build = SegmentBuild(directory, live.freeze().batch, threads=1)
    build.cancel()
    assert build.outcome.exception() is None or isinstance(build.outcome.exception(), BuildFailed)
    assert list(tmp_path.iterdir()) == []


def test_the_child_ends_when_its_parent_is_gone(tmp_path):
    os.mkfifo(tmp_path / "request.json")  # nobody writes it: the child would wait for ever
    command = [sys.executable, "-m", "worker.index.ngt.build", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        child.stdin.close()
        assert child.wait(20) == 1
    assert child.returncode != -signal.SIGKILL


def test_the_child_brings_in_no_kafka_client_and_no_model():
    program = "import sys, worker.index.ngt.build; print(*sorted(m.partition('.')[0] for m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names = set(loaded.stdout.split())
    assert "ngtpy" in names
    assert names.isdisjoint({"confluent_kafka", "onnxruntime", "fastapi", "prometheus_client"})
