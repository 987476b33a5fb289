"""Avro and JSON Schema in and out, by a real Apicurio Registry on a real Kafka: `make test-registry`.

What the worker writes is read by Confluent's own deserializers.
"""

import io
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from schemas.avro_schema import avro_schema
from schemas.events import DELETED, UPLOADED, ImageEmbedded, ImageModerated, ImageUploaded
from tests import events, images
from tests.integration.conftest import kafka as kafka  # noqa: PLC0414 - a fixture
from tests.integration.conftest import workplaces
from tests.kafka.client import Broker, Record, wait_until
from tests.registry.server import Registry
from tests.results import Results, of_key
from tests.workplace import Workplace
from worker.check import check
from worker.errors import ConfigurationError
from worker.settings import Settings
from worker.stream import dead_letter
from worker.stream.kafka import create_consumer, to_the_end
from worker.stream.log_reader import LogReader

WHEN = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)

# A shop's own: bytes of an image, a time as a number, fields of which we know nothing.
SHOP = {
    "type": "record",
    "name": "Upload",
    "namespace": "shop",
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "image_id", "type": "string"},
        {"name": "category", "type": ["null", "string"], "default": None},
        {"name": "uploaded_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {
            "name": "image",
            "type": {
                "type": "record",
                "name": "Image",
                "fields": [
                    {"name": "data", "type": ["null", "bytes"], "default": None},
                    {"name": "path", "type": ["null", "string"], "default": None},
                ],
            },
        },
    ],
}
LATER = {**SHOP, "fields": [*SHOP["fields"], {"name": "price", "type": ["null", "double"], "default": None}]}
DELETION = {
    "type": "record",
    "name": "Deletion",
    "fields": [{"name": name, "type": "string"} for name in ("type", "event_id", "image_id", "deleted_at")],
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    folder = Path(os.environ["MEKIKI_REGISTRY"])
    with Registry(folder, tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def client(registry: Registry) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": registry.url}) as client:
        yield client


@pytest.fixture
def workplace(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    with workplaces(tmp_path_factory) as open_workplace:
        yield open_workplace(kafka)


def with_registry(workplace: Workplace, registry: Registry, **more: Any) -> Settings:
    return workplace.changed(kafka={"schema_registry": {"url": registry.url, **more}})


def framed(number: int, body: bytes) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + body


def avro(schema: Any, value: object) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def upload(image_id: str, **more: Any) -> dict[str, Any]:
    image = {"data": images.jpeg(1)}
    return {"event_id": f"e-{image_id}", "image_id": image_id, "uploaded_at": WHEN, "image": image, **more}


def findings(settings: Settings) -> list[tuple[bool, str]]:
    return [(one.holds, one.detail) for one in check(settings) if one.subject == "schema registry"]


JUDGED = {"first", "later", "ours", "json", "plain", "cloud"}
REFUSED = {"unknown", "damaged", "longer", "none"}


def values_in(client: SchemaRegistryClient, subject: str) -> dict[str, bytes]:
    """Events by image id, of several schemas, and values that are none."""
    first = client.register_schema(subject, Schema(json.dumps(SHOP), "AVRO"))
    later = client.register_schema(subject, Schema(json.dumps(LATER), "AVRO"))
    ours = client.register_schema("ours", Schema(json.dumps(avro_schema(ImageUploaded)), "AVRO"))
    deletion = client.register_schema("deletion", Schema(json.dumps(DELETION), "AVRO"))
    plain = client.register_schema("json", Schema(json.dumps(ImageUploaded.model_json_schema()), "JSON"))
    path = {"path": "a.jpg"}
    known = {"url": None, "path": "a.jpg", "data": None, "object": None}
    gone = {"type": DELETED, "event_id": "e-gone", "image_id": "gone", "deleted_at": WHEN.isoformat()}
    return {
        "first": framed(first, avro(SHOP, upload("first", category="shoes"))),
        "later": framed(later, avro(LATER, upload("later", price=9.5, image=path))),
        "ours": framed(ours, avro(avro_schema(ImageUploaded), upload("ours", type=UPLOADED, image=known))),
        "json": framed(plain, json.dumps(events.upload_body("json", path="a.jpg")).encode()),
        "plain": json.dumps(events.upload_body("plain", path="a.jpg")).encode(),
        "cloud": framed(first, avro(SHOP, upload("cloud", image=path))),
        "gone": framed(deletion, avro(DELETION, gone)),
        "unknown": framed(99_999, avro(SHOP, upload("unknown"))),
        "damaged": framed(first, avro(SHOP, upload("damaged"))[:40]),
        "longer": framed(first, avro(SHOP, upload("longer")) + b"!"),
        "none": framed(first, b""),
    }


def sent(broker: Broker, topic: str, values: dict[str, bytes]) -> None:
    """One of them as a CloudEvent in binary mode."""
    attributes = events.cloud_event_attributes("cloud")
    headers = tuple((f"ce_{name}", value.encode()) for name, value in attributes.items())
    broker.send(
        topic,
        [
            Record(value, name.encode(), headers if name == "cloud" else (), 0)
            for name, value in values.items()
        ],
    )


@pytest.mark.parametrize("output", ["avro", "json_schema"])
def test_events_of_any_schema_come_in_and_results_go_out_by_theirs(
    workplace: Workplace, registry: Registry, client: SchemaRegistryClient, output: str
) -> None:
    settings = with_registry(workplace, registry, output=output)
    topics, broker = settings.topics, workplace.broker
    (workplace.folder / "a.jpg").write_bytes(images.jpeg(2))
    values = values_in(client, f"{topics.uploaded}-value")
    assert all(holds for holds, _ in findings(settings))
    sent(broker, topics.uploaded, values)
    with workplace.running("score", "index", settings=settings) as running:
        broker.wait_until_done(settings.kafka.group, topics.uploaded)
        wait_until(lambda: len(broker.read(topics.index_updated)) >= 7, "the index's acknowledgements")
        assert running.get("/index")[1]["vectors"] == len(JUDGED)
    results = Results.read(broker, topics)

    # By Confluent's own, each by the schema that its value names.
    read: Any = (
        AvroDeserializer(client)
        if output == "avro"
        else JSONDeserializer(None, schema_registry_client=client)
    )

    def bodies(found: list[Record], topic: str) -> dict[str, Any]:
        at = SerializationContext(topic, MessageField.VALUE)
        return {(one.key or b"").decode(): read(one.value, at) for one in found if one.value is not None}

    moderated = bodies(results.moderated, topics.moderated)
    embedded = bodies(results.embedded, topics.embedded)
    enriched = bodies(results.enriched, topics.enriched)
    assert moderated.keys() == JUDGED == enriched.keys() == embedded.keys()
    assert (moderated["first"]["category"], moderated["first"]["decision"]) == ("shoes", "accept")
    time = moderated["later"]["uploaded_at"]
    assert (time if output == "avro" else datetime.fromisoformat(time)) == WHEN
    updates = bodies(broker.read(topics.index_updated), topics.index_updated)
    assert {name for name, one in updates.items() if one["state"] == "searchable"} == JUDGED
    content = {"avro": b"application/avro", "json_schema": b"application/json"}[output]
    assert {record.header("content-type") for record in results.moderated} == {content}

    # A dead letter has its bytes as they came, and says what is wrong.
    assert {(one.key or b"").decode(): one.value for one in results.dead} == {n: values[n] for n in REFUSED}
    assert {one.header(dead_letter.REASON) for one in results.dead} == {b"envelope.invalid"}
    assert b"99999" in (of_key(results.dead, "unknown")[0].header(dead_letter.MESSAGE) or b"")


def test_our_own_commands_read_results_as_json(workplace: Workplace, registry: Registry) -> None:
    settings = with_registry(workplace, registry, output="avro")
    topics = settings.topics
    workplace.broker.send(topics.uploaded, [events.uploaded_bytes("a", images.jpeg(1))])
    with workplace.running("score", settings=settings):
        workplace.broker.wait_until_done(settings.kafka.group, topics.uploaded)
    consumer = create_consumer(settings.kafka, to_the_end(f"{settings.kafka.group}-reads"))
    models = {topics.moderated: ImageModerated, topics.embedded: ImageEmbedded}
    found = {
        message.topic(): models[message.topic() or ""].model_validate_json(message.value() or b"")
        for messages in LogReader(consumer, 30).read(tuple(models))
        for message in messages
    }
    assert {one.image_id for one in found.values()} == {"a"}
    assert found.keys() == models.keys()


def test_an_incompatible_schema_is_told_before_the_first_event(
    workplace: Workplace, registry: Registry, client: SchemaRegistryClient
) -> None:
    settings = with_registry(workplace, registry, output="avro")
    subject = f"{settings.topics.enriched}-value"
    other = {"type": "record", "name": "Other", "fields": [{"name": "needed", "type": "int"}]}
    client.register_schema(subject, Schema(json.dumps(other), "AVRO"))
    client.set_compatibility(subject, "FULL")
    told = findings(settings)
    assert [holds for holds, _ in told].count(False) == 1
    (why,) = (detail for holds, detail in told if not holds)
    assert subject in why
    workplace.broker.send(settings.topics.uploaded, [events.uploaded_bytes("a", images.jpeg(1))])
    with pytest.raises(ConfigurationError), workplace.running("score", settings=settings):
        pass
    assert workplace.broker.read(settings.topics.moderated) == []
    client.set_compatibility(subject, "NONE")
    assert all(holds for holds, _ in findings(settings))


def test_schemas_that_must_be_there_are_looked_up(
    workplace: Workplace, registry: Registry, client: SchemaRegistryClient
) -> None:
    settings = with_registry(workplace, registry, output="avro", register_schemas=False)
    assert not any(holds for holds, _ in findings(settings))
    with pytest.raises(ConfigurationError), workplace.running("index", settings=settings):
        pass
    for name in ("moderated", "enriched", "embedded", "index_updated"):
        topic = getattr(settings.topics, name)
        file = {"index_updated": "listing.index.updated.v1"}.get(name, f"listing.image.{name}.v1")
        text = Path("schemas/avro", f"{file}.avsc").read_text(encoding="utf-8")
        client.register_schema(f"{topic}-value", Schema(text, "AVRO"))
    assert all(holds for holds, _ in findings(settings))
    workplace.broker.send(settings.topics.uploaded, [events.uploaded_bytes("a", images.jpeg(1))])
    with workplace.running("score", settings=settings):
        workplace.broker.wait_until_done(settings.kafka.group, settings.topics.uploaded)
    (verdict,) = workplace.broker.read(settings.topics.moderated)
    assert verdict.value is not None
    assert verdict.value[:1] == b"\0"


def test_a_registry_that_is_away_stops_nothing_that_is_known(
    workplace: Workplace, registry: Registry, client: SchemaRegistryClient
) -> None:
    settings = with_registry(workplace, registry, output="avro")
    first = client.register_schema("away", Schema(json.dumps(SHOP), "AVRO"))
    topic, broker = settings.topics.uploaded, workplace.broker
    value = framed(first, avro(SHOP, upload("a")))
    broker.send(topic, [Record(value, b"a", (), 0)])
    with workplace.running("score", settings=settings):
        broker.wait_until_done(settings.kafka.group, topic)
        registry.stop()
        try:
            broker.send(topic, [Record(framed(first, avro(SHOP, upload("b"))), b"b", (), 0)])
            broker.wait_until_done(settings.kafka.group, topic)
            told = findings(settings)
        finally:
            registry.start()
    assert len(broker.read(settings.topics.moderated)) == 2
    assert [holds for holds, _ in told] == [False] * 4
    assert "does not answer" in told[0][1]
