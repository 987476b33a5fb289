"""The index role on a real Kafka: what it answers equals the log, through restarts and rebuilds."""

import base64
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.events import ImageEmbedded, IndexUpdated
from schemas.vector import Vector
from tests import events, images
from tests.integration.conftest import workplaces
from tests.integration.running import Running
from tests.kafka.client import Broker, Record, wait_until
from tests.workplace import Workplace
from worker.errors import ConfigurationError, IndexDirectoryError
from worker.settings import Settings

COUNT = 60


def group_of(settings: Settings) -> str:
    return f"mekiki-index-{settings.index.name}"


def wait_until_indexed(workplace: Workplace) -> None:
    workplace.broker.wait_until_done(group_of(workplace.settings), workplace.settings.topics.embedded)


def acknowledgements(workplace: Workplace) -> list[IndexUpdated]:
    records = workplace.broker.read(workplace.settings.topics.index_updated)
    return [IndexUpdated.model_validate_json(record.value or b"") for record in records]


def embedded(workplace: Workplace) -> list[Record]:
    return workplace.broker.read(workplace.settings.topics.embedded)


def last_vectors(records: list[Record]) -> dict[str, np.ndarray]:
    """What the log says, read with nothing of ours but the schema: image id -> vector."""
    state: dict[str, np.ndarray] = {}
    for record in records:
        image_id = (record.key or b"").decode()
        if record.value is None:
            state.pop(image_id, None)
        else:
            state[image_id] = ImageEmbedded.model_validate_json(record.value).vector.to_array()
    return state


def search(running: Running, **request: Any) -> list[dict[str, Any]]:
    status, answer = running.post("/search", request)
    assert status == 200, answer
    results = answer["results"]
    assert isinstance(results, list)
    return results


def assert_holds_exactly(running: Running, expected: dict[str, np.ndarray], gone: list[str]) -> None:
    status, state = running.get("/index")
    assert status == 200
    assert state["vectors"] == len(expected)
    for image_id in expected:
        assert running.post("/search", {"image_id": image_id, "k": 1})[0] == 200, image_id
    for image_id in gone:
        assert running.post("/search", {"image_id": image_id, "k": 1})[0] == 404, image_id


