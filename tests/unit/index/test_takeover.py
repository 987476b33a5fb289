"""What an index that never acknowledged takes over from others, on answers of a broker."""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from worker.index.takeover import Takeover


class Groups:
    """Stands for the admin client and for consumers: what groups have committed, by partition."""

    def __init__(self, committed, failure=None, errors=()):
        self.committed_by, self.failure, self.closed = committed, failure, []
        self.errors = errors

    def list_consumer_groups(self, **_):
        answer = Future()
        if self.failure is None:
            answer.set_result(
                SimpleNamespace(
                    valid=[SimpleNamespace(group_id=name) for name in self.committed_by], errors=self.errors
                )
            )
        else:
            answer.set_exception(self.failure)
        return answer

    def open(self, group):
        def committed(asked, **_):
            known = self.committed_by[group]
            return [TopicPartition(at.topic, at.partition, known.get(at.partition, -1001)) for at in asked]

        return SimpleNamespace(committed=committed, close=lambda: self.closed.append(group))


def takeover(groups):
    return Takeover(groups, groups.open, "embedded", "mekiki-index-", "mekiki-index-new", 1.0)


def test_it_begins_where_the_furthest_other_has_come():
    groups = Groups(
        {
            "mekiki-index-a": {0: 10, 1: 3},
            "mekiki-index-b": {0: 7, 1: 4},
            "mekiki-index-new": {2: 99},
            "mekiki-score": {0: 1000},
            "somebody": {0: 2000},
        }
    )
    assert takeover(groups)([0, 1, 2]) == {0: 10, 1: 4}
    assert groups.closed == ["mekiki-index-a", "mekiki-index-b"]


def test_where_nobody_has_begun_there_is_nothing():
    assert takeover(Groups({}))([0]) == {}
    assert takeover(Groups({"mekiki-index-a": {}}))([0]) == {}


@pytest.mark.parametrize(
    "failure", [KafkaException(KafkaError(KafkaError._UNSUPPORTED_FEATURE)), TimeoutError()]
)
def test_what_the_broker_does_not_tell_is_nothing(failure, caplog):
    assert takeover(Groups({}, failure))([0]) == {}
    assert "embedded" in caplog.text


def test_a_broker_of_several_that_does_not_tell_is_told(caplog):
    away = KafkaError(KafkaError._TRANSPORT)
    assert takeover(Groups({"mekiki-index-a": {0: 1}}, errors=[away]))([0]) == {0: 1}
    assert "embedded" in caplog.text
