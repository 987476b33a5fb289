"""A person's word on a real Kafka: obeyed, undone, kept for the same bytes, known after a restart."""

import csv
import json
import re

import pytest

from schemas.events import ImageModerated
from tests import events, images
from tests.kafka.client import Record, wait_until
from tests.results import body, of_key
from tests.workplace import Workplace
from worker.errors import BrokerError, ConfigurationError
from worker.labels.commands import export_labels
from worker.review.commands import review, why

# Everything is in review but what a category says.
BAND = {"thresholds": {"text": {"review": -1.0}}, "categories": {"blocked": {"text": {"block": -1.0}}}}
FIRST, SECOND = (images.encoded(images.photo(seed, 64, 64)) for seed in (1, 2))


@pytest.fixture
def place(workplace: Workplace) -> Workplace:
    return Workplace(
        workplace.broker, workplace.changed(model={"policy": BAND}), workplace.guard, workplace.folder
    )


def verdicts(place: Workplace, image_id: str) -> list[tuple[str, str | None]]:
    """Decision and reviewer of each verdict on an image."""
    found = of_key(place.broker.read(place.settings.topics.moderated), image_id)
    told = [ImageModerated.model_validate_json(record.value or b"") for record in found]
    assert all((verdict.decided_by == "person") == (verdict.review is not None) for verdict in told)
    return [(verdict.decision, verdict.review and verdict.review.reviewer) for verdict in told]


def done(place: Workplace) -> None:
    place.broker.wait_until_done(place.settings.kafka.group, place.settings.topics.uploaded)


def is_embedded(place: Workplace, image_id: str) -> bool:
    return of_key(place.broker.read(place.settings.topics.embedded), image_id)[-1].value is not None


def test_a_word_is_obeyed_kept_for_the_same_bytes_and_known_after_a_restart(place: Workplace) -> None:
    uploaded, again = (events.uploaded_bytes("bag", data) for data in (FIRST, SECOND))
    with place.running("score"):
        place.broker.send(place.settings.topics.uploaded, [uploaded])
        done(place)
        review(place.settings, "accept", "bag", "mei", "a real bag")
        done(place)
    assert verdicts(place, "bag") == [("review", None), ("accept", "mei")]
    assert is_embedded(place, "bag")
    with place.running("score"):
        place.broker.send(place.settings.topics.uploaded, [uploaded, again, uploaded])
        done(place)
        assert verdicts(place, "bag")[2:] == [("accept", "mei"), ("review", None), ("accept", "mei")]
        review(place.settings, "undo", "bag", "ken", None)
        done(place)
        wait_until(lambda: not is_embedded(place, "bag"), "the tombstone")
        place.broker.send(place.settings.topics.uploaded, [uploaded])
        done(place)
    assert verdicts(place, "bag")[5:] == [("review", None)] * 2
    assert place.broker.read(place.settings.topics.reviews)[-1].value is None


def key_partition(place: Workplace, key: bytes) -> int:
    """Where the client would put a record of this key."""
    return place.broker.send(place.settings.topics.index_dead_letter, [Record(b"", key)])[0].partition


def two_events() -> Record:
    """A record that holds the uploads of two images."""
    several = [
        {
            **events.cloud_event_attributes(name),
            "datacontenttype": "application/json",
            "data": body(events.uploaded_bytes(name, data)),
        }
        for name, data in (("one", FIRST), ("two", SECOND))
    ]
    return Record(json.dumps(several).encode(), b"batch")


def test_any_partitioner_an_image_that_is_gone_one_of_several_and_why(place: Workplace) -> None:
    """The word goes where the image's events are, and blocks also what cannot be fetched any more."""
    file, topics = place.folder / "shoe.jpg", place.settings.topics
    file.write_bytes(FIRST)
    other = key_partition(place, b"shoe") ^ 1  # another client may have another partitioner
    with place.running("score"):
        place.broker.send(
            topics.uploaded, [events.uploaded("shoe", partition=other, path="shoe.jpg"), two_events()]
        )
        done(place)
        review(place.settings, "accept", "shoe", "mei", None)
        review(place.settings, "block", "two", "mei", None)
        done(place)
        assert is_embedded(place, "shoe")
        file.unlink()
        review(place.settings, "block", "shoe", "mei", "stolen photo")
        place.broker.send(topics.uploaded, [events.deleted("shoe", partition=other)])
        done(place)
    assert verdicts(place, "two") == [("review", None), ("block", "mei")]
    assert verdicts(place, "one") == [("review", None)]
    assert verdicts(place, "shoe") == [("review", None), ("accept", "mei"), ("block", "mei")]
    assert {record.partition for record in of_key(place.broker.read(topics.reviews), "shoe")} == {other}
    assert not is_embedded(place, "shoe")

    counts = export_labels(place.settings, place.folder / "labels", None, re.compile("^(.)"))
    assert counts == {"block": 1}  # the other image is deleted
    (row,) = csv.DictReader((place.folder / "labels" / "labels.csv").open())
    assert (row["label"], row["image_id"], row["seller_id"]) == ("block", "two", "t")
    assert (place.folder / "labels" / row["path"]).read_bytes() == SECOND

    steps = why(place.settings, "shoe")
    inputs = [step.kind for step in steps if step.kind in {"uploaded", "reviewed", "deleted"}]
    assert inputs == ["uploaded", "reviewed", "reviewed", "deleted"]
    assert {"verdict", "tags", "vector", "tombstone", "review stands"} <= {step.kind for step in steps}
    told = next(step for step in steps if step.kind == "verdict" and "by mei" in step.text)
    assert "the policy alone: review" in told.text
    assert told.place.startswith(f"{topics.moderated}/")
    with pytest.raises(ConfigurationError, match="no verdict"):
        review(place.settings, "accept", "nobody", "mei", None)


def test_a_review_topic_of_fewer_partitions_ends_the_role_with_what_to_do(place: Workplace) -> None:
    place.broker.delete_topics([place.settings.topics.reviews])
    place.broker.create_topics([place.settings.topics.reviews], 1)
    with pytest.raises(BrokerError, match="as many partitions"), place.running("score") as running:
        raise running.failure(60)
