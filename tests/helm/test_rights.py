"""Every command with exactly the rights that docs/operations.md lists, on a real Kafka that asks for them."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests import events, images
from tests.guarded_worker import GuardedWorker, environment
from tests.helm.chart import REPOSITORY
from tests.kafka.server import KafkaServer
from worker.settings import Settings
from worker.stream.kafka import OutputRecord, create_consumer, create_producer, produce_all
from worker.stream.topics import topics_of

USER, PASSWORD = "mekiki", "hush-hush"
ALL_TOPICS = "each topic"


class GuardedKafka(KafkaServer):
    """The node of the other tests, which lets a user do what is allowed and nothing else."""

    def _configuration(self) -> str:
        module = "org.apache.kafka.common.security.plain.PlainLoginModule"
        guarded = {
            "listener.security.protocol.map": "BROKER:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "listener.name.broker.plain.sasl.jaas.config": (
                f'{module} required username="broker" password="between brokers" '
                f'user_broker="between brokers" user_{USER}="{PASSWORD}";'
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:broker;User:ANONYMOUS",
        }
        return super()._configuration() + "".join(f"{key}={value}\n" for key, value in guarded.items())


def login(user: str, password: str) -> dict[str, str]:
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": user,
        "sasl.password": password,
    }


def documented() -> list[tuple[str, str, set[str]]]:
    """The rows of the table in docs/operations.md: kind, name or prefix*, operations."""
    text = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    table = text[text.index("| resource | name | operations |") :].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return [
        (kind, name, set(re.findall(r"[A-Z]\w+", operations)))
        for kind, names, operations, *_ in rows
        for name in re.findall(r"`([^`]+)`", names) or [ALL_TOPICS]
    ]


def allow(admin: AdminClient, settings: Settings, without: tuple[str, str] | None = None) -> None:
    """Give the user what is documented, but for one operation of one resource."""
    kinds = {
        "topic": ResourceType.TOPIC,
        "group": ResourceType.GROUP,
        "transactional id": ResourceType.TRANSACTIONAL_ID,
    }
    bindings = []
    for kind, name, operations in documented():
        for one in [topic.name for topic in topics_of(settings)] if name == ALL_TOPICS else [name]:
            prefixed = one.endswith("*")
            pattern = ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL
            for operation in operations:
                if (one, operation) == without:
                    continue
                named = re.sub(r"(?<!^)([A-Z])", r"_\1", operation).upper()
                bindings.append(
                    AclBinding(
                        kinds[kind], one.rstrip("*"), pattern, f"User:{USER}", "*", AclOperation[named],
                        AclPermissionType.ALLOW,
                    )
                )  # fmt: skip
    for future in admin.create_acls(bindings).values():
        future.result(30)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedKafka]:
    server = GuardedKafka(tmp_path_factory.mktemp("kafka"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def settings(kafka: GuardedKafka, tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "kafka": {
                "bootstrap_servers": kafka.bootstrap,
                "properties": {**login(USER, PASSWORD), "log_level": 3},
                "request_timeout": 20,
            },
            "topics": {"partitions": 2},
            "index": {"directory": tmp_path / "index"},
            "model": {"policy": {"thresholds": {}}, "threads": 1},
        }
    )


def mekiki(settings: Settings, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.guarded_worker", *arguments],
        capture_output=True, text=True, timeout=90, check=False, env=environment(settings, home / "guard"),
    )  # fmt: skip


def send(settings: Settings, *values: bytes) -> None:
    """Send as the super user: the shop's own right."""
    kafka = settings.kafka.model_copy(update={"properties": login("broker", "between brokers")})
    producer = create_producer(kafka, {})
    produce_all(producer, [OutputRecord(settings.topics.uploaded, b"k", value) for value in values], [])
    assert producer.flush(30) == 0


def count(settings: Settings, topic: str) -> int:
    kafka = settings.kafka.model_copy(update={"properties": login("broker", "between brokers")})
    reader = create_consumer(kafka, {"group.id": "a-test"})
    try:
        ends = [reader.get_watermark_offsets(TopicPartition(topic, n), timeout=20)[1] for n in range(2)]
        return sum(ends)
    finally:
        reader.close()


def test_every_command_works_with_these_rights_and_check_tells_each_that_is_missing(
    kafka: GuardedKafka, settings: Settings, tmp_path: Path
) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, **login("broker", "between brokers")})
    nothing = mekiki(settings, tmp_path, "check")
    assert nothing.returncode == 1
    assert "no right to it" in nothing.stdout
    assert "group mekiki-score: Read is missing" in nothing.stdout
    assert "Write is missing" in nothing.stdout.partition("transactions ")[2]

    allow(admin, settings)
    made = mekiki(settings, tmp_path, "topics", "create")
    assert made.returncode == 0, made.stderr
    checked = mekiki(settings, tmp_path, "check")
    assert checked.returncode == 0, checked.stdout

    image = images.encoded(images.photo(1, 64, 64))
    send(settings, events.uploaded_bytes("good", image).value or b"", b"not json")
    worker = GuardedWorker(["run"], settings, tmp_path / "run.log")
    try:
        worker.wait_until(lambda: count(settings, settings.topics.index_updated) > 0, "the vector", 60)
        worker.wait_until(lambda: count(settings, settings.topics.dead_letter) > 0, "the dead letter", 60)
        assert worker.terminate(40) == 0, worker.tail()
    finally:
        worker.kill()
    replayed = mekiki(settings, tmp_path, "replay")
    assert replayed.returncode == 0, replayed.stderr
    assert "1 events sent back" in replayed.stderr
    again = mekiki(settings, tmp_path, "replay", "--from", "index")
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("name", "operation", "told", "fails"),
    [
        (
            "listing.image.moderated.v1",
            "Write",
            "rights on listing.image.moderated.v1: Write is missing",
            True,
        ),
        ("listing.image.uploaded.v1", "Write", "Only `mekiki replay` needs it", False),
    ],
)
def test_one_missing_right_is_told(
    kafka: GuardedKafka, settings: Settings, tmp_path: Path, name: str, operation: str, told: str, fails: bool
) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, **login("broker", "between brokers")})
    everything = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
    )
    for future in admin.delete_acls([everything]).values():
        future.result(30)
    allow(admin, settings, without=(name, operation))
    mekiki(settings, tmp_path, "topics", "create")
    done = mekiki(settings, tmp_path, "check")
    assert told in done.stdout
    assert (done.returncode == 1) == fails, done.stdout
