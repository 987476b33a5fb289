"""Clients as the settings ask for them, and records as the stages see them."""

import logging
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, KafkaError, Message, TopicPartition

from worker.errors import BrokerError, ConfigurationError
from worker.settings import KafkaSettings, load_settings
from worker.stream import kafka
from worker.stream.kafka import (
    UNREADABLE_HEADERS,
    InputRecord,
    OutputRecord,
    Undelivered,
    client_properties,
    create_admin,
    create_consumer,
    create_producer,
    input_record,
    masked,
    produce_all,
    to_the_end,
)
from worker.stream.lag import LOOKING

# librdkafka's own broker, over real sockets.
BROKER = {"bootstrap_servers": "in-process", "properties": {"test.mock.num.brokers": "1", "log_level": "0"}}


def message(**changes: Any) -> Message:
    given = {
        "topic": "uploads",
        "partition": 3,
        "offset": 7,
        "key": b"k",
        "value": b"v",
        "timestamp": (1, 99),
    }
    return Message(**(given | changes))


def test_a_message_as_a_record() -> None:
    found = input_record(message(headers=[("trace", b"1"), ("none", None)]))
    assert found == InputRecord("uploads", 3, 7, b"k", b"v", (("trace", b"1"), ("none", None)), 99)
    assert found.size == 1


def test_a_tombstone_without_key_and_headers() -> None:
    found = input_record(message(key=None, value=None))
    assert (found.key, found.value, found.headers, found.size) == (None, None, (), 0)


def test_headers_that_cannot_be_read_stand_as_such() -> None:
    class Unreadable:
        def __getattr__(self, name: str) -> Any:
            if name == "headers":
                raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
            return getattr(message(), name)

    headers = input_record(Unreadable()).headers  # type: ignore[arg-type]
    assert [name for name, _ in headers] == [UNREADABLE_HEADERS]
    assert b"invalid start byte" in (headers[0][1] or b"")


def test_records_come_back_as_they_were_produced() -> None:
    settings = KafkaSettings.model_validate(BROKER)
    producer, failures = create_producer(settings, {}), []
    brokers = producer.list_topics("uploads", timeout=10).brokers.values()
    servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    records = [
        OutputRecord("uploads", b"a", b"first", (("trace", b"1"), ("none", None))),
        OutputRecord("uploads", b"a", None),
    ]
    produce_all(producer, records, failures)
    assert producer.flush(10) == 0
    assert failures == []
    consumer = create_consumer(
        KafkaSettings(bootstrap_servers=servers),
        {"group.id": "g", "enable.partition.eof": True, "fetch.wait.max.ms": 10},
    )
    partitions = consumer.list_topics("uploads", timeout=10).topics["uploads"].partitions
    consumer.assign([TopicPartition("uploads", number, OFFSET_BEGINNING) for number in partitions])
    found: list[InputRecord] = []
    ended = 0
    while ended < len(partitions):
        came = consumer.poll(10)
        assert came is not None
        if came.error() is None:
            found.append(input_record(came))
        else:
            assert came.error().code() == KafkaError._PARTITION_EOF
            ended += 1
    consumer.close()
    assert [(r.key, r.value) for r in found] == [(b"a", b"first"), (b"a", None)]
    assert found[0].headers == records[0].headers
    assert abs(found[0].timestamp_ms / 1000 - time.time()) < 60


def test_a_record_that_can_never_be_queued_ends_the_worker() -> None:
    producer = create_producer(KafkaSettings(bootstrap_servers="127.0.0.1:9"), {})
    unheard: Any = (("header", object()),)
    with pytest.raises(BrokerError, match="a record of 2000 bytes for uploads"):
        produce_all(producer, [OutputRecord("uploads", None, bytes(2000), unheard)], [])


def test_a_record_that_is_too_large_for_the_client_is_told_and_the_others_are_queued() -> None:
    producer = create_producer(KafkaSettings(bootstrap_servers="127.0.0.1:9"), {"message.max.bytes": 1000})
    failures: list[Undelivered] = []
    large, small = OutputRecord("uploads", None, bytes(2000)), OutputRecord("uploads", None, b"small")
    produce_all(producer, [large, small], failures)
    assert [failed.record for failed in failures] == [large]
    producer.purge()
    assert producer.flush(10) == 0
    assert [failed.record for failed in failures] == [large, small], "the small one was queued"


