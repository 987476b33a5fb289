"""`mekiki reembed`: the loop of worker/reembed joined with the score role's stages, and its health."""

import logging
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from schemas.policy import Policy
from worker.compose import BuildFetcher, create_lag_probe, create_metrics
from worker.errors import ConfigurationError
from worker.fetch.fetch import build_fetcher
from worker.health import Health
from worker.http import HttpServer, create_app
from worker.index.compose import settings_of_next
from worker.metrics import Metrics
from worker.model.bundle import Bundle, load_bundle
from worker.model.decoders import create_decoders
from worker.reembed.role import ASSIGNED, Moving, Reembed, ReembedLimits
from worker.reembed.target import Target
from worker.reembed.uploads import PROPERTIES, Uploads
from worker.role_names import REEMBED
from worker.roles import run_until_stopped
from worker.score.compose_pipeline import build_pipeline
from worker.score.parse import Parser
from worker.score.pipeline import Pipeline
from worker.settings import RejectionLimitSettings, Settings, reembed_group
from worker.stream.delivery import create_delivery
from worker.stream.guard import Guard
from worker.stream.kafka import create_admin, create_consumer, to_the_end
from worker.stream.limit import RejectionLimit
from worker.stream.registry import SchemaRegistry, as_json, create_registry, written_by_score
from worker.stream.topics import require_compacted

logger = logging.getLogger(__name__)

# Batches of the model that go together.
_BATCHES = 2
_COMPACTED_SECONDS = 10.0


@dataclass(frozen=True)
class Reembedding:
    """The loop, and the port of its HTTP server."""

    role: Reembed
    port: int


@contextmanager
def compose_reembed(settings: Settings, build: BuildFetcher = build_fetcher) -> Iterator[Reembedding]:
    """What `mekiki reembed` runs.

    Raises:
        ConfigurationError: there is no next index, its bundle has no embedding, its topic is not compacted.
        BundleError: its bundle does not run.
        BrokerError: no broker answers.

    """
    chosen = settings.index.next
    if chosen is None:
        raise ConfigurationError("set index.next: its bundle, and the topic that is to be filled by it")
    beside = settings_of_next(settings, chosen)
    bundle = load_bundle(beside.model)
    group = reembed_group(chosen.topic)
    health = Health(settings.http.liveness_timeout, (ASSIGNED,))
    metrics = create_metrics(REEMBED, bundle)
    with ExitStack() as stack:
        registry = create_registry(settings.kafka.schema_registry, settings.kafka.request_timeout)
        if registry is not None:
            stack.callback(registry.close)
            registry.prepare(written_by_score(beside.topics))
        require_compacted(create_admin(settings.kafka), chosen.topic, _COMPACTED_SECONDS)
        role = Reembed(
            consumer=create_consumer(settings.kafka, {"group.id": group, "enable.partition.eof": True}),
            topic=settings.topics.embedded,
            delivery=create_delivery(
                settings.kafka, settings.score.delivery, f"{settings.kafka.transactional_id}-{REEMBED}"
            ),
            pipeline=_pipeline(beside, bundle, metrics, build, stack),
            references=_uploads(settings, group, stack).references,
            target=_target(bundle, chosen.topic, registry),
            limits=ReembedLimits(_BATCHES * settings.model.batch_size, chosen.images_per_second),
            guard=Guard(
                role=REEMBED,
                limit=RejectionLimit(RejectionLimitSettings(ratio=1)),
                give_up_after=settings.kafka.request_timeout,
                condition=ASSIGNED,
                advice="",
                metrics=metrics,
                health=health,
            ),
            metrics=metrics,
            health=health,
        )
        metrics.health_ready.labels(REEMBED).set_function(lambda: float(health.ready()[0]))
        stack.enter_context(create_lag_probe(settings.kafka, settings.topics.embedded, group, metrics))
        app = create_app(health, metrics.registry)
        server = stack.enter_context(HttpServer(app, settings.http.host, settings.http.port))
        yield Reembedding(role, server.port)


def _target(bundle: Bundle, topic: str, registry: SchemaRegistry | None) -> Target:
    head, copies = bundle.manifest.embedding, bundle.manifest.copies
    if head is None:
        raise ConfigurationError(
            f"{bundle.id} of index.next.bundle has no embedding: there is nothing to fill in"
        )
    write = as_json if registry is None else registry.write
    return Target(topic, head.space, bundle.id, write, None if copies is None else copies.space)


def _pipeline(
    settings: Settings, bundle: Bundle, metrics: Metrics, build: BuildFetcher, stack: ExitStack
) -> Pipeline[Moving]:
    """The stages of the score role with `bundle` alone: what it would decide is nobody's concern."""
    alone = {"shadow": None, "canary": None, "tags": None, "bundle_interval": 0.0}
    settings = settings.model_copy(
        update={
            "model": settings.model.model_copy(update=alone),
            "codes": settings.codes.model_copy(update={"enabled": False}),
        }
    )
    fetcher = stack.enter_context(build(settings.fetch))
    decoders = stack.enter_context(create_decoders(settings.decode, note_death=metrics.note_decoder_death))
    pipeline: Pipeline[Moving] = build_pipeline(
        settings, bundle, Policy(thresholds={}), metrics, fetcher, decoders, parks=True
    )
    return stack.enter_context(pipeline)


def _uploads(settings: Settings, group: str, stack: ExitStack) -> Uploads:
    consumer = create_consumer(settings.kafka, {**to_the_end(f"{group}-uploads"), **PROPERTIES})
    stack.callback(consumer.close)
    return Uploads(consumer, Parser(settings.fetch.asked_at), settings.kafka.request_timeout)


def run_reembed(settings: Settings) -> None:
    """Fill the topic of the next index until SIGTERM or SIGINT.

    Raises:
        MekikiError: the settings are wrong, Kafka failed, or a stage did.

    """
    with compose_reembed(settings) as reembedding:

        def stop(*_: object) -> None:
            reembedding.role.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        logger.info("re-embedding, http on port %d", reembedding.port)
        run_until_stopped({REEMBED: reembedding.role})
    logger.info("stopped")
