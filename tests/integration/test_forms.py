"""Bucket notifications, deletions, replacements, blocked images and repeated events, on a real Kafka."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import quote, quote_plus

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

# Longest keys, and keys that not every store escapes; each with how the server is asked for it.
LONG = "靴" * 340 + ".jpg"
RAW = {"a+b.jpg": "a%2Bb.jpg", "a%20b.jpg": "a%2520b.jpg"}


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


def _store(key: str, event: str, source: str = "aws:s3", bucket: str = BUCKET, **item: str) -> Record:
    """A notification whose key stands as it is given."""
    notified = body(events.notification(bucket, key, event))
    (one,) = notified["Records"]
    one["eventSource"] = source
    one["s3"]["object"] |= item
    return events.as_json({"Records": [one]}, f"{bucket}/{key}")


def _cloud(kind: str, subject: str, data: dict[str, object], source: str) -> Record:
    attributes = {**events.cloud_event_attributes(subject, kind), "source": source, "subject": subject}
    return events.as_json({**attributes, "data": data}, subject)


def _google(kind: str, bucket: str, name: str) -> Record:
    data = {"bucket": bucket, "name": name, "generation": "17"}
    source = f"//storage.googleapis.com/projects/_/buckets/{bucket}"
    return _cloud(f"google.cloud.storage.object.v1.{kind}", f"objects/{name}", data, source)


def _azure(kind: str, name: str, url: str) -> Record:
    data: dict[str, object] = {"api": "PutBlob", "url": url}
    subject = f"/blobServices/default/containers/azure/blobs/{name}"
    return _cloud(f"Microsoft.Storage.{kind}", subject, data, "/storageAccounts/acct")


def _event_bridge(key: str) -> Record:
    detail = {"bucket": {"name": BUCKET}, "object": {"key": key, "sequencer": "1"}}
    return events.as_json(
        {"source": "aws.s3", "detail-type": "Object Created", "time": events.WHEN, "detail": detail}, key
    )


def stores(url: str) -> list[Record]:
    """What object stores send; `url` is that of a good image."""
    removed, expired = "ObjectRemoved:Delete", "LifecycleExpiration:Delete"
    test = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": events.WHEN, "Bucket": BUCKET}
    attributes = events.cloud_event_attributes("deleted-without-data", events.DELETED)
    headers = tuple((f"ce_{name}", value.encode()) for name, value in attributes.items())
    return [
        *(_store(key, "ObjectCreated:Put", "ceph:s3") for key in RAW),
        _store("a+b.jpg", removed, "ceph:s3"),
        _store(quote_plus(LONG), "ObjectCreated:CompleteMultipartUpload"),
        _store("live.jpg", "ObjectCreated:Put", versionId="v2"),
        _store("live.jpg", removed, versionId="v1"),
        _store("live.jpg", "ObjectTagging:Put", versionId="v2"),
        _store("all-versions.jpg", removed, bucket=EMPTY_BUCKET, versionId="v1"),
        _store("expired.jpg", expired),
        events.as_json(test, BUCKET),
        _event_bridge("bridged.jpg"),
        _google("finalized", BUCKET, "google.jpg"),
        _google("deleted", EMPTY_BUCKET, "google.jpg"),
        _azure("BlobCreated", "azure.jpg", url),
        _azure("BlobDeleted", "gone.jpg", url),
        Record(None, b"deleted-without-data", headers),
    ]


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
            for name in (*RAW.values(), quote(LONG), "live.jpg", "bridged.jpg", "google.jpg"):
                world.server.files[name] = images.jpeg(9)
            good = world.server.url("/ok/jpeg.jpg", host="images.test")
            sent = kafka.send(topics.uploaded, [*stores(good), *stream()])
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


@pytest.mark.parametrize(
    "image_id",
    [
        *(f"{BUCKET}/{key}" for key in (*RAW, LONG, "live.jpg", "bridged.jpg", "google.jpg")),
        "azure/azure.jpg",
    ],
)
def test_an_object_of_any_store_is_judged_once(run: Run, image_id: str) -> None:
    assert len(of_key(run.results.moderated, image_id)) == 1
    assert embedded(run, image_id)[0] is not None


@pytest.mark.parametrize(
    "image_id",
    [
        f"{BUCKET}/a+b.jpg",
        f"{BUCKET}/expired.jpg",
        f"{EMPTY_BUCKET}/all-versions.jpg",
        f"{EMPTY_BUCKET}/google.jpg",
        "azure/gone.jpg",
        "deleted-without-data",
    ],
)
def test_an_object_that_is_gone_from_any_store_leaves_the_index(run: Run, image_id: str) -> None:
    assert embedded(run, image_id)[-1] is None


def test_an_old_version_and_tags_leave_the_live_image_alone(run: Run) -> None:
    assert [event is not None for event in embedded(run, f"{BUCKET}/live.jpg")] == [True]


def test_the_event_after_all_of_them_is_judged_and_nothing_else_is_rejected(run: Run) -> None:
    assert len(of_key(run.results.moderated, "last")) == 1
    assert len(run.results.dead) == 1
    assert run.workplace.guard.refused == []
