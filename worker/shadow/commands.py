"""What `mekiki shadow report` does, composed of its parts."""

from collections.abc import Callable
from datetime import datetime

from pydantic import ValidationError

from schemas.events import ImageModerated, ImageShadowed, InputPosition
from worker.review.pictures import pictures
from worker.settings import Settings
from worker.shadow.report import ShadowReport, ShadowTally
from worker.stream.kafka import create_consumer, to_the_end
from worker.stream.log_reader import LogReader


def furthest_pictures(settings: Settings, report: ShadowReport) -> dict[str, str]:
    """Small JPEGs of the images furthest apart, as data URIs by image id; of what can still be seen."""
    wanted = {image.moderated_event_id for trial in report.trials for image in trial.furthest}
    ids = {image.image_id.encode() for trial in report.trials for image in trial.furthest}
    places: dict[str, InputPosition] = {}
    consumer = create_consumer(settings.kafka, to_the_end(f"{settings.kafka.group}-shadow"))
    try:
        reader = LogReader(consumer, settings.kafka.request_timeout)
        for messages in reader.read([settings.topics.moderated]):
            for message in messages:
                if message.key() in ids:
                    verdict = ImageModerated.read(message.value())
                    if verdict.event_id in wanted:
                        places[verdict.image_id] = verdict.input
    finally:
        consumer.close()
    return pictures(settings, places)


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
                    tally.add(ImageShadowed.read(message.value()))
                except ValidationError:
                    unreadable += 1
            progress(len(messages))
    finally:
        consumer.close()
    return tally.report(None if since is None else since.isoformat(), unreadable)
