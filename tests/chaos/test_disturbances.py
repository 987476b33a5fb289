"""What happens to clusters, one disturbance a test, while uploads arrive: one outcome each, and no person.

Every worker must move again within a minute of the disturbance's end, on three brokers, and the index equal
the log. `make test-chaos`; the figures are printed and kept in out/disturbances.jsonl.
"""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import events, images
from tests.chaos.crowd import WORKERS, Crowd, check_index, check_outcomes, figures, image_id
from tests.chaos.stream import ROOT
from tests.integration.test_replay_order import at
from tests.kafka.client import Record
from tests.kafka.nodes import Nodes
from tests.results import body
from tests.workplace import make_settings
from worker.commands import replay
from worker.stream.topics import create_topics

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]

NINE, TEN, ELEVEN = (f"2026-11-20T{hour}:00:00Z" for hour in ("09", "10", "11"))


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    nodes = Nodes(tmp_path_factory.mktemp("nodes"))
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()


@pytest.fixture
def crowd(request: pytest.FixtureRequest, nodes: Nodes, tmp_path: Path) -> Iterator[Crowd]:
    home = tmp_path / "workplace"
    home.mkdir()
    settings = make_settings(nodes.bootstrap, home, partitions=4)
    if consumer := getattr(request, "param", None):
        settings = settings.model_copy(
            update={"kafka": settings.kafka.model_copy(update={"consumer": consumer})}
        )
    create_topics(settings)
    crowd = Crowd(nodes, tmp_path, settings)
    try:
        crowd.wait_until_moving()
        crowd.moved.clear()
        yield crowd
    finally:
        crowd.stop()


def freeze_a_broker(crowd: Crowd) -> None:
    node = crowd.nodes.nodes[1]
    node.freeze()
    crowd.during(40)
    node.thaw()


def restart_brokers_one_by_one(crowd: Crowd) -> None:
    for node in crowd.nodes.nodes:
        node.stop()
        crowd.during(5)
        node.start()
        crowd.during(8)


def take_all_brokers_away(crowd: Crowd) -> None:
    crowd.nodes.stop()
    end = time.monotonic() + 90
    while time.monotonic() < end:
        crowd.supervise()
        time.sleep(1)
    crowd.nodes.start()


def take_all_brokers_away_five_times(crowd: Crowd) -> None:
    for number in range(5):
        if number:
            crowd.wait_until_moving()
            crowd.during(3)
        take_all_brokers_away(crowd)


def stop_a_worker_for_a_minute(crowd: Crowd) -> None:
    worker = crowd.workers[1]
    worker.freeze()
    crowd.during(60)
    worker.thaw()


def add_partitions(crowd: Crowd) -> None:
    crowd.broker.add_partitions(crowd.settings.topics.reviews, 8)
    crowd.broker.add_partitions(crowd.settings.topics.uploaded, 8)
    crowd.during(15)


def kill_workers_at_random(crowd: Crowd) -> None:
    for number in range(12):
        crowd.during(2 + number % 3)
        crowd.workers[number % WORKERS].kill()


def kill_the_index(crowd: Crowd) -> None:
    for _ in range(4):
        crowd.during(4)
        crowd.index.kill()


def make_the_topic_again(crowd: Crowd) -> None:
    """Twice, with events in flight and behind: what lay in the old log may be gone with it, nothing else."""
    for _ in range(2):
        crowd.send([crowd.upload() for _ in range(200)])
        crowd.gone |= {image_id(record) for record in crowd.sent}
        crowd.sent.clear()
        crowd.broker.recreate_topic(crowd.settings.topics.uploaded, 4)
        crowd.during(8, 25)
    reasons = ("topic_recreated", "offset_went_back")
    assert sum(crowd.metric(f'mekiki_poll_offset_resets_total{{reason="{why}"}}') for why in reasons) >= 1


def cut_the_log(crowd: Crowd) -> None:
    """Above what is committed while nobody works, and once more while all do."""
    topic, group = crowd.settings.topics.uploaded, crowd.settings.kafka.group
    crowd.stop_workers()
    crowd.send([crowd.upload() for _ in range(400)])
    begins = {number: offset + 30 for number, offset in crowd.broker.committed(group, topic).items()}
    crowd.gone |= {image_id(r) for r in crowd.sent if r.offset < begins[r.partition]}
    crowd.broker.cut(topic, begins)
    crowd.start()
    crowd.wait_until_moving()
    lost = crowd.metric('mekiki_poll_lost_offsets_total{reason="log_cut"}')
    assert 4 * 30 <= lost <= 8 * 30, "a partition that goes on to another worker at once may be told twice"
    crowd.send([crowd.upload() for _ in range(400)])
    ends = crowd.broker.ends(topic)
    crowd.gone |= {image_id(r) for r in crowd.sent if r.offset < ends[r.partition]}
    crowd.broker.cut(topic, ends)
    crowd.during(5)


