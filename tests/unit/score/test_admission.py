"""Events go in side by side, or apart where the last owner of their partition died."""

from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from prometheus_client import CollectorRegistry

from schemas.rejection import RejectionReason
from tests.unit.records import record
from worker.metrics import Metrics
from worker.score.admission import Admission
from worker.score.ledger import Ledger
from worker.score.outcome import PassedOver, PassOverReason, Rejected, Several
from worker.score.pipeline import Completed
from worker.score.prepare import Prepared
from worker.score.trace import How, Place, Trace

DONE = PassedOver(PassOverReason.TEST)
PREPARED = Prepared(cast(Any, None), "0" * 64, ())


class Group:
    """What a group has committed, by partition: an offset and the text beside it."""

    def __init__(self, end=1000):
        self.end = end
        self.at = {}
        self.away = False

    def committed(self, partitions, timeout):
        if self.away:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        known = [(at, *self.at.get(at.partition, (-1001, ""))) for at in partitions]
        return [TopicPartition(at.topic, at.partition, offset, text) for at, offset, text in known]

    def get_watermark_offsets(self, at, timeout):
        return 0, self.end


class Inside:
    """A pipeline: what is in it, in three places."""

    def __init__(self):
        self.side_by_side, self.preparing, self.model = [], [], []

    def submit(self, ticket, read, *, hold, is_new):
        (self.preparing if hold else self.side_by_side).append(ticket)

    def judge(self, ticket, prepared):
        self.model.append(ticket)


class Process:
    """A process that owns partitions of `group`, of `count` records; it dies by not being used any more."""

    def __init__(self, group, partitions=(0,), count=40, limit=512, log=None):
        self.log, self.logs = log, {}
        self.group, self.inside, self.ledger = group, Inside(), Ledger()
        self.metrics = Metrics(CollectorRegistry())
        self.admission = Admission(
            cast(Any, group),
            self.ledger,
            cast(Any, self.inside),
            lambda _: cast(Any, None),
            limit,
            self.metrics,
            self,
        )
        self.reachable = True
        ours = [TopicPartition("uploads", number) for number in partitions]
        self.ledger.assign(ours)
        self.admission.assign(ours)
        for number in partitions:
            for offset in range(group.at.get(number, (0, ""))[0], count):
                self.admission.take(self.ledger.track(record(partition=number, offset=offset)))

    def begun(self, place, log):
        self.logs[place] = log or self.log
        return log in (None, self.log)

    def log_of(self, place):
        return self.logs.get(place)

    def commit(self, closing=()):
        if not self.reachable:
            return False
        finished = self.ledger.finished(500, self.admission.unknown)
        offsets = self.admission.offsets(finished.offsets, closing)
        self.group.at |= {at.partition: (at.offset, at.metadata) for at in offsets}
        self.ledger.committed(finished.offsets)
        self.admission.committed(offsets)
        return True

    def turn(self):
        self.admission.learn()
        self.admission.turn(self.commit)

    def comes_out(self, entry, outcome=DONE):
        for place in (self.inside.side_by_side, self.inside.preparing, self.inside.model):
            if entry in place:
                place.remove(entry)
        self.admission.came_out(Completed(entry, outcome))

    def prepare_all(self):
        for entry in list(self.inside.preparing):
            self.comes_out(entry, PREPARED)

    def until_in_model(self, offset):
        """Work until the event at `offset` is alone in the model."""
        for _ in range(500):
            self.turn()
            self.prepare_all()
            if self.inside.model:
                (entry,) = self.inside.model
                assert not self.inside.preparing
                assert not self.inside.side_by_side
                if entry.record.offset == offset:
                    return entry
                self.comes_out(entry)
        raise AssertionError(f"{offset} never came")

    def left(self, number=0):
        return Trace.of(self.group.at[number][1])


def offsets(entries):
    return [entry.record.offset for entry in entries]


def died(group=None, **process):
    """A group whose first process died with everything in flight."""
    group = group or Group()
    Process(group, **process).turn()
    return group


def test_all_go_in_at_once_where_nobody_died():
    process = Process(Group())
    process.turn()
    assert offsets(process.inside.side_by_side) == list(range(40))


def test_nothing_goes_in_before_it_stands_beside_the_offset_that_it_may_be_in_flight():
    process = Process(Group())
    process.reachable = False
    process.turn()
    assert process.inside.side_by_side == []
    process.reachable = True
    process.turn()
    assert process.group.at[0][0] == 0
    assert process.left().until == 40 + 512 - 40, "what is in, and what there is room for"
    assert len(process.inside.side_by_side) == 40


def test_nothing_goes_in_while_it_is_not_known_what_the_last_owner_left():
    process = Process(Group())
    process.group.away = True
    with pytest.raises(KafkaException):
        process.turn()
    assert process.inside.side_by_side == []
    assert process.group.at == {}, "nor is anything written over it"


def test_after_a_death_each_is_alone_in_the_model():
    second = Process(died())
    second.turn()
    assert offsets(second.inside.preparing) == list(range(16))
    assert second.left() == Trace(512, How.APART, together=True)
    second.prepare_all()
    second.turn()
    assert offsets(second.inside.model) == [0]
    assert second.left().alone == Place(0, None, 1_700_000_000_000)
    second.turn()
    assert offsets(second.inside.model) == [0], "and the next one waits"


def test_events_behind_what_was_in_flight_go_side_by_side_again():
    group = died(limit=40)
    group.end = 41
    second = Process(group, count=60)
    for offset in range(40):
        second.comes_out(second.until_in_model(offset))
    second.commit()
    second.turn()
    assert offsets(second.inside.side_by_side) == list(range(40, 60))
    assert second.left().how is How.FREELY