@pytest.mark.parametrize("text", ["sasl.password", "ok=1\nno separator here"])
def test_a_line_of_it_that_is_no_property_is_named(tmp_path: Any, text: str) -> None:
    file = tmp_path / "client.properties"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=rf"client\.properties:{text.count(chr(10)) + 1}"):
        client_properties(KafkaSettings(properties_file=file))


@pytest.mark.parametrize("name", ["enable.auto.commit", "auto.offset.reset", "group.id"])
def test_consumer_properties_that_recovery_rests_on_are_refused(name: str) -> None:
    settings = load_settings(None, {f"kafka.consumer.{name}": "x"})
    with pytest.raises(ConfigurationError, match=name):
        create_consumer(settings.kafka, {"group.id": "g", "auto.offset.reset": "error"})


def test_producer_properties_that_delivery_rests_on_are_refused() -> None:
    settings = load_settings(None, {"kafka.producer.enable.idempotence": "false"})
    with pytest.raises(ConfigurationError, match=r"enable\.idempotence"):
        create_producer(settings.kafka, {})


def test_secrets_are_masked_and_nothing_else_is() -> None:
    shown = masked(
        {
            "sasl.password": "x",
            "ssl.key.pem": "x",
            "sasl.oauthbearer.client.secret": "x",
            "sasl.oauthbearer.config": "x",
            "sasl.oauthbearer.token.endpoint.url": "https://issuer.example/token",
            "sasl.username": "me",
            "https.proxy": "http://me:x@proxy.example:3128",
        }
    )
    assert shown == {
        "sasl.password": "********",
        "ssl.key.pem": "********",
        "sasl.oauthbearer.client.secret": "********",
        "sasl.oauthbearer.config": "********",
        "sasl.oauthbearer.token.endpoint.url": "https://issuer.example/token",
        "sasl.username": "me",
        "https.proxy": "http://me:********@proxy.example:3128",
    }


def test_a_properties_file_wins_over_properties(tmp_path: Path) -> None:
    secret = tmp_path / "client.properties"
    secret.write_text("# a Secret\nsasl.password = p=1\n\nsecurity.protocol=SSL\n", encoding="utf-8")
    settings = load_settings(
        None, {"kafka.properties_file": str(secret), "kafka.properties.security.protocol": "PLAINTEXT"}
    )
    properties = client_properties(settings.kafka)
    assert properties["sasl.password"] == "p=1"
    assert properties["security.protocol"] == "SSL"


@pytest.mark.parametrize("content", [None, b"no separator\n", b"\xff\xfe"])
def test_a_bad_properties_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    secret = tmp_path / "client.properties"
    if content is not None:
        secret.write_bytes(content)
    settings = load_settings(None, {"kafka.properties_file": str(secret)})
    with pytest.raises(ConfigurationError, match=r"client\.properties|properties_file"):
        client_properties(settings.kafka)


@pytest.mark.parametrize(
    "create",
    [
        lambda settings: create_consumer(settings, {"group.id": "g"}),
        lambda settings: create_producer(settings, {}),
        create_admin,
    ],
)
def test_a_property_that_librdkafka_does_not_know_is_named(create: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.such\.property"):
        create(KafkaSettings(properties={"no.such.property": "1"}))


def test_an_error_is_told_once_in_a_while_and_another_kind_at_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(kafka.time, "monotonic", lambda: now)
    errors = kafka.ClientErrors()
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            errors(KafkaError(KafkaError._TRANSPORT))
        errors(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        now += 10
        errors(KafkaError(KafkaError._TRANSPORT))
    assert len(caplog.records) == 3


@pytest.mark.parametrize("ours", [to_the_end("group"), {**LOOKING, "group.id": "group"}])
@pytest.mark.parametrize("name", ["fetch.wait.max.ms", "queued.min.messages", "queued.max.messages.kbytes"])
def test_an_operators_preference_wins_over_ours(ours, name, monkeypatch):
    given = {}
    monkeypatch.setattr(kafka, "Consumer", given.update)
    create_consumer(KafkaSettings(consumer={name: "77"}), ours)
    assert given[name] == "77"
    assert {**given, **ours, name: "77"} == given
