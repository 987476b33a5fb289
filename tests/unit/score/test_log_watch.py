"""Jumps of a partition's offsets are told, counted and obeyed; gaps that mean nothing are not."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition, Uuid
from prometheus_client import CollectorRegistry

from tests.unit.records import record
from worker.metrics import Metrics
from worker.score.ledger import Ledger
from worker.score.log_watch import CUT, RECREATED, WENT_BACK, LogWatch
from worker.stream.topic_identity import Answer, TopicIdentity

OURS = [TopicPartition("uploads", 0)]
PLACE = ("uploads", 0)


class FakeConsumer:
    """Answers what a broker would, and notes where it was told to read."""

    def __init__(self, committed=-1001, begin=0, failing_seeks=0):
        self.offset, self.begin, self.failing_seeks = committed, begin, failing_seeks
        self.sought = []

    def committed(self, partitions, timeout):
        return [TopicPartition(at.topic, at.partition, self.offset) for at in partitions]

    def get_watermark_offsets(self, at, timeout):
        return self.begin, 1000

    def assignment(self):
        return OURS

    def seek(self, at):
        if self.failing_seeks:
            self.failing_seeks -= 1
            raise KafkaException(KafkaError(KafkaError._STATE))
        self.sought.append((at.topic, at.partition, at.offset))


class Identity:
    """Says once that the topic was made again, when the test wants it to."""

    recreated = False
    is_away = False
    id = "old"
    truth = "old"

    def look(self):
        if self.recreated:
            self.truth = "new" if self.id == "old" else f"{self.id}er"
            self.id = self.truth
        changed, self.recreated = self.recreated, False
        return Answer.CHANGED if changed else Answer.NONE

    def look_now(self, _):
        if self.is_away:
            return Answer.NONE
        before, self.id = self.id, self.truth
        return Answer.SAME if before == self.id else Answer.CHANGED


class Watched:
    """A watch with all that it is given."""

    def __init__(self, **broker):
        self.consumer, self.ledger, self.identity = FakeConsumer(**broker), Ledger(), Identity()
        self.metrics = Metrics(CollectorRegistry())
        self.ledger.assign(OURS)
        self.begun_again = []
        self.watch = LogWatch(
            cast(Any, self.consumer),
            self.ledger,
            cast(TopicIdentity, self.identity),
            self.metrics,
            self.begun_again.append,
        )
        self.watch.begun(PLACE, None)

    def read(self, *offsets):
        return [self.read_one(record(offset=offset)) for offset in offsets]

    def read_one(self, polled):
        is_repeat = self.watch.read(polled)
        self.ledger.track(polled)
        return is_repeat

    def recreate(self):
        self.identity.recreated = True
        self.watch.start_over_if_recreated()

    def counted(self, name):
        found = {
            reason: self.metrics.registry.get_sample_value(f"mekiki_poll_{name}_total", {"reason": reason})
            for reason in (RECREATED, CUT, WENT_BACK)
        }
        return {reason: value for reason, value in found.items() if value}


@pytest.mark.parametrize(
    ("broker", "offsets", "resets", "lost"),
    [
        ({}, [0, 1, 2], {}, {}),
        ({"committed": 5}, [5, 6], {}, {}),
        ({"committed": 5}, [6, 8, 9], {}, {}),  # a marker of a transaction
        ({"committed": 5}, [905, 906], {}, {}),  # compacted, or aborted
        ({"committed": 5, "begin": 105}, [105, 106], {CUT: 1}, {CUT: 100}),
        ({"committed": 5, "begin": 100}, [105, 106], {CUT: 1}, {CUT: 95}),
        ({"begin": 700}, [700, 701], {}, {}),  # a group that begins
        ({"committed": 2, "begin": 700}, [2, 3, 700], {CUT: 1}, {CUT: 696}),
        ({"committed": 20}, [0, 1], {WENT_BACK: 1}, {}),
        ({"committed": 17}, [17, 18, 0, 1, 2], {WENT_BACK: 1}, {WENT_BACK: 2}),
        ({}, [10, 10], {WENT_BACK: 1}, {WENT_BACK: 1}),
        ({}, [10, 9, 4], {WENT_BACK: 2}, {WENT_BACK: 2}),
    ],
)
def test_what_a_jump_means(broker, offsets, resets, lost):
    watched = Watched(**broker)
    watched.read(*offsets)
    assert watched.counted("offset_resets") == resets
    assert watched.counted("lost_offsets") == lost


def test_a_topic_that_was_made_again_is_read_from_its_beginning_and_what_was_unread_is_counted():
    watched = Watched(committed=0, failing_seeks=2)
    watched.read(0, 1, 2)
    watched.ledger.committed([TopicPartition("uploads", 0, 1)])
    watched.watch.measured("uploads", 0, 10)
    watched.recreate()
    assert watched.consumer.sought == []
    for _ in range(3):
        watched.watch.start_over_if_recreated()
    assert watched.consumer.sought == [("uploads", 0, OFFSET_BEGINNING)]
    assert watched.counted("lost_offsets") == {RECREATED: 2 + 7}
    watched.read(0, 1)
    assert watched.counted("offset_resets") == {RECREATED: 1}
    assert watched.ledger.in_flight == 2


def test_what_librdkafka_noticed_first_is_not_read_a_third_time():
    watched = Watched(committed=0)
    watched.read(0, 1, 0)
    watched.recreate()
    assert watched.consumer.sought == []
    watched.recreate()
    assert watched.consumer.sought == [("uploads", 0, OFFSET_BEGINNING)], "made again once more"


def test_a_partition_that_comes_back_begins_at_its_commit():
    watched = Watched(committed=0)
    watched.read(0, 1)
    watched.watch.forget(OURS)
    watched.consumer.offset = 500
    watched.read(500)
    assert watched.counted("offset_resets") == {}


class Answers:
    """An Admin client that gives these ids, one a question; an exception is raised."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def describe_topics(self, topics, request_timeout):
        future: Future[Any] = Future()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(SimpleNamespace(topic_id=answer))
        return {"uploads": future}


