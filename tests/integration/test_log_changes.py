"""A log that is not the one that was read, on a real Kafka: made again, cut, or a group set back."""

import time
from collections import Counter
from contextlib import suppress

import pytest

from tests import events, images
from tests.integration.running import Running
from tests.kafka.client import Record, wait_until
from tests.results import Results, body
from tests.workplace import Workplace
from worker.errors import BrokerError


def uploads(count: int, name: str, partition: int = -1) -> list[Record]:
    image = images.encoded(images.photo(1, 64, 64))
    return [events.uploaded_bytes(f"{name}-{number}", image, partition=partition) for number in range(count)]


def metric(running: Running, name: str) -> float:
    """A sample's value, 0 where it is not there."""
    lines = [line for line in running.get("/metrics")[1].splitlines() if line.startswith(f"{name} ")]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


def verdicts(workplace: Workplace, name: str) -> Counter[str]:
    found = Results.read(workplace.broker, workplace.settings.topics).moderated
    ids = (body(record)["image_id"] for record in found)
    return Counter(image_id for image_id in ids if image_id.startswith(name))


@pytest.mark.parametrize("new", [1, 20, 25, 60])
@pytest.mark.parametrize("mode", ["exactly_once", "at_least_once"])
def test_a_topic_that_is_made_again_under_a_worker_loses_no_new_event(
    workplace: Workplace, mode: str, new: int
) -> None:
    settings, broker = workplace.changed(score={"delivery": mode}), workplace.broker
    topic, group = settings.topics.uploaded, settings.kafka.group
    broker.send(topic, uploads(40, "old"))
    with workplace.running("score", settings=settings) as running:
        broker.wait_until_done(group, topic)
        broker.recreate_topic(topic, 2)
        broker.send(topic, uploads(new, "new"))
        wait_until(lambda: len(verdicts(workplace, "new-")) == new, "the verdicts of the new topic", 60)
        time.sleep(2)
        told = metric(running, 'mekiki_poll_offset_resets_total{reason="topic_recreated"}') + metric(
            running, 'mekiki_poll_offset_resets_total{reason="offset_went_back"}'
        )
        assert told >= 1 or new < 20, "with few records a partition may have had none of them"
        broker.wait_until_done(group, topic)
    assert set(verdicts(workplace, "new-").values()) == {1}
    assert set(verdicts(workplace, "old-").values()) == {1}


@pytest.mark.parametrize(("read", "begin"), [(5, 12), (0, 30), (19, 20), (10, 29)])
def test_a_log_that_is_cut_above_the_commit_goes_on_and_is_counted(
    workplace: Workplace, read: int, begin: int
) -> None:
    """Retention was faster than the workers: what is lost is lost, and told."""
    settings, broker = workplace.settings, workplace.broker
    topic, group = settings.topics.uploaded, settings.kafka.group
    broker.send(topic, uploads(30, "cut", partition=0))
    broker.set_offsets(group, topic, {0: read})
    broker.cut(topic, {0: begin})
    broker.send(topic, uploads(5, "behind", partition=0))
    with workplace.running("score") as running:
        broker.wait_until_done(group, topic)
        lost = metric(running, 'mekiki_poll_lost_offsets_total{reason="log_cut"}')
    assert lost == begin - read
    assert set(verdicts(workplace, "behind-")) == {f"behind-{n}" for n in range(5)}
    assert set(verdicts(workplace, "cut-")) == {f"cut-{n}" for n in range(begin, 30)}


@pytest.mark.parametrize("to", [0, 7, 19])
def test_a_group_that_a_person_set_back_judges_again_what_he_asked_for(workplace: Workplace, to: int) -> None:
    settings, broker = workplace.settings, workplace.broker
    topic, group = settings.topics.uploaded, settings.kafka.group
    broker.send(topic, uploads(20, "twice", partition=0))
    for _ in range(2):
        with workplace.running("score") as running:
            broker.wait_until_done(group, topic)
            assert metric(running, 'mekiki_poll_lost_offsets_total{reason="offset_went_back"}') == 0
        wait_until(lambda: broker.committed(group, topic)[0] >= 20, "the commit")
        broker.set_offsets(group, topic, {0: to})
    again = verdicts(workplace, "twice-")
    assert again == {f"twice-{n}": 2 if n >= to else 1 for n in range(20)}


def test_an_index_whose_topic_is_made_again_equals_the_new_log(workplace: Workplace) -> None:
    settings, broker = workplace.settings, workplace.broker
    topics = settings.topics
    broker.send(topics.uploaded, uploads(12, "old"))
    with workplace.running("score"):
        broker.wait_until_done(settings.kafka.group, topics.uploaded)
    old = broker.read(topics.embedded)
    renamed = [
        Record(record.value.replace(b"old-", b"new-"), record.key.replace(b"old-", b"new-"), partition=n % 2)
        for n, record in enumerate([*old, *old])
        if record.value and record.key
    ]
    with suppress(BrokerError), workplace.running("index") as running:  # a gap in the log ends the role
        wait_until(lambda: running.get("/index")[1]["vectors"] == 12, "the old vectors")
        broker.recreate_topic(topics.embedded, 2, **{"cleanup.policy": "compact"})
        broker.send(topics.embedded, renamed)
        time.sleep(5)
    with workplace.running("index") as running:
        running.wait_until_ready()
        wait_until(lambda: acknowledged(workplace) == {*range(24)}, "24 acknowledgements", 60)
        assert running.get("/index")[1]["vectors"] == 12


def acknowledged(workplace: Workplace) -> set[int]:
    """Which records of the new topic are acknowledged: the one at offset o of partition p is 2 o + p."""
    updates = map(body, workplace.broker.read(workplace.settings.topics.index_updated))
    at = [update["input"] for update in updates if update["image_id"].startswith("new-")]
    return {2 * position["offset"] + position["partition"] for position in at}
