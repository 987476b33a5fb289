"""Stores that fail for a minute in the middle of thousands of events, and what else takes long; a real Kafka.

`make test-chaos`; $MEKIKI_STORE_SECONDS is how long a store fails, $MEKIKI_STORE_EVENTS how many events there
are. Figures are printed.
"""

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import events
from tests.flaky_store import FlakyStore
from tests.integration.conftest import own_server, workplaces
from tests.integration.test_stores import PHOTO, SOON, halting, uploads
from tests.kafka.client import Broker, Record, wait_until
from tests.kafka.server import KafkaServer
from tests.results import Results, body, place_of_result, places
from tests.workplace import Workplace

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

SECONDS = float(os.environ.get("MEKIKI_STORE_SECONDS", "60"))
EVENTS = int(os.environ.get("MEKIKI_STORE_EVENTS", "2000"))
CHUNK = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    with own_server(tmp_path_factory.mktemp("stores-kafka")) as running:
        yield running


@pytest.fixture
def shop(server: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    with workplaces(tmp_path_factory) as open_workplace:
        yield open_workplace(
            Broker(server.bootstrap), names={"good.test": ["127.0.0.7"], "bad.test": ["127.0.0.7"]}
        )


@pytest.fixture
def store() -> Iterator[FlakyStore]:
    with FlakyStore(PHOTO, retry_after=10) as running:
        yield running


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is parked comes back in two seconds."""
    monkeypatch.setattr("worker.score.retries._FIRST_DELAY", 2.0)
    monkeypatch.setattr("worker.score.retries._LONGEST_DELAY", 2.0)


def send_slowly(shop: Workplace, store: FlakyStore, hosts: list[str], fault: str) -> list[Record]:
    """All events at an even pace over twice the time that the last host fails for, in the middle of them."""
    sent: list[Record] = []
    began, length = time.monotonic(), 2 * SECONDS
    for first in range(0, EVENTS, CHUNK):
        at = first / EVENTS * length
        time.sleep(max(0.0, began + at - time.monotonic()))
        if SECONDS / 2 <= at < SECONDS * 1.5:
            store.fail(hosts[-1], fault)
        else:
            store.mend(hosts[-1])
        per_host = CHUNK // len(hosts)
        chunk = [record for host in hosts for record in uploads(store, host, per_host, first)]
        sent += shop.broker.send(shop.settings.topics.uploaded, chunk)
    store.mend(hosts[-1])
    return sent


def delays(results: Results, sent: list[Record], host: str) -> list[float]:
    """Seconds from a record of `host` to its verdict's record."""
    sent_at = {(record.partition, record.offset): record.timestamp_ms for record in sent}
    return [
        (record.timestamp_ms - sent_at[place_of_result(record)]) / 1000
        for record in results.moderated
        if body(record)["image_id"].startswith(host)
    ]


@pytest.mark.parametrize("fault", ["503", "silent", "busy", "refused"])
@pytest.mark.parametrize("hosts", [["good.test", "bad.test"], ["bad.test"]], ids=["of two", "one for all"])
def test_a_store_that_fails_for_a_minute_costs_nobody_anything(
    shop: Workplace, store: FlakyStore, hosts: list[str], fault: str
) -> None:
    settings = shop.changed(fetch={"retry_for": 3600, "threads": 32, "timeout": 10, "connect_timeout": 3})
    topic, group = settings.topics.uploaded, settings.kafka.group
    with shop.running("score", settings=settings) as running:
        running.wait_until_ready()
        sent = send_slowly(shop, store, hosts, fault)
        wait_until(
            lambda: len(shop.broker.read(settings.topics.moderated)) >= len(sent),
            "every verdict",
            4 * SECONDS,
            1.0,
        )
        shop.broker.wait_until_done(group, topic)
        assert running.get("/readyz")[0] == 200
    results = Results.read(shop.broker, settings.topics)
    parked = len(shop.broker.read(settings.topics.retry))
    assert results.dead == []
    assert results.outcomes() == dict.fromkeys(places(sent), 1)
    others = delays(results, sent, "good.test") if len(hosts) > 1 else []
    slowest = max(delays(results, sent, hosts[-1]))
    median = statistics.median(others) if others else 0.0
    most = sorted(others)[int(len(others) * 0.95)] if others else 0.0
    print(
        f"\n{fault}, {len(hosts)} stores: {len(sent)} events, {parked} records parked, delay of other hosts' "
        f"images: median {median:.2f} s, 95 % {most:.2f} s; "
        f"the longest of the store's own {slowest:.0f} s"
    )
    assert median < 1
    assert (parked > 0) == (len(hosts) > 1)


@pytest.mark.usefixtures("soon")
def test_a_worker_that_waits_ends_at_once_and_the_next_goes_on(
    shop: Workplace, store: FlakyStore, tmp_path: Path
) -> None:
    settings = shop.changed(fetch=SOON)
    topic, group = settings.topics.uploaded, settings.kafka.group
    store.fail("good.test", "503")
    sent = shop.broker.send(topic, uploads(store, "good.test", 30))
    with shop.running("score", settings=settings) as running:
        wait_until(lambda: running.get("/readyz")[0] == 503, "/readyz to say no", 20)
        began = time.monotonic()
    assert time.monotonic() - began < 8
    store.mend("good.test")
    with shop.running("score", settings=settings):
        shop.broker.wait_until_done(group, topic)
    assert Results.read(shop.broker, settings.topics).outcomes() == dict.fromkeys(places(sent), 1)


@pytest.mark.usefixtures("soon")
def test_after_its_time_it_is_a_dead_letter_with_its_reason(shop: Workplace, store: FlakyStore) -> None:
    settings = shop.changed(fetch={**SOON, "retry_for": 3})
    topic, group = settings.topics.uploaded, settings.kafka.group
    store.fail("bad.test", "503")
    shop.broker.send(topic, uploads(store, "good.test", 20))
    with shop.running("score", settings=settings):
        shop.broker.wait_until_done(group, topic)
        (sent,) = shop.broker.send(topic, uploads(store, "bad.test", 1))
        wait_until(lambda: shop.broker.read(settings.topics.dead_letter) != [], "a dead letter", 20)
    (dead,) = shop.broker.read(settings.topics.dead_letter)
    assert dead.header("mekiki.reason") == b"fetch.unreachable"
    assert dead.value == sent.value
    assert (dead.header("__streams.errors.topic"), dead.header("__streams.errors.offset")) == (
        topic.encode(),
        str(sent.offset).encode(),
    )
    assert not any(name.startswith("mekiki.retry") for name, _ in dead.headers)


def test_what_only_sellers_cause_halts_nobody(shop: Workplace, store: FlakyStore) -> None:
    settings = halting(shop)
    topic, group = settings.topics.uploaded, settings.kafka.group
    gone = [events.uploaded(f"gone-{number}", path=f"gone-{number}.jpg") for number in range(60)]
    broken = [events.uploaded_bytes(f"broken-{number}", b"no image") for number in range(60)]
    shop.broker.send(topic, gone + broken)
    with shop.running("score", settings=settings) as running:
        shop.broker.wait_until_done(group, topic)
        assert running.get("/readyz")[0] == 200
    assert len(shop.broker.read(settings.topics.dead_letter)) == 120


def test_a_halted_worker_gets_past_what_stays_wrong_slowly(shop: Workplace, store: FlakyStore) -> None:
    settings = halting(shop)
    topic, group = settings.topics.uploaded, settings.kafka.group
    bad = [Record(b"not json", b"bad", partition=0) for _ in range(60)]
    good = [Record(r.value, r.key, partition=0) for r in uploads(store, "good.test", 60)]
    sent = shop.broker.send(topic, bad + good)
    with shop.running("score", settings=settings) as running:
        wait_until(lambda: running.get("/readyz")[0] == 503, "a halt", 20)
        shop.broker.wait_until_done(group, topic)
        assert running.get("/readyz")[0] == 200
    assert Results.read(shop.broker, settings.topics).outcomes() == dict.fromkeys(places(sent), 1)
