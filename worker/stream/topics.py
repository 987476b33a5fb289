"""The topics that mekiki reads and writes, and how they are made."""

import logging
from concurrent.futures import Future
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from worker.errors import BrokerError, ConfigurationError
from worker.settings import Settings
from worker.stream.kafka import create_admin

# A dead letter is its event and about a kilobyte of headers: it must fit where the event did.
_DEAD_LETTER_MAX_BYTES = "10485760"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Topic:
    """A topic's name and the topic configuration it needs."""

    name: str
    config: dict[str, str] = field(default_factory=dict)


def topics_of(settings: Settings) -> list[Topic]:
    """Every topic, in the order of the data flow."""
    names = settings.topics
    return [
        Topic(names.uploaded),
        Topic(names.moderated),
        Topic(names.enriched),
        Topic(names.embedded, {"cleanup.policy": "compact"}),
        Topic(names.reviews, {"cleanup.policy": "compact"}),
        Topic(names.dead_letter, {"max.message.bytes": _DEAD_LETTER_MAX_BYTES}),
        Topic(names.index_updated),
        Topic(names.index_dead_letter, {"max.message.bytes": _DEAD_LETTER_MAX_BYTES}),
    ]


def create_topics(settings: Settings) -> dict[str, str]:
    """Make the topics that are missing; existing ones stay as they are.

    Returns:
        What was done, by topic: "created" or "exists".

    Raises:
        BrokerError: the broker cannot be reached or refuses.

    """
    new = [
        NewTopic(
            topic.name,
            num_partitions=settings.topics.partitions,
            replication_factor=settings.topics.replication_factor,
            config=topic.config,
        )
        for topic in topics_of(settings)
    ]
    admin = create_admin(settings.kafka)  # held: its futures fail once it is gone
    futures = admin.create_topics(new, request_timeout=settings.kafka.request_timeout)
    servers = settings.kafka.bootstrap_servers
    return {name: _result(servers, name, future) for name, future in futures.items()}


def _result(servers: str, name: str, future: Future[None]) -> str:
    try:
        future.result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return "exists"
        raise BrokerError(f"{servers}: topic {name} cannot be created: {error.args[0]}") from error
    return "created"


def require_compacted(admin: AdminClient, topic: str, timeout: float) -> None:
    """Refuse a topic that forgets what is still valid. Blocks for up to `timeout` seconds.

    Where the broker does not tell (no right to DescribeConfigs, no such topic), nothing is refused.

    Raises:
        ConfigurationError: `topic` is not compacted.

    """
    resource = ConfigResource(ResourceType.TOPIC, topic)
    try:
        policy = admin.describe_configs([resource], request_timeout=timeout)[resource].result()
    except KafkaException as error:
        logger.warning("whether %s is compacted is not known: %s", topic, error.args[0])
        return
    value = str(policy["cleanup.policy"].value)
    if "compact" not in value.split(","):
        raise ConfigurationError(
            f"topic {topic} has cleanup.policy {value!r}: the index is rebuilt from it, and what retention "
            "deletes would be missing. Set cleanup.policy to compact"
        )
