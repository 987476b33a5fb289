"""What the chart mounts and sets starts the program, on a real Kafka."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helm.installed import Container, Installed
from tests.kafka.server import KafkaServer

SECRETS = {
    "kafka-credentials": {"client.properties": "# of a test\nclient.id=from-the-secret\nsasl.password=hush\n"}
}


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    server = KafkaServer(tmp_path_factory.mktemp("kafka"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def installed(kafka: KafkaServer, tmp_path: Path) -> Installed:
    """A release on the test's Kafka, with most kinds of settings and a Secret."""
    values: dict[str, Any] = {
        "settings": {
            "kafka": {
                "bootstrap_servers": kafka.bootstrap,
                "properties": {"socket.keepalive.enable": "true"},
                "consumer": {"fetch.min.bytes": "1"},
            },
            "topics": {"partitions": 3, "replication_factor": 1},
            "fetch": {"max_bytes": "30 MB", "allowed_networks": ["10.20.0.0/16"], "timeout": 2.5},
            "model": {"policy": {"thresholds": {"text": {"block": 0.9, "review": 0.8}}}},
            "score": {"max_in_flight_bytes": 512000000, "drain_timeout": 25},
            "index": {"directory": str(tmp_path / "index")},
        },
        "score": {"replicas": 1, "settings": {"model": {"batch_size": 16}}},
        "kafka": {"propertiesSecret": {"name": "kafka-credentials", "key": "client.properties"}},
    }
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps(values), encoding="utf-8")
    return Installed(tmp_path, file, SECRETS)


@pytest.fixture
def topics(installed: Installed) -> None:
    """The hook Job has run."""
    done = installed.container("Job", "shop-mekiki-topics").run()
    assert done.returncode == 0, done.stderr
    assert "listing.image.uploaded.v1" in done.stdout + done.stderr


def checked(container: Container) -> str:
    """What `mekiki check` says of a role's configuration; it must find nothing wrong."""
    check = Container(("check", *container.arguments[1:]), container.environment)
    done = check.run()
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.usefixtures("topics")
@pytest.mark.parametrize(
    ("kind", "name"), [("Deployment", "shop-mekiki-score-cpu"), ("StatefulSet", "shop-mekiki-index")]
)
def test_a_role_starts_with_what_it_is_given(kind: str, name: str, installed: Installed) -> None:
    container = installed.container(kind, name)
    said = checked(container)
    assert "'client.id': 'from-the-secret'" in said
    assert "hush" not in said
    assert "listing.image.uploaded.v1: 3 partitions" in said
    assert container.environment["MEKIKI_KAFKA__TRANSACTIONAL_ID"] == f"mekiki-market-{name}-0"


@pytest.mark.usefixtures("topics")
def test_helm_test_finds_nothing_wrong(installed: Installed) -> None:
    done = installed.container("Pod", "shop-mekiki-test-check").run()
    assert done.returncode == 0, done.stdout + done.stderr


def test_helm_test_finds_a_broker_that_is_not_there(tmp_path: Path) -> None:
    values = {"settings": {"kafka": {"bootstrap_servers": "127.0.0.1:1"}}}
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps(values), encoding="utf-8")
    done = Installed(tmp_path, file).container("Pod", "shop-mekiki-test-check").run()
    assert done.returncode == 1
    assert "127.0.0.1:1 does not answer" in done.stdout + done.stderr
