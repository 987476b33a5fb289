"""The Kafka of the integration tests, and everything a test has of its own on it."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.kafka.client import Broker
from tests.kafka.server import KafkaServer, KafkaUnavailable
from tests.network_guard import NetworkGuard
from tests.workplace import Workplace, make_settings
from worker.stream.topics import create_topics


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


OpenWorkplace = Callable[..., Workplace]


@contextmanager
def workplaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenWorkplace]:
    """Opens workplaces; removes their topics at the end."""
    with ExitStack() as stack:

        def open_workplace(
            broker: Broker, partitions: int = 2, names: dict[str, list[str]] | None = None
        ) -> Workplace:
            settings = make_settings(broker.bootstrap, tmp_path_factory.mktemp("workplace"), partitions)
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
