"""Builds the index role from the settings: the one place where its real parts meet."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry

from schemas.bundle import CopyHead, EmbeddingHead
from worker.errors import ConfigurationError
from worker.health import Health
from worker.index.acknowledge import Updates
from worker.index.backend import IndexBackend, IndexIdentity
from worker.index.beside import NextIndex
from worker.index.filling import Filling
from worker.index.ngt.index import open_ngt_index
from worker.index.role import CONSUMER_PROPERTIES, MOVING, WITHIN_LIMIT, IndexRole, halt_advice
from worker.index.serving import CURRENT, Choice, Embedder, Searched, Serving
from worker.index.takeover import Takeover
from worker.metrics import Metrics
from worker.model.bundle import Bundle, load_bundle
from worker.role_names import NEXT_INDEX
from worker.settings import (
    INDEX_GROUPS,
    IndexSettings,
    NextIndexSettings,
    Settings,
    index_group,
    reembed_group,
)
from worker.stream.delivery import create_delivery
from worker.stream.guard import Guard
from worker.stream.kafka import create_admin, create_consumer
from worker.stream.limit import RejectionLimit
from worker.stream.movement import Movement
from worker.stream.registry import SchemaRegistry, as_json
from worker.stream.spans import Spans
from worker.stream.topic_identity import TopicIdentity
from worker.stream.topics import require_compacted
from worker.watchdog import Limit, unlimited

_COMPACTED_SECONDS = 10.0


def open_backend(
    settings: IndexSettings, identity: IndexIdentity, metrics: Metrics, copies: CopyHead | None = None
) -> IndexBackend:
    """The index in `index.directory`, and in a Vald cluster where `index.backend` says so; owned from now on.

    `copies` is the bundle's head of copy vectors, where it has one.

    Raises:
        IndexDirectoryError: the directory is owned by another process, or of another space.
        IndexUnavailable: the cluster does not answer.
        ConfigurationError: it cannot hold vectors of `identity`, or its client is not installed.

    """
    if settings.backend == "ngt":
        return open_ngt_index(settings, identity, metrics, copies)
    with _client_of_vald():
        from worker.index.vald.index import open_vald_index  # noqa: PLC0415
    return open_vald_index(settings, identity, metrics)


def look_at_backend(settings: IndexSettings, dim: int) -> str:
    """What is there for vectors of `dim` dimensions, beside the directory.

    Raises:
        IndexUnavailable, ConfigurationError: as `open_backend`.

    """
    if settings.backend == "ngt":
        return "NGT, in this process"
    with _client_of_vald():
        from worker.index.vald.index import look_at_cluster  # noqa: PLC0415
    return look_at_cluster(settings.vald, dim)


@contextmanager
def _client_of_vald() -> Iterator[None]:
    """Imports of what only a Vald cluster needs: with NGT nobody pays for gRPC."""
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(
            f"index.backend is vald, whose client cannot be imported ({error}): install mekiki[vald]"
        ) from error


def build_index_role(
    name: str,
    settings: Settings,
    metrics: Metrics,
    health: Health,
    embedder: Embedder,
    head: EmbeddingHead,
    limit: Limit,
    preferences: Sequence[str] = (),
    spans: Spans | None = None,
    registry: SchemaRegistry | None = None,
    is_silent: bool = False,
    copies: CopyHead | None = None,
) -> tuple[IndexRole, Searched]:
    """The index role, owner of `index.directory` from now on, and what its searches need.

    `embedder` gives the float32 [dim] vector of an encoded image, from any thread.
    `head` is the bundle's; the settings' own near-duplicate distance wins. `preferences` are what searches
    may order by. The role's `run` closes what is opened here. One that `is_silent` acknowledges nothing.
    `copies` is the bundle's head of copy vectors, where it has one.

    Raises:
        IndexDirectoryError: the directory is owned by another process, or of another space.
        ConfigurationError: librdkafka refuses a property, or the topic is not compacted.
        BrokerError: no broker answers.

    """
    index = settings.index
    identity = IndexIdentity(space=head.space, dim=head.dim, topic=settings.topics.embedded)
    backend = open_backend(index, identity, metrics, copies)
    try:
        group = index_group(index.name)
        # Transactions go by the index's name: a restarted role ends what its killed predecessor left open.
        delivery = create_delivery(settings.kafka, settings.score.delivery, group, limit)
        admin = create_admin(settings.kafka)
        require_compacted(admin, identity.topic, min(settings.kafka.request_timeout, _COMPACTED_SECONDS))
        consumer = create_consumer(
            settings.kafka, {**CONSUMER_PROPERTIES, "group.id": group}, as_they_are=True
        )
    except BaseException:
        backend.close()
        raise
    distance = head.near_duplicate_distance
    if index.near_duplicate_distance is not None:
        distance = index.near_duplicate_distance
    role = IndexRole(
        name=name,
        spans=spans,
        topic=identity.topic,
        consumer=consumer,
        delivery=delivery,
        backend=backend,
        updates=Updates(
            backend,
            settings.topics,
            distance,
            index.near_duplicate_count,
            metrics,
            bytes if registry is None else registry.plain,
            as_json if registry is None else registry.write,
            copies,
        ),
        guard=Guard(
            role=name,
            limit=RejectionLimit(settings.score.rejection_limit),
            give_up_after=settings.kafka.request_timeout,
            condition=WITHIN_LIMIT,
            advice=halt_advice(head.space),
            metrics=metrics,
            health=health,
        ),
        identity=TopicIdentity(admin, identity.topic),
        # What a dead worker's open transaction holds back waits until that is aborted.
        movement=Movement(
            health, MOVING, settings.kafka.request_timeout + settings.kafka.transaction_timeout
        ),
        metrics=metrics,
        health=health,
        request_timeout=settings.kafka.request_timeout,
        limit=limit,
        by_others=Takeover(
            admin,
            lambda other: create_consumer(settings.kafka, {"group.id": other}, as_they_are=True),
            identity.topic,
            INDEX_GROUPS,
            group,
            settings.kafka.request_timeout,
        ),
        is_silent=is_silent,
    )
    attributes = {name: vector.to_array() for name, vector in head.attributes.items()}
    return role, Searched(backend, embedder, role.is_caught_up, attributes, preferences)


def settings_of_next(settings: Settings, chosen: NextIndexSettings) -> Settings:
    """As if the next index, `chosen`, were the current one."""
    index = settings.index
    beside = index.directory.with_name(f"{index.directory.name}-next")
    own = {
        "directory": chosen.directory or beside,
        "name": f"{index.name}-next",
        "vald": chosen.vald or index.vald,
        "next": None,
        "serve": CURRENT,
    }
    return settings.model_copy(
        update={
            "index": index.model_copy(update=own),
            "model": settings.model.model_copy(update={"bundle": chosen.bundle}),
            "topics": settings.topics.model_copy(update={"embedded": chosen.topic}),
        }
    )


def build_serving(
    settings: Settings,
    current: Searched,
    embed_by: Callable[[Bundle], Embedder],
    metrics: Metrics,
    registry: SchemaRegistry | None = None,
) -> tuple[Serving, dict[str, NextIndex]]:
    """Which index answers, and the role of the next one, by its name, where there is to be one.

    `embed_by` gives what embeds images by a bundle. `metrics` are those of the process; the next index has
    its own, which nobody reads, so that the two do not meet.
    """
    serving, chosen = Serving(current, Choice(settings.index.serve)), settings.index.next
    if chosen is None:
        return serving, {}
    beside = settings_of_next(settings, chosen)

    def build() -> tuple[IndexRole, Searched, Filling]:
        bundle = load_bundle(beside.model)
        head = bundle.manifest.embedding
        if head is None or head.space == current.space:
            space = "no embedding" if head is None else f"the space of the current index, {head.space!r}"
            raise ConfigurationError(f"{bundle.id} of index.next.bundle has {space}: nothing is to be built")
        role, searched = build_index_role(
            NEXT_INDEX,
            beside,
            Metrics(CollectorRegistry()),
            Health(settings.http.liveness_timeout, ()),
            embed_by(bundle),
            head,
            unlimited,  # a call that does not return must not end the process that serves
            current.preferences,  # the embedded events that are moved have those of the verdicts
            registry=registry,
            is_silent=True,
            copies=bundle.manifest.copies,
        )
        asking = create_consumer(settings.kafka, {"group.id": reembed_group(chosen.topic)}, as_they_are=True)
        return role, searched, Filling(asking, settings.topics.embedded, chosen.topic, searched.index.offsets)

    return serving, {NEXT_INDEX: NextIndex(build, serving, metrics)}
