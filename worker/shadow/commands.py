"""What `mekiki shadow report` does, composed of its parts."""

from collections.abc import Callable
from datetime import datetime

from pydantic import ValidationError

from schemas.events import ImageShadowed
from worker.settings import Settings
from worker.shadow.report import ShadowReport, ShadowTally
from worker.stream.kafka import create_consumer, to_the_end
from worker.stream.log_reader import LogReader


def shadow_report(
    settings: Settings, since: datetime | None, progress: Callable[[int], object] = lambda _: None
) -> ShadowReport:
    """What bundles that were tried would have decided since then.

    Raises:
        BrokerError: the topic cannot be read.

    """
    tally, unreadable = ShadowTally(), 0
    consumer = create_consumer(settings.kafka, to_the_end(f"{settings.kafka.group}-shadow"))
    try:
        reader = LogReader(consumer, settings.kafka.request_timeout)
        since_ms = None if since is None else int(since.timestamp() * 1000)
        for messages in reader.read([settings.topics.shadowed], since_ms):
            for message in messages:
                try:
                    tally.add(ImageShadowed.model_validate_json(message.value() or b""))
                except ValidationError:
                    unreadable += 1
            progress(len(messages))
    finally:
        consumer.close()
    return tally.report(None if since is None else since.isoformat(), unreadable)
