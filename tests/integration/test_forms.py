"""Bucket notifications, deletions, replacements, blocked images and repeated events, on a real Kafka."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from schemas.events import EMBEDDED, ImageEmbedded, derived_event_id
from tests import events, images, inputs
from tests.integration.conftest import workplaces
from tests.kafka.client import Broker, Record
from tests.results import Results, body, of_key, place_of_result
from tests.workplace import Workplace
from worker.stream import dead_letter

# The first part of a path says what the hostile server does: these are bucket names too.
BUCKET, EMPTY_BUCKET = "ok", "404"


@dataclass(frozen=True)
class Run:
    workplace: Workplace
    sent: list[Record]
    results: Results


def _aws(record: Record) -> Record:
    """The same notification as Amazon S3 sends it: without MinIO's outer keys and the prefix."""
    entries = body(record)["Records"]
    entries[0]["eventName"] = entries[0]["eventName"].removeprefix("s3:")
    return events.as_json({"Records": entries}, (record.key or b"").decode())


def stream() -> list[Record]:
    blocked = {**events.upload_body("blocked", path="jpeg.jpg"), "category": "always-blocked"}
    first_good = events.uploaded("good-then-blocked", path="jpeg.jpg")
    then_blocked = events.as_json(
        {**body(first_good), "event_id": "second", "category": "always-blocked"}, "good-then-blocked"
    )
    replacement = events.as_json(
        {**events.upload_body("replaced", path="png.jpg"), "event_id": "second"}, "replaced"
    )
    listed = events.binary_image("listed", images.jpeg(5))
    extensions = (("ce_listingid", b"listing-9"), ("ce_category", b"shoes"))
    return [
        events.notification(BUCKET, "jpeg.jpg"),
        events.notification(EMPTY_BUCKET, "one+two%2Fthree.jpg"),
        _aws(events.notification(BUCKET, "png.jpg")),
        events.notification(BUCKET, "jpeg.jpg", "s3:ObjectRemoved:Delete"),
        events.uploaded("deleted", path="jpeg.jpg"),
        events.deleted("deleted"),
        events.deleted("never-uploaded"),
        events.as_json(
            {**events.cloud_event_attributes("deleted-by-cloudevent", events.DELETED), "data": {}},
            "deleted-by-cloudevent",
        ),
        events.as_json(blocked, "blocked"),
        first_good,
        then_blocked,
        events.uploaded("replaced", path="jpeg.jpg"),
        replacement,
        *[events.uploaded("repeated", path="jpeg.jpg")] * 3,
        replace(listed, headers=(*listed.headers, *extensions)),
        events.uploaded("last", path="jpeg.jpg"),
    ]


@pytest.fixture(scope="module")
def run(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with workplaces(tmp_path_factory) as open_workplace:
        workplace = open_workplace(kafka, names=inputs.NAMES)
        topics = workplace.settings.topics
        with inputs.world(workplace.folder) as world:
            object_url = world.server.url("/{bucket}/{key}", host="images.test")
            settings = workplace.changed(fetch={"object_url": object_url})
            sent = kafka.send(topics.uploaded, stream())
            with workplace.running("score", settings=settings):
                kafka.wait_until_done(settings.kafka.group, topics.uploaded)
        yield Run(workplace, sent, Results.read(kafka, topics))


def embedded(run: Run, image_id: str) -> list[ImageEmbedded | None]:
    """What the compacted topic says of an image, in order; None is a tombstone."""
    values = [record.value for record in of_key(run.results.embedded, image_id)]
    return [None if value is None else ImageEmbedded.model_validate_json(value) for value in values]


@pytest.mark.parametrize("key", ["jpeg.jpg", "png.jpg"])
def test_a_bucket_notification_leads_to_results_under_bucket_and_key(run: Run, key: str) -> None:
    (moderated,) = of_key(run.results.moderated, f"{BUCKET}/{key}")
    assert body(moderated)["input"]["event_id"].startswith(f"{BUCKET}/{key}#17A0B1C2D3E4F506#")
    assert len(of_key(run.results.enriched, f"{BUCKET}/{key}")) == 1


def test_an_objects_removal_takes_it_out_of_the_index(run: Run) -> None:
    was_embedded, tombstone = embedded(run, f"{BUCKET}/jpeg.jpg")
    assert was_embedded is not None
    assert tombstone is None


def test_a_notification_of_an_object_that_is_gone_is_rejected(run: Run) -> None:
    (dead,) = of_key(run.results.dead, f"{EMPTY_BUCKET}/one+two%2Fthree.jpg")
    assert dead.header(dead_letter.REASON) == b"fetch.not_found"
    assert b"one two/three.jpg" in (dead.header(dead_letter.MESSAGE) or b"")


def test_a_deletion_leaves_a_tombstone_and_no_verdict(run: Run) -> None:
    was_embedded, tombstone = embedded(run, "deleted")
    assert was_embedded is not None
    assert tombstone is None
    assert len(of_key(run.results.moderated, "deleted")) == 1  # of the upload
    for image_id in ("never-uploaded", "deleted-by-cloudevent"):
        assert embedded(run, image_id) == [None]
        assert of_key(run.results.moderated, image_id) == []
        assert of_key(run.results.dead, image_id) == []


def test_a_tombstone_carries_the_id_of_its_event(run: Run) -> None:
    (tombstone,) = of_key(run.results.embedded, "never-uploaded")
    expected = derived_event_id(EMBEDDED, "deletion-of-never-uploaded")
    assert tombstone.header("ce_id") == str(expected).encode()


def test_a_blocked_image_has_a_verdict_and_is_not_searchable(run: Run) -> None:
    (moderated,) = of_key(run.results.moderated, "blocked")
    verdict = body(moderated)
    assert verdict["decision"] == "block"
    assert [(reason["score"], reason["threshold"]) for reason in verdict["reasons"]] == [("text", -1.0)]
    assert verdict["category"] == "always-blocked"
    assert len(of_key(run.results.enriched, "blocked")) == 1
    assert embedded(run, "blocked") == [None]


def test_an_image_replaced_by_a_blocked_one_leaves_the_index(run: Run) -> None:
    first, second = embedded(run, "good-then-blocked")
    assert first is not None
    assert second is None


def test_a_replacement_has_results_of_its_own_and_the_last_vector_stands(run: Run) -> None:
    first, second = embedded(run, "replaced")
    assert first is not None
    assert second is not None
    assert first.image_sha256 != second.image_sha256
    assert first.event_id != second.event_id
    assert len(of_key(run.results.moderated, "replaced")) == 2


def test_a_repeated_event_has_one_outcome_for_each_record_with_equal_event_ids(run: Run) -> None:
    for results in (run.results.moderated, run.results.enriched, run.results.embedded):
        repeats = of_key(results, "repeated")
        assert len(repeats) == 3
        assert len({body(record)["event_id"] for record in repeats}) == 1
        assert len({place_of_result(record) for record in repeats}) == 3
    vectors = [event.vector for event in embedded(run, "repeated") if event is not None]
    assert len(vectors) == 3


def test_a_cloudevents_extensions_say_listing_and_category(run: Run) -> None:
    (moderated,) = of_key(run.results.moderated, "listed")
    assert body(moderated)["listing_id"] == "listing-9"
    assert body(moderated)["category"] == "shoes"
    assert body(moderated)["input"]["event_id"] == "shop/uploads#event-of-listed"


def test_the_event_after_all_of_them_is_judged_and_nothing_else_is_rejected(run: Run) -> None:
    assert len(of_key(run.results.moderated, "last")) == 1
    assert len(run.results.dead) == 1
    assert run.workplace.guard.refused == []