@pytest.fixture(scope="module")
def module_workplace(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    with workplaces(tmp_path_factory) as open_workplace:
        yield open_workplace(kafka)


@dataclass(frozen=True)
class Indexed:
    workplace: Workplace
    running: Running
    expected: dict[str, np.ndarray]


GONE = ["image-3", "image-4", "blocked-later"]


@pytest.fixture(scope="module")
def indexed(module_workplace: Workplace) -> Iterator[Indexed]:
    """Both roles in one process, over uploads, replacements, a deletion and a block."""
    workplace = module_workplace
    topics = workplace.settings.topics
    uploads = [events.uploaded_bytes(f"image-{n}", images.jpeg(n)) for n in range(COUNT)]
    replaced = {
        **events.upload_body("image-5", data=base64.b64encode(images.jpeg(905)).decode()),
        "event_id": "second",
    }
    blocked = {**events.upload_body("blocked-later", path="x.jpg"), "category": "always-blocked"}
    (workplace.folder / "x.jpg").write_bytes(images.jpeg(77))
    with workplace.running("score", "index") as running:
        workplace.broker.send(
            topics.uploaded,
            [
                *uploads,
                events.uploaded("blocked-later", path="x.jpg"),
                events.as_json(blocked, "blocked-later"),
                events.deleted("image-3"),
                events.deleted("image-4"),
                events.deleted("never-there"),
                events.as_json(replaced, "image-5"),
            ],
        )
        workplace.broker.wait_until_done(workplace.settings.kafka.group, topics.uploaded)
        wait_until_indexed(workplace)
        running.wait_until_ready()
        yield Indexed(workplace, running, last_vectors(embedded(workplace)))


def test_the_index_holds_what_the_log_says(indexed: Indexed) -> None:
    assert len(indexed.expected) == COUNT - 2
    assert_holds_exactly(indexed.running, indexed.expected, GONE)


def test_every_record_of_the_log_is_acknowledged_once(indexed: Indexed) -> None:
    acknowledged = Counter((a.input.partition, a.input.offset) for a in acknowledgements(indexed.workplace))
    assert acknowledged == {(r.partition, r.offset): 1 for r in embedded(indexed.workplace)}
    states = {a.image_id: a.state for a in acknowledgements(indexed.workplace)}
    assert states["image-3"] == "deleted"
    assert states["image-5"] == "searchable"
    assert states["never-there"] == "deleted"


def test_a_search_by_image_bytes_finds_the_image_itself(indexed: Indexed) -> None:
    for number in (0, 17, 42):
        data = base64.b64encode(images.jpeg(number)).decode()
        first, second = search(indexed.running, image=data, k=2)
        assert first["image_id"] == f"image-{number}"
        assert first["distance"] == pytest.approx(0, abs=1e-4)
        assert second["distance"] >= first["distance"]


def test_a_search_by_vector_gives_the_exact_neighbours(indexed: Indexed) -> None:
    """The neighbours are those that numpy finds among the vectors of the log."""
    ids = sorted(indexed.expected)
    matrix = np.stack([indexed.expected[image_id] for image_id in ids])
    query = indexed.expected["image-9"]
    distances = 1 - matrix @ query
    found = search(indexed.running, vector=Vector.from_array(query).model_dump(), k=10)
    assert [result["distance"] for result in found] == pytest.approx(sorted(distances)[:10], abs=1e-4)
    assert found[0]["image_id"] == "image-9"


def test_a_search_by_image_id_leaves_out_the_image_itself_and_respects_the_radius(indexed: Indexed) -> None:
    found = search(indexed.running, image_id="image-9", k=10)
    assert "image-9" not in {result["image_id"] for result in found}
    radius = found[4]["distance"] + 1e-6
    within = search(indexed.running, image_id="image-9", k=50, radius=radius)
    assert {result["image_id"] for result in within} >= {result["image_id"] for result in found[:5]}
    assert all(result["distance"] <= radius for result in within)


def test_results_come_in_the_order_of_the_preference_that_the_log_carries(indexed: Indexed) -> None:
    told: dict[str, float] = {}
    for record in embedded(indexed.workplace):
        if record.value is not None:
            told[(record.key or b"").decode()] = ImageEmbedded.read(record.value).preferences["preference"]
    near = search(indexed.running, image_id="image-9", k=10)
    found = search(indexed.running, image_id="image-9", k=10, order_by="preference")
    assert {result["image_id"] for result in found} == {result["image_id"] for result in near}
    scores = [result["preference"] for result in found]
    assert scores == sorted(scores, reverse=True)
    assert scores == pytest.approx([told[result["image_id"]] for result in found], abs=1e-6)
    assert len(set(scores)) > 1
    assert indexed.running.get("/index")[1]["preferences"] == ["preference"]


def test_a_replaced_image_is_found_by_its_new_pixels(indexed: Indexed) -> None:
    new, old = (
        search(indexed.running, image=base64.b64encode(images.jpeg(seed)).decode(), k=1)[0]
        for seed in (905, 5)
    )
    assert new["image_id"] == "image-5"
    assert new["distance"] == pytest.approx(0, abs=1e-4)
    assert old["distance"] > 1e-4


@pytest.mark.parametrize(
    ("request_body", "status", "reason"),
    [
        ({}, 400, "request.invalid"),
        ({"image_id": "image-9", "vector": {"dim": 1, "data": "AAAA"}}, 400, "request.invalid"),
        ({"image_id": "no-such-image"}, 404, "index.unknown_image"),
        ({"image": "%%%"}, 400, "source.bad_base64"),
        ({"image": base64.b64encode(images.html(1)).decode()}, 400, "image.not_an_image"),
        ({"image": base64.b64encode(images.huge_png_header(1)).decode()}, 400, "image.too_many_pixels"),
        ({"vector": Vector.from_array(np.ones(3, np.float32)).model_dump()}, 400, "vector.invalid"),
        ({"image_id": "image-9", "k": 0}, 400, "request.invalid"),
    ],
)
def test_a_bad_search_is_refused_with_a_reason(
    indexed: Indexed, request_body: dict[str, Any], status: int, reason: str
) -> None:
    got, answer = indexed.running.post("/search", request_body)
    assert (got, answer["reason"]) == (status, reason)
    assert answer["detail"]


def test_a_near_copy_is_reported_as_a_near_duplicate(workplace: Workplace) -> None:
    settings = workplace.changed(index={"near_duplicate_distance": 0.02})
    topics = settings.topics
    photo = images.photo(7)
    with workplace.running("score", "index", settings=settings):
        for image_id, data in (
            ("original", images.encoded(photo, quality=92)),
            ("other", images.jpeg(1234)),
            ("recompressed", images.encoded(photo, quality=60)),
            ("smaller", images.encoded(photo.resize((240, 180)), quality=85)),
        ):
            workplace.broker.send(topics.uploaded, [events.uploaded_bytes(image_id, data)])
            workplace.broker.wait_until_done(settings.kafka.group, topics.uploaded)
            wait_until_indexed(workplace)
    near = {a.image_id: {n.image_id for n in a.near_duplicates} for a in acknowledgements(workplace)}
    assert near["original"] == set()
    assert "original" in near["recompressed"]
    assert {"original", "recompressed"} <= near["smaller"]


def test_a_copy_whose_embedding_lies_far_away_is_found_also_after_a_restart(workplace: Workplace) -> None:
    """A caption strip, and embeddings that have nothing in common; an image without a copy vector."""
    settings = workplace.changed(index={"snapshot_records": 1, "near_duplicate_distance": 0.001})
    topics, photo = settings.topics, images.photo(7)
    captioned = photo.copy()
    captioned.paste((255, 255, 255), (0, photo.height * 7 // 8, *photo.size))
    with workplace.running("score", "index", settings=settings) as running:
        for image_id, picture in (("original", photo), ("captioned", captioned)):
            upload = events.uploaded_bytes(image_id, images.encoded(picture))
            workplace.broker.send(topics.uploaded, [upload])
            workplace.broker.wait_until_done(settings.kafka.group, topics.uploaded)
            wait_until_indexed(workplace)
        wait_until(lambda: running.get("/index")[1]["generation"] is not None, "a generation", 60)
    good = json.loads(next(r.value for r in embedded(workplace) if r.key == b"original") or b"")
    assert good["copy_space"]
    far = Vector.from_array(np.eye(1, good["vector"]["dim"], dtype=np.float32)[0]).model_dump()
    sent = {
        "far": {**good, "image_id": "far", "vector": far},
        "of another space": {**good, "image_id": "of another space", "copy_space": "another"},
    }
    workplace.broker.send(
        topics.embedded, [Record(json.dumps(e).encode(), k.encode()) for k, e in sent.items()]
    )
    with workplace.running("index", settings=settings) as running:
        wait_until_indexed(workplace)
        assert 'mekiki_index_passed_over_total{reason="other_copy_space"} 1.0' in running.open_metrics()
    told = {
        each.image_id: {near.image_id: near.decided_by for near in each.near_duplicates}
        for each in acknowledgements(workplace)
    }
    assert told["captioned"] == {"original": "copy"}
    assert told["far"] == {"original": "copy", "captioned": "copy"}
    assert told["of another space"] == {"original": "similar"}


def fill(workplace: Workplace, first: int, count: int) -> None:
    """Vectors straight into the embedded topic, by the score role."""
    topics = workplace.settings.topics
    records = [
        events.uploaded_bytes(f"image-{n}", images.encoded(images.photo(n, 64, 64)))
        for n in range(first, first + count)
    ]
    workplace.broker.send(topics.uploaded, records)
    with workplace.running("score"):
        workplace.broker.wait_until_done(workplace.settings.kafka.group, topics.uploaded)


def generations(directory: Path) -> list[Path]:
    return sorted(path.parent for path in directory.rglob("manifest.json"))


def test_restarts_go_on_from_a_generation_and_the_log(workplace: Workplace) -> None:
    settings = workplace.changed(index={"snapshot_records": 50})
    fill(workplace, 0, 120)
    with workplace.running("index", settings=settings) as running:
        wait_until_indexed(workplace)
        wait_until(lambda: running.get("/index")[1]["generation"] is not None, "a generation", 60)
    assert generations(settings.index.directory)
    fill(workplace, 120, 30)
    workplace.broker.send(settings.topics.uploaded, [events.deleted("image-1"), events.deleted("image-130")])
    with workplace.running("score"):
        workplace.broker.wait_until_done(settings.kafka.group, settings.topics.uploaded)
    with workplace.running("index", settings=settings) as running:
        wait_until_indexed(workplace)
        running.wait_until_ready()
        expected = last_vectors(embedded(workplace))
        assert len(expected) == 148
        assert_holds_exactly(running, expected, ["image-1", "image-130"])
    acknowledged = Counter((a.input.partition, a.input.offset) for a in acknowledgements(workplace))
    assert set(acknowledged.values()) == {1}
    assert len(acknowledged) == len(embedded(workplace))


def test_a_damaged_or_lost_directory_is_rebuilt_from_the_log_and_nothing_is_acknowledged_again(
    workplace: Workplace,
) -> None:
    settings = workplace.changed(index={"snapshot_records": 20})
    directory = settings.index.directory
    fill(workplace, 0, 60)
    with workplace.running("index", settings=settings) as running:
        wait_until_indexed(workplace)
        wait_until(lambda: running.get("/index")[1]["generation"] is not None, "a generation", 60)
    expected = last_vectors(embedded(workplace))
    for damage in ("truncated", "lost"):
        if damage == "truncated":
            for path in directory.rglob("*"):
                if path.is_file() and path.stat().st_size > 100 and path.name != "manifest.json":
                    os.truncate(path, path.stat().st_size // 2)
        else:
            shutil.rmtree(directory)
        with workplace.running("index", settings=settings) as running:
            running.wait_until_ready()
            assert_holds_exactly(running, expected, [])
            vector = Vector.from_array(expected["image-7"]).model_dump()
            assert search(running, vector=vector, k=1)[0]["image_id"] == "image-7"
    acknowledged = Counter((a.input.partition, a.input.offset) for a in acknowledgements(workplace))
    assert set(acknowledged.values()) == {1}


def test_a_second_owner_of_the_directory_does_not_start(workplace: Workplace) -> None:
    with workplace.running("index") as running:
        running.wait_until_ready()
        with pytest.raises(IndexDirectoryError, match="is owned by process"), workplace.running("index"):
            pass


def test_records_that_are_no_vectors_of_this_index_are_rejected_and_the_rest_go_on(
    workplace: Workplace,
) -> None:
    fill(workplace, 0, 3)
    topics = workplace.settings.topics
    good = json.loads(next(r.value for r in embedded(workplace) if r.value) or b"")
    dim = good["vector"]["dim"]

    def changed(**values: Any) -> bytes:
        return json.dumps({**good, "image_id": "x", **values}).encode()

    def vector(values: list[float]) -> dict[str, Any]:
        return Vector.from_array(np.array(values, np.float32)).model_dump()

    bad = {
        b"not json": ("envelope.not_json", Record(b"{", b"x")),
        b"another key": ("envelope.invalid", Record(changed(), b"y")),
        b"another dim": ("vector.invalid", Record(changed(vector=vector([1.0] * (dim + 1))), b"x")),
        b"nan": ("vector.invalid", Record(changed(vector=vector([float("nan")] * dim)), b"x")),
        b"zero": ("vector.invalid", Record(changed(vector=vector([0.0] * dim)), b"x")),
    }
    sent = [Record(r.value, r.key, (("case", name),)) for name, (_, r) in bad.items()]
    foreign = [Record(changed(space=f"another {n}"), b"x") for n in range(3)]
    last = Record(changed(image_id="last"), b"last")
    workplace.broker.send(topics.embedded, [*sent, *foreign, last, *foreign])
    with workplace.running("index") as running:
        wait_until_indexed(workplace)
        assert running.get("/index")[1]["vectors"] == 4
    dead = workplace.broker.read(topics.index_dead_letter)
    reasons = {r.header("case"): (r.header("mekiki.reason") or b"").decode() for r in dead}
    assert reasons == {name: reason for name, (reason, _) in bad.items()}
    assert len(dead) == len(bad)
    assert {r.header("case"): r.value for r in dead} == {name: r.value for name, (_, r) in bad.items()}


@pytest.mark.parametrize("policy", ["delete", "compact", "compact,delete"])
def test_a_topic_that_is_not_compacted_is_refused(workplace: Workplace, policy: str) -> None:
    topic = workplace.settings.topics.embedded
    workplace.broker.configure(topic, "cleanup.policy", policy)
    if policy == "delete":
        with pytest.raises(ConfigurationError, match="compact"), workplace.running("index"):
            pass
        return
    with workplace.running("index") as running:
        running.wait_until_ready()


def test_an_index_among_records_of_another_space_goes_on_at_every_restart(workplace: Workplace) -> None:
    fill(workplace, 0, 3)
    topic = workplace.settings.topics.embedded
    good = json.loads(next(r.value for r in embedded(workplace) if r.value) or b"")
    limited = workplace.changed(score={"rejection_limit": {"ratio": 0.05, "minimum": 10}})
    for restart in range(3):
        values = [{**good, "image_id": f"f-{n}", "space": "another"} for n in range(150)]
        foreign = [Record(json.dumps(value).encode(), value["image_id"].encode()) for value in values]
        workplace.broker.send(topic, foreign)
        with workplace.running("index", settings=limited) as running:
            running.wait_until_ready()
            wait_until_indexed(workplace)
            assert running.get("/index")[1]["vectors"] == 3, restart
    assert workplace.broker.read(workplace.settings.topics.index_dead_letter) == []
