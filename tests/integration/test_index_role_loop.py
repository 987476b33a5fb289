"""The role's loop on librdkafka's own broker, which keeps plain commits (not those of transactions)."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from prometheus_client import CollectorRegistry

from schemas.bundle import EmbeddingHead
from schemas.events import IndexUpdated
from tests.unit.index.indexing import DIM, SPACE, axis, embedded
from worker.errors import ConfigurationError, IndexDirectoryError, RejectionLimitExceeded
from worker.health import Health
from worker.index.compose import build_index_role
from worker.index.role import CAUGHT_UP, WITHIN_LIMIT
from worker.metrics import Metrics
from worker.role_names import INDEX
from worker.settings import IndexSettings, KafkaSettings, ScoreSettings, Settings, TopicSettings
from worker.watchdog import unlimited

TOPICS = TopicSettings()


@pytest.fixture(scope="module")
def broker():
    """A producer that carries the broker, and where others reach it."""
    producer = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
    for topic in (TOPICS.embedded, TOPICS.index_updated, TOPICS.index_dead_letter):
        producer.list_topics(topic, timeout=10)  # asking makes a topic
    brokers = producer.list_topics(timeout=10).brokers.values()
    return producer, ",".join(f"{broker.host}:{broker.port}" for broker in brokers)


class Running:
    """An index role that runs in a thread."""

    def __init__(self, bootstrap, directory, topics=TOPICS):
        settings = Settings(
            kafka=KafkaSettings(bootstrap_servers=bootstrap, request_timeout=10),
            topics=topics,
            score=ScoreSettings(delivery="at_least_once"),
            index=IndexSettings(directory=directory, name="test", snapshot_records=10_000),
        )
        self.metrics = Metrics(CollectorRegistry())
        self.health = Health(60, (CAUGHT_UP,))
        head = EmbeddingHead(output="embedding", dim=DIM, space=SPACE, near_duplicate_distance=0.01)
        self.role, _ = build_index_role(
            INDEX, settings, self.metrics, self.health, lambda _: axis(0), head, unlimited
        )
        self._executor = ThreadPoolExecutor(1)

    def __enter__(self):
        self._ended = self._executor.submit(self.role.run)
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.role.stop()
        self._ended.result(20)

    def vectors(self):
        return self.metrics.registry.get_sample_value("mekiki_index_vectors")

    def outcomes(self):
        name = "mekiki_commit_outcomes_total"
        return self.metrics.registry.get_sample_value(name, {"role": "index"}) or 0

    def ready(self):
        return self.health.ready()[0]

    def until(self, condition):
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline
            assert not self._ended.done(), self._ended.exception()
            time.sleep(0.01)


def publish(producer, *records):
    for key, value in records:
        producer.produce(TOPICS.embedded, key=key, value=value, partition=0)
    assert producer.flush(10) == 0


def read(bootstrap, topic):
    """Every record of `topic`."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reader",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    records, ended = [], 0
    while ended < len(partitions):
        message = consumer.poll(10)
        if message.error():
            ended += 1
        else:
            records.append(message)
    consumer.close()
    return records


def test_each_record_has_one_outcome_also_over_a_restart(broker, tmp_path):
    producer, bootstrap = broker
    publish(producer, ("a", embedded("a", axis(0))), ("b", embedded("b", axis(0))), ("c", b"nope"))
    with Running(bootstrap, tmp_path) as first:
        first.until(lambda: first.outcomes() == 3)
        first.until(first.ready)
        with pytest.raises(IndexDirectoryError, match="owned by process"):
            Running(bootstrap, tmp_path)
        publish(producer, ("a", None))
        first.until(lambda: first.outcomes() == 4)
        first.until(lambda: first.vectors() == 1)
    with Running(bootstrap, tmp_path) as second:  # no generation: everything is replayed
        second.until(second.ready)
        publish(producer, ("d", embedded("d", axis(1))))
        second.until(lambda: second.outcomes() == 1)
        second.until(lambda: second.vectors() == 2)
    acknowledged = [
        IndexUpdated.model_validate_json(record.value()) for record in read(bootstrap, TOPICS.index_updated)
    ]
    outcomes = sorted((event.input.offset, event.image_id, event.state) for event in acknowledged)
    assert outcomes == [
        (0, "a", "searchable"),
        (1, "b", "searchable"),
        (3, "a", "deleted"),
        (4, "d", "searchable"),
    ]
    near = {event.image_id: [n.image_id for n in event.near_duplicates] for event in acknowledged}
    assert near["b"] == ["a"]
    rejected = read(bootstrap, TOPICS.index_dead_letter)
    assert [(record.key(), record.value()) for record in rejected] == [(b"c", b"nope")]
    assert dict(rejected[0].headers())["__streams.errors.offset"] == b"2"


def test_too_many_rejections_halt_the_role_with_nothing_committed(broker, tmp_path):
    producer, bootstrap = broker
    topics = TOPICS.model_copy(update={"embedded": "halting", "index_dead_letter": "halting.dlq"})
    producer.list_topics("halting", timeout=10)
    for number in range(150):
        event = embedded(f"h{number}", 0 * axis(0))
        producer.produce("halting", key=f"h{number}", value=event, partition=0)
    assert producer.flush(10) == 0
    running = Running(bootstrap, tmp_path, topics).__enter__()
    running.until(lambda: WITHIN_LIMIT in running.health.ready()[1])
    with pytest.raises(RejectionLimitExceeded, match="100%"):
        running.stop()
    assert len(read(bootstrap, "halting.dlq")) == running.outcomes() < 150


def test_a_missing_topic_ends_the_role_with_what_to_do(broker, tmp_path):
    _, bootstrap = broker
    running = Running(bootstrap, tmp_path, TOPICS.model_copy(update={"embedded": "not/a topic"}))
    with pytest.raises(ConfigurationError, match="mekiki topics create"):
        running.role.run()


class Given:
    """A message as the consumer gives it: a record, or the end of a partition."""

    def __init__(self, key, value, error=None):
        self.key, self.value, self.error = (lambda: key), (lambda: value), (lambda: error)
        self.offset = lambda: 0 if error is None else 1
        self.topic, self.partition = (lambda: TOPICS.embedded), (lambda: 0)
        self.headers, self.timestamp = (lambda: None), (lambda: (1, 0))


class Batch:
    """A consumer that gives one record and the end of its partition at once."""

    def poll(self, _):
        return Given(b"x", embedded("x", axis(0)))

    def consume(self, *_, **__):
        return [Given(None, None, KafkaError(KafkaError._PARTITION_EOF))]

    def get_watermark_offsets(self, *_, **__):
        return 0, 1


def test_all_is_searchable_when_the_role_says_that_it_has_caught_up(broker, tmp_path):
    running = Running(broker[1], tmp_path)
    role, held, satisfy = running.role, [], running.health.satisfy

    def satisfied(condition):
        held.append((condition, role._backend.size().vectors))
        satisfy(condition)

    running.health.satisfy = satisfied
    role._consumer = Batch()
    role._behind, role._positions, role._acknowledge_from = {0}, {0: 0}, {0: 1}
    role._turn()
    assert [size for condition, size in held if condition == CAUGHT_UP] == [1]
    assert role._backend.offsets() == {0: 1}
