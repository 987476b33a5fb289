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

# With as many, one may be away and a record is still held twice.
_SAFE_REPLICAS = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Topic:
    """A topic's name and the topic configuration it needs."""

    name: str
    config: dict[str, str] = field(default_factory=dict)


def topics_of(settings: Settings) -> list[Topic]:
    """Every topic, in the order of the data flow."""
    names, beside = settings.topics, settings.index.next
    return [
        Topic(names.uploaded),
        Topic(names.moderated),
        Topic(names.enriched),
        Topic(names.embedded, {"cleanup.policy": "compact"}),
        Topic(names.shadowed),
        Topic(names.reviews, {"cleanup.policy": "compact"}),
        Topic(names.retry, {"max.message.bytes": _DEAD_LETTER_MAX_BYTES}),
        Topic(names.dead_letter, {"max.message.bytes": _DEAD_LETTER_MAX_BYTES}),
        Topic(names.index_updated),
        Topic(names.index_dead_letter, {"max.message.bytes": _DEAD_LETTER_MAX_BYTES}),
        *([] if beside is None else [Topic(beside.topic, {"cleanup.policy": "compact"})]),
    ]


def create_topics(settings: Settings) -> dict[str, str]:
    """Make the topics that are missing; existing ones stay as they are.

    Returns:
        What was done, by topic: "created" or "exists".

    Raises:
        BrokerError: the broker cannot be reached or refuses.

    """
    servers = settings.kafka.bootstrap_servers
    admin = create_admin(settings.kafka)  # held: its futures fail once it is gone
    try:
        replication, config = _replication(admin, settings)
    except KafkaException as error:
        raise BrokerError(f"{servers}: the brokers cannot be listed: {error.args[0]}") from error
    new = [
        NewTopic(
            topic.name,
            num_partitions=settings.topics.partitions,
            replication_factor=replication,
            config={**config, **topic.config},
        )
        for topic in topics_of(settings)
    ]
    futures = admin.create_topics(new, request_timeout=settings.kafka.request_timeout)
    return {name: _result(servers, name, future) for name, future in futures.items()}


def _replication(admin: AdminClient, settings: Settings) -> tuple[int, dict[str, str]]:
    """How many replicas a new topic has, and the configuration by which two of three hold a record."""
    timeout = settings.kafka.request_timeout
    brokers = admin.list_topics(timeout=timeout).brokers
    defaults = _broker_defaults(admin, next(iter(brokers)), timeout)
    replication = settings.topics.replication_factor or max(
        defaults.get("default.replication.factor", 1), min(3, len(brokers))
    )
    if replication < _SAFE_REPLICAS:
        return replication, {}
    return replication, {"min.insync.replicas": str(max(2, defaults.get("min.insync.replicas", 1)))}


def _broker_defaults(admin: AdminClient, broker: int, timeout: float) -> dict[str, int]:
    """Numbers of the broker's own configuration; none where it does not tell them."""
    resource = ConfigResource(ResourceType.BROKER, str(broker))
    try:
        found = admin.describe_configs([resource], request_timeout=timeout)[resource].result()
    except KafkaException as error:
        logger.info("the brokers' defaults are not known, and are taken to be 1: %s", error.args[0])
        return {}
    return {name: int(entry.value) for name, entry in found.items() if str(entry.value).isdecimal()}


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