ONE, TWO, NONE = Uuid(0, 1), Uuid(0, 2), Uuid(0, 0)
AWAY = KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))


@pytest.mark.parametrize(
    ("answers", "changed"),
    [
        ([ONE, ONE, ONE], "same same same"),
        ([ONE, TWO, TWO], "same changed same"),
        ([ONE, AWAY, TWO], "same none changed"),
        ([AWAY, TWO, AWAY, TWO], "none same none same"),
        ([NONE, NONE], "same same"),
        ([None, None], "same same"),
        ([ONE, NONE, ONE, TWO], "same same same changed"),
    ],
)
def test_a_topic_is_another_one_when_its_id_is(answers, changed):
    identity = TopicIdentity(cast(Any, Answers(*answers)), "uploads", interval=0)
    told = []
    for _ in answers:
        assert identity.look() is Answer.ASKED
        told.append(identity.look().name.lower())
    assert told == changed.split()


def test_what_was_judged_before_the_new_topic_was_noticed_is_not_judged_again():
    watched = Watched(committed=18)
    watched.read(18, 19, 20, 21)
    watched.ledger.committed([TopicPartition("uploads", 0, 21)])  # 21 is in flight
    watched.recreate()
    assert watched.read(0, 17) == [False, False]
    assert watched.read_one(record(offset=18, key=b"another")) is False
    assert watched.read_one(record(b"longer", offset=19)) is False
    assert watched.read(20, 21, 22) == [True, False, False]


def test_a_partition_that_another_has_begun_in_the_new_log_goes_on_where_it_is():
    watched = Watched(committed=5)
    watched.identity.is_away = True
    assert watched.watch.begun(PLACE, "new"), "nobody says anything else"
    watched.read(5, 6)
    watched.recreate()
    assert watched.consumer.sought == []
    assert watched.begun_again == []
    assert watched.watch.log_of(PLACE) == "new"


def test_who_is_behind_looks_before_anything_is_let_in():
    watched = Watched(committed=5)
    watched.identity.truth = "new"
    assert watched.watch.begun(PLACE, "new")
    assert watched.identity.id == "new"
    assert watched.begun_again == []


def test_an_offset_that_counts_in_a_log_that_is_gone_is_not_begun_from():
    watched = Watched(committed=50)
    watched.identity.id = watched.identity.truth = "new"
    assert not watched.watch.begun(PLACE, "old")
    assert watched.begun_again == [PLACE]
    watched.watch.start_over_if_recreated()
    assert watched.consumer.sought == [("uploads", 0, OFFSET_BEGINNING)]
    assert watched.watch.log_of(PLACE) == "new"


def test_what_librdkafka_reads_from_the_beginning_counts_in_no_log_that_is_known():
    watched = Watched(committed=17)
    watched.watch.begun(PLACE, "old")
    watched.read(17, 18)
    assert watched.watch.log_of(PLACE) == "old"
    watched.read(0, 1)
    assert watched.watch.log_of(PLACE) is None
    watched.recreate()
    assert watched.watch.log_of(PLACE) == "new"
    assert watched.consumer.sought == []


def test_short_cuts_of_several_partitions_at_once_are_all_counted():
    watched = Watched(committed=5, begin=35)
    for number in range(4):
        watched.watch.read(record(offset=35, partition=number))
    assert watched.counted("lost_offsets") == {CUT: 4 * 30}