def set_the_group_back(crowd: Crowd) -> None:
    topic, group = crowd.settings.topics.uploaded, crowd.settings.kafka.group
    crowd.wait(crowd.done, "done", 60)
    crowd.stop_workers()
    to = {number: max(0, offset - 25) for number, offset in crowd.broker.committed(group, topic).items()}
    crowd.broker.set_offsets(group, topic, to)
    again = [r for r in crowd.broker.read(topic) if r.offset >= to[r.partition]]
    assert len(again) > 80
    crowd.again.update(map(image_id, again))
    crowd.start()


def replay_during_traffic(crowd: Crowd) -> None:
    """Images that could not be fetched; some are deleted or replaced before the replay, some meanwhile."""
    settings, folder = crowd.settings, crowd.settings.fetch.folder
    assert folder is not None
    names = [f"late-{number}" for number in range(300)]
    crowd.send([late(name) for name in names])
    crowd.during(3)
    crowd.wait(crowd.done, "done", 60)
    deleted, replaced = names[0::4], names[1::4]
    before = [deletion(name) for name in deleted[::2]] + [newer(name) for name in replaced[::2]]
    meanwhile = [deletion(name) for name in deleted[1::2]] + [newer(name) for name in replaced[1::2]]
    crowd.send(before)
    for name in names:
        (folder / f"{name}.jpg").write_bytes(images.jpeg(1))
    told: list[object] = []
    thread = threading.Thread(target=lambda: told.append(replay(settings, "score", None, lambda _: None)))
    thread.start()
    for record in meanwhile:
        crowd.send([record, crowd.upload()])
    thread.join(120)
    print(f"\nreplayed, passed over: {told}")
    assert told
    crowd.during(3)
    crowd.wait(crowd.done, "done", 60)
    last = {image_id(r): r for r in crowd.broker.read(settings.topics.embedded)}
    assert [name for name in deleted if last[name].value is not None] == [], "deleted, and searchable"
    causes = {name: body(last[name])["input"]["event_id"] for name in replaced}
    assert causes == {name: f"newer-of-{name}" for name in replaced}
    untouched = set(names) - {*deleted, *replaced}
    assert [name for name in untouched if last[name].value is None] == []


def late(name: str) -> Record:
    return at(events.uploaded(name, path=f"{name}.jpg"), "uploaded_at", TEN)


def deletion(name: str) -> Record:
    return at(events.deleted(name), "deleted_at", ELEVEN)


def newer(name: str) -> Record:
    record = at(events.uploaded_bytes(name, images.jpeg(2)), "uploaded_at", ELEVEN)
    return at(record, "event_id", f"newer-of-{name}")


DISTURBANCES = {
    function.__name__: function
    for function in (
        freeze_a_broker,
        restart_brokers_one_by_one,
        take_all_brokers_away_five_times,
        stop_a_worker_for_a_minute,
        add_partitions,
        kill_workers_at_random,
        kill_the_index,
        make_the_topic_again,
        cut_the_log,
        set_the_group_back,
        replay_during_traffic,
    )
}
NEW_PROTOCOL = (
    kill_workers_at_random,
    restart_brokers_one_by_one,
    stop_a_worker_for_a_minute,
    add_partitions,
    make_the_topic_again,
    take_all_brokers_away,
)


@pytest.mark.parametrize("name", DISTURBANCES)
def test_every_upload_has_one_outcome_and_every_worker_moves_again(crowd: Crowd, name: str) -> None:
    check(crowd, DISTURBANCES[name])


@pytest.mark.parametrize("crowd", [{"group.protocol": "consumer"}], indirect=True)
@pytest.mark.parametrize("disturb", NEW_PROTOCOL, ids=lambda function: function.__name__)
def test_groups_of_the_new_protocol_too(crowd: Crowd, disturb: Callable[[Crowd], None]) -> None:
    """KIP-848: the broker assigns, and its own session time-out (45 s) says who is gone."""
    check(crowd, disturb)


def check(crowd: Crowd, disturb: Callable[[Crowd], None]) -> None:
    crowd.during(5, 30)
    disturb(crowd)
    crowd.wait_until_moving()
    crowd.during(3, 20)
    crowd.wait(crowd.done, "done", 120)
    dead = crowd.broker.read(crowd.settings.topics.dead_letter)
    blamed = [r for r in dead if not image_id(r).startswith("late-")]
    assert blamed == [], "nothing is blamed on an event"
    told = figures(crowd, disturb.__name__, check_outcomes(crowd), check_index(crowd))
    print(f"\n{told}")
    out = ROOT / "out"
    out.mkdir(exist_ok=True)
    with (out / "disturbances.jsonl").open("a", encoding="utf-8") as file:
        file.write(told + "\n")
