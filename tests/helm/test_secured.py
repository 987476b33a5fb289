"""Credentials and certificates from Secrets open a real Kafka that asks for both."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helm.installed import Container, Installed
from tests.helm.secured_kafka import PASSWORD, USER, Certificates, SecuredKafkaServer


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def kafka(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[SecuredKafkaServer]:
    server = SecuredKafkaServer(tmp_path_factory.mktemp("kafka"), certificates)
    server.start()
    yield server
    server.stop()


def installed(folder: Path, bootstrap: str, certificates: Certificates, password: str) -> Installed:
    """A release whose Secrets are these."""
    values = {
        "settings": {
            "kafka": {
                "bootstrap_servers": bootstrap,
                "properties": {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"},
            },
            "topics": {"partitions": 2, "replication_factor": 1},
        },
        "kafka": {
            "propertiesSecret": {"name": "kafka-user"},
            "tls": {"secret": "kafka-tls", "clientCertificate": True},
        },
    }
    secrets = {
        "kafka-user": {"kafka.properties": f"sasl.username={USER}\nsasl.password={password}\n"},
        "kafka-tls": {
            "ca.crt": certificates.text("ca.crt"),
            "tls.crt": certificates.text("client.crt"),
            "tls.key": certificates.text("client.key"),
        },
    }
    file = folder / "values.yaml"
    file.write_text(json.dumps(values), encoding="utf-8")
    return Installed(folder, file, secrets)


def test_the_secrets_open_the_broker(
    tmp_path: Path, kafka: SecuredKafkaServer, certificates: Certificates
) -> None:
    release = installed(tmp_path, kafka.bootstrap, certificates, PASSWORD)
    made = release.container("Job", "shop-mekiki-topics").run()
    assert made.returncode == 0, made.stderr
    container = release.container("Deployment", "shop-mekiki-score-cpu")
    done = Container(("check", *container.arguments[1:]), container.environment).run()
    assert done.returncode == 0, done.stdout
    assert "listing.image.uploaded.v1: 2 partitions" in done.stdout
    assert PASSWORD not in done.stderr + done.stdout


def test_a_wrong_password_is_said(
    tmp_path: Path, kafka: SecuredKafkaServer, certificates: Certificates
) -> None:
    release = installed(tmp_path, kafka.bootstrap, certificates, "guessed")
    done = release.container("Pod", "shop-mekiki-test-check").run()
    assert done.returncode == 1
    assert "broker" in done.stdout
    assert "guessed" not in done.stderr + done.stdout
