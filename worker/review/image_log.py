"""One image in the log: every record that speaks of it, its latest verdict, and where its image is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from schemas.events import ImageModerated, ImageReference, ImageReviewed, ImageUploaded, InputPosition
from worker.errors import ConfigurationError, Rejection
from worker.score.outcome import Several
from worker.score.parsed import Parsed
from worker.settings import TopicSettings
from worker.stream.kafka import InputRecord, input_record
from worker.stream.log_reader import LogReader
from worker.stream.story import Step, step_of


@dataclass(frozen=True)
class ImageLog:
    """Reads whole topics: seconds for a million records. `parse` is that of the score role."""

    reader: LogReader
    topics: TopicSettings
    parse: Callable[[InputRecord], Parsed]

    def verdict(self, image_id: str) -> ImageModerated:
        """The verdict that holds for `image_id`: that of its latest event.

        Raises:
            ConfigurationError: there is none.
            BrokerError: the log cannot be read.

        """
        found = self._records(image_id, (self.topics.moderated,))
        if not found:
            raise ConfigurationError(f"no verdict on image {image_id!r} stands in {self.topics.moderated}")
        return ImageModerated.read(latest(found).value)

    def reference(self, place: InputPosition) -> ImageReference | None:
        """Where the image of the event at `place` is; None where the log does not hold the event any more.

        Raises:
            BrokerError: the log cannot be read.

        """
        record = self.reader.record_at(place.topic, place.partition, place.offset)
        return None if record is None else reference_in(record, place.entry, self.parse)

    def story(self, image_id: str) -> list[Step]:
        """All that happened to `image_id`, in the order of time.

        Raises:
            BrokerError: the log cannot be read.

        """
        topics = self.topics
        names = (
            topics.uploaded,
            topics.dead_letter,
            topics.moderated,
            topics.enriched,
            topics.embedded,
            topics.reviews,
            topics.index_updated,
        )
        records = self._records(image_id, names)
        known = {(record.topic, record.partition, record.offset) for record in records}
        for record in list(records):  # notifications of stores may have keys of their own
            if record.topic == topics.moderated:
                place = ImageModerated.read(record.value).input
                if (place.topic, place.partition, place.offset) not in known:
                    found = self.reader.record_at(place.topic, place.partition, place.offset)
                    records += [] if found is None else [found]
        order = {name: number for number, name in enumerate(names)}
        records.sort(key=lambda record: (record.timestamp_ms, order.get(record.topic, 0), record.offset))
        return [step_of(record, topics) for record in records]

    def _records(self, image_id: str, topics: tuple[str, ...]) -> list[InputRecord]:
        key = image_id.encode("utf-8", "surrogateescape")
        return [
            input_record(message)
            for messages in self.reader.read(topics)
            for message in messages
            if message.key() == key
        ]


def latest(verdicts: Sequence[InputRecord]) -> InputRecord:
    """The last of one image's `verdicts` by the log: a slow image may be decided after a later upload of it.

    They stand in several partitions only where some were added; then the time of the records tells.
    """
    lasts = {record.partition: record for record in sorted(verdicts, key=lambda record: record.offset)}
    return max(lasts.values(), key=lambda record: record.timestamp_ms)


def reference_in(
    record: InputRecord, entry: int | None, parse: Callable[[InputRecord], Parsed]
) -> ImageReference | None:
    """Where the image is that `record`, or the `entry` of its several events, speaks of; None: of none."""
    try:
        parsed = parse(record)
        if isinstance(parsed, Several) and entry is not None and entry < len(parsed.values):
            parsed = parse(replace(record, value=parsed.values[entry], entry=entry))
    except Rejection:
        return None
    return parsed.image if isinstance(parsed, ImageUploaded | ImageReviewed) else None
