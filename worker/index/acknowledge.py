"""What the index role publishes of a record: that it is searchable or deleted, or why it is rejected."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from schemas.bundle import CopyHead
from schemas.events import INDEX_UPDATED, IndexUpdated, InputPosition, derived_event_id
from worker.errors import Rejection
from worker.index.backend import Change, IndexBackend
from worker.index.change import Delete, OfAnotherSpace, Upsert, parse_change
from worker.index.groups import Grouping, Judged
from worker.metrics import Metrics
from worker.settings import TopicSettings
from worker.stream.dead_letter import dead_letter_record
from worker.stream.kafka import InputRecord, OutputRecord
from worker.stream.registry import Write, as_json
from worker.stream.trace_context import dead_letter_trace, trace_headers, with_missing

logger = logging.getLogger(__name__)

# Why a record changes nothing, or its copy vector is left out; values of the label `reason`.
OTHER_SPACE = "other_space"
OTHER_COPY_SPACE = "other_copy_space"
_MOST_SPACES_TOLD = 20


class Updates:
    """Applies records to `index` and says what came of each.

    Near-duplicates are at most `near_duplicate_count` other images within `near_duplicate_distance`
    (cosine distance) of a new one, among all that came before it. `plain` gives the JSON of a value, `write`
    a topic's form of an acknowledgement. `copies` is the bundle's head of copy vectors, where it has one.
    """

    def __init__(
        self,
        index: IndexBackend,
        topics: TopicSettings,
        near_duplicate_distance: float,
        near_duplicate_count: int,
        metrics: Metrics,
        plain: Callable[[bytes], bytes] = bytes,
        write: Write = as_json,
        copies: CopyHead | None = None,
    ) -> None:
        self._index = index
        self._copies = copies
        self._plain = plain
        self._write = write
        self._topics = topics
        copy_distance = None if copies is None else copies.near_duplicate_distance
        self._grouping = Grouping(index, near_duplicate_distance, near_duplicate_count, copy_distance)
        self._metrics = metrics
        self._told: set[tuple[str, str]] = set()
        for reason in (OTHER_SPACE, OTHER_COPY_SPACE):
            metrics.index_passed_over.labels(reason)  # shown from the start, as 0

    def replay(self, records: Sequence[InputRecord]) -> None:
        """Apply records whose outcomes were published in an earlier run."""
        changes = []
        for record in records:
            with suppress(Rejection):
                change = self._parse(record)
                if not isinstance(change, OfAnotherSpace):
                    changes.append(change)
        self._change(changes)

    def apply(self, record: InputRecord) -> OutputRecord | None:
        """Apply `record`; when this returns it is searchable. Gives its one outcome, to be published.

        None: it is another index's, which is counted.
        """
        return self.apply_all([record])[0]

    def apply_all(self, records: Sequence[InputRecord]) -> list[OutputRecord | None]:
        """As `apply`, of each in turn; near-duplicates are looked up for all of them side by side."""
        read = [self._read(record) for record in records]
        changes = [change for change in read if isinstance(change, Upsert | Delete)]
        found = iter(self._change(changes))
        return [
            self._acknowledgement(record, change, next(found))
            if isinstance(change, Upsert | Delete)
            else change
            for record, change in zip(records, read, strict=True)
        ]

    def _read(self, record: InputRecord) -> Upsert | Delete | OutputRecord | None:
        """What the record asks for, or the outcome of one that changes nothing."""
        try:
            change = self._parse(record)
        except Rejection as rejection:
            self._metrics.index_rejections.labels(rejection.reason.value).inc()
            dead = dead_letter_record(self._topics.index_dead_letter, record, rejection)
            return replace(dead, headers=with_missing(dead.headers, dead_letter_trace(record)))
        if isinstance(change, OfAnotherSpace):
            self._pass_over(OTHER_SPACE, change.space, self._index.identity.space)
            return None
        # without copy vectors of its own the index misses nothing
        if isinstance(change, Upsert) and change.other_copy_space is not None and self._copies is not None:
            self._pass_over(OTHER_COPY_SPACE, change.other_copy_space, self._copies.space)
        return change

    def is_rejection(self, outcome: OutputRecord) -> bool:
        """Whether `outcome`, which `apply` gave, rejects its record."""
        return outcome.topic == self._topics.index_dead_letter

    def _pass_over(self, reason: str, space: str, mine: str) -> None:
        """Count it; told once a space: a topic may be shared, or the bundle the wrong one."""
        self._metrics.index_passed_over.labels(reason).inc()
        if (reason, space) not in self._told and len(self._told) < _MOST_SPACES_TOLD:
            self._told.add((reason, space))
            logger.warning("vectors of space %r are passed over: this index holds %r", space, mine)

    def _parse(self, record: InputRecord) -> Upsert | Delete | OfAnotherSpace:
        if record.value is not None:
            record = replace(record, value=self._plain(record.value))
        return parse_change(record, self._index.identity.space, self._index.identity.dim, self._copies)

    def _change(self, changes: Sequence[Upsert | Delete]) -> list[Judged]:
        asked = [
            Change(each.image_id, each.vector, each.attributes)
            if isinstance(each, Upsert)
            else Change(each.image_id, None)
            for each in changes
        ]
        for each in changes:
            self._metrics.index_updates.labels("searchable" if isinstance(each, Upsert) else "deleted").inc()
        return self._grouping.change_each(asked)

    def _acknowledgement(self, record: InputRecord, change: Upsert | Delete, judged: Judged) -> OutputRecord:
        if judged.near:
            self._metrics.index_near_duplicates.inc()
        position = f"{record.topic}/{record.partition}/{record.offset}"
        event = IndexUpdated(
            event_id=derived_event_id(INDEX_UPDATED, position),
            image_id=change.image_id,
            state="searchable" if isinstance(change, Upsert) else "deleted",
            near_duplicates=judged.near,
            group=judged.group,
            space=self._index.identity.space,
            input=InputPosition(
                event_id=change.event_id,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
            ),
            indexed_at=datetime.now(UTC),
        )
        value = self._write(self._topics.index_updated, event)
        return OutputRecord(self._topics.index_updated, record.key, value, trace_headers(record))
