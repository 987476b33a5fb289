"""Check: configuration, bundle, broker and topics, each with what is wrong and how to mend it."""

import errno
import socket
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ClusterMetadata,
    ConfigResource,
    ResourceType,
    TopicMetadata,
)

from worker.errors import ConfigurationError, MekikiError
from worker.index.compose import look_at_backend, settings_of_next
from worker.model.bundle import load_bundle, load_policy, read_manifest, trial_policy
from worker.rights import group_rights, is_forbidden, topic_rights, transaction_rights
from worker.score.codes import CodeReader
from worker.settings import CanarySettings, NextIndexSettings, Settings, ShadowSettings, index_group
from worker.stream.dead_letter import DEAD_LETTER_HEADER_BYTES
from worker.stream.kafka import client_properties, create_admin, masked
from worker.stream.registry import create_registry, written_by_index, written_by_score
from worker.stream.topics import topics_of

_BROKER_SECONDS = 10.0
_REGISTRY_SECONDS = 5.0


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
    for name, tried in (("model.canary", settings.model.canary), ("model.shadow", settings.model.shadow)):
        if tried is not None:
            yield _finding(name, partial(_tried, settings, tried))
    if settings.index.next is not None:
        yield _finding("index.next", partial(_next, settings, settings.index.next))
    if settings.codes.enabled:
        yield _finding("codes", lambda: _codes(settings))
    if settings.fetch.folder is not None:
        yield _finding("fetch.folder", lambda: _folder(settings))
    yield _finding("index.directory", lambda: _index_directory(settings))
    if settings.index.backend == "vald":
        yield _finding("index.vald", lambda: _cluster(settings))
        if (chosen := settings.index.next) is not None:
            yield _finding("index.next.vald", lambda: _cluster(settings_of_next(settings, chosen)))
    yield _finding("http", lambda: _port(settings))
    yield from _schemas(settings)
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
    yield from _rights(settings, admin, metadata)


def _schemas(settings: Settings) -> Iterator[Finding]:
    subject = "schema registry"
    try:
        registry = create_registry(settings.kafka.schema_registry, _REGISTRY_SECONDS)
    except MekikiError as error:
        yield Finding(subject, False, str(error))
        return
    if registry is None:
        return
    if settings.kafka.schema_registry.output == "json":
        yield _finding(subject, registry.answers)
        return
    for topic, model in (written_by_score(settings.topics) | written_by_index(settings.topics)).items():
        yield _finding(subject, lambda topic=topic, model=model: registry.fits(topic, model))  # type: ignore[misc]


def _finding(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, look())
    except (MekikiError, OSError) as error:
        return Finding(subject, False, str(error))


def _bundle(settings: Settings) -> str:
    bundle = load_bundle(settings.model)
    policy = load_policy(settings, bundle.manifest)
    thresholds = {
        name: threshold.model_dump(exclude_none=True) for name, threshold in policy.thresholds.items()
    }
    return f"{bundle.id} on {bundle.model.provider}, thresholds {thresholds}"


def _tried(settings: Settings, tried: CanarySettings | ShadowSettings) -> str:
    bundle = load_bundle(settings.model.model_copy(update={"bundle": tried.bundle}))
    trial_policy(settings, tried.policy_file, bundle.manifest)
    return f"{bundle.id} for {tried.share:.0%} of the images"


def _next(settings: Settings, chosen: NextIndexSettings) -> str:
    manifest, identifier = read_manifest(chosen.bundle, settings.model.signature_key)
    if manifest.embedding is None:
        raise ConfigurationError(f"{identifier} has no embedding: there is nothing to index")
    return f"{identifier}, space {manifest.embedding.space}, from {chosen.topic}"


def _codes(settings: Settings) -> str:
    reader = CodeReader(settings.codes)
    return f"{', '.join(settings.codes.formats)} on images of at most {reader.max_side} px"


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


def _cluster(settings: Settings) -> str:
    head = read_manifest(settings.model.bundle)[0].embedding
    if head is None:
        raise ConfigurationError("the bundle has no embedding, so that there is nothing to index")
    return look_at_backend(settings.index, head.dim)


def _port(settings: Settings) -> str:
    host, port = settings.http.host, settings.http.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE and _is_ours(port):
            return f"a mekiki that runs here listens on {host}:{port}"
        raise ConfigurationError(
            f"nothing can listen on {host}:{port} (http.host, http.port): {error.strerror or error}"
        ) from error
    return f"{host}:{port} is free"


