"""Which places of the log are read in one go, and what is found there."""

import json

import pytest
from confluent_kafka import KafkaError, Message

from schemas.events import InputPosition
from tests.events import upload_body
from worker.errors import BrokerError
from worker.reembed.uploads import Uploads, runs
from worker.score.parse import Parser


def test_places_that_lie_near_are_read_in_one_go():
    near = [("t", 0, 1), ("t", 0, 2), ("t", 0, 30)]
    assert runs([*near, ("t", 0, 500), ("t", 1, 501), ("u", 1, 502)]) == [
        near,
        [("t", 0, 500)],
        [("t", 1, 501)],
        [("u", 1, 502)],
    ]
    assert runs([]) == []


class Log:
    """Stands for a consumer of one partition of uploads, whose first `cut` records are gone."""

    def __init__(self, count, cut=0, error=None):
        self.count, self.cut, self.error, self.reads = count, cut, error, 0

    def assign(self, partitions):
        self.next = max(self.cut, partitions[0].offset)
        self.reads += 1

    def unassign(self):
        self.next = None

    def consume(self, *_):
        if self.error is not None:
            return [Message("t", 0, self.next, error=KafkaError(self.error))]
        if self.next >= self.count:
            return [Message("t", 0, self.next, error=KafkaError(KafkaError._PARTITION_EOF))]
        value = json.dumps(upload_body(f"i{self.next}", path=f"{self.next}.jpg")).encode()
        self.next += 1
        return [Message("t", 0, self.next - 1, b"k", value, timestamp=(1, 1))]


def places(*offsets):
    return [InputPosition(event_id="e", topic="t", partition=0, offset=offset) for offset in offsets]


def found(log, *offsets):
    uploads = Uploads(log, Parser(None), timeout=5)
    return {at.offset: reference.path for at, reference in uploads.references(places(*offsets)).items()}


def test_references_are_found_by_the_places_of_their_uploads():
    log = Log(1000)
    assert found(log, 900, 3, 5, 5) == {3: "3.jpg", 5: "5.jpg", 900: "900.jpg"}
    assert log.reads == 2


@pytest.mark.parametrize("log", [Log(10, cut=5), Log(4), Log(9, error=KafkaError._UNKNOWN_PARTITION)])
def test_what_the_log_does_not_hold_any_more_is_left_out(log):
    assert found(log, 4) == {}


def test_a_cut_in_the_middle_of_what_is_asked_leaves_the_rest():
    assert found(Log(10, cut=5), 3, 4, 5, 6) == {5: "5.jpg", 6: "6.jpg"}


def test_a_broker_that_fails_is_no_lost_upload():
    with pytest.raises(BrokerError, match="t/0/4"):
        found(Log(9, error=KafkaError.TOPIC_AUTHORIZATION_FAILED), 4)
