"""The ledger: which offsets are between poll and commit, and how far each partition may advance.

Outcomes come in any order; a partition's offset advances only over an unbroken run of finished
events.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from confluent_kafka import TopicPartition

from worker.score.outcome import Outcome
from worker.stream.kafka import InputRecord

Partition = tuple[str, int]


@dataclass(eq=False)
class Entry:
    """One polled record, and its outcome once there is one."""

    record: InputRecord
    outcome: Outcome | None = None


@dataclass
class _PartitionLedger:
    entries: deque[Entry] = field(default_factory=deque)
    last_offset: int = -1


@dataclass(frozen=True)
class Finished:
    """Finished events that may be committed together; `offsets` are the next ones to read."""

    entries: list[tuple[InputRecord, Outcome]]
    offsets: list[TopicPartition]


class Ledger:
    """Offsets of the assigned partitions. Used by the polling thread alone."""

    def __init__(self) -> None:
        self._partitions: dict[Partition, _PartitionLedger] = {}
        self.in_flight = 0
        self.in_flight_bytes = 0

    @property
    def partition_count(self) -> int:
        """Partitions that are ours."""
        return len(self._partitions)

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """These partitions are ours from now on."""
        for partition in partitions:
            self._partitions[partition.topic, partition.partition] = _PartitionLedger()

    def revoke(self, partitions: Iterable[TopicPartition]) -> None:
        """These are not ours any more: whatever is still in flight counts for nothing."""
        for partition in partitions:
            gone = self._partitions.pop((partition.topic, partition.partition), _PartitionLedger())
            self.in_flight -= len(gone.entries)
            self.in_flight_bytes -= sum(entry.record.size for entry in gone.entries)

    def track(self, record: InputRecord) -> Entry | None:
        """Enter a polled record. None: its partition is not ours, or it was seen already."""
        partition = self._partitions.get((record.topic, record.partition))
        if partition is None or record.offset <= partition.last_offset:
            return None
        entry = Entry(record)
        partition.entries.append(entry)
        partition.last_offset = record.offset
        self.in_flight += 1
        self.in_flight_bytes += record.size
        return entry

    def finished(self, limit: int) -> Finished:
        """Up to `limit` finished events that no unfinished one precedes in their partition."""
        entries: list[tuple[InputRecord, Outcome]] = []
        offsets: list[TopicPartition] = []
        for (topic, number), partition in self._partitions.items():
            next_offset = None
            for entry in partition.entries:
                if entry.outcome is None or len(entries) == limit:
                    break
                entries.append((entry.record, entry.outcome))
                next_offset = entry.record.offset + 1
            if next_offset is not None:
                offsets.append(TopicPartition(topic, number, next_offset))
        return Finished(entries, offsets)

    def committed(self, offsets: Iterable[TopicPartition]) -> None:
        """Forget what lies before `offsets`."""
        for committed in offsets:
            entries = self._partitions[committed.topic, committed.partition].entries
            while entries and entries[0].record.offset < committed.offset:
                self.in_flight -= 1
                self.in_flight_bytes -= entries.popleft().record.size

    def waiting(self, topic: str, partition: int) -> int:
        """Events of one partition between poll and commit."""
        return len(self._partitions.get((topic, partition), _PartitionLedger()).entries)
