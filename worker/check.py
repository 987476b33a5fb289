"""Check: configuration, bundle, broker and topics, each with what is wrong and how to mend it."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ClusterMetadata,
    ConfigResource,
    ResourceType,
)

from worker.bundle import load_bundle, load_policy
from worker.errors import MekikiError
from worker.kafka import client_properties, create_admin, masked
from worker.settings import Settings
from worker.topics import topics_of

_BROKER_SECONDS = 10.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: whether it holds, and a sentence."""

    subject: str
    holds: bool
    detail: str


def check(settings: Settings) -> Iterator[Finding]:
    """Look at everything that `settings` need; what depends on something broken is left out."""
    yield Finding("configuration", True, f"kafka: {masked(client_properties(settings.kafka))}")
    yield _finding("bundle and policy", lambda: _bundle(settings))
    if settings.fetch.folder is not None:
        yield _finding("fetch.folder", lambda: _folder(settings))
    yield _finding("index.directory", lambda: _index_directory(settings))
    try:
        admin = create_admin(settings.kafka)
        metadata = admin.list_topics(timeout=_BROKER_SECONDS)
    except (MekikiError, KafkaException) as error:
        yield Finding(
            "broker",
            False,
            f"{settings.kafka.bootstrap_servers} does not answer within {_BROKER_SECONDS:g} s: {error}. "
            "Check kafka.bootstrap_servers and the security properties in kafka.properties",
        )
        return
    yield Finding("broker", True, f"{len(metadata.brokers)} at {settings.kafka.bootstrap_servers}")
    yield from _topics(settings, admin, metadata)


def _finding(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, look())
    except (MekikiError, OSError) as error:
        return Finding(subject, False, str(error))


def _bundle(settings: Settings) -> str:
    bundle = load_bundle(settings.model)
    policy = load_policy(settings.model, bundle.manifest)
    thresholds = {
        name: threshold.model_dump(exclude_none=True) for name, threshold in policy.thresholds.items()
    }
    return f"{bundle.id} on {bundle.model.provider}, thresholds {thresholds}"


def _folder(settings: Settings) -> str:
    folder = settings.fetch.folder
    if folder is None or not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder: mount it, or unset fetch.folder")
    return str(folder.resolve())


def _index_directory(settings: Settings) -> str:
    directory = settings.index.directory
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=directory, prefix="check-"):
        return f"{directory.resolve()} can be written"


def _topics(settings: Settings, admin: AdminClient, metadata: ClusterMetadata) -> Iterator[Finding]:
    compacted = settings.topics.embedded
    for topic in topics_of(settings):
        found = metadata.topics.get(topic.name)
        if found is None or found.error is not None:
            yield Finding(f"topic {topic.name}", False, "is missing: run `mekiki topics create`")
        elif topic.name == compacted and (policy := _cleanup_policy(admin, compacted)) != "compact":
            yield Finding(
                f"topic {topic.name}",
                False,
                f"has cleanup.policy {policy!r}: the index is rebuilt from it, so set it to compact",
            )
        else:
            yield Finding(f"topic {topic.name}", True, f"{len(found.partitions)} partitions")


def _cleanup_policy(admin: AdminClient, topic: str) -> str:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    try:
        configuration = admin.describe_configs([resource], request_timeout=_BROKER_SECONDS)[resource].result()
    except KafkaException as error:
        return f"unknown ({error.args[0]})"
    return str(configuration["cleanup.policy"].value)
