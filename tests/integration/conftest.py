"""The Kafka of the integration tests, and everything a test has of its own on it."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.running import Running
from tests.kafka.client import Broker
from tests.kafka.server import KafkaServer, KafkaUnavailable
from tests.network_guard import ALLOWED_NETWORK, NetworkGuard
from worker.settings import Settings
from worker.topics import create_topics

# No threshold but one that holds for a category of its own: what the models think decides nothing here.
POLICY: dict[str, Any] = {"thresholds": {}, "categories": {"always-blocked": {"text": {"block": -1.0}}}}


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """KAFKA_BOOTSTRAP_SERVERS where that is given, else a node of our own. Never skips."""
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield Broker(given)
        return
    with own_server(tmp_path_factory.mktemp("kafka")) as server:
        yield Broker(server.bootstrap)


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A node that the test may stop and kill, whatever broker is given."""
    with own_server(tmp_path_factory.mktemp("own-kafka")) as server:
        yield server


@contextmanager
def own_server(home: Path) -> Iterator[KafkaServer]:
    """A running node; where there can be none, the test fails with what to do."""
    try:
        server = KafkaServer(home)
    except KafkaUnavailable as error:
        pytest.fail(str(error), pytrace=False)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@dataclass(frozen=True)
class Workplace:
    """Topics, groups and folders that belong to one test, and the network that its workers see."""

    broker: Broker
    settings: Settings
    guard: NetworkGuard
    folder: Path

    def changed(self, **sections: dict[str, Any]) -> Settings:
        """The settings with some values of some sections replaced."""
        update = {}
        for name, values in sections.items():
            section = getattr(self.settings, name)
            update[name] = type(section).model_validate({**section.model_dump(), **values})
        return self.settings.model_copy(update=update)

    @contextmanager
    def running(self, *roles: str, settings: Settings | None = None) -> Iterator[Running]:
        """The roles in threads of this process; on leaving, they are stopped and their failures raised."""
        running = Running(settings or self.settings, roles, self.guard)
        try:
            yield running
        finally:
            running.close()


OpenWorkplace = Callable[..., Workplace]


@contextmanager
def workplaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenWorkplace]:
    """Opens workplaces; removes their topics at the end."""
    with ExitStack() as stack:

        def open_workplace(
            broker: Broker, partitions: int = 2, names: dict[str, list[str]] | None = None
        ) -> Workplace:
            settings = _settings(broker.bootstrap, tmp_path_factory.mktemp("workplace"), partitions)
            topics = list(create_topics(settings))
            stack.callback(broker.delete_topics, topics)
            assert settings.fetch.folder is not None
            return Workplace(broker, settings, NetworkGuard(names), settings.fetch.folder)

        yield open_workplace


@pytest.fixture
def workplace(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """A workplace on the session's Kafka, with two partitions."""
    with workplaces(tmp_path_factory) as open_workplace:
        yield open_workplace(kafka)


def _settings(bootstrap: str, home: Path, partitions: int) -> Settings:
    prefix = f"test-{uuid.uuid4().hex[:10]}"
    folder = home / "images"
    folder.mkdir()
    values: dict[str, Any] = {
        "kafka": {
            "bootstrap_servers": bootstrap,
            "group": f"{prefix}-score",
            "transactional_id": prefix,
            "request_timeout": 30,
            "properties": {"log_level": "3"},
            "consumer": {"session.timeout.ms": "6000", "heartbeat.interval.ms": "500"},
        },
        "topics": {
            "uploaded": f"{prefix}.uploaded",
            "moderated": f"{prefix}.moderated",
            "enriched": f"{prefix}.enriched",
            "embedded": f"{prefix}.embedded",
            "dead_letter": f"{prefix}.uploaded.dlq",
            "index_updated": f"{prefix}.index",
            "index_dead_letter": f"{prefix}.embedded.dlq",
            "partitions": partitions,
        },
        "fetch": {
            "folder": folder,
            "schemes": ["https", "http"],
            "allowed_networks": [ALLOWED_NETWORK],
            "timeout": 2,
            "connect_timeout": 1,
            "max_bytes": 2_000_000,
            "retries": 0,
            "threads": 4,
        },
        "model": {"policy": POLICY, "threads": 1},
        "score": {"rejection_limit": {"ratio": 1}},
        "index": {"directory": home / "index", "name": prefix},
        "http": {"port": 0},
    }
    if bundle := os.environ.get("MEKIKI_MODEL__BUNDLE"):
        values["model"]["bundle"] = bundle
    return Settings.model_validate(values)
