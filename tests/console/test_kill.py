"""Console and worker are killed while people decide: no word is lost, none counts twice, and the database
that is built again is the same."""

import random
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.error import URLError

import pytest
from sqlalchemy import select

from console.database import REBUILT, Database
from tests import events, images
from tests.console.conftest import console_of
from tests.console.http import Client
from tests.guarded_worker import GuardedWorker
from tests.integration.running import http_json
from tests.kafka.client import wait_until
from tests.kafka.server import free_ports
from tests.results import body
from tests.workplace import Workplace
from worker.settings import Settings

IMAGES = 500
KILLS = 8


class Killed:
    """`mekiki ROLE`, started again whenever it is killed."""

    def __init__(self, role: str, settings: Settings, log: Path) -> None:
        self._start = lambda: GuardedWorker([role], settings, log)
        self.process = self._start()

    def again(self) -> None:
        self.process.kill()
        self.process = self._start()


@pytest.mark.timeout(600)
def test_no_word_is_lost_and_none_counts_twice(band: Workplace, tmp_path: Path) -> None:
    topics = band.settings.topics
    (port,) = free_ports(1)
    database = f"sqlite:///{tmp_path}/console.db"
    settings = band.settings.model_copy(
        update={
            "console": band.settings.console.model_copy(update={"port": port, "database": database}),
            "kafka": band.settings.kafka.model_copy(update={"transaction_timeout": 10.0}),
        }
    )
    url = f"http://127.0.0.1:{port}"
    worker, console = (Killed(role, settings, tmp_path / f"{role}.log") for role in ("score", "console"))
    stop = threading.Event()
    try:
        band.broker.send(
            topics.uploaded,
            [
                events.uploaded_bytes(f"i{n}", images.encoded(images.photo(n % 40, 48, 48)))
                for n in range(IMAGES)
            ],
        )
        band.broker.wait_until_done(settings.kafka.group, topics.uploaded, 120)
        console.process.wait_until(lambda: ready(url), "the console to be ready", 60)
        chance, kills = random.Random(7), 0

        def kill() -> None:
            nonlocal kills
            while kills < KILLS and not stop.wait(chance.uniform(4, 7)):
                (worker if kills % 2 else console).again()
                kills += 1
            stop.wait()  # what a thread has started dies with it

        killer = threading.Thread(target=kill)
        killer.start()
        words = Counter({f"i{n}": decide(url, f"i{n}", ("accept", "block")[n % 2]) for n in range(IMAGES)})
        while kills < KILLS:
            time.sleep(0.2)
        band.broker.wait_until_done(settings.kafka.group, topics.uploaded, 120)
        told = [body(record) for record in band.broker.read(topics.moderated)]
        by_people = Counter(verdict["image_id"] for verdict in told if verdict.get("decided_by") == "person")
        assert by_people == dict.fromkeys((f"i{n}" for n in range(IMAGES)), 1)
        latest = {verdict["image_id"]: verdict["decision"] for verdict in told}
        assert latest == {f"i{n}": ("accept", "block")[n % 2] for n in range(IMAGES)}
        repeated = sum(attempts - 1 for attempts in words.values())
        print(f"{IMAGES} words through {kills} kills, {repeated} requests were sent again")
        console.process.wait_until(lambda: ready(url), "the console to be ready", 60)
    finally:
        stop.set()
        for killed in (worker, console):
            killed.process.kill()
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    with console_of(band, tmp_path), console_of(band, fresh):
        pass
    assert content(database) == content(f"sqlite:///{fresh}/console.db")


def ready(url: str) -> bool:
    try:
        return http_json(f"{url}/readyz")[0] == 200
    except (URLError, OSError):
        return False


def decide(url: str, image_id: str, word: str) -> int:
    """Send the word until the console answers, as a person would; how many times that took."""
    deadline, attempts, last = time.monotonic() + 60, 0, ""
    while True:
        attempts += 1
        try:
            client = Client(url)
            page = client.get(f"/why?id={image_id}").text
            place = page.partition("/picture/")[2].partition('"')[0]
            csrf = page.partition('data-csrf="')[2].partition('"')[0]
            answer = client.post("/review", {"csrf": csrf, "place": place, "word": word})
            if answer.status == 303 or f"{word} by local" in client.get(f"/why?id={image_id}").text:
                return attempts
            last = f"{answer.status} {answer.text}"
        except OSError as error:
            last = repr(error)
        assert time.monotonic() < deadline, f"the word on {image_id} was not taken: {last}"
        time.sleep(0.1)


def content(url: str) -> dict[str, list[tuple[object, ...]]]:
    """All that can be built again."""
    database = Database(url)
    try:
        with database.transaction() as connection:
            return {
                table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=str)
                for table in REBUILT
            }
    finally:
        database.close()


def test_a_deleted_image_is_forgotten_whatever_is_read_first(band: Workplace, tmp_path: Path) -> None:
    topics = band.settings.topics
    photo = images.encoded(images.photo(1, 64, 64))
    with band.running("score", "index"):
        band.broker.send(
            topics.uploaded, [events.uploaded_bytes("gone", photo), events.uploaded_bytes("kept", photo)]
        )
        band.broker.wait_until_done(band.settings.kafka.group, topics.uploaded)
        with console_of(band, tmp_path) as console:
            client = Client(console.url)
            wait_until(lambda: client.place_of("gone") != "", "the verdict")
            assert client.get(f"/picture/{client.place_of('gone')}").status == 200
            place = client.place_of("gone")
            band.broker.send(topics.uploaded, [events.deleted("gone")])
            band.broker.wait_until_done(band.settings.kafka.group, topics.uploaded)
            wait_until(lambda: client.place_of("gone") == "", "the image to be forgotten")
            assert client.get(f"/picture/{place}").status == 404
            assert client.place_of("kept") != ""
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    with console_of(band, fresh) as console:
        assert Client(console.url).place_of("gone") == ""
        assert Client(console.url).place_of("kept") != ""