def _is_ours(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return b'"alive"' in answer.read(1000)
    except urllib.error.HTTPError as error:
        return b'"alive"' in error.read(1000)
    except OSError:
        return False


def _rights(settings: Settings, admin: AdminClient, metadata: ClusterMetadata) -> Iterator[Finding]:
    there = [topic.name for topic in topics_of(settings) if topic.name in metadata.topics]
    groups = [settings.kafka.group, index_group(settings.index.name)]
    found = [*topic_rights(admin, settings, there), *group_rights(admin, groups)]
    if settings.score.delivery == "exactly_once":
        found.append(transaction_rights(settings))
    for right in found:
        if right.missing and right.only_for:
            yield Finding(right.subject, True, f"{right.missing}. Only `{right.only_for}` needs it")
        else:
            yield Finding(right.subject, not right.missing, right.missing or "allowed")


def _replicated(found: TopicMetadata, brokers: int) -> str | None:
    """What is wrong with the number of replicas."""
    fewest = min((len(partition.replicas) for partition in found.partitions.values()), default=0)
    if fewest > 1 or brokers < 2:  # one broker has no choice
        return None
    return (
        "has replication 1: with that broker its records are away, and with its disk they are gone. Raise it "
        "with kafka-reassign-partitions, or make it again (topics.replication_factor)"
    )


def _topics(settings: Settings, admin: AdminClient, metadata: ClusterMetadata) -> Iterator[Finding]:
    kept = {
        settings.topics.embedded: "the index is rebuilt from it",
        settings.topics.reviews: "people's decisions stand in it",
    }
    for topic in topics_of(settings):
        found = metadata.topics.get(topic.name)
        if found is None or found.error is not None:
            yield Finding(f"topic {topic.name}", False, _why_not_there(admin, topic.name))
        elif (few := _replicated(found, len(metadata.brokers))) is not None:
            yield Finding(f"topic {topic.name}", False, few)
        elif topic.name in kept and (policy := _setting(admin, topic.name, "cleanup.policy")) != "compact":
            yield Finding(
                f"topic {topic.name}",
                False,
                f"has cleanup.policy {policy!r}: {kept[topic.name]}, so set it to compact",
            )
        else:
            yield Finding(f"topic {topic.name}", True, f"{len(found.partitions)} partitions")
    topics = settings.topics
    for beside in (topics.reviews, topics.retry):
        if {topics.uploaded, beside} <= metadata.topics.keys():
            yield _partitions_fit(topics.uploaded, beside, metadata)
    for source, dead_letters in (
        (topics.uploaded, topics.dead_letter),
        (topics.embedded, topics.index_dead_letter),
    ):
        if {source, dead_letters} <= metadata.topics.keys():
            yield _dead_letters_fit(admin, source, dead_letters)


def _why_not_there(admin: AdminClient, topic: str) -> str:
    """A broker tells nothing of a topic to who may not know of it, when it lists all."""
    asked = admin.describe_topics(TopicCollection([topic]), request_timeout=_BROKER_SECONDS)
    try:
        asked[topic].result()
    except KafkaException as error:
        if is_forbidden(error):
            return (
                "is missing, or the user has no right to it (Describe): docs/operations.md lists them (ACLs)"
            )
    return "is missing: run `mekiki topics create`"


def _partitions_fit(uploaded: str, beside: str, metadata: ClusterMetadata) -> Finding:
    """A partition of uploads is taken with that of the same number of a topic beside it."""
    needed, there = (len(metadata.topics[topic].partitions) for topic in (uploaded, beside))
    fits = there >= needed
    detail = "" if fits else f": give it {needed}, or the score role does not start"
    return Finding(f"partitions of {beside}", fits, f"{there}, and {uploaded} has {needed}{detail}")


def _dead_letters_fit(admin: AdminClient, source: str, dead_letters: str) -> Finding:
    """A dead letter is its event and the headers that say why: the worker ends if one does not fit."""
    subject = f"dead letters of {source}"
    largest, room = (_setting(admin, topic, "max.message.bytes") for topic in (source, dead_letters))
    if not (largest.isdecimal() and room.isdecimal()):
        return Finding(subject, False, f"max.message.bytes of the topics cannot be read: {largest}, {room}")
    needed = int(largest) + DEAD_LETTER_HEADER_BYTES
    if int(room) >= needed:
        return Finding(subject, True, f"fit: max.message.bytes of {dead_letters} is {room}")
    return Finding(
        subject,
        False,
        f"may not fit: max.message.bytes of {dead_letters} is {room}; set it to {needed} or more, "
        f"since events of {source} may have {largest}",
    )


def _setting(admin: AdminClient, topic: str, name: str) -> str:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    try:
        configuration = admin.describe_configs([resource], request_timeout=_BROKER_SECONDS)[resource].result()
    except KafkaException as error:
        return f"unknown ({error.args[0]})"
    return str(configuration[name].value)
