"""A replay on a real Kafka never brings back what was deleted or replaced since, and sends an event once."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from tests import events, images
from tests.kafka.client import Record
from tests.results import body, of_key
from tests.workplace import Workplace
from worker.commands import replay
from worker.stream.dead_letter import REASON


def at(record: Record, field: str, time: str) -> Record:
    """`record` with another time."""
    assert record.value is not None
    return replace(record, value=json.dumps({**json.loads(record.value), field: time}).encode())


def upload(image_id: str, time: str, name: str = "first") -> Record:
    record = at(events.uploaded(image_id, path="late.jpg"), "uploaded_at", time)
    return at(record, "event_id", f"{name}-of-{image_id}")


def deletion(image_id: str, time: str) -> Record:
    return at(events.deleted(image_id), "deleted_at", time)


def judge(workplace: Workplace, *records: Record) -> None:
    settings, broker = workplace.settings, workplace.broker
    broker.send(settings.topics.uploaded, records)
    with workplace.running("score"):
        broker.wait_until_done(settings.kafka.group, settings.topics.uploaded)


def run(workplace: Workplace, reason: str | None, source: str = "score") -> tuple[int, Counter[str]]:
    return replay(workplace.settings, source, reason, lambda _: None)


def test_what_was_deleted_or_replaced_since_stays_as_it_is(workplace: Workplace) -> None:
    ten, eleven, nine = (f"2026-11-20T{hour}:00:00Z" for hour in ("10", "11", "09"))
    ids = ("deleted", "replaced", "untouched", "deleted-before", "in-both")
    judge(workplace, *(upload(image_id, ten) for image_id in ids))
    judge(
        workplace,
        deletion("deleted", eleven),
        at(events.uploaded_bytes("replaced", images.jpeg(2)), "uploaded_at", eleven),
        deletion("deleted-before", nine),
        upload("in-both", eleven, "second"),
    )
    (workplace.folder / "late.jpg").write_bytes(images.jpeg(1))
    assert run(workplace, "fetch.") == (3, Counter(overtaken=3))
    judge(workplace)
    broker, topics = workplace.broker, workplace.settings.topics
    # Beside the tombstones that go with dead letters of uploads.
    embedded = [record for record in broker.read(topics.embedded) if record.header(REASON) is None]
    last = {image_id: of_key(embedded, image_id)[-1].value is not None for image_id in ids}
    assert last == {
        "deleted": False, "replaced": True, "untouched": True, "deleted-before": True, "in-both": True,
    }  # fmt: skip
    assert body(of_key(embedded, "replaced")[-1])["input"]["event_id"] == "event-of-replaced"
    (both,) = of_key(embedded, "in-both")
    assert body(both)["input"]["event_id"] == "second-of-in-both"
    (tombstone,) = of_key(embedded, "deleted")
    assert tombstone.header("mekiki.cause_time") == b"2026-11-20T11:00:00+00:00"


@pytest.mark.parametrize(
    "reasons",
    [("fetch.", None), (None, "fetch."), ("fetch.not_found", "fetch.", None), ("envelope.", None, "fetch.")],
)
def test_replays_by_overlapping_reasons_send_an_event_once(
    workplace: Workplace, reasons: tuple[str | None, ...]
) -> None:
    images_of = [upload(f"image-{number}", "2026-11-20T10:00:00Z") for number in range(5)]
    judge(workplace, *images_of, *(Record(b"not json", f"other-{n}".encode()) for n in range(3)))
    done = [run(workplace, reason) for reason in reasons]
    assert sum(sent for sent, _ in done) == 8
    assert sum(passed["already_sent"] for _, passed in done) >= 3
    sent_back = [r.key for r in workplace.broker.read(workplace.settings.topics.uploaded)]
    assert set(Counter(sent_back).values()) == {2}
    judge(workplace)  # all fail again, and may be sent again
    assert run(workplace, None)[0] == 8


def test_a_rejected_vector_is_not_brought_back_behind_a_tombstone(workplace: Workplace) -> None:
    settings, broker = workplace.settings, workplace.broker
    topics = settings.topics
    judge(workplace, *(events.uploaded_bytes(f"i-{n}", images.jpeg(n)) for n in range(4)))
    good = broker.read(topics.embedded)
    vectors = [{**body(record)["vector"], "dim": 3} for record in good]
    broken = [
        replace(record, value=json.dumps({**body(record), "vector": vector}).encode(), headers=())
        for record, vector in zip(good, vectors, strict=True)
    ]
    broker.send(topics.embedded, broken)
    group = f"mekiki-index-{settings.index.name}"
    with workplace.running("index"):
        broker.wait_until_done(group, topics.embedded)
    judge(workplace, deletion("i-1", "2026-11-20T10:00:00Z"))
    assert len(broker.read(topics.index_dead_letter)) == 4
    assert run(workplace, None, "index") == (3, Counter(overtaken=1))
    assert of_key(broker.read(topics.embedded), "i-1")[-1].value is None
