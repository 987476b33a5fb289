"""A batch that was damaged on a broker's disk: its partition stands still, says so, and loses nothing."""

from pathlib import Path

import pytest

from tests import events, images
from tests.integration.conftest import OpenWorkplace, own_server, workplaces
from tests.integration.running import Running
from tests.kafka.client import Broker, Record, wait_until
from tests.results import Results, place_of_result, places
from tests.workplace import Workplace

HEADER_BYTES = 61  # of a batch: the rest is what is compressed


def sent_in_batches(workplace: Workplace, batches: int) -> list[Record]:
    """Uploads to partition 0, each a batch of its own."""
    image = images.encoded(images.photo(1, 64, 64))
    broker, topic = workplace.broker, workplace.settings.topics.uploaded
    made = [events.uploaded_bytes(f"image-{number}", image, partition=0) for number in range(batches)]
    return [sent for record in made for sent in broker.send(topic, [record])]


def segment(home: Path, topic: str) -> Path:
    (found,) = home.glob(f"**/{topic}-0/00000000000000000000.log")
    return found


def damage(file: Path, number: int) -> bytes:
    """Overwrite the payload of a batch, and say that it is gzip; what stood there."""
    data, begin = file.read_bytes(), 0
    for _ in range(number):
        begin += 12 + int.from_bytes(data[begin + 8 : begin + 12], "big")
    size = 12 + int.from_bytes(data[begin + 8 : begin + 12], "big")
    with file.open("r+b") as log:
        log.seek(begin + 21)
        log.write((1).to_bytes(2, "big"))
        log.seek(begin + HEADER_BYTES)
        log.write(b"\xff" * (size - HEADER_BYTES))
    return data[begin : begin + size]


def mend(file: Path, number: int, whole: bytes) -> None:
    data, begin = file.read_bytes(), 0
    for _ in range(number):
        begin += 12 + int.from_bytes(data[begin + 8 : begin + 12], "big")
    with file.open("r+b") as log:
        log.seek(begin)
        log.write(whole)


def standing(running: Running) -> bool:
    name = 'mekiki_poll_unreadable_partitions{role="score"} 1.0'
    return name in running.get("/metrics")[1].splitlines()


def test_it_is_waited_for_and_read_once_it_is_whole(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path / "kafka"
    home.mkdir()
    with own_server(home) as server, workplaces(tmp_path_factory) as open_workplace:
        for checks in ("false", "true"):
            waited_for(open_workplace, Broker(server.bootstrap), home, checks)


def waited_for(open_workplace: OpenWorkplace, broker: Broker, home: Path, checks: str) -> None:
    workplace = open_workplace(broker)
    consumer = {**workplace.settings.kafka.consumer, "check.crcs": checks}
    settings = workplace.changed(kafka={"consumer": consumer})
    topic, group = settings.topics.uploaded, settings.kafka.group
    sent = sent_in_batches(workplace, 9)
    file = segment(home, topic)
    whole = damage(file, 5)
    elsewhere = broker.send(topic, [Record(b"not json", b"k", partition=1)])
    with workplace.running("score", settings=settings) as running:
        wait_until(lambda: standing(running), "the partition to stand still", 20)
        wait_until(lambda: broker.committed(group, topic) == {0: 5, 1: 1}, "what comes before it", 20)
        status, answer = running.get("/readyz")
        assert status == 503
        assert f"{topic}/0/5 cannot be read" in str(answer)
        mend(file, 5, whole)
        broker.wait_until_done(group, topic)
        wait_until(lambda: running.get("/readyz")[0] == 200, "it to be ready again", 10)
        assert not standing(running)
    results = Results.read(broker, settings.topics)
    assert results.outcomes() == dict.fromkeys(places([*sent, *elsewhere]), 1)
    assert {place_of_result(record) for record in results.moderated} == places(sent)
