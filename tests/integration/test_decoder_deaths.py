"""A decoder that dies, hangs or takes 3 GB over one event each, on a real Kafka: the others are judged."""

import shutil

import pytest

import worker.score.compose
from tests import events, images
from tests.hostile import faults
from tests.integration.conftest import workplaces
from tests.kafka.client import Broker
from tests.results import Results, place_of_dead_letter, places
from worker.model.decoders import DecoderLimits, DecoderPool
from worker.stream import dead_letter

REASONS = {
    faults.ABORT: b"image.decoder_crashed",
    faults.KILL: b"image.decoder_crashed",
    faults.HANG: b"image.too_costly",
    faults.SPIN: b"image.too_costly",
    faults.ALLOCATE: b"image.too_costly",
}


def test_each_death_is_one_rejection_and_no_restart(
    kafka: Broker, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = DecoderLimits(cpu_seconds=2, wall_seconds=3)
    monkeypatch.setattr(
        worker.score.compose, "create_decoders",
        lambda settings, processes=2, **_: DecoderPool(processes, limits, "tests.hostile.faults:decode"),
    )  # fmt: skip
    with workplaces(tmp_path_factory) as open_workplace:
        workplace = open_workplace(kafka)
        (workplace.folder / "good.jpg").write_bytes(images.jpeg(3))
        records = [events.uploaded(f"good-{n}", path="good.jpg") for n in range(40)]
        for number, fault in enumerate(REASONS):
            name = fault.decode()
            (workplace.folder / name).write_bytes(fault + b" is what this decoder does")
            records.insert(7 * number + 3, events.uploaded(name, path=name))
        sent = kafka.send(workplace.settings.topics.uploaded, records)
        with workplace.running("score") as running:
            running.wait_until_ready()
            kafka.wait_until_done(workplace.settings.kafka.group, workplace.settings.topics.uploaded, 60)
            assert running.get("/readyz")[0] == 200
            assert running.get("/healthz")[0] == 200
        results = Results.read(kafka, workplace.settings.topics)
        shutil.rmtree(workplace.folder)
    assert results.outcomes() == dict.fromkeys(places(sent), 1)
    found = {place_of_dead_letter(dead): dead.header(dead_letter.REASON) for dead in results.dead}
    expected = {
        (record.partition, record.offset): REASONS[record.key] for record in sent if record.key in REASONS
    }
    assert found == expected
    assert len(found) == len(REASONS)
