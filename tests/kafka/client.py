"""A test's own hand on Kafka: create topics, produce input, read back what is committed."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

Headers = tuple[tuple[str, bytes | None], ...]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Record:
    """A record to send (`partition` -1: by its key; `timestamp_ms` 0: now) or one that was read."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    partition: int = -1
    offset: int = -1
    timestamp_ms: int = 0

    def header(self, name: str) -> bytes | None:
        """The value of the only header of this name; None where there is none."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"header {name} stands {len(values)} times"
        return values[0] if values else None


class Broker:
    """Everything tests ask of a Kafka at `bootstrap`."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._admin = AdminClient(_quiet({"bootstrap.servers": bootstrap}))

    def create_topics(self, names: Iterable[str], partitions: int) -> None:
        """Create topics of one replica, and wait until they are known."""
        names = list(names)
        _all(self._admin.create_topics([NewTopic(name, partitions, 1) for name in names]))
        wait_until(
            lambda: set(names) <= set(self._admin.list_topics(timeout=10).topics), "the topics to appear"
        )

    def delete_topics(self, names: Iterable[str]) -> None:
        """Delete topics; one that was made a moment ago may not be known yet, or not any more."""
        for future in self._admin.delete_topics(list(names)).values():
            try:
                future.result(30)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise

    def add_partitions(self, name: str, count: int) -> None:
        """Let a topic have `count` partitions."""
        for future in self._admin.create_partitions([NewPartitions(name, count)]).values():
            future.result(30)

    def recreate_topic(self, name: str, partitions: int, **config: str) -> None:
        """Delete a topic and make it again at once."""
        self.delete_topics([name])

        def created() -> bool:
            try:
                _all(self._admin.create_topics([NewTopic(name, partitions, 1, config=config)]))
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
                return False
            return True

        wait_until(created, f"{name} to be deleted")

    def cut(self, topic: str, begins: dict[int, int]) -> None:
        """Let the log of each partition begin at an offset, as retention does."""
        asked = [TopicPartition(topic, number, offset) for number, offset in begins.items()]
        for future in self._admin.delete_records(asked).values():
            future.result(30)

    def set_offsets(self, group: str, topic: str, offsets: dict[int, int]) -> None:
        """Set back a group that has no members."""
        asked = [TopicPartition(topic, number, offset) for number, offset in offsets.items()]
        for future in self._admin.alter_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, asked)]
        ).values():
            future.result(30)

    def configure(self, topic: str, name: str, value: str) -> None:
        """Set one property of `topic`."""
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        for future in self._admin.incremental_alter_configs([resource]).values():
            future.result(30)

    def topic_names(self) -> set[str]:
        return set(self._admin.list_topics(timeout=10).topics)

    def send(self, topic: str, records: Iterable[Record]) -> list[Record]:
        """Produce in order, wait for every acknowledgement; the records with their places in the log."""
        return self.sender()(topic, records)

    def sender(self) -> Callable[[str, Iterable[Record]], list[Record]]:
        """What `send` does, time and again by one producer: a new one takes a tenth of a second."""
        producer = Producer(
            _quiet(
                {
                    "bootstrap.servers": self.bootstrap,
                    "enable.idempotence": True,
                    "linger.ms": 2,
                    "message.max.bytes": 9_000_000,
                }
            )
        )
        return partial(self._send, producer)

    def _send(self, producer: Producer, topic: str, records: Iterable[Record]) -> list[Record]:
        sent: list[Record] = []
        problems: list[KafkaError] = []

        def delivered(original: Record) -> Callable[[KafkaError | None, Message], None]:
            def called(error: KafkaError | None, message: Message) -> None:
                if error is not None:
                    problems.append(error)
                    return
                sent.append(
                    Record(
                        original.value,
                        original.key,
                        original.headers,
                        message.partition(),
                        message.offset(),
                        message.timestamp()[1],
                    )
                )

            return called

        for record in records:
            while True:
                try:
                    producer.produce(
                        topic,
                        record.value,
                        record.key,
                        partition=record.partition,
                        headers=list(record.headers),
                        timestamp=record.timestamp_ms,
                        on_delivery=delivered(record),
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        assert producer.flush(60) == 0, "the broker did not acknowledge every record"
        assert not problems, problems
        return sent

    def send_in_transactions(self, topic: str, records: Iterable[Record], aborted: Iterable[Record]) -> None:
        """Produce each record in a transaction of its own: those `aborted` last, which no reader sees."""
        producer = Producer(
            _quiet({"bootstrap.servers": self.bootstrap, "transactional.id": f"test-{time.monotonic_ns()}"})
        )
        producer.init_transactions(30)
        for end, group in ((producer.commit_transaction, records), (producer.abort_transaction, aborted)):
            for record in group:
                producer.begin_transaction()
                producer.produce(topic, record.value, record.key)
                producer.flush(30)
                end(30)

    def read(self, topic: str) -> list[Record]:
        """Every record of `topic` that a `read_committed` reader sees now, partition by partition."""
        consumer = self._reader("read_committed")
        try:
            partitions = self._partitions(topic)
            consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
            at_the_end: set[int] = set()
            records: list[Record] = []
            deadline = time.monotonic() + 60
            while len(at_the_end) < len(partitions):
                assert time.monotonic() < deadline, f"{topic} cannot be read to its end"
                for message in consumer.consume(1000, 0.2):
                    error = message.error()
                    if error is None:
                        records.append(_record(message))
                    elif error.code() == KafkaError._PARTITION_EOF:
                        at_the_end.add(message.partition())
                    else:
                        raise KafkaException(error)
            return sorted(records, key=lambda record: (record.partition, record.offset))
        finally:
            consumer.close()

    def ends(self, topic: str) -> dict[int, int]:
        """The offset after the last record, by partition; open transactions count."""
        consumer = self._reader("read_uncommitted")
        try:
            asked = [TopicPartition(topic, number) for number in self._partitions(topic)]
            return {
                at.partition: _patiently(partial(consumer.get_watermark_offsets, at, timeout=10))[1]
                for at in asked
            }
        finally:
            consumer.close()

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """The group's committed offsets by partition; 0 where there is none."""
        # What an open transaction holds is not committed: a `read_committed` reader would wait for it.
        properties = {"group.id": group, "isolation.level": "read_uncommitted"}
        consumer = Consumer(_quiet({"bootstrap.servers": self.bootstrap, **properties}))
        try:
            asked = [TopicPartition(topic, number) for number in self._partitions(topic)]
            answers = _patiently(lambda: consumer.committed(asked, timeout=15))
            return {at.partition: max(at.offset, 0) for at in answers}
        finally:
            consumer.close()

    def is_committing(self, group: str, topic: str, timeout: float = 1.0) -> bool:
        """Whether an open transaction holds offsets of the group: then a reader of stable ones waits."""
        properties = {"group.id": group, "isolation.level": "read_committed"}
        consumer = Consumer(_quiet({"bootstrap.servers": self.bootstrap, **properties}))
        try:
            consumer.committed([TopicPartition(topic, n) for n in self._partitions(topic)], timeout=timeout)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._TIMED_OUT:
                raise
            return True
        else:
            return False
        finally:
            consumer.close()

    def lag(self, group: str, topic: str) -> int:
        """Records of `topic` that the group has not committed yet."""
        committed = self.committed(group, topic)
        return sum(end - committed[number] for number, end in self.ends(topic).items())

    def wait_until_done(self, group: str, topic: str, timeout: float = 60) -> None:
        """Wait until the group has committed every record that is in `topic` now.

        Not its end: the markers of transactions lie there too, and nobody commits those.
        """
        last = {record.partition: record.offset for record in self.read(topic)}

        def done() -> bool:
            committed = self.committed(group, topic)
            return all(committed[partition] > offset for partition, offset in last.items())

        wait_until(done, f"{group} to commit all of {topic}", timeout)

    def members(self, group: str) -> int:
        """How many consumers are in the group, once it is stable; 0 while it rebalances."""
        # A client of its own: one that has seen a broker restart goes on asking the coordinator of before.
        admin = AdminClient(_quiet({"bootstrap.servers": self.bootstrap}))
        described = admin.describe_consumer_groups([group], request_timeout=10)[group].result()
        return len(described.members) if described.state.name == "STABLE" else 0

    def _partitions(self, topic: str) -> Sequence[int]:
        found = self._admin.list_topics(topic, timeout=10).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        return sorted(found.partitions)

    def _reader(self, isolation: str) -> Consumer:
        return Consumer(
            _quiet(
                {
                    "bootstrap.servers": self.bootstrap,
                    "group.id": "a-test-that-never-commits",
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    "isolation.level": isolation,
                    "enable.partition.eof": True,
                    "fetch.wait.max.ms": 20,  # the end of a partition is told after it
                }
            )
        )


def _patiently(call: Callable[[], Answer]) -> Answer:
    """Repeat `call` while a fresh or restarted broker, or a fresh topic, is not ready."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return call()
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 30, pause: float = 0.05) -> None:
    """Wait for `condition`; AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout:g} s for {what}"
        time.sleep(pause)


def _record(message: Message) -> Record:
    return Record(
        message.value(),
        message.key(),
        tuple(message.headers() or ()),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
    )


def _all(futures: dict[str, "Future[Any]"]) -> None:
    for future in futures.values():
        future.result(30)


def _quiet(properties: dict[str, Any]) -> dict[str, Any]:
    # Tests stop brokers on purpose: that is no news.
    return {"log_level": 0, "error_cb": lambda _: None, **properties}
