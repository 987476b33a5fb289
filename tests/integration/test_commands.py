"""The commands as a person runs them, in processes of their own, on a real Kafka."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import worker.watchdog
from tests import events, images
from tests.guarded_worker import GuardedWorker, environment
from tests.integration.running import http_json
from tests.kafka.client import Broker, Record
from tests.kafka.server import free_ports
from tests.results import Results, body, of_key
from tests.workplace import Workplace, make_settings
from worker.cli import main
from worker.settings import Settings
from worker.stream import dead_letter
from worker.stream.topics import topics_of


def mekiki(settings: Settings, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command; nothing of our own environment but these settings reaches it."""
    return subprocess.run(
        [sys.executable, "-m", "worker.cli", *arguments],
        env={**environment(settings, tmp_path / "guard.log"), "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


InProcess = Callable[..., tuple[int, str]]


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[InProcess]:
    """The same `main` without the start of an interpreter: its exit code, and what it says."""
    handlers, level = logging.root.handlers[:], logging.root.level

    def run(settings: Settings, *arguments: str) -> tuple[int, str]:
        for name, value in environment(settings, Path("unused")).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(worker.watchdog, "end_process", lambda status: None)  # it is the tests' process
        code = main(arguments)
        return code, "".join(capsys.readouterr())

    yield run
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def names(settings: Settings) -> set[str]:
    return {topic.name for topic in topics_of(settings)}


@pytest.fixture
def no_topics(kafka: Broker, tmp_path: Path) -> Settings:
    """Settings of a workplace whose topics nobody has made."""
    home = tmp_path / "home"
    home.mkdir()
    return make_settings(kafka.bootstrap, home, partitions=3)


def test_topics_create_makes_what_is_missing_and_check_agrees(
    kafka: Broker, no_topics: Settings, tmp_path: Path
) -> None:
    before = mekiki(no_topics, tmp_path, "check")
    assert before.returncode == 1
    assert before.stdout.count("run `mekiki topics create`") == len(names(no_topics))
    try:
        created = mekiki(no_topics, tmp_path, "topics", "create")
        assert created.returncode == 0, created.stderr
        assert created.stderr.count("created") == len(names(no_topics))
        assert names(no_topics) <= kafka.topic_names()
        assert set(kafka.ends(no_topics.topics.uploaded)) == {0, 1, 2}
        again = mekiki(no_topics, tmp_path, "topics", "create")
        assert again.returncode == 0
        assert again.stderr.count("exists") == len(names(no_topics))
        after = mekiki(no_topics, tmp_path, "check")
        assert after.returncode == 0, after.stdout
        assert "FAIL" not in after.stdout
    finally:
        kafka.delete_topics(names(no_topics) & kafka.topic_names())


def test_check_says_that_a_vector_topic_is_not_compacted(
    kafka: Broker, no_topics: Settings, tmp_path: Path
) -> None:
    kafka.create_topics(names(no_topics), 1)
    try:
        done = mekiki(no_topics, tmp_path, "check")
        assert done.returncode == 1
        vectors, reviews, *small = [line for line in done.stdout.splitlines() if "FAIL" in line]
        assert no_topics.topics.embedded in vectors
        assert no_topics.topics.reviews in reviews
        assert "compact" in vectors
        assert len(small) == 2, "a dead letter is its event and a little more"
        assert all("set it to" in line for line in small)
    finally:
        kafka.delete_topics(names(no_topics))


@pytest.mark.parametrize("command", [["check"], ["topics", "create"], ["replay"], ["score"], ["index"]])
def test_a_broker_that_is_not_there_is_named(
    tmp_path: Path, in_process: InProcess, command: list[str]
) -> None:
    (port,) = free_ports(1)
    settings = make_settings(f"127.0.0.1:{port}", tmp_path, partitions=1)
    kafka = settings.kafka.model_copy(update={"request_timeout": 2.0})
    code, said = in_process(settings.model_copy(update={"kafka": kafka}), *command)
    assert code == 1
    assert f"127.0.0.1:{port}" in said


def test_asked_for_a_gpu_that_is_not_there_the_start_fails_with_what_to_do(
    workplace: Workplace, tmp_path: Path
) -> None:
    done = mekiki(workplace.changed(model={"provider": "cuda"}), tmp_path, "score")
    assert done.returncode == 1
    assert "model.provider is 'cuda'" in done.stderr
    assert "cpu" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_topic_that_is_missing_ends_the_role_with_what_to_do(no_topics: Settings, tmp_path: Path) -> None:
    done = mekiki(no_topics, tmp_path, "index")
    assert done.returncode != 0
    assert "mekiki topics create" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["score", "--set", "kafka.grupo=x"], "kafka.grupo"),
        (["score", "--config", "no-such-file.toml"], "no-such-file.toml"),
        (["score", "--set", "model.bundle=no-such-bundle"], "no-such-bundle"),
        (["scan", "no-such-folder", "--out", "x"], "no-such-folder"),
    ],
)
def test_wrong_settings_end_with_a_sentence(
    tmp_path: Path, in_process: InProcess, arguments: list[str], said: str
) -> None:
    code, answer = in_process(make_settings("127.0.0.1:9", tmp_path, partitions=1), *arguments)
    assert code in (1, 2)
    assert said in answer


