"""`mekiki webhooks`: one loop a receiver, joined with the score role's parser, and their health over HTTP."""

import hashlib
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry

from schemas.events import ImageReference, InputPosition
from worker.compose import Role
from worker.errors import ConfigurationError
from worker.health import CombinedHealth, Health
from worker.http import HttpServer, create_app
from worker.metrics import Metrics
from worker.review.image_log import reference_in
from worker.roles import run_until_stopped
from worker.score.parse import Parser
from worker.settings import Settings
from worker.stream.kafka import create_consumer, to_the_end
from worker.stream.log_reader import LogReader
from worker.webhooks.message import Teller
from worker.webhooks.role import Webhook
from worker.webhooks.send import Sender
from worker.webhooks.signature import read_secrets

logger = logging.getLogger(__name__)

WEBHOOKS = "webhooks"


@dataclass(frozen=True)
class Webhooks:
    """A loop for each receiver, by name, and the port of their HTTP server."""

    roles: dict[str, Role]
    port: int


def group_of(settings: Settings, url: str) -> str:
    """The consumer group of a receiver: its place in the log, by its URL."""
    return f"{settings.kafka.group}-webhooks-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def _finder(settings: Settings, stack: ExitStack) -> Callable[[InputPosition], ImageReference | None]:
    consumer = create_consumer(settings.kafka, to_the_end(f"{settings.kafka.group}-webhooks"))
    stack.callback(consumer.close)
    reader, parse = LogReader(consumer, settings.kafka.request_timeout), Parser(settings.fetch.asked_at)

    def find(place: InputPosition) -> ImageReference | None:
        record = reader.record_at(place.topic, place.partition, place.offset)
        return None if record is None else reference_in(record, place.entry, parse)

    return find


@contextmanager
def compose_webhooks(settings: Settings) -> Iterator[Webhooks]:
    """What `mekiki webhooks` runs.

    Raises:
        ConfigurationError: the settings are not fit for it.

    """
    mine = settings.webhooks
    if not mine.urls or mine.secret_file is None:
        raise ConfigurationError("set webhooks.urls and webhooks.secret_file: there is nobody to tell")
    secrets = read_secrets(mine.secret_file)
    metrics = Metrics(CollectorRegistry())
    healths: dict[str, Health] = {}
    roles: dict[str, Role] = {}
    with ExitStack() as stack:
        for number, url in enumerate(mine.urls):
            name = f"receiver {number}"
            healths[name] = Health(settings.http.liveness_timeout, ())
            sender = Sender(url, secrets, mine.timeout)
            stack.callback(sender.close)
            begin = {"group.id": group_of(settings, url), "auto.offset.reset": mine.begin}
            roles[name] = Webhook(
                name,
                create_consumer(settings.kafka, begin),
                settings.topics.moderated,
                Teller(mine.decisions, _finder(settings, stack), settings.console.url),
                sender,
                healths[name],
                metrics,
                mine.pause,
            )
        health = CombinedHealth(healths)
        metrics.health_ready.labels(WEBHOOKS).set_function(partial(_ready, health))
        app = create_app(health, metrics.registry)
        server = stack.enter_context(HttpServer(app, settings.http.host, settings.http.port))
        yield Webhooks(roles, server.port)


def _ready(health: CombinedHealth) -> float:
    return float(health.ready()[0])


def run_webhooks(settings: Settings) -> None:
    """Post until SIGTERM or SIGINT.

    Raises:
        MekikiError: the settings are wrong, or Kafka failed.

    """
    with compose_webhooks(settings) as webhooks:

        def stop(*_: object) -> None:
            for role in webhooks.roles.values():
                role.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        logger.info("telling %d receivers, http on port %d", len(webhooks.roles), webhooks.port)
        run_until_stopped(webhooks.roles)
    logger.info("stopped")
