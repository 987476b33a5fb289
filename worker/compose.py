"""The composition root of a process: its roles, what they share, and its HTTP server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Protocol

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from starlette.types import ASGIApp

from worker.door import Door, DoorLimits, Keys
from worker.errors import ConfigurationError
from worker.fetch.fetch import Fetcher
from worker.health import CombinedHealth, Health
from worker.http import HttpServer, create_app
from worker.index.compose import build_index_role, build_serving, settings_of_next
from worker.index.role import CAUGHT_UP
from worker.index.role import MOVING as INDEX_MOVING
from worker.index.search_api import create_search_router
from worker.index.serving import Embedder
from worker.metrics import Metrics
from worker.model.bundle import Bundle, load_bundle
from worker.model.decoders import create_decoders, image_limits
from worker.model.embed import embed
from worker.role_names import INDEX, NEXT_INDEX, SCORE
from worker.score.compose import build_score_role
from worker.score.role import ASSIGNED, MOVING
from worker.settings import FetchSettings, HttpSettings, KafkaSettings, Settings, index_group
from worker.stream.kafka import create_admin, create_consumer
from worker.stream.lag import ASKING, LOOKING, LagProbe
from worker.stream.registry import create_registry, written_by_index, written_by_score
from worker.stream.spans import create_spans
from worker.watchdog import GRACE, Watchdog

BuildFetcher = Callable[[FetchSettings], Fetcher]


class Role(Protocol):
    """A role of a process."""

    def run(self) -> None:
        """Work until `stop`; raises a MekikiError on failure."""

    def stop(self) -> None:
        """Make `run` return. Safe in a signal handler."""


@dataclass(frozen=True)
class Process:
    """The roles of one process, by name, and the port of their HTTP server."""

    roles: dict[str, Role]
    port: int
    watchdog: Watchdog
    drain_seconds: float

    def end_in_time(self) -> None:
        """From now on the process is gone within its grace period, whatever it is stuck in."""
        self.watchdog.end_within("stopping", self.drain_seconds + GRACE)


def create_metrics(role: str, bundle: Bundle) -> Metrics:
    """Metrics on a registry of their own, with those of the process and the interpreter."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    metrics = Metrics(registry)
    metrics.set_build(role, version("mekiki"), bundle.id, bundle.model.provider)
    return metrics


def create_door(http: HttpSettings) -> Callable[[ASGIApp], ASGIApp]:
    """The door of the HTTP server: see worker.door.

    Raises:
        ConfigurationError: http.keys_file has no good key.

    """
    limits = DoorLimits(
        body=int(http.max_body_bytes),
        memory=int(http.max_memory),
        body_seconds=http.body_timeout,
        hosts=frozenset(name.lower() for name in http.allowed_hosts),
    )
    keys = None if http.keys_file is None else Keys(http.keys_file)
    return lambda app: Door(app, limits, keys)


def _ready(health: Health) -> float:
    """The value of mekiki_health_ready_ratio."""
    return float(health.ready()[0])


def _groups(settings: Settings) -> dict[str, tuple[str, str]]:
    """The topic that each role reads, and the group that holds how far it is."""
    groups = {
        SCORE: (settings.topics.uploaded, settings.kafka.group),
        INDEX: (settings.topics.embedded, index_group(settings.index.name)),
    }
    if settings.index.next is not None:
        beside = settings_of_next(settings, settings.index.next)
        groups[NEXT_INDEX] = (beside.topics.embedded, index_group(beside.index.name))
    return groups


def create_lag_probe(kafka: KafkaSettings, topic: str, group: str, metrics: Metrics) -> LagProbe:
    """The probe with clients of its own, which it closes."""
    asking = kafka.model_copy(update={"consumer": {**kafka.consumer, **ASKING}})
    return LagProbe(
        create_admin(kafka),
        create_consumer(kafka, {**LOOKING, "group.id": group}, as_they_are=True),
        create_consumer(asking, {"group.id": group}, as_they_are=True),
        topic,
        group,
        metrics,
    )


@contextmanager
def compose(
    settings: Settings, names: tuple[str, ...], build_fetcher: BuildFetcher, watchdog: Watchdog
) -> Iterator[Process]:
    """The roles `names` (see role_names) and their HTTP server, ready to run.

    What may block is limited by `watchdog`, once that is entered.

    Raises:
        MekikiError: the settings, the bundle, the index directory or the broker are not fit for it.

    """
    bundle = load_bundle(settings.model)
    metrics = create_metrics("+".join(names), bundle)
    head = bundle.manifest.embedding
    roles: dict[str, Role] = {}
    healths: dict[str, Health] = {}
    routers: list[APIRouter] = []
    with ExitStack() as stack:
        spans = create_spans(settings.otel, "+".join(names))
        stack.callback(spans.close)
        registry = create_registry(settings.kafka.schema_registry, settings.kafka.request_timeout)
        if registry is not None:
            stack.callback(registry.close)
            if SCORE in names:
                registry.prepare(written_by_score(settings.topics))
            if INDEX in names:
                registry.prepare(written_by_index(settings.topics))
        if SCORE in names:
            fetcher = stack.enter_context(build_fetcher(settings.fetch))
            health = healths[SCORE] = Health(settings.http.liveness_timeout, (ASSIGNED, MOVING))
            roles[SCORE] = build_score_role(
                SCORE, settings, bundle, metrics, health, fetcher, stack, watchdog.limit, spans, registry
            )
        if INDEX in names:
            if head is None:
                raise ConfigurationError(
                    f"the bundle {bundle.id} has no embedding, so that there is nothing to index: run "
                    "`mekiki score` alone, or set model.bundle to a bundle with an embedding"
                )
            health = healths[INDEX] = Health(settings.http.liveness_timeout, (CAUGHT_UP, INDEX_MOVING))
            # Searches have a child of their own: a backlog of uploads does not make them wait.
            decoders = stack.enter_context(create_decoders(settings.decode, 1, metrics.note_decoder_death))

            def embed_by(any_bundle: Bundle) -> Embedder:
                return partial(embed, any_bundle, image_limits(settings.decode), decoders.decode)

            roles[INDEX], current = build_index_role(
                INDEX,
                settings,
                metrics,
                health,
                embed_by(bundle),
                head,
                watchdog.limit,
                [score.name for score in bundle.manifest.scores if score.kind == "preference"],
                spans,
                registry,
                copies=bundle.manifest.copies,
            )
            serving, beside = build_serving(settings, current, embed_by, metrics, registry)
            roles |= beside
            most = settings.http.max_body_bytes, settings.http.image_searches
            routers.append(create_search_router(serving, metrics, *most))
        for name, health in healths.items():
            metrics.health_ready.labels(name).set_function(partial(_ready, health))
            metrics.commit_outcomes.labels(name)  # shown from the start, as 0
            metrics.commit_last.labels(name)
        groups = _groups(settings)
        for name in roles:
            topic, group = groups[name]
            stack.enter_context(create_lag_probe(settings.kafka, topic, group, metrics))
        http = settings.http
        app = create_app(
            CombinedHealth(healths),
            metrics.registry,
            routers,
            create_door(http),
            with_exemplars=settings.otel.endpoint is not None,
        )
        server = stack.enter_context(HttpServer(app, http.host, http.port, http.max_connections))
        yield Process(roles, server.port, watchdog, settings.score.drain_timeout)
