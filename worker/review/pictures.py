"""Small pictures of images in the log, for a report that is one file."""

import base64
from collections.abc import Iterator, Mapping

from schemas.events import ImageReference, InputPosition
from worker.errors import Rejection
from worker.fetch.fetch import build_fetcher
from worker.model.decoders import create_decoders, image_limits
from worker.model.thumbnail import thumbnail
from worker.review.image_log import reference_in
from worker.score.parse import Parser
from worker.settings import Settings
from worker.stream.kafka import create_consumer, to_the_end
from worker.stream.log_reader import LogReader


def pictures(settings: Settings, places: Mapping[str, InputPosition]) -> dict[str, str]:
    """Small JPEGs as data URIs by image id, of the images of `places` that can still be seen.

    Raises:
        BrokerError: the log cannot be read.

    """
    found: dict[str, str] = {}
    with build_fetcher(settings.fetch) as fetcher, create_decoders(settings.decode, processes=1) as decoders:
        limits = image_limits(settings.decode)
        for image_id, reference in _references(settings, places):
            try:
                packed = thumbnail(fetcher.fetch(reference), limits, decoders.decode)
            except Rejection:
                continue
            found[image_id] = f"data:image/jpeg;base64,{base64.b64encode(packed).decode('ascii')}"
    return found


def _references(
    settings: Settings, places: Mapping[str, InputPosition]
) -> Iterator[tuple[str, ImageReference]]:
    consumer = create_consumer(settings.kafka, to_the_end(f"{settings.kafka.group}-pictures"))
    parse = Parser(settings.fetch.asked_at)
    try:
        reader = LogReader(consumer, settings.kafka.request_timeout)
        for image_id, place in places.items():
            record = reader.record_at(place.topic, place.partition, place.offset)
            reference = None if record is None else reference_in(record, place.entry, parse)
            if reference is not None:
                yield image_id, reference
    finally:
        consumer.close()
