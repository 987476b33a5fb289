"""Who is refused as a newcomer, by what a broker says."""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from worker.errors import ConfigurationError
from worker.score.newcomer import refuse_newcomer

NONE = -1


class Kafka:
    """Stands for an admin client and a consumer: times of records by topic, a partition each."""

    def __init__(self, times, committed=(), failure=None):
        self.times, self.offsets, self.failure = times, committed, failure

    def list_topics(self, topic, **_):
        there = topic in self.times
        found = SimpleNamespace(
            error=None if there else KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART),
            partitions=range(len(self.times.get(topic, ()))),
        )
        return SimpleNamespace(topics={topic: found})

    def committed(self, asked, **_):
        offsets = self.offsets or [-1001] * len(asked)
        return [
            TopicPartition(at.topic, at.partition, offset) for at, offset in zip(asked, offsets, strict=True)
        ]

    def list_offsets(self, asked, **_):
        answers = {}
        for at in asked:
            time = self.times[at.topic][at.partition]
            answers[at] = Future()
            if self.failure:
                answers[at].set_exception(self.failure)
                continue
            answers[at].set_result(SimpleNamespace(offset=NONE if time == NONE else 5, timestamp=time))
        return answers


def ask(kafka):
    refuse_newcomer(kafka, kafka, "second", "uploaded", "moderated")


def test_a_group_that_judged_nothing_is_refused_where_verdicts_are_newer_than_uploads():
    with pytest.raises(ConfigurationError, match=r"second .* moderated .*index\.next.*score\.judge_again"):
        ask(Kafka({"uploaded": [100, 50], "moderated": [NONE, 60]}))


@pytest.mark.parametrize(
    "kafka",
    [
        pytest.param(Kafka({"uploaded": [100], "moderated": [200]}, [0]), id="it has judged"),
        pytest.param(Kafka({"uploaded": [9, 9], "moderated": [99]}, [-1001, 7]), id="one partition of two"),
        pytest.param(Kafka({"uploaded": [100], "moderated": [NONE]}), id="no verdicts"),
        pytest.param(Kafka({"uploaded": [100]}), id="no topic of verdicts"),
        pytest.param(Kafka({"moderated": [100]}), id="no topic of uploads"),
        pytest.param(Kafka({"uploaded": [NONE], "moderated": [100]}), id="no uploads"),
        pytest.param(Kafka({"uploaded": [300], "moderated": [200]}), id="uploads made again since"),
        pytest.param(
            Kafka(
                {"uploaded": [1], "moderated": [2]}, failure=KafkaException(KafkaError(KafkaError._TRANSPORT))
            ),
            id="a broker that does not tell",
        ),
        pytest.param(Kafka({"uploaded": [1], "moderated": [2]}, failure=TimeoutError()), id="nor in time"),
    ],
)
def test_others_are_not(kafka):
    ask(kafka)
