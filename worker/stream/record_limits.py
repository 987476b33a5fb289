"""What the broker takes: topics refuse records over their own limit, which shows when one is refused."""

from collections.abc import Iterable

from worker.stream.kafka import OutputRecord


class RecordLimits:
    """The sizes that topics refused; records of `adaptable` topics are then made otherwise. One thread's."""

    def __init__(self, adaptable: Iterable[str] = ()) -> None:
        self._adaptable = frozenset(adaptable)
        self._refused: dict[str, int] = {}

    def refused(self, topic: str, size: int) -> bool:
        """Note that `topic` refused a record of `size` bytes; whether it can be made smaller."""
        known = self._refused.get(topic)
        if topic not in self._adaptable or (known is not None and size >= known):
            return False
        self._refused[topic] = size
        return True

    def fits(self, record: OutputRecord) -> bool:
        """Whether no smaller record was refused by its topic."""
        return record.size < self._refused.get(record.topic, record.size + 1)
