"""Stores that fail, on a real Kafka: no event is dead-lettered for it, none lost, and others go on."""

import time
from collections.abc import Iterator

import pytest

from tests import events, images
from tests.flaky_store import FlakyStore
from tests.integration.conftest import workplaces
from tests.kafka.client import Broker, Record, wait_until
from tests.results import Results, body, of_key, place_of_result, places
from tests.workplace import Workplace
from worker.settings import Settings

PHOTO = images.encoded(images.photo(1, 64, 64))
MODES = ["exactly_once", "at_least_once"]
SOON = {"retry_for": 3600, "first_byte_timeout": 0.5, "connect_timeout": 0.5}


@pytest.fixture
def store() -> Iterator[FlakyStore]:
    with FlakyStore(PHOTO) as running:
        yield running


@pytest.fixture
def shop(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """A workplace whose network knows a good store and one that fails."""
    with workplaces(tmp_path_factory) as open_workplace:
        yield open_workplace(kafka, names={"good.test": ["127.0.0.7"], "bad.test": ["127.0.0.7"]})


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is parked comes back in two seconds, a host that is down is asked twice a second."""
    monkeypatch.setattr("worker.score.retries._FIRST_DELAY", 2.0)
    monkeypatch.setattr("worker.score.retries._LONGEST_DELAY", 2.0)
    monkeypatch.setattr("worker.fetch.lanes._LONGEST_PROBE", 0.5)


def uploads(store: FlakyStore, host: str, count: int, first: int = 0) -> list[Record]:
    return [
        events.uploaded(f"{host}-{number}", url=store.url(host, f"{number}.jpg"))
        for number in range(first, first + count)
    ]


def metric(text: str, name: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


@pytest.mark.parametrize(("mode", "fault"), [("exactly_once", "silent"), ("at_least_once", "busy")])
def test_what_one_store_does_not_give_comes_back_while_others_go_on(
    shop: Workplace, store: FlakyStore, mode: str, fault: str
) -> None:
    settings = shop.changed(score={"delivery": mode}, fetch=SOON)
    topic, group = settings.topics.uploaded, settings.kafka.group
    sent = shop.broker.send(topic, uploads(store, "good.test", 20) + uploads(store, "bad.test", 5))
    with shop.running("score", settings=settings) as running:
        shop.broker.wait_until_done(group, topic)
        store.fail("bad.test", fault)
        mixed = [
            record
            for pair in zip(
                uploads(store, "good.test", 40, 100), uploads(store, "bad.test", 40, 100), strict=True
            )
            for record in pair
        ]
        sent += shop.broker.send(topic, mixed)
        shop.broker.wait_until_done(group, topic)
        halfway = Results.read(shop.broker, settings.topics)
        assert len([r for r in halfway.moderated if r.key and r.key.startswith(b"good")]) == 60
        assert len(halfway.moderated) == 65
        assert halfway.dead == []
        _, text = running.get("/metrics")
        assert metric(text, "mekiki_retry_waiting_events ") == 40
        assert metric(text, "mekiki_retry_parked_total{") >= 40
        assert metric(text, "mekiki_retry_oldest_timestamp_seconds ") > time.time() - 60
        assert running.get("/readyz")[0] == 200
        store.mend("bad.test")
        wait_until(lambda: len(Results.read(shop.broker, settings.topics).moderated) >= 105, "all judged", 30)
        wait_until(
            lambda: metric(running.get("/metrics")[1], "mekiki_retry_waiting_events ") == 0, "none parked"
        )
    results = Results.read(shop.broker, settings.topics)
    assert results.dead == []
    assert results.outcomes() == dict.fromkeys(places(sent), 1)
    assert {place_of_result(record) for record in results.embedded} == places(sent)
    for record in shop.broker.read(settings.topics.retry):
        assert record.key is not None
        assert record.key.startswith(b"bad.test")


def test_one_store_for_all_is_waited_for(shop: Workplace, store: FlakyStore) -> None:
    settings = shop.changed(fetch=SOON)
    topic, group = settings.topics.uploaded, settings.kafka.group
    sent = shop.broker.send(topic, uploads(store, "good.test", 30))
    with shop.running("score", settings=settings) as running:
        shop.broker.wait_until_done(group, topic)
        store.fail("good.test", "503")
        sent += shop.broker.send(topic, uploads(store, "good.test", 60, 100))
        wait_until(lambda: running.get("/readyz")[0] == 503, "/readyz to say no", 20)
        missing = running.get("/readyz")[1]["missing"]
        assert any("good.test" in why for why in missing.values()), missing
        text = running.get("/metrics")[1]
        assert metric(text, "mekiki_fetch_waiting_ratio ") == 1
        assert metric(text, "mekiki_poll_paused_ratio ") == 1
        time.sleep(1.0)
        assert shop.broker.lag(group, topic) == 60
        store.mend("good.test")
        shop.broker.wait_until_done(group, topic)
        wait_until(lambda: running.get("/readyz")[0] == 200, "/readyz to say yes")
    results = Results.read(shop.broker, settings.topics)
    assert results.dead == []
    assert results.outcomes() == dict.fromkeys(places(sent), 1)
    assert shop.broker.read(settings.topics.retry) == []


def test_what_is_parked_never_overtakes_and_outlives_its_worker(shop: Workplace, store: FlakyStore) -> None:
    settings = shop.changed(fetch=SOON)
    topic, group, broker = settings.topics.uploaded, settings.kafka.group, shop.broker
    store.fail("bad.test", "503")
    broker.send(topic, uploads(store, "good.test", 10))
    with shop.running("score", settings=settings):
        broker.wait_until_done(group, topic)
        broker.send(topic, uploads(store, "bad.test", 3) + uploads(store, "good.test", 40, 50))
        broker.wait_until_done(group, topic)
        assert len(broker.read(settings.topics.retry)) >= 3
        newer = events.upload_body("bad.test-1", url=store.url("good.test", "new.jpg"))
        newer |= {"event_id": "newer", "uploaded_at": "2026-06-01T00:00:00Z"}
        older_deletion = {
            "type": events.DELETED,
            "event_id": "old",
            "image_id": "bad.test-2",
            "deleted_at": "2026-01-01T00:00:00Z",
        }
        deletion = {
            **older_deletion,
            "event_id": "new",
            "image_id": "bad.test-0",
            "deleted_at": "2026-06-01T00:00:00Z",
        }
        broker.send(
            topic,
            [
                events.as_json(newer, "bad.test-1"),
                events.as_json(older_deletion, "bad.test-2"),
                events.as_json(deletion, "bad.test-0"),
            ],
        )
        broker.wait_until_done(group, topic)
    store.mend("bad.test")
    with shop.running("score", settings=settings) as running:
        wait_until(
            lambda: metric(running.get("/metrics")[1], "mekiki_retry_waiting_events ") == 0, "none parked", 20
        )
        wait_until(
            lambda: len(of_key(broker.read(settings.topics.moderated), "bad.test-2")) == 1, "judged", 20
        )
        text = running.get("/metrics")[1]
        assert metric(text, 'mekiki_decide_passed_over_total{reason="overtaken"}') == 2
    embedded = broker.read(settings.topics.embedded)
    assert of_key(embedded, "bad.test-0")[-1].value is None
    assert body(of_key(embedded, "bad.test-1")[-1])["uploaded_at"] == "2026-06-01T00:00:00Z"
    assert body(of_key(embedded, "bad.test-2")[-1])["uploaded_at"] == events.WHEN
    assert broker.read(settings.topics.dead_letter) == []


def halting(shop: Workplace) -> Settings:
    limit = {"ratio": 0.5, "window": 100, "minimum": 20, "probe_interval": 1.0}
    return shop.changed(score={"rejection_limit": limit, "commit_records": 10}, fetch={"retry_for": 0})


def test_a_halted_worker_goes_on_by_itself_when_the_cause_has_passed(
    shop: Workplace, store: FlakyStore
) -> None:
    """The cause is outside: nothing that was good is a dead letter for it but what went before the halt."""
    settings = halting(shop)
    topic, group = settings.topics.uploaded, settings.kafka.group
    store.fail("good.test", "503")
    sent = shop.broker.send(topic, uploads(store, "good.test", 200))
    with shop.running("score", settings=settings) as running:
        wait_until(lambda: running.get("/readyz")[0] == 503, "a halt", 20)
        store.mend("good.test")
        shop.broker.wait_until_done(group, topic)
        assert running.get("/readyz")[0] == 200
    results = Results.read(shop.broker, settings.topics)
    assert results.outcomes() == dict.fromkeys(places(sent), 1)
    assert len(results.dead) <= 30
