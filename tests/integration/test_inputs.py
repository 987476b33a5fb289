"""Every input of tests/inputs.py, each between two good events, through one worker on a real Kafka."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from schemas.events import (
    EMBEDDED,
    ENRICHED,
    MODERATED,
    ImageEmbedded,
    ImageEnriched,
    ImageModerated,
    derived_event_id,
)
from tests import events, images, inputs
from tests.integration.conftest import workplaces
from tests.kafka.client import Broker, Record
from tests.results import Results, body, of_key, place_of_dead_letter, place_of_result, places
from tests.workplace import Workplace
from worker.stream import dead_letter

HEADER = ("trace", b"\x00\xffabc")
KINDS = {"bad": {name: make for name, (_, make) in inputs.BAD.items()}, "good": inputs.GOOD}


@dataclass(frozen=True)
class Judged:
    """What was sent, by image id and with its place in the log, and all that came out."""

    workplace: Workplace
    sent: dict[str, Record]
    results: Results


@pytest.fixture(scope="module")
def judged(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    with workplaces(tmp_path_factory) as open_workplace:
        workplace = open_workplace(kafka, names=inputs.NAMES)
        with inputs.world(workplace.folder) as world:
            sent = send(workplace, world)
            with workplace.running("score"):
                kafka.wait_until_done(workplace.settings.kafka.group, workplace.settings.topics.uploaded, 90)
            yield Judged(workplace, sent, Results.read(kafka, workplace.settings.topics))


def send(workplace: Workplace, world: inputs.World) -> dict[str, Record]:
    """Each case between two plain good events on one partition, the cases over all partitions in turn."""
    records: list[tuple[str, Record]] = []
    for number, (kind, name, make) in enumerate(
        (kind, name, make) for kind, cases in KINDS.items() for name, make in cases.items()
    ):
        image_id = f"{kind}: {name}"
        case = make(image_id, world)
        for record_id, record in (
            (f"before {image_id}", events.uploaded(f"before {image_id}", path="png.jpg")),
            (image_id, replace(case, headers=(*case.headers, HEADER))),
            (f"after {image_id}", events.uploaded(f"after {image_id}", path="webp.jpg")),
        ):
            records.append((record_id, replace(record, partition=number % 2)))
    placed: dict[str, Record] = {}
    for partition in (0, 1):
        ours = [(record_id, record) for record_id, record in records if record.partition == partition]
        sent = workplace.broker.send(workplace.settings.topics.uploaded, [record for _, record in ours])
        placed |= {record_id: record for (record_id, _), record in zip(ours, sent, strict=True)}
    return placed


@pytest.mark.parametrize("name", inputs.BAD)
def test_a_bad_event_is_in_the_dead_letter_topic_once_as_it_came(judged: Judged, name: str) -> None:
    reason, _ = inputs.BAD[name]
    original = judged.sent[f"bad: {name}"]
    found = [
        dead
        for dead in judged.results.dead
        if place_of_dead_letter(dead) == (original.partition, original.offset)
    ]
    assert len(found) == 1
    dead = found[0]
    assert dead.header(dead_letter.REASON) == reason.encode(), dead.header(dead_letter.MESSAGE)
    assert dead.value == original.value
    assert dead.key == original.key
    assert dead.headers[: len(original.headers)] == original.headers
    assert dead.timestamp_ms >= original.timestamp_ms
    assert dead.header(dead_letter.TIMESTAMP) == str(original.timestamp_ms).encode()
    assert dead.header("__streams.errors.topic") == judged.workplace.settings.topics.uploaded.encode()
    assert dead.header("__streams.errors.exception") == b"Rejection"
    assert dead.header("__streams.errors.message")
    for results in (judged.results.moderated, judged.results.enriched, judged.results.embedded):
        assert of_key(results, f"bad: {name}") == []


@pytest.mark.parametrize("name", inputs.GOOD)
def test_an_odd_but_good_event_has_one_result_on_each_topic(judged: Judged, name: str) -> None:
    image_id = f"good: {name}"
    (moderated,), (enriched,), (embedded,) = (
        of_key(results, image_id)
        for results in (judged.results.moderated, judged.results.enriched, judged.results.embedded)
    )
    assert moderated.value
    assert enriched.value
    assert embedded.value
    verdict = ImageModerated.model_validate_json(moderated.value)
    assert verdict.decision == "accept"
    assert verdict.image_id == image_id
    original = judged.sent[image_id]
    assert (verdict.input.partition, verdict.input.offset) == (original.partition, original.offset)
    assert ImageEnriched.model_validate_json(enriched.value).image_sha256 == verdict.image_sha256
    vector = ImageEmbedded.model_validate_json(embedded.value).vector.to_array()
    assert float(vector @ vector) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("image_id", [f"{kind}: {name}" for kind, cases in KINDS.items() for name in cases])
def test_the_events_around_it_are_unaffected(judged: Judged, image_id: str) -> None:
    for neighbour in (f"before {image_id}", f"after {image_id}"):
        for results in (judged.results.moderated, judged.results.enriched, judged.results.embedded):
            assert len(of_key(results, neighbour)) == 1, neighbour


def test_there_is_one_outcome_for_each_event_and_no_other(judged: Judged) -> None:
    everything = dict.fromkeys(places(judged.sent.values()), 1)
    dead = Counter(map(place_of_dead_letter, judged.results.dead))
    assert judged.results.outcomes() == everything
    for results in (judged.results.enriched, judged.results.embedded):
        assert Counter(map(place_of_result, results)) + dead == everything


def test_no_connection_was_tried_to_any_forbidden_address(judged: Judged) -> None:
    assert judged.workplace.guard.refused == []
    assert judged.workplace.guard.connected


def test_every_result_names_its_event_its_bundle_and_the_bytes_it_judged(judged: Judged) -> None:
    image_id = "good: inline jpeg"
    (moderated,), (enriched,), (embedded,) = (
        of_key(results, image_id)
        for results in (judged.results.moderated, judged.results.enriched, judged.results.embedded)
    )
    results = [body(record) for record in (moderated, enriched, embedded)]
    original = judged.sent[image_id]
    data = images.jpeg(sum(image_id.encode()))
    for result, kind in zip(results, (MODERATED, ENRICHED, EMBEDDED), strict=True):
        assert result["type"] == kind
        assert result["event_id"] == str(derived_event_id(kind, f"event-of-{image_id}"))
        assert result["listing_id"] == f"listing-of-{image_id}"
        assert result["image_sha256"] == hashlib.sha256(data).hexdigest()
        assert result["uploaded_at"] == events.WHEN
        assert result["bundle_id"] == results[0]["bundle_id"]
        assert result["input"] == {
            "event_id": f"event-of-{image_id}",
            "topic": judged.workplace.settings.topics.uploaded,
            "partition": original.partition,
            "offset": original.offset,
        }
    for record, kind in zip((moderated, enriched, embedded), (MODERATED, ENRICHED, EMBEDDED), strict=True):
        assert record.header("ce_type") == kind.encode()
        assert record.header("ce_id") == body(record)["event_id"].encode()


def test_the_same_image_has_the_same_vector_wherever_it_comes_from(judged: Judged) -> None:
    vectors = [
        ImageEmbedded.model_validate_json(record.value or b"").vector.to_array()
        for name in ("a file", "a url", "a url by name", "a url after a redirect")
        for record in of_key(judged.results.embedded, f"good: {name}")
    ]
    assert len(vectors) == 4
    for vector in vectors[1:]:
        assert float(vector @ vectors[0]) == pytest.approx(1, abs=1e-4)
