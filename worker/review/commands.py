"""What `mekiki review` and `mekiki why` do, composed of their parts."""

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.events import ImageReviewed, Word
from worker.errors import BrokerError, ConfigurationError
from worker.review.image_log import ImageLog
from worker.score.parse import Parser
from worker.settings import Settings
from worker.stream.kafka import Undelivered, create_consumer, create_producer, produce_all, to_the_end
from worker.stream.log_reader import LogReader
from worker.stream.story import Step
from worker.stream.word import reviewed, word_record


@contextmanager
def image_log(settings: Settings) -> Iterator[ImageLog]:
    """The log, as it speaks of single images."""
    consumer = create_consumer(settings.kafka, to_the_end(f"{settings.kafka.group}-why"))
    try:
        reader = LogReader(consumer, settings.kafka.request_timeout)
        yield ImageLog(reader, settings.topics, Parser(settings.fetch.asked_at))
    finally:
        consumer.close()


def review(settings: Settings, word: Word, image_id: str, reviewer: str, reason: str | None) -> ImageReviewed:
    """Send a person's word on the latest verdict of `image_id`; the score role does the rest.

    Raises:
        ConfigurationError: there is no verdict, or its input is not in the log any more.
        BrokerError: Kafka does not take it.

    """
    with image_log(settings) as log:
        verdict = log.verdict(image_id)
        image = log.reference(verdict.input)
    if image is None:
        place = f"{verdict.input.topic}/{verdict.input.partition}/{verdict.input.offset}"
        raise ConfigurationError(
            f"the event of {image_id!r} at {place} is not in the log any more: let it be uploaded again"
        )
    event = reviewed(verdict, image, word, reviewer, reason)
    producer, failures = create_producer(settings.kafka, {}), list[Undelivered]()
    produce_all(producer, [word_record(verdict, event)], failures)
    if producer.flush(settings.kafka.request_timeout) or failures:
        raise BrokerError(
            f"the review was not taken: {[failed.error for failed in failures] or 'no answer'}; send it again"
        )
    return event


def why(settings: Settings, image_id: str) -> list[Step]:
    """All that happened to `image_id`, in the order of time."""
    with image_log(settings) as log:
        return log.story(image_id)
