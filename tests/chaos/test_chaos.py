"""Real photos and every bad input, while workers, the index role and the broker are killed.

`make test-chaos`; $MEKIKI_CHAOS_SEED changes the stream and the order of disturbances, $MEKIKI_CHAOS_EVENTS
its length, $MEKIKI_CHAOS_PHOTOS the folder of photos. The figures are printed and kept in out/.
"""

import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.events import EMBEDDED, ENRICHED, MODERATED
from tests import inputs
from tests.chaos.cluster import DISTURBANCES, Cluster
from tests.chaos.stream import ROOT, Expected, Sent, Stream
from tests.integration.conftest import own_server
from tests.integration.running import http_json
from tests.kafka.client import Record
from tests.results import Results, body, place_of_dead_letter
from worker.stream import dead_letter
from worker.stream.topics import create_topics

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

SEED = int(os.environ.get("MEKIKI_CHAOS_SEED", "1"))
EVENTS = int(os.environ.get("MEKIKI_CHAOS_EVENTS", "2000"))


@pytest.fixture
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    home = tmp_path / "kafka"
    home.mkdir()
    with own_server(home) as server:
        cluster = Cluster(tmp_path, server, request.param)
        create_topics(cluster.settings)
        try:
            yield cluster
        finally:
            cluster.stop()


@pytest.mark.parametrize("cluster", ["exactly_once", "at_least_once"], indirect=True)
def test_every_event_has_its_outcome_whatever_is_killed(cluster: Cluster) -> None:
    settings, began = cluster.settings, time.monotonic()
    once = settings.score.delivery == "exactly_once"
    assert settings.fetch.folder is not None
    with inputs.world(settings.fetch.folder, SEED) as world:
        stream = Stream(SEED, world)
        sent = stream.events(EVENTS)
        cluster.start()
        places = disturb_while_sending(cluster, sent)
        cluster.wait_until(
            lambda: cluster.broker.lag(settings.kafka.group, settings.topics.uploaded) == 0,
            "all to be done",
            240,
        )
    results = Results.read(cluster.broker, settings.topics)
    expected = Expected()
    for event in sent:
        expected.add(event)
    seconds = time.monotonic() - began
    figures = {
        "delivery": settings.score.delivery,
        "seed": SEED,
        "events": len(sent),
        "of real photos": stream.real_photos_used,
        "bad events": len(expected.dead),
        "disturbances": dict(cluster.disturbed),
        "processes that ended by themselves": cluster.unasked_ends,
        "verdicts": len(results.moderated),
        "dead letters": len(results.dead),
        "records of the embedded topic": len(results.embedded),
        "images in the index": len(expected.accepted),
        "repeated outcomes": repeated(results),
        "seconds": round(seconds, 1),
        "events a second": round(len(sent) / seconds, 1),
    }
    publish(figures)
    assert_verdicts(results, expected, once)
    assert_dead_letters(results.dead, expected, places, once)
    assert_index(cluster, results, expected, once)
    assert cluster.refused() == []
    assert sum(cluster.disturbed.values()) >= 10


