"""Sends people's words to Kafka: what is answered as done is durable there."""

from collections.abc import Callable

from confluent_kafka import Producer

from console.queue import Queue, Shown
from schemas.events import ImageReference, ImageReviewed, InputPosition, Word
from worker.errors import BrokerError, ConfigurationError
from worker.stream.kafka import Undelivered, produce_all
from worker.stream.word import reviewed, word_record

FindReference = Callable[[InputPosition], ImageReference | None]


class Words:
    """Thread-safe. `timeout` is in seconds."""

    def __init__(
        self, producer: Producer, find_reference: FindReference, queue: Queue, timeout: float = 10.0
    ) -> None:
        self._producer = producer
        self._find_reference = find_reference
        self._queue = queue
        self._timeout = timeout

    def say(self, shown: Shown, word: Word, reviewer: str, reason: str | None = None) -> ImageReviewed:
        """`reviewer` decides about the verdict that they were shown. Blocks until it is durable.

        Raises:
            ConfigurationError: the image's event is not in the log any more.
            BrokerError: Kafka did not take it; said again, it is the same event.

        """
        verdict = shown.event
        reference = self._find_reference(verdict.input)
        if reference is None:
            raise ConfigurationError(
                "the image's upload is not in the log any more: let it be uploaded again"
            )
        event, failures = reviewed(verdict, reference, word, reviewer, reason), list[Undelivered]()
        produce_all(self._producer, [word_record(verdict, event)], failures)
        if self._producer.flush(self._timeout) or failures:
            why_not = failures[0].error if failures else "no answer"
            raise BrokerError(f"the decision was not taken: {why_not}; send it again")
        self._queue.note_word(verdict.image_id, reviewer, word)
        return event
