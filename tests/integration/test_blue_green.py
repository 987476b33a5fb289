"""Another embedding space on a real Kafka, under load: searches move to it and back; nothing comes twice."""

import base64
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.events import ImageEmbedded, ImageModerated
from schemas.vector import Vector
from tests import events, images
from tests.integration.conftest import workplaces
from tests.integration.running import Running
from tests.integration.test_index import acknowledgements, last_vectors
from tests.kafka.client import Broker, Record, wait_until
from tests.other_space import SPACE, moved, write_bundle
from tests.workplace import Workplace
from worker.errors import ConfigurationError
from worker.fetch.fetch import Fetcher, build_fetcher
from worker.role_names import REEMBED
from worker.roles import run_until_stopped
from worker.run_reembed import compose_reembed
from worker.settings import FetchSettings, Settings, index_group, reembed_group
from worker.stream.topics import create_topics

OLD = "starter-0.5.0"
STABLE = [f"stable-{n}" for n in range(40)]


@dataclass
class Place:
    """A workplace with a next index: its settings, and the file that says who serves."""

    workplace: Workplace
    settings: Settings
    serve: Path

    @property
    def broker(self) -> Broker:
        return self.workplace.broker

    def read(self, topic: str) -> list[Record]:
        return self.broker.read(topic)

    @property
    def next_topic(self) -> str:
        assert self.settings.index.next is not None
        return self.settings.index.next.topic

    def wait_until_scored(self) -> None:
        self.broker.wait_until_done(self.settings.kafka.group, self.settings.topics.uploaded)

    @contextmanager
    def reembedding(self) -> Iterator[None]:
        """`mekiki reembed` in threads of this process."""

        def build(fetch: FetchSettings) -> Fetcher:
            return build_fetcher(fetch, self.workplace.guard.resolve, self.workplace.guard.connect)

        with compose_reembed(self.settings, build) as reembedding:
            thread = threading.Thread(target=run_until_stopped, args=({REEMBED: reembedding.role},))
            thread.start()
            yield
            reembedding.role.stop()
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def place(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("blue-green")
    serve = home / "serve"
    serve.write_text("current")
    with workplaces(tmp_path_factory) as open_workplace:
        workplace = open_workplace(kafka)
        beside = {
            "bundle": write_bundle(home / "bundle"),
            "topic": f"{workplace.settings.topics.embedded}.v2",
        }
        settings = workplace.changed(index={"next": beside, "serve": serve})
        create_topics(settings)
        yield Place(workplace, settings, serve)
        kafka.delete_topics([beside["topic"]])


@dataclass(frozen=True)
class Answer:
    """What was asked, about which image, and what came of it."""

    about: str
    asked: dict[str, Any]
    status: int
    body: Any

    def query(self, held: dict[str, np.ndarray]) -> np.ndarray:
        """What its distances are from, in the space of `held`."""
        if "vector" in self.asked:
            return Vector.model_validate(self.asked["vector"]).to_array()
        return held[self.about]


@dataclass
class Load:
    """Uploads, replacements and deletions, and searches beside them, each in a thread, until it is left."""

    place: Place
    running: Running
    answers: list[Answer] = field(default_factory=list)
    sent: list[Record] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def __enter__(self) -> "Load":
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(work,)) for work in (self._upload, self._search)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        assert not self.failures, self.failures

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(30)

    def _repeat(self, work: Callable[[], Iterator[None]]) -> None:
        try:
            for _ in work():
                if self._ended.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - raised again by the test
            self.failures.append(error)

    def _upload(self) -> Iterator[None]:
        send, topic = self.place.broker.sender(), self.place.settings.topics.uploaded
        for n in itertools.count():
            batch = [events.uploaded_bytes(f"fresh-{n}", images.jpeg(100 + n))]
            if n % 5 == 4:
                batch.append(events.deleted(f"fresh-{n - 4}"))
            if n % 7 == 6:
                data = base64.b64encode(images.jpeg(5000 + n)).decode()
                body = {**events.upload_body(f"fresh-{n - 1}", data=data), "event_id": f"again-{n}"}
                batch.append(events.as_json(body, f"fresh-{n - 1}"))
            self.sent += send(topic, batch)
            yield
            time.sleep(0.03)

    def _search(self) -> Iterator[None]:
        for n in itertools.count():
            name = STABLE[n % len(STABLE)]
            asked: dict[str, Any] = {"image_id": name, "k": 20}
            if n % 3 == 1:
                data = images.jpeg(n % len(STABLE))
                asked = {"image": base64.b64encode(data).decode(), "k": 20}
            elif n % 3 == 2:
                vector = Vector.from_array(np.eye(128, dtype=np.float32)[n % 128]).model_dump()
                asked = {"vector": vector, "k": 20}
            status, answer = self.running.post("/search", asked)
            self.answers.append(Answer(name, asked, status, answer))
            yield

    def until_answers_are_of(self, space: str) -> None:
        def moved_to() -> bool:
            return any(
                "vector" not in each.asked and each.status == 200 and each.body["space"] == space
                for each in self.answers[-6:]
            )

        wait_until(moved_to, f"searches to be answered from {space}")


def vectors_of(records: list[Record]) -> dict[str, np.ndarray]:
    found = last_vectors(records)
    spaces = {ImageEmbedded.model_validate_json(record.value).space for record in records if record.value}
    assert len(spaces) == 1, spaces
    return found


