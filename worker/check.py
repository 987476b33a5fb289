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

from worker.errors import MekikiError
from worker.model.bundle import load_bundle, load_policy
from worker.score.codes import CodeReader
from worker.settings import Settings
from worker.stream.dead_letter import DEAD_LETTER_HEADER_BYTES
from worker.stream.kafka import client_properties, create_admin, masked
from worker.stream.topics import topics_of

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
    if settings.codes.enabled:
        yield _finding("codes", lambda: _codes(settings))
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
    policy = load_policy(settings, bundle.manifest)
    thresholds = {
        name: threshold.model_dump(exclude_none=True) for name, threshold in policy.thresholds.items()
    }
    return f"{bundle.id} on {bundle.model.provider}, thresholds {thresholds}"


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


def _topics(settings: Settings, admin: AdminClient, metadata: ClusterMetadata) -> Iterator[Finding]:
    kept = {
        settings.topics.embedded: "the index is rebuilt from it",
        settings.topics.reviews: "people's decisions stand in it",
    }
    for topic in topics_of(settings):
        found = metadata.topics.get(topic.name)
        if found is None or found.error is not None:
            yield Finding(f"topic {topic.name}", False, "is missing: run `mekiki topics create`")
        elif topic.name in kept and (policy := _setting(admin, topic.name, "cleanup.policy")) != "compact":
            yield Finding(
                f"topic {topic.name}",
                False,
                f"has cleanup.policy {policy!r}: {kept[topic.name]}, so set it to compact",
            )
        else:
            yield Finding(f"topic {topic.name}", True, f"{len(found.partitions)} partitions")
    topics = settings.topics
    if {topics.uploaded, topics.reviews} <= metadata.topics.keys():
        yield _reviews_fit(topics.uploaded, topics.reviews, metadata)
    for source, dead_letters in (
        (topics.uploaded, topics.dead_letter),
        (topics.embedded, topics.index_dead_letter),
    ):
        if {source, dead_letters} <= metadata.topics.keys():
            yield _dead_letters_fit(admin, source, dead_letters)


def _reviews_fit(uploaded: str, reviews: str, metadata: ClusterMetadata) -> Finding:
    """A partition of uploads is taken with the reviews of the same number."""
    needed, there = (len(metadata.topics[topic].partitions) for topic in (uploaded, reviews))
    fits = there >= needed
    detail = "" if fits else f": give it {needed}, or the score role does not start"
    return Finding(f"partitions of {reviews}", fits, f"{there}, and {uploaded} has {needed}{detail}")


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
