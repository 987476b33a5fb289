"""The composition root: the one place that builds the real parts and joins them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Protocol, TypeVar

import numpy as np
from fastapi import APIRouter
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from schemas.events import ImageReference
from schemas.policy import Policy
from worker.fetch.fetch import Fetcher
from worker.health import CombinedHealth, Health
from worker.http import HttpServer, create_app
from worker.index.compose import build_index_role
from worker.index.role import CAUGHT_UP
from worker.metrics import Metrics
from worker.model.bundle import Bundle, load_bundle, load_policy
from worker.model.decode import DecodedImage, ImageLimits
from worker.model.decoders import DecoderLimits, DecoderPool, cores
from worker.model.room import MAX_PIXEL_BYTES
from worker.score.codes import CodeReader
from worker.score.judge import Judge
from worker.score.ledger import Entry
from worker.score.parse import Parser
from worker.score.pipeline import Pipeline
from worker.score.prepare import Preparer
from worker.score.publish import Publisher
from worker.score.role import ASSIGNED, ScoreRole
from worker.settings import DecodeSettings, FetchSettings, Settings
from worker.stream.delivery import create_delivery
from worker.stream.kafka import create_consumer
from worker.stream.limit import RejectionLimit

Fetch = Callable[[ImageReference], bytes]
Decode = Callable[..., DecodedImage]
BuildFetcher = Callable[[FetchSettings], Fetcher]
Ticket = TypeVar("Ticket")


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


def create_metrics(role: str, bundle: Bundle) -> Metrics:
    """Metrics on a registry of their own, with those of the process and the interpreter."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    metrics = Metrics(registry)
    metrics.build_info.labels(role, version("mekiki"), bundle.id, bundle.model.provider).set(1)
    return metrics


def image_limits(settings: DecodeSettings) -> ImageLimits:
    """What an image may be."""
    return ImageLimits(settings.max_pixels, settings.max_frames, settings.min_side)


def create_decoders(settings: DecodeSettings, processes: int | None = None) -> DecoderPool:
    """The children that decode, of which the settings say how many unless `processes` does."""
    return DecoderPool(
        processes or settings.processes or cores(),
        DecoderLimits(
            cpu_seconds=settings.cpu_seconds,
            wall_seconds=settings.timeout,
            room=settings.max_pixels * MAX_PIXEL_BYTES,
            address_space=settings.max_pixels * MAX_PIXEL_BYTES * 2,
        ),
    )


def build_pipeline(
    settings: Settings, bundle: Bundle, policy: Policy, metrics: Metrics, fetch: Fetch, decode: Decode
) -> Pipeline[Ticket]:
    """The stages from parse to decide.

    Raises:
        ConfigurationError: codes shall be read, and the library for it is not installed.

    """
    read_codes = None
    if settings.codes.enabled:
        read_codes = CodeReader(settings.codes)
        for name in settings.codes.formats:
            metrics.codes_read.labels(name)  # shown from the start, as 0
    return Pipeline(
        Preparer(fetch, bundle.manifest.input, image_limits(settings.decode), metrics, decode, read_codes),
        Judge(bundle, policy, metrics),
        threads=settings.fetch.threads,
        batch_size=settings.model.batch_size,
        batch_wait=settings.model.batch_wait,
    )


def _score_role(
    settings: Settings, bundle: Bundle, metrics: Metrics, health: Health, fetch: Fetch, stack: ExitStack
) -> ScoreRole:
    policy = load_policy(settings, bundle.manifest)
    decoders = stack.enter_context(create_decoders(settings.decode))
    pipeline: Pipeline[Entry] = build_pipeline(settings, bundle, policy, metrics, fetch, decoders.decode)
    return ScoreRole(
        consumer=create_consumer(settings.kafka, {"group.id": settings.kafka.group}),
        topic=settings.topics.uploaded,
        pipeline=stack.enter_context(pipeline),
        parse=Parser(settings.fetch.object_url),
        publish=Publisher(settings.topics, bundle.id, bundle.manifest.embedding.space, policy),
        delivery=create_delivery(
            settings.kafka, settings.score.delivery, f"{settings.kafka.transactional_id}-score"
        ),
        limit=RejectionLimit(settings.score.rejection_limit),
        settings=settings.score,
        give_up_after=settings.kafka.request_timeout,
        metrics=metrics,
        health=health,
    )


def _embed(bundle: Bundle, limits: ImageLimits, decode: Decode, data: bytes) -> NDArray[np.float32]:
    """The float32 vector [dim] of image bytes."""
    size = bundle.manifest.input
    pixels = decode(data, size.height, size.width, limits).pixels
    embeddings = bundle.model.infer(pixels[np.newaxis]).embeddings
    return np.asarray(embeddings[0])


def _ready(health: Health) -> float:
    """The value of mekiki_health_ready_ratio."""
    return float(health.ready()[0])


@contextmanager
def compose(settings: Settings, names: tuple[str, ...], build_fetcher: BuildFetcher) -> Iterator[Process]:
    """The roles `names` ("score", "index") and their HTTP server, ready to run.

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
        if "score" in names:
            fetcher = stack.enter_context(build_fetcher(settings.fetch))
            health = healths["score"] = Health(settings.http.liveness_timeout, (ASSIGNED,))
            roles["score"] = _score_role(settings, bundle, metrics, health, fetcher.fetch, stack)
        if "index" in names:
            health = healths["index"] = Health(settings.http.liveness_timeout, (CAUGHT_UP,))
            # Searches have a child of their own: a backlog of uploads does not make them wait.
            decoders = stack.enter_context(create_decoders(settings.decode, processes=1))
            embedder = partial(_embed, bundle, image_limits(settings.decode), decoders.decode)
            roles["index"], router = build_index_role(
                settings, metrics, health, embedder, head.space, head.dim, head.near_duplicate_distance
            )
            routers.append(router)
        for name, health in healths.items():
            metrics.health_ready.labels(name).set_function(partial(_ready, health))
            metrics.commit_outcomes.labels(name)  # shown from the start, as 0
            metrics.commit_last.labels(name)
        app = create_app(CombinedHealth(healths), metrics.registry, routers)
        server = stack.enter_context(HttpServer(app, settings.http.host, settings.http.port))
        yield Process(roles, server.port)