def assert_of_one_space_each(answers: list[Answer], place: Place) -> None:
    """No search failed; distances are those of the space that the answer names, image by image."""
    assert [each for each in answers if each.status != 200] == []
    held = {
        OLD: vectors_of(place.read(place.settings.topics.embedded)),
        SPACE: vectors_of(place.read(place.next_topic)),
    }
    compared = Counter[str]()
    for each in answers:
        space = each.body["space"]
        assert "vector" not in each.asked or space == OLD, "a vector without a name is of the current space"
        query = each.query(held[space])
        for result in each.body["results"]:
            if result["image_id"] in STABLE:  # others may have been replaced since
                expected = 1 - float(query @ held[space][result["image_id"]])
                assert result["distance"] == pytest.approx(expected, abs=2e-3)
                compared[space] += 1
    assert min(compared[OLD], compared[SPACE]) > 100, compared


def test_searches_move_to_another_space_and_back_under_load(place: Place) -> None:
    settings, broker = place.settings, place.broker
    broker.send(
        settings.topics.uploaded,
        [
            *(events.uploaded_bytes(name, images.jpeg(n)) for n, name in enumerate(STABLE)),
            events.uploaded_bytes("gone", images.jpeg(77)),
            events.deleted("gone"),
        ],
    )
    with place.workplace.running("score"), place.workplace.running("index", settings=settings) as index:
        place.wait_until_scored()
        broker.wait_until_done(index_group(settings.index.name), settings.topics.embedded)
        index.wait_until_ready()
        place.serve.write_text("next")  # obeyed once there is all in it
        with Load(place, index) as load:
            with place.reembedding():
                wait_until(lambda: sum(broker.ends(place.next_topic).values()) > 5, "the first vectors")
            with place.reembedding():  # goes on where it was
                load.until_answers_are_of(SPACE)
                for word, space in (("current", OLD), ("next", SPACE), ("current", OLD)):
                    place.serve.write_text(word)
                    load.until_answers_are_of(space)
                    time.sleep(0.2)
                load.stop()
                place.wait_until_scored()
                broker.wait_until_done(index_group(settings.index.name), settings.topics.embedded)
                broker.wait_until_done(reembed_group(place.next_topic), settings.topics.embedded)
                broker.wait_until_done(index_group(f"{settings.index.name}-next"), place.next_topic)
                state = index.get("/index")[1]
        assert_of_one_space_each(load.answers, place)
        old, new = (vectors_of(place.read(topic)) for topic in (settings.topics.embedded, place.next_topic))
        assert old.keys() == new.keys()
        assert "gone" not in new
        for name, vector in old.items():
            np.testing.assert_allclose(new[name], moved(vector), atol=1e-3)
        assert (state["vectors"], state["next"]["vectors"]) == (len(old), len(old))
        assert (state["space"], state["next"]["space"]) == (OLD, SPACE)
    verdicts = Counter(
        (event.input.partition, event.input.offset)
        for record in place.read(settings.topics.moderated)
        for event in (ImageModerated.model_validate_json(record.value or b""),)
    )
    assert set(verdicts.values()) == {1}
    assert_acknowledged_once(place)


def assert_acknowledged_once(place: Place) -> None:
    told = Counter(
        (a.input.topic, a.input.partition, a.input.offset) for a in acknowledgements(place.workplace)
    )
    topic = place.settings.topics.embedded
    assert told == {(topic, r.partition, r.offset): 1 for r in place.read(topic)}


def test_a_second_release_publishes_no_verdict_twice(place: Place) -> None:
    """It reads the same uploads as another group, which is refused."""
    settings = place.workplace.changed(kafka={"group": f"{place.settings.kafka.group}-second"})
    before = len(place.read(settings.topics.moderated))
    assert before > 0
    with pytest.raises(ConfigurationError, match=r"index\.next"):
        place.workplace.running("score", settings=settings).__enter__()
    assert len(place.read(settings.topics.moderated)) == before


def test_an_index_of_a_new_name_acknowledges_nothing_again(place: Place, tmp_path: Path) -> None:
    name = f"{place.settings.index.name}-replica"
    settings = place.workplace.changed(index={"directory": tmp_path, "name": name})
    with place.workplace.running("index", settings=settings) as running:
        running.wait_until_ready()
        place.broker.wait_until_done(index_group(name), settings.topics.embedded)
        assert running.get("/index")[1]["vectors"] == len(vectors_of(place.read(settings.topics.embedded)))
    assert_acknowledged_once(place)


def test_the_next_index_becomes_the_current_one(place: Place) -> None:
    """The last step, as docs/operations.md has it: the score role stood still until nothing lagged."""
    chosen = place.settings.index.next
    assert chosen is not None
    topics = place.settings.topics
    before = {name: len(place.read(name)) for name in (topics.moderated, topics.index_updated)}
    directory = place.settings.index.directory
    settings = place.workplace.changed(
        model={"bundle": chosen.bundle},
        topics={"embedded": chosen.topic},
        index={"directory": directory.with_name(f"{directory.name}-next")},
    )
    with place.workplace.running("score", "index", settings=settings) as running:
        running.wait_until_ready()
        assert running.get("/index")[1]["vectors"] == len(vectors_of(place.read(chosen.topic)))
        assert {name: len(place.read(name)) for name in before} == before
        place.broker.send(topics.uploaded, [events.uploaded_bytes("last", images.jpeg(2))])
        place.wait_until_scored()
        place.broker.wait_until_done(index_group(settings.index.name), chosen.topic)
        data = base64.b64encode(images.jpeg(2)).decode()
        status, answer = running.post("/search", {"image": data, "k": 3})
        assert status == 200
        assert answer["space"] == SPACE
        assert "last" in [each["image_id"] for each in answer["results"]]
    fresh = [each for each in acknowledgements(place.workplace) if each.space == SPACE]
    assert [(each.image_id, each.input.topic) for each in fresh] == [("last", chosen.topic)]
    assert {name: len(place.read(name)) for name in before} == {n: count + 1 for n, count in before.items()}