def rejected(workplace: Workplace, count: int) -> None:
    """Events that name a file which is not there yet, two of another fault, and one good one."""
    topics, broker = workplace.settings.topics, workplace.broker
    (workplace.folder / "good.jpg").write_bytes(images.jpeg(1))
    late = [
        events.uploaded(f"late-{n}", path="late.jpg", headers=(("trace", b"\xff\x00"),)) for n in range(count)
    ]
    others = [
        Record(b"not json", b"other-1"),
        Record(b"[", b"other-2"),
        events.uploaded("good", path="good.jpg"),
    ]
    broker.send(topics.uploaded, [*late, *others])
    with workplace.running("score"):
        broker.wait_until_done(workplace.settings.kafka.group, topics.uploaded)


@pytest.mark.parametrize("mode", ["exactly_once", "at_least_once"])
def test_replay_sends_rejected_events_back_once_after_a_fix(
    workplace: Workplace, tmp_path: Path, mode: str
) -> None:
    settings = workplace.changed(score={"delivery": mode})
    topics, broker = settings.topics, workplace.broker
    rejected(workplace, 25)
    assert len(broker.read(topics.dead_letter)) == 27
    (workplace.folder / "late.jpg").write_bytes(images.jpeg(2))
    first = mekiki(settings, tmp_path, "replay", "--reason", "fetch.")
    assert first.returncode == 0, first.stderr
    assert "25 events sent back, 2 passed over" in first.stderr
    second = mekiki(settings, tmp_path, "replay", "--reason", "fetch.")
    assert "0 events sent back, 0 passed over" in second.stderr
    with workplace.running("score"):
        broker.wait_until_done(settings.kafka.group, topics.uploaded)
    results = Results.read(broker, topics)
    for number in range(25):
        assert len(of_key(results.moderated, f"late-{number}")) == 1
    assert len(results.dead) == 27
    replayed = [r for r in broker.read(topics.uploaded) if r.header("mekiki.replays") is not None]
    assert len(replayed) == 25
    assert {record.header("trace") for record in replayed} == {b"\xff\x00"}
    assert not any(record.header(dead_letter.REASON) for record in replayed)


def test_what_is_rejected_again_after_a_replay_says_how_often(workplace: Workplace, tmp_path: Path) -> None:
    topics, broker = workplace.settings.topics, workplace.broker
    rejected(workplace, 3)
    for _ in range(2):
        assert mekiki(workplace.settings, tmp_path, "replay").returncode == 0
        with workplace.running("score"):
            broker.wait_until_done(workplace.settings.kafka.group, topics.uploaded)
    dead = of_key(broker.read(topics.dead_letter), "late-1")
    assert [record.header("mekiki.replays") for record in dead] == [None, b"1", b"2"]
    assert {record.value for record in dead} == {dead[0].value}
    for record in dead:
        assert record.header(dead_letter.REASON) == b"fetch.not_found"


