"""Builds the score role from the settings: the one place where its real parts meet."""

from contextlib import ExitStack
from operator import attrgetter

from worker.fetch.fetch import Fetcher
from worker.health import Health
from worker.metrics import Metrics
from worker.model.bundle import Bundle, load_policy
from worker.model.decoders import create_decoders
from worker.score.compose_pipeline import (
    build_canary,
    build_pipeline,
    build_shadow,
    build_tags,
    build_watched,
    tried_manifests,
    wanted,
)
from worker.score.ledger import Entry
from worker.score.newcomer import refuse_newcomer
from worker.score.parse import Parser
from worker.score.pipeline import Pipeline
from worker.score.publish import Publisher
from worker.score.retries import Retries
from worker.score.review_log import ReviewLog
from worker.score.reviews import Reviews
from worker.score.role import HALT_ADVICE, MOVING, WITHIN_LIMIT, ScoreRole
from worker.score.served import attribution
from worker.settings import KafkaSettings, Settings
from worker.stream.delivery import create_delivery
from worker.stream.guard import Guard, turn_seconds
from worker.stream.kafka import create_admin, create_consumer, to_the_end
from worker.stream.limit import RejectionLimit
from worker.stream.movement import Movement
from worker.stream.record_limits import RecordLimits
from worker.stream.registry import JSON, SchemaRegistry, as_json
from worker.stream.spans import Spans
from worker.stream.topic_identity import TopicIdentity
from worker.stream.unreadable import Unreadable
from worker.watchdog import Limit


def build_score_role(
    name: str,
    settings: Settings,
    bundle: Bundle,
    metrics: Metrics,
    health: Health,
    fetcher: Fetcher,
    stack: ExitStack,
    limit: Limit,
    spans: Spans,
    registry: SchemaRegistry | None = None,
) -> ScoreRole:
    """The score role; `stack` closes its pipeline, the role's `run` its clients.

    Raises:
        ConfigurationError: the policy does not fit the bundle, librdkafka refuses a property, or the group
            is a newcomer to verdicts of others.
        BrokerError: no broker answers.

    """
    policy = load_policy(settings, bundle.manifest)
    decoders = stack.enter_context(create_decoders(settings.decode, note_death=metrics.note_decoder_death))
    if (tags := build_tags(settings.model, bundle, metrics)) is not None:
        stack.enter_context(tags)
    chosen, shadow = settings.model.shadow, None
    decoded = wanted(bundle, list(tried_manifests(settings.model)))
    if chosen is not None:
        shadow = build_shadow(settings, chosen, decoded, metrics, stack)
    pipeline: Pipeline[Entry] = build_pipeline(
        settings,
        bundle,
        policy,
        metrics,
        fetcher,
        decoders,
        is_wanted=attrgetter("is_ours"),
        parks=settings.fetch.retry_for > 0,
        tags=tags,
        spans=spans,
        record=attrgetter("record"),
        decoded=decoded,
        shadow=shadow,
        watched=build_watched(settings, bundle, policy, decoded, metrics, stack),
        canary=build_canary(settings, bundle, decoded, metrics),
    )
    limits = RecordLimits((settings.topics.dead_letter, settings.topics.retry))
    topics, admin = settings.topics, create_admin(settings.kafka)
    consumer = create_consumer(
        settings.kafka, {"group.id": settings.kafka.group, "enable.partition.eof": True}, as_they_are=True
    )
    if not settings.score.judge_again:
        refuse_newcomer(admin, consumer, settings.kafka.group, topics.uploaded, topics.moderated)
    unreadable = Unreadable(name, metrics, health)
    return ScoreRole(
        name=name,
        consumer=consumer,
        topic=settings.topics.uploaded,
        pipeline=stack.enter_context(pipeline),
        parse=Parser(
            settings.fetch.asked_at,
            int(settings.score.max_event_bytes),
            None if registry is None else registry.plain,
        ),
        publish=Publisher(
            settings.topics,
            attribution(bundle, policy),
            limits,
            as_json if registry is None else registry.write,
            JSON if registry is None else registry.content_type,
        ),
        delivery=create_delivery(
            settings.kafka,
            settings.score.delivery,
            f"{settings.kafka.transactional_id}-{name}",
            limit,
            limits,
            in_group=True,
        ),
        guard=Guard(
            role=name,
            limit=RejectionLimit(settings.score.rejection_limit),
            give_up_after=settings.kafka.request_timeout,
            condition=WITHIN_LIMIT,
            advice=HALT_ADVICE,
            metrics=metrics,
            health=health,
        ),
        reviews=Reviews(_log(settings.kafka, settings.topics.reviews, "reviews", health)),
        movement=Movement(health, MOVING, settings.kafka.request_timeout),
        retries=Retries(
            _log(settings.kafka, settings.topics.retry, "retries", health),
            create_consumer(
                settings.kafka, {"group.id": f"{settings.kafka.group}-retries"}, as_they_are=True
            ),
            settings.topics.retry,
            retry_for=settings.fetch.retry_for,
            timeout=settings.kafka.request_timeout,
            metrics=metrics,
            unreadable=unreadable,
            limits=limits,
            recovered=pipeline.recovered,
        ),
        unreadable=unreadable,
        identity=TopicIdentity(admin, settings.topics.uploaded),
        settings=settings.score,
        limit=limit,
        spans=spans,
        turn_seconds=turn_seconds(settings.kafka.request_timeout),
        metrics=metrics,
        health=health,
    )


def _log(kafka: KafkaSettings, topic: str, reader: str, health: Health) -> ReviewLog:
    """What is read back of `topic` before partitions are taken; `reader` is the end of its group's name."""
    return ReviewLog(
        create_consumer(kafka, to_the_end(f"{kafka.group}-{reader}"), as_they_are=True),
        topic,
        kafka.request_timeout + kafka.transaction_timeout,
        health.beat,
    )
