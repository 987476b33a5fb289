"""The ledger: which offsets are between poll and commit, and how far each partition may advance.

Outcomes come in any order; a partition's offset advances only over an unbroken run of finished
events. A record of several events is finished when each of them is.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

from confluent_kafka import TopicPartition

from worker.score.outcome import Outcome
from worker.stream.kafka import InputRecord

Partition = tuple[str, int]


@dataclass(eq=False)
class Entry:
    """One polled record, and its outcome once there is one; or, in `parts`, those of its several events.

    `at` and `offset` are where it was read: not its record's own place where that came back from the retry
    topic.

    `is_ours` is False once the partition was revoked.
    """

    record: InputRecord
    at: Partition
    offset: int
    outcome: Outcome | None = None
    parts: list["Entry"] = field(default_factory=list)
    is_ours: bool = True

    @property
    def event_count(self) -> int:
        """Events in the record."""
        return len(self.parts) or 1

    @property
    def size(self) -> int:
        """Bytes of the values that are held."""
        return self.record.size + sum(part.size for part in self.parts)

    def outcomes(self) -> list[tuple[InputRecord, Outcome]] | None:
        """Every event's outcome, in their order; None while one is missing."""
        outcomes = []
        for entry in self.parts or (self,):
            if entry.outcome is None:
                return None
            outcomes.append((entry.record, entry.outcome))
        return outcomes

    def revoke(self) -> None:
        """The partition is not ours any more."""
        for entry in (self, *self.parts):
            entry.is_ours = False


@dataclass(frozen=True)
class Finished:
    """Finished events that may be committed together; `offsets` are the next ones to read."""

    entries: list[tuple[InputRecord, Outcome]]
    offsets: list[TopicPartition]


class Ledger:
    """Offsets of the assigned partitions. Used by the polling thread alone."""

    def __init__(self) -> None:
        self._partitions: dict[Partition, deque[Entry]] = {}
        self.in_flight = 0
        self.in_flight_bytes = 0

    @property
    def partitions(self) -> Collection[Partition]:
        """Those that are ours."""
        return self._partitions.keys()

    def partitions_of(self, topic: str) -> int:
        """How many partitions of `topic` are ours."""
        return sum(name == topic for name, _ in self._partitions)

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """These partitions are ours from now on."""
        for partition in partitions:
            self._partitions[partition.topic, partition.partition] = deque()

    def revoke(self, partitions: Iterable[TopicPartition]) -> None:
        """These are not ours any more: whatever is still in flight counts for nothing."""
        for partition in partitions:
            for entry in self._partitions.pop((partition.topic, partition.partition), ()):
                entry.revoke()
                self._forget(entry)

    def abandon(self, partitions: Iterable[TopicPartition]) -> None:
        """Want no outcome any more for what has none yet; what is finished may still be committed."""
        for partition in partitions:
            for entry in self._partitions.get((partition.topic, partition.partition), ()):
                for part in (entry, *entry.parts):
                    part.is_ours = part.is_ours and part.outcome is not None

    def reset(self, topic: str, number: int) -> set[int]:
        """The partition is read from somewhere else on: what is in flight counts for nothing.

        Returns:
            The offsets that were in flight.

        """
        entries = self._partitions.get((topic, number), deque())
        dropped = {entry.offset for entry in entries}
        for entry in entries:
            entry.revoke()
            self._forget(entry)
        entries.clear()
        return dropped

    def track(self, record: InputRecord, event: InputRecord | None = None) -> Entry | None:
        """Enter a polled record. None: its partition is not ours.

        `event` is what it holds, where that first stood elsewhere.

        librdkafka gives no record twice: an offset that goes back is one of another log, after a `reset`.
        """
        entries = self._partitions.get((record.topic, record.partition))
        if entries is None:
            return None
        entry = Entry(event or record, (record.topic, record.partition), record.offset)
        entries.append(entry)
        self.in_flight += 1
        self.in_flight_bytes += record.size
        return entry

    def split(self, entry: Entry, values: Iterable[bytes]) -> list[Entry]:
        """Enter the several events of a record, one of `values` each; none where the record is not ours.

        Its own value is not needed any more, and is let go.
        """
        if not entry.is_ours:
            return []
        self._forget(entry)
        entry.parts = [
            Entry(replace(entry.record, value=value, entry=number), entry.at, entry.offset)
            for number, value in enumerate(values)
        ]
        entry.record = replace(entry.record, value=None)
        self.in_flight += entry.event_count
        self.in_flight_bytes += entry.size
        return entry.parts

    def finished(self, limit: int, without: Collection[Partition] = ()) -> Finished:
        """Up to `limit` finished events that no unfinished one precedes in their partition.

        Those of one record stay together, and may be more. None of the partitions `without`.
        """
        entries: list[tuple[InputRecord, Outcome]] = []
        offsets: list[TopicPartition] = []
        for (topic, number), tracked in self._partitions.items():
            if (topic, number) in without:
                continue
            next_offset = None
            for entry in tracked:
                outcomes = entry.outcomes()
                if outcomes is None or len(entries) >= limit:
                    break
                entries += outcomes
                next_offset = entry.offset + 1
            if next_offset is not None:
                offsets.append(TopicPartition(topic, number, next_offset))
        return Finished(entries, offsets)

    def entries(self) -> Iterator[Entry]:
        """Every event in flight: those of records of several one by one."""
        for tracked in self._partitions.values():
            for entry in tracked:
                yield from entry.parts or (entry,)

    def committed(self, offsets: Iterable[TopicPartition]) -> None:
        """Forget what lies before `offsets`."""
        for committed in offsets:
            entries = self._partitions[committed.topic, committed.partition]
            while entries and entries[0].offset < committed.offset:
                self._forget(entries.popleft())

    def _forget(self, entry: Entry) -> None:
        self.in_flight -= entry.event_count
        self.in_flight_bytes -= entry.size

    def waiting(self, topic: str, partition: int) -> int:
        """Records of one partition between poll and commit."""
        return len(self._partitions.get((topic, partition), ()))

    def span(self, place: Partition) -> tuple[int, int] | None:
        """Of the records of a partition between poll and commit: the first offset, and the one behind all."""
        entries = self._partitions.get(place)
        if not entries:
            return None
        return entries[0].offset, entries[-1].offset + 1