def test_run_does_both_roles_in_one_process_and_ends_in_order(workplace: Workplace, tmp_path: Path) -> None:
    topics, broker = workplace.settings.topics, workplace.broker
    broker.send(topics.uploaded, [events.uploaded_bytes(f"image-{n}", images.jpeg(n)) for n in range(20)])
    process = GuardedWorker(["run"], workplace.settings, tmp_path / "run.log")
    try:
        process.wait_until(lambda: found(process.url, "/index", "vectors") == 20, "all indexed", 60)
        process.wait_until(lambda: found(process.url, "/readyz", "ready") is True, "ready", 30)
        assert http_json(f"{process.url}/healthz")[0] == 200
        metrics = http_json(f"{process.url}/metrics")[1]
        assert process.terminate(40) == 0, process.tail()
    finally:
        process.kill()
    assert "mekiki_commit_outcomes_total" in metrics
    assert 'mekiki_decide_decisions_total{decision="accept"} 20.0' in metrics
    assert "mekiki_index_vectors 20.0" in metrics
    assert process.refused() == []


def found(url: str, path: str, name: str) -> Any:
    try:
        status, answer = http_json(f"{url}{path}")
    except OSError:
        return None
    return answer.get(name) if status == 200 else None


def test_scan_gives_one_outcome_for_each_file_without_a_broker(tmp_path: Path) -> None:
    folder, out = tmp_path / "folder", tmp_path / "results.jsonl"
    (folder / "deeper").mkdir(parents=True)
    files = {
        "good.jpg": images.jpeg(1),
        "deeper/turned.jpg": images.exif_rotated_jpeg(2),
        "page.jpg": images.html(1),
        "deeper/cut.jpg": images.truncated_jpeg(3),
        "huge.png": images.huge_png(1),
        "empty.jpg": b"",
        "name with ünïcode.png": images.png(4),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    # What cannot be read is told, and ends nothing; links are followed: the user named the folder.
    (tmp_path / "elsewhere.jpg").write_bytes(images.jpeg(5))
    links = {"linked.jpg": "../elsewhere.jpg", "broken.jpg": "nowhere.jpg", "loop.jpg": "loop.jpg"}
    for name, target in links.items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe.jpg")
    settings = make_settings("127.0.0.1:9", tmp_path, partitions=1)
    done = mekiki(settings, tmp_path, "scan", str(folder), "--out", str(out), "--vectors")
    assert done.returncode == 0, done.stderr
    lines = {line["path"]: line for line in map(json.loads, out.read_text(encoding="utf-8").splitlines())}
    assert set(lines) == {*files, *links, "pipe.jpg"}
    reasons = {path: line["reason"] for path, line in lines.items() if line["outcome"] == "rejection"}
    assert reasons == {
        "page.jpg": "image.not_an_image",
        "deeper/cut.jpg": "image.corrupt",
        "huge.png": "image.too_many_pixels",
        "empty.jpg": "source.empty",
        "broken.jpg": "fetch.not_found",
        "loop.jpg": "fetch.outside_folder",
        "pipe.jpg": "fetch.not_found",
    }
    for path in ("good.jpg", "deeper/turned.jpg", "name with ünïcode.png", "linked.jpg"):
        line = lines[path]
        assert line["outcome"] == "result"
        assert line["decision"] == "accept"
        assert {"text", "qr", "preference"} <= set(line["scores"])
        assert line["vector"]["dim"] > 0


def test_the_worker_of_these_tests_is_refused_every_other_address(
    workplace: Workplace, tmp_path: Path
) -> None:
    """The guard itself: a worker that is allowed 127.0.0.1 by its settings still cannot connect there."""
    settings = workplace.changed(fetch={"allowed_networks": ["127.0.0.0/8"]})
    topics, broker = settings.topics, workplace.broker
    broker.send(topics.uploaded, [events.uploaded("elsewhere", url="http://127.0.0.1:9/a.jpg")])
    process = GuardedWorker(["score"], settings, tmp_path / "score.log")
    try:
        process.wait_until(lambda: broker.lag(settings.kafka.group, topics.uploaded) == 0, "rejecting", 60)
    finally:
        process.terminate(30)
    assert process.refused() == ["127.0.0.1:9"]
    (dead,) = broker.read(topics.dead_letter)
    assert body(dead)["image_id"] == "elsewhere"
