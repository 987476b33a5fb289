"""Takeover: an index that never acknowledged begins where others of the same log have come to.

An index of a new name, such as another replica's, would else acknowledge the whole log once more.
"""

import logging
from collections.abc import Callable, Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

logger = logging.getLogger(__name__)

# Offsets of the next record to be acknowledged, by partition.
Acknowledged = dict[int, int]


class Takeover:
    """Asks what the indexes of `prefix` groups, but `own`, have acknowledged of `topic`.

    `open_consumer` gives a consumer of a group, which joins nothing. `seconds` is for each question.
    """

    def __init__(
        self,
        admin: AdminClient,
        open_consumer: Callable[[str], Consumer],
        topic: str,
        prefix: str,
        own: str,
        seconds: float,
    ) -> None:
        self._admin = admin
        self._open_consumer = open_consumer
        self._topic = topic
        self._prefix, self._own = prefix, own
        self._seconds = seconds

    def __call__(self, partitions: Sequence[int]) -> Acknowledged:
        """The furthest that any other has come in each of `partitions`; none where nobody has begun.

        What the broker does not tell (no right to Describe) counts as none.
        """
        furthest: Acknowledged = {}
        try:
            for group in self._others():
                for partition, offset in self._committed(group, partitions).items():
                    furthest[partition] = max(offset, furthest.get(partition, 0))
        except (KafkaException, TimeoutError) as error:
            self._tell(error)
        return furthest

    def _tell(self, error: object) -> None:
        logger.warning("what other indexes have acknowledged of %s is not known: %s", self._topic, error)

    def _others(self) -> list[str]:
        found = self._admin.list_consumer_groups(request_timeout=self._seconds).result(self._seconds)
        if found.errors:
            self._tell(found.errors[0])
        names = (group.group_id for group in found.valid)
        return sorted(name for name in names if name.startswith(self._prefix) and name != self._own)

    def _committed(self, group: str, partitions: Sequence[int]) -> Acknowledged:
        # Not by the admin client, which may crash over it: see worker.stream.lag.
        consumer = self._open_consumer(group)
        try:
            asked = [TopicPartition(self._topic, number) for number in partitions]
            answers = consumer.committed(asked, timeout=self._seconds)
        finally:
            consumer.close()
        return {at.partition: at.offset for at in answers if at.error is None and at.offset >= 0}