@pytest.mark.parametrize("culprit", [0, 7, 16, 39])
def test_what_ends_every_process_is_rejected_by_the_fourth(culprit):
    group = died()
    for _ in range(2):
        Process(group).until_in_model(culprit)  # and there it dies
    fourth = Process(group)
    for _ in range(50):
        fourth.turn()
        fourth.prepare_all()
        for entry in list(fourth.inside.model):
            assert entry.record.offset != culprit
            fourth.comes_out(entry)
        fourth.commit()
    assert group.at[0][0] == 40


def test_the_culprit_has_its_reason_and_no_other_has():
    group = died()
    for _ in range(2):
        Process(group).until_in_model(3)
    fourth = Process(group)
    entries = list(fourth.ledger._partitions["uploads", 0])
    fourth.turn()
    rejected = {entry.record.offset: entry.outcome for entry in entries if entry.outcome}
    assert list(rejected) == [3]
    assert rejected[3].rejection.reason is RejectionReason.WORKER_CRASHED


def test_random_ends_reject_nothing():
    group = died()
    for offset in (0, 1, 2, 9, 12, 20, 21, 35):  # each alone when its process ends, but none twice
        Process(group).until_in_model(offset)
    last = Process(group)
    last.until_in_model(39)
    assert all(not isinstance(e.outcome, Rejected) for e in last.ledger._partitions["uploads", 0])


def test_an_end_before_the_first_event_counts_for_none():
    group = died()
    Process(group).until_in_model(5)
    for _ in range(5):
        Process(group)  # ends before it lets anything in
        assert Trace.of(group.at[0][1]).inherited().deaths == 1


def test_what_ends_processes_before_the_model_is_found_too():
    group = died()
    Process(group).turn()  # dies while it prepares some
    third = Process(group)
    third.turn()
    assert offsets(third.inside.preparing) == [0]
    fourth = Process(group)
    fourth.turn()
    assert offsets(fourth.inside.preparing) == [0]
    fifth = Process(group)
    entry = fifth.ledger._partitions["uploads", 0][0]
    fifth.turn()
    assert isinstance(entry.outcome, Rejected)


def test_an_event_of_a_record_of_several_suffers_alone():
    group = died(count=1)
    for _ in range(2):
        process = Process(group, count=1)
        process.turn()
        process.comes_out(process.inside.preparing[0], Several((b"1", b"2", b"3")))
        for _ in range(10):
            process.turn()
            process.prepare_all()
            if process.inside.model and process.inside.model[0].record.entry == 1:
                break
            for entry in list(process.inside.model):
                process.comes_out(entry)
    last = Process(group, count=1)
    last.turn()
    whole = last.inside.preparing[0]
    last.comes_out(whole, Several((b"1", b"2", b"3")))
    for _ in range(10):
        last.turn()
        last.prepare_all()
        for entry in list(last.inside.model):
            last.comes_out(entry)
    assert [isinstance(outcome, Rejected) for _, outcome in whole.outcomes()] == [False, True, False]


def test_other_partitions_wait_while_one_is_taken_apart_and_not_longer():
    group = died(count=3)
    group.end = 3
    both = Process(group, partitions=(0, 1), count=3)
    for offset in range(3):
        entry = both.until_in_model(offset)
        assert entry.record.partition == 0
        both.comes_out(entry)
    both.turn()
    assert {e.record.partition for e in both.inside.side_by_side} == {1}


def test_a_clean_end_leaves_nothing_and_keeps_what_was_known():
    process = Process(Group())
    process.turn()
    process.commit(closing=[("uploads", 0)])
    assert process.group.at[0] == (0, "")
    group = died()
    Process(group).until_in_model(5)
    third = Process(group)
    third.turn()
    third.commit(closing=[("uploads", 0)])
    left = third.left()
    assert (left.clean, left.suspect.offset, left.deaths) == (True, 5, 1)


def test_a_partition_that_goes_before_it_was_looked_at_keeps_what_its_last_owner_left():
    group = died()
    left = dict(group.at)
    process = Process(group)
    process.commit(closing=[("uploads", 0)])
    assert group.at == left


def test_a_partition_that_goes_meanwhile_takes_its_events_along():
    process = Process(died())
    process.turn()
    gone = [TopicPartition("uploads", 0)]
    process.ledger.revoke(gone)
    process.admission.forget(gone)
    process.prepare_all()
    process.turn()
    assert process.inside.model == []
    assert process.admission.inside == 0


def test_it_stands_beside_the_offset_in_which_log_that_counts():
    group = Group()
    first = Process(group, log="one")
    first.turn()
    assert first.left().log == "one"
    for entry in list(first.inside.side_by_side)[:5]:
        first.comes_out(entry)
    first.commit(closing=[("uploads", 0)])
    assert (group.at[0][0], first.left().clean, first.left().log) == (5, True, "one")
    second = Process(group, log="one")
    second.turn()
    assert second.admission.unknown == set()
    assert len(second.inside.side_by_side) == 35, "an orderly end leaves nothing to take apart"


def test_what_another_log_left_is_not_heeded():
    group = Group()
    first = Process(group, log="one")
    first.turn()
    second = Process(group, log="two")  # the first died, and the topic was made again
    second.turn()
    assert not second.inside.preparing
    assert len(second.inside.side_by_side) == 40


def test_of_a_partition_that_is_read_from_its_beginning_no_offset_of_before_is_committed():
    group = Group()
    process = Process(group, log="one")
    process.turn()
    for entry in list(process.inside.side_by_side)[:7]:
        process.comes_out(entry)
    process.commit()
    process.ledger.reset("uploads", 0)
    process.admission.begin_again(("uploads", 0))
    assert process.admission.offsets([], closing=[("uploads", 0)]) == []