def disturb_while_sending(cluster: Cluster, sent: list[Sent]) -> dict[tuple[int, int], Sent]:
    """Send the stream in parts, with one disturbance in the middle of each; where each event went."""
    kinds = list(DISTURBANCES)
    random.Random(SEED).shuffle(kinds)
    size = -(-len(sent) // len(kinds))
    places: dict[tuple[int, int], Sent] = {}
    for number, kind in enumerate(kinds):
        part = sent[number * size : (number + 1) * size]
        before = cluster.committed()
        placed = cluster.broker.send(cluster.settings.topics.uploaded, [event.record for event in part])
        by_key: dict[bytes | None, list[Sent]] = {}
        for event in part:
            by_key.setdefault(event.record.key, []).append(event)
        # Acknowledgements come partition by partition; of one key they come in order.
        places |= {(record.partition, record.offset): by_key[record.key].pop(0) for record in placed}
        cluster.wait_until(
            lambda before=before: cluster.committed() > before + 10, f"work before the {kind}", 120
        )
        cluster.disturb(kind)
    return places


def assert_verdicts(results: Results, expected: Expected, once: bool) -> None:
    for kind, records in ((MODERATED, results.moderated), (ENRICHED, results.enriched)):
        came = Counter(body(record)["event_id"] for record in records)
        assert_same(came, expected.ids(kind), once, kind)
    came = Counter((record.header("ce_id") or b"").decode() for record in results.embedded)
    assert_same(came, expected.ids(EMBEDDED), once, EMBEDDED)
    accepted = {body(record)["image_id"] for record in results.embedded if record.value is not None}
    assert expected.accepted <= accepted


def assert_same(came: Counter[str], expected: Counter[str], once: bool, what: str) -> None:
    lost, foreign = expected - came, set(came) - set(expected)
    assert not lost, f"{what}: {len(lost)} are lost"
    assert not foreign, f"{what}: {len(foreign)} belong to no event"
    doubled = came - expected
    assert not (once and doubled), f"{what}: {len(doubled)} came more than once"


def assert_dead_letters(
    dead: list[Record], expected: Expected, places: dict[tuple[int, int], Sent], once: bool
) -> None:
    came: dict[tuple[int, int], list[Record]] = {}
    for record in dead:
        came.setdefault(place_of_dead_letter(record), []).append(record)
    bad = {place: sent for place, sent in places.items() if sent.reason is not None}
    assert len(bad) == len(expected.dead)
    wrong = {
        place: records[0].header(dead_letter.MESSAGE) for place, records in came.items() if place not in bad
    }
    assert not wrong, f"good events in the dead-letter topic: {wrong}"
    assert set(came) == set(bad)
    for place, records in came.items():
        sent = bad[place]
        assert len(records) == 1 or not once, place
        assert len({record.header(dead_letter.EVENT_ID) for record in records}) == 1
        for record in records:
            assert record.value == sent.record.value
            assert record.key == sent.record.key
            reason, message = record.header(dead_letter.REASON), record.header(dead_letter.MESSAGE)
            assert reason == str(sent.reason).encode(), (sent.image_id, message)


def assert_index(cluster: Cluster, results: Results, expected: Expected, once: bool) -> None:
    """The index holds the accepted images and no others, and every record is acknowledged."""
    records = sorted(
        [*results.embedded, *results.removed], key=lambda record: (record.partition, record.offset)
    )
    last = {record.partition: record.offset for record in records}
    cluster.wait_until(
        lambda: all(cluster.index_committed()[partition] > offset for partition, offset in last.items()),
        "the index to acknowledge everything",
        120,
    )
    cluster.wait_until(lambda: is_ready(cluster.index_url), "the index to be ready", 60)
    found = {image_id for image_id in expected.accepted | expected.gone if is_searchable(cluster, image_id)}
    lost, too_many = expected.accepted - found, found - expected.accepted
    assert not lost, f"not in the index: {lost}"
    assert not too_many, f"in the index, and blocked, deleted or rejected: {too_many}"
    assert http_json(f"{cluster.index_url}/index")[1]["vectors"] == len(expected.accepted)
    acknowledged = Counter(
        (body(record)["input"]["partition"], body(record)["input"]["offset"])
        for record in cluster.broker.read(cluster.settings.topics.index_updated)
    )
    assert set(acknowledged) == {(record.partition, record.offset) for record in records}
    assert not (once and set(acknowledged.values()) != {1})
    assert cluster.broker.read(cluster.settings.topics.index_dead_letter) == []


def is_ready(url: str) -> bool:
    try:
        return http_json(f"{url}/readyz")[0] == 200
    except OSError:
        return False


def is_searchable(cluster: Cluster, image_id: str) -> bool:
    status, answer = http_json(f"{cluster.index_url}/search", {"image_id": image_id, "k": 1})
    assert status in (200, 404), answer
    return status == 200


def repeated(results: Results) -> int:
    """Outcomes beyond the first of each input record."""
    return sum(count - 1 for count in results.outcomes().values())


def publish(figures: dict[str, object]) -> None:
    """Print the figures and keep them."""
    text = json.dumps(figures, indent=1)
    print(f"\n{text}")
    out = ROOT / "out"
    out.mkdir(exist_ok=True)
    (out / f"chaos-{figures['delivery']}.json").write_text(text + "\n", encoding="utf-8")
