"""Newcomer: a group that never judged, where verdicts on what it would read are published already.

Begun all the same, a second release would read every upload from the start and publish its verdicts on the
topic that everybody reads.
"""

import logging

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from worker.errors import ConfigurationError

logger = logging.getLogger(__name__)

_SECONDS = 10.0


def refuse_newcomer(
    admin: AdminClient,
    consumer: Consumer,
    group: str,
    uploaded: str,
    moderated: str,
    seconds: float = _SECONDS,
) -> None:
    """Refuse `group`, that of `consumer`, where it has no offset in `uploaded` and `moderated` is newer.

    Newer: its latest verdict was published after the oldest upload that is still there, so that a topic of
    uploads that was made again is read. What the broker does not tell refuses nobody. Blocks for up to
    `seconds` a question.

    Raises:
        ConfigurationError: it is a newcomer; with what to do.

    """
    try:
        partitions = _partitions(admin, uploaded, seconds)
        if not partitions or any(at.offset >= 0 for at in consumer.committed(partitions, timeout=seconds)):
            return
        oldest = _times(admin, partitions, OffsetSpec.for_timestamp(0), seconds)
        verdicts = _partitions(admin, moderated, seconds)
        latest = _times(admin, verdicts, OffsetSpec.max_timestamp(), seconds)  # type: ignore[no-untyped-call]
    except (KafkaException, TimeoutError) as error:
        logger.warning("whether %s holds verdicts of another group is not known: %s", moderated, error)
        return
    if oldest and latest and max(latest) >= min(oldest):
        raise ConfigurationError(
            f"the group {group} has judged nothing, and {moderated} has verdicts on what is in {uploaded}: "
            "they would all be published again. For another embedding space set index.next and run `mekiki "
            "reembed`, to try a bundle set model.shadow (docs/operations.md); a release of its own needs "
            "topics.moderated, topics.enriched and topics.embedded of its own; where everything shall be "
            "judged again, set score.judge_again for one start"
        )


def _partitions(admin: AdminClient, topic: str, seconds: float) -> list[TopicPartition]:
    found = admin.list_topics(topic, timeout=seconds).topics[topic]
    return [] if found.error is not None else [TopicPartition(topic, number) for number in found.partitions]


def _times(
    admin: AdminClient, partitions: list[TopicPartition], which: OffsetSpec, seconds: float
) -> list[int]:
    """The times of the records, in Unix milliseconds, that `which` finds in `partitions`."""
    if not partitions:
        return []
    answers = admin.list_offsets(dict.fromkeys(partitions, which), request_timeout=seconds)
    found = [answer.result(seconds) for answer in answers.values()]
    return [each.timestamp for each in found if each.offset >= 0 and each.timestamp >= 0]
