"""What the Kafka user may do, asked of the brokers: nothing is written, and no group is joined."""

from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient  # type: ignore[attr-defined]

from worker.errors import MekikiError
from worker.settings import Settings
from worker.stream.kafka import create_producer

_SECONDS = 10.0
_WHERE = "docs/operations.md lists them (ACLs)"

READ, WRITE, TELL = AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE_CONFIGS

_FORBIDDEN = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}


@dataclass(frozen=True)
class Right:
    """What is allowed or not about `subject`; `missing` is empty where nothing is."""

    subject: str
    missing: str = ""
    only_for: str = ""  # a command, where the roles do without


def topic_rights(admin: AdminClient, settings: Settings, topics: list[str]) -> Iterator[Right]:
    """What the user may not do with `topics`; those of which nothing is known are not told."""
    names = settings.topics
    needed = {
        names.uploaded: {READ: "", WRITE: "mekiki replay"},
        names.embedded: {READ: "", WRITE: ""},
        names.reviews: {READ: "", WRITE: ""},
        names.moderated: {WRITE: ""},
        names.enriched: {WRITE: ""},
        names.shadowed: {WRITE: "model.shadow", READ: "mekiki shadow report"},
        names.index_updated: {WRITE: ""},
        names.dead_letter: {WRITE: "", READ: "mekiki replay"},
        names.index_dead_letter: {WRITE: "", READ: "mekiki replay"},
    }
    if settings.index.next is not None:
        needed[settings.index.next.topic] = {READ: "", WRITE: "mekiki reembed"}
    asked = admin.describe_topics(
        TopicCollection(topics), include_authorized_operations=True, request_timeout=_SECONDS
    )
    for topic, answer in asked.items():
        try:
            allowed = set(answer.result().authorized_operations or ())
        except KafkaException as error:
            if error.args[0].code() in _FORBIDDEN:
                yield Right(f"rights on {topic}", f"not even Describe: {_WHERE}")
            continue
        for operation, command in {**needed.get(topic, {}), TELL: "mekiki check"}.items():
            if operation not in allowed:
                name = operation.name.replace("_", "").title().replace("Describeconfigs", "DescribeConfigs")
                yield Right(f"rights on {topic}", f"{name} is missing: {_WHERE}", command)


def is_forbidden(error: KafkaException) -> bool:
    """Whether a right is missing."""
    return bool(error.args[0].code() in _FORBIDDEN)


def group_rights(admin: AdminClient, groups: list[str]) -> Iterator[Right]:
    """Whether the user may join each of `groups`."""
    for group in groups:
        asked = admin.describe_consumer_groups(
            [group], include_authorized_operations=True, request_timeout=_SECONDS
        )
        try:
            allowed = asked[group].result().authorized_operations
        except KafkaException as error:
            if is_forbidden(error):
                yield Right(f"group {group}", f"Read is missing: {_WHERE}")
            else:  # a broker tells rights of groups that exist, and some tell nothing of others
                yield Right(f"group {group}")
            continue
        lacks = allowed is not None and len(allowed) > 0 and READ not in allowed
        yield Right(f"group {group}", f"Read is missing: {_WHERE}" if lacks else "")


def transaction_rights(settings: Settings) -> Right:
    """Whether the user may begin transactions, tried with an id that no worker has."""
    name = f"{settings.kafka.transactional_id}-check"
    try:
        create_producer(settings.kafka, {"transactional.id": name}).init_transactions(_SECONDS)
    except KafkaException as error:
        why = f"Write is missing: {_WHERE}" if is_forbidden(error) else f"not begun: {error.args[0]}"
        return Right(f"transactions {name}", why)
    except MekikiError as error:
        return Right(f"transactions {name}", str(error))
    return Right(f"transactions {name}")
