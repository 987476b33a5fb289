"""Events that nothing but themselves is to blame for, on a real Kafka: they stop nobody, and are told."""

import hashlib
import random

import pytest

from tests import events, images
from tests.kafka.client import Record
from tests.results import Results, of_key, places
from tests.workplace import Workplace


@pytest.mark.parametrize("mode", ["exactly_once", "at_least_once"])
def test_a_dead_letter_that_its_topic_does_not_take_goes_without_its_value(
    workplace: Workplace, mode: str
) -> None:
    settings = workplace.changed(score={"delivery": mode, "max_event_bytes": 600_000})
    topics, broker = settings.topics, workplace.broker
    broker.configure(topics.dead_letter, "max.message.bytes", "100000")
    photo = images.encoded(images.photo(1, 64, 64))
    noise = random.Random(1).randbytes(400_000)
    sent = broker.send(
        topics.uploaded,
        [
            events.uploaded_bytes("good-1", photo, partition=0),
            Record(noise, b"large", partition=0),
            Record(b"{" + noise, b"larger", partition=0),
            Record(b"not json", b"small", partition=0),
            Record(b"[" * 700_000, b"over the limit", partition=0),
            events.uploaded_bytes("good-2", photo, partition=0),
        ],
    )
    with workplace.running("score", settings=settings) as running:
        broker.wait_until_done(settings.kafka.group, topics.uploaded)
        assert running.get("/readyz")[0] == 200
    results = Results.read(broker, topics)
    assert set(results.outcomes()) == places(sent)
    if mode == "exactly_once":  # else, what was taken in the first attempt may come again, made smaller
        assert set(results.outcomes().values()) == {1}
    assert len(results.moderated) == 2
    (large,) = of_key(results.dead, "large")
    assert large.value is None
    assert large.header("mekiki.value_bytes") == b"400000"
    assert large.header("mekiki.value_sha256") == hashlib.sha256(noise).hexdigest().encode()
    assert large.header("__streams.errors.offset") == str(sent[1].offset).encode()
    (small,) = of_key(results.dead, "small")
    assert small.value == b"not json"
    over, *_ = of_key(results.dead, "over the limit")
    assert over.header("mekiki.reason") == b"envelope.too_large"


def test_an_upload_that_is_rejected_takes_the_accepted_one_before_it_out_of_the_index(
    workplace: Workplace,
) -> None:
    settings, broker = workplace.settings, workplace.broker
    photo = images.encoded(images.photo(1, 64, 64))
    broker.send(
        settings.topics.uploaded,
        [events.uploaded_bytes("replaced", photo), events.uploaded_bytes("replaced", b"no image")],
    )
    with workplace.running("score", "index") as running:
        broker.wait_until_done(settings.kafka.group, settings.topics.uploaded)
        embedded = of_key(broker.read(settings.topics.embedded), "replaced")
        assert [record.value is None for record in embedded] == [False, True]
        assert embedded[1].header("mekiki.reason") == b"image.not_an_image"
        broker.wait_until_done(f"mekiki-index-{settings.index.name}", settings.topics.embedded)
        assert running.get("/index")[1]["vectors"] == 0
        # Sent again in whole, it is back.
        broker.send(settings.topics.uploaded, [events.uploaded_bytes("replaced", photo)])
        broker.wait_until_done(settings.kafka.group, settings.topics.uploaded)
        broker.wait_until_done(f"mekiki-index-{settings.index.name}", settings.topics.embedded)
        assert running.get("/index")[1]["vectors"] == 1
