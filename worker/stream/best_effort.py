"""Best effort: records that are published where it costs nothing, and lost where it would."""

from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from worker.settings import KafkaSettings
from worker.stream.kafka import OutputRecord, create_producer

_WAITING_RECORDS = 10_000
_TIMEOUT_MS = 30_000
_LAST_SECONDS = 1.0


class BestEffort:
    """Publishes without waiting: beside every transaction, with no order or delivery promised."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def send(self, record: OutputRecord, told: Callable[[bool], None]) -> None:
        """Queue a record; `told` learns once, in a later call, whether the broker has it. Never blocks."""

        def delivered(error: KafkaError | None, _: Message) -> None:
            told(error is None)

        try:
            self._producer.produce(
                record.topic,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
                on_delivery=delivered,
            )
        except (BufferError, KafkaException):
            told(False)
        self.turn()

    def close(self) -> None:
        """Give what is queued a last moment."""
        self._producer.flush(_LAST_SECONDS)

    def turn(self) -> None:
        """Let those be told whose records are done with."""
        self._producer.poll(0)


def create_best_effort(settings: KafkaSettings) -> BestEffort:
    """With a producer of its own, whose queue is bounded.

    Raises:
        ConfigurationError: librdkafka refuses a property.

    """
    return BestEffort(
        create_producer(
            settings,
            {
                "enable.idempotence": False,  # an error of one record is never fatal to the rest
                "queue.buffering.max.messages": _WAITING_RECORDS,
                "message.timeout.ms": _TIMEOUT_MS,
                "linger.ms": 100,
            },
        )
    )
