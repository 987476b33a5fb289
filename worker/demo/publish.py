"""Publish uploads evenly over some seconds, so that one can watch them being judged."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from confluent_kafka import KafkaError, Message, Producer

from worker.demo.uploads import Upload
from worker.errors import BrokerError

Position = tuple[int, int]


@dataclass(frozen=True)
class Published:
    """An upload in the log: its (partition, offset), and when it was sent, in Unix milliseconds."""

    upload: Upload
    position: Position
    sent_ms: int


class Publisher:
    """Sends `uploads` in order, over about `seconds`. Call `turn` often."""

    def __init__(self, producer: Producer, uploads: Sequence[Upload], seconds: float) -> None:
        self._producer = producer
        self._uploads = uploads
        self._interval = seconds / max(len(uploads), 1)
        self._began = time.monotonic()
        self._sent = 0
        self._failure: KafkaError | None = None
        self.published: list[Published] = []

    @property
    def total(self) -> int:
        """How many uploads there are in all."""
        return len(self._uploads)

    @property
    def finished(self) -> bool:
        """Whether every upload is in the log."""
        return len(self.published) == len(self._uploads)

    def turn(self) -> None:
        """Send what is due by now.

        Raises:
            BrokerError: the broker refused an upload.

        """
        due = min(len(self._uploads), 1 + int((time.monotonic() - self._began) / self._interval))
        while self._sent < due:
            self._send(self._uploads[self._sent])
            self._sent += 1
        self._producer.poll(0)
        if self._failure is not None:
            raise BrokerError(f"an upload could not be published: {self._failure}")

    def _send(self, upload: Upload) -> None:
        now = datetime.now(UTC)
        record = upload.make(now)
        sent_ms = int(now.timestamp() * 1000)  # the embedded broker's acknowledgement tells no true time

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._failure = error
                return
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            self.published.append(Published(upload, (partition, offset), sent_ms))

        self._producer.produce(
            record.topic,
            key=record.key,
            value=record.value,
            headers=list(record.headers),
            timestamp=sent_ms,
            on_delivery=delivered,
        )
