"""What buckets send: which events say what, whose keys are escaped, and what is asked of the store."""

import json
from urllib.parse import quote, quote_plus

import pytest

from schemas.events import ImageDeleted, ImageUploaded
from schemas.rejection import RejectionReason
from tests.unit.records import record
from worker.errors import Rejection
from worker.score.outcome import PassedOver, PassOverReason, Several
from worker.score.parse import Parser
from worker.score.parsed import PerhapsDeleted

OBJECT_URL = "https://store.example/{bucket}/{key}"
WHEN = "2026-01-02T03:04:05.678Z"


def entry(name="ObjectCreated:Put", key="a.jpg", source="aws:s3", bucket="shop", **item):
    return {
        "eventVersion": "2.1",
        "eventSource": source,
        "eventTime": WHEN,
        "eventName": name,
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, "sequencer": "0055", **item}},
    }


def parse(*entries, object_url=OBJECT_URL, headers=()):
    return parsed({"Records": list(entries)}, object_url, headers)


def parsed(body, object_url=OBJECT_URL, headers=()):
    return Parser(object_url)(record(json.dumps(body).encode(), headers=headers))


def bridge(detail_type="Object Created", key="a.jpg", deletion_type=None, **item):
    detail = {"version": "0", "bucket": {"name": "shop"}, "object": {"key": key, "sequencer": "0055", **item}}
    if deletion_type:
        detail["deletion-type"] = deletion_type
    return {
        "version": "0",
        "id": "17793124-05d4",
        "detail-type": detail_type,
        "source": "aws.s3",
        "account": "1",
        "time": "2026-01-02T03:04:05Z",
        "region": "x",
        "resources": ["arn:aws:s3:::shop"],
        "detail": detail,
    }


def rejection(call, *args, **more):
    with pytest.raises(Rejection) as raised:
        call(*args, **more)
    assert raised.value.detail
    return raised.value


# Which event says what


@pytest.mark.parametrize(
    "name",
    [
        "ObjectCreated:Put",
        "ObjectCreated:Post",
        "ObjectCreated:Copy",
        "ObjectCreated:CompleteMultipartUpload",
        "s3:ObjectCreated:Put",
        "s3:ObjectCreated:CompleteMultipartUpload",
        "s3:ObjectSynced:Create",
        "s3:Replication:Create",
    ],
)
def test_an_object_that_is_there_is_an_upload(name):
    event = parse(entry(name))
    assert isinstance(event, ImageUploaded)
    assert (event.image_id, event.image.url) == ("shop/a.jpg", "https://store.example/shop/a.jpg")
    assert event.event_id == f"shop/a.jpg#0055#{name}"


@pytest.mark.parametrize(
    "name",
    [
        "ObjectRemoved:Delete",
        "s3:ObjectRemoved:Delete",
        "s3:ObjectSynced:Delete",
        "s3:Replication:Delete",
        "LifecycleExpiration:Delete",
        "s3:LifecycleExpiration:Delete",
        "ObjectLifecycle:Expiration:Current",
        "s3:ObjectLifecycle:Expiration:Current",
        "ReducedRedundancyLostObject",
    ],
)
@pytest.mark.parametrize("item", [{}, {"versionId": None}, {"versionId": ""}])
def test_an_object_that_is_gone_is_a_deletion(name, item):
    event = parse(entry(name, **item), object_url=None)
    assert isinstance(event, ImageDeleted)
    assert event.image_id == "shop/a.jpg"


@pytest.mark.parametrize(
    "name",
    [
        "ObjectRemoved:DeleteMarkerCreated",
        "s3:ObjectRemoved:DeleteMarkerCreated",
        "LifecycleExpiration:DeleteMarkerCreated",
        "s3:LifecycleExpiration:DeleteMarkerCreated",
        "s3:ObjectRemoved:DeleteAllVersions",
        "s3:ObjectSynced:DeletionMarkerCreated",
        "s3:ObjectLifecycle:Expiration:Current",
    ],
)
def test_a_delete_marker_is_a_deletion_and_has_a_version_of_its_own(name):
    assert isinstance(parse(entry(name, versionId="m1"), object_url=None), ImageDeleted)


@pytest.mark.parametrize("version", ["v1", "3/L4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY", "null", 7])
@pytest.mark.parametrize(
    "name",
    ["ObjectRemoved:Delete", "s3:ObjectRemoved:Delete", "LifecycleExpiration:Delete", "ObjectSynced:Delete"],
)
def test_of_a_version_that_is_gone_the_store_is_asked(name, version):
    event = parse(entry(name, versionId=version))
    assert isinstance(event, PerhapsDeleted)
    assert (event.deleted.image_id, event.url) == ("shop/a.jpg", "https://store.example/shop/a.jpg")
    assert not event.is_gone({}), "it is served, and no version of it is named"
    assert not event.is_gone({"x-amz-version-id": "v2"})
    assert event.is_gone({"x-amz-version-id": str(version)}), "it comes from a cache"


def test_of_a_version_that_is_gone_no_store_can_be_asked_without_its_url():
    found = rejection(parse, entry("ObjectRemoved:Delete", versionId="v1"), object_url=None)
    assert found.reason == RejectionReason.SOURCE_UNSUPPORTED
    assert "fetch.object_url" in found.detail


@pytest.mark.parametrize(
    "name",
    [
        *(
            "ObjectTagging:Put",
            "ObjectTagging:Delete",
            "ObjectAcl:Put",
            "IntelligentTiering",
            "LifecycleTransition",
        ),
        *(
            "ObjectRestore:Post",
            "ObjectRestore:Completed",
            "ObjectRestore:Delete",
            "s3:ObjectRestore:Completed",
        ),
        *("Replication:OperationFailedReplication", "s3:Replication:OperationCompletedReplication"),
        *("s3:ObjectCreated:PutTagging", "s3:ObjectCreated:DeleteTagging", "s3:ObjectCreated:PutRetention"),
        *("s3:ObjectCreated:PutLegalHold", "s3:ObjectAccessed:Get", "s3:ObjectAccessed:Head"),
        *(
            "s3:ObjectTransition:Complete",
            "s3:Scanner:BigPrefix",
            "s3:BucketCreated:*",
            "s3:ObjectRemoved:NoOP",
        ),
        *("s3:LifecycleDelMarkerExpiration:Delete", "s3:ObjectLifecycle:Expiration:Noncurrent"),
        *("ObjectLifecycle:Expiration:NonCurrent", "s3:ObjectLifecycle:Expiration:AbortMPU"),
        *("s3:ObjectLifecycle:Expiration:DeleteMarker", "s3:ObjectLifecycle:Transition:Current"),
    ],
)
def test_what_changes_no_image_is_passed_over(name):
    assert parse(entry(name, versionId="v1")) == PassedOver(PassOverReason.IMAGE_UNCHANGED)
    assert parse({"eventName": name}, object_url=None) == PassedOver(PassOverReason.IMAGE_UNCHANGED)


@pytest.mark.parametrize(
    "name", ["ObjectSold:Now", "s3:ObjectLost", "Created:Put", "s3:", "", None, 7, "s3:UnknownEvent"]
)
def test_an_event_that_nobody_knows_is_rejected(name):
    assert rejection(parse, entry(name)).reason == RejectionReason.ENVELOPE_UNKNOWN_TYPE


@pytest.mark.parametrize(
    "body",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": WHEN, "Bucket": "shop", "HostId": "h"},
        {"Event": "s3:TestEvent"},
        {"Type": "Notification", "TopicArn": "t", "Message": json.dumps({"Event": "s3:TestEvent"})},
        {"Records": [{"eventSource": "aws:sqs", "body": json.dumps({"Event": "s3:TestEvent"})}]},
        {"Records": [{"eventName": "s3:TestEvent"}]},
    ],
)
def test_the_test_event_of_s3_is_passed_over(body):
    assert parsed(body, object_url=None) == PassedOver(PassOverReason.TEST)


# Keys


@pytest.mark.parametrize(
    "key",
    [
        "photos/a+b.jpg",
        "photos/a%20b.jpg",
        "a b.jpg",
        "写真/靴.jpg",
        "100%.jpg",
        "%2B+%2b",
        "a?b#c&d.jpg",
        "//x.jpg",
    ],
)
@pytest.mark.parametrize(
    ("source", "escaped"),
    [
        ("aws:s3", quote_plus),
        ("minio:s3", quote_plus),
        ("aws:s3", lambda key: quote_plus(key, safe="/")),
        ("noobaa:s3", quote),
        ("ceph:s3", str),
        ("scality:s3", str),
    ],
)
def test_a_key_is_that_of_the_object_whoever_tells(key, source, escaped):
    uploaded = parse(entry(key=escaped(key), source=source))
    deleted = parse(entry("ObjectRemoved:Delete", escaped(key), source))
    assert uploaded.image_id == deleted.image_id == f"shop/{key}"
    assert uploaded.image.url == f"https://store.example/shop/{quote(key)}"


@pytest.mark.parametrize("key", ["m" * 1020 + ".jpg", "靴" * 341, "🎽" * 256, "é" * 510 + ".jpg", "a/" * 512])
@pytest.mark.parametrize("bucket", ["shop", "b" * 63, "B_" * 127 + "b"])
def test_a_key_of_1024_bytes_is_an_image_id_with_any_bucket(key, bucket):
    assert 1023 <= len(key.encode()) <= 1024
    created, removed = (
        entry(key=quote_plus(key), bucket=bucket),
        entry("ObjectRemoved:Delete", quote_plus(key), bucket=bucket),
    )
    assert parse(created).image_id == parse(removed).image_id == f"{bucket}/{key}"
    assert parse(created).image.url.endswith(quote(key))


@pytest.mark.parametrize(
    "key",
    [
        "../secret.jpg",
        "a/../../secret.jpg",
        "..",
        ".",
        "a/.",
        "./a.jpg",
        "a/..",
        "a%2F..%2Fb.jpg",
        "%2e%2e/b.jpg",
        "a/%2E/b",
    ],
)
@pytest.mark.parametrize("name", ["ObjectCreated:Put", "ObjectRemoved:Delete"])
def test_a_key_with_a_dot_segment_is_never_asked_for(key, name):
    found = rejection(parse, entry(name, key, versionId="v1"))
    assert found.reason == RejectionReason.SOURCE_UNSUPPORTED
    assert "rename" in found.detail


@pytest.mark.parametrize("bucket", [".", ".."])
def test_a_bucket_that_is_a_dot_segment_is_never_asked_for(bucket):
    assert rejection(parse, entry(bucket=bucket)).reason == RejectionReason.SOURCE_UNSUPPORTED


@pytest.mark.parametrize("key", ["a..jpg", "..a/b.jpg", "a.../b", ".hidden/a.jpg", "a%252E%252E/b"])
def test_dots_that_are_no_segment_are_part_of_the_name(key):
    assert isinstance(parse(entry(key=key)), ImageUploaded)


@pytest.mark.parametrize("key", ["../a.jpg", "a/./b.jpg"])
def test_an_object_with_a_dot_segment_can_still_be_deleted(key):
    assert parse(entry("ObjectRemoved:Delete", key)).image_id == f"shop/{key}"


@pytest.mark.parametrize("key", ["a//b.jpg", "/a.jpg", "a///b//c.jpg", "a/"])
def test_empty_segments_are_part_of_the_key(key):
    event = parse(entry(key=key))
    assert event.image_id == f"shop/{key}"
    assert event.image.url.endswith(f"/shop/{key}")


@pytest.mark.parametrize("key", ["photos/", "a//", "a%2Fb/"])
@pytest.mark.parametrize("size", [0, "0"])
def test_what_stands_for_a_folder_changes_no_image(key, size):
    unchanged = PassedOver(PassOverReason.IMAGE_UNCHANGED)
    assert parse(entry(key=key, size=size)) == unchanged
    assert parsed(bridge(key=key, size=size)) == unchanged
    assert isinstance(parse(entry(key=key, size=7)), ImageUploaded)
    assert isinstance(parse(entry(key="photos", size=size)), ImageUploaded)


@pytest.mark.parametrize("broken", [{"key": ""}, {"bucket": ""}])
def test_an_object_without_a_name_is_rejected(broken):
    for name in ("ObjectCreated:Put", "ObjectRemoved:Delete"):
        assert rejection(parse, entry(name, **broken)).reason == RejectionReason.ENVELOPE_INVALID


@pytest.mark.parametrize("sequencer", [None, ""])
def test_without_a_sequencer_the_time_tells_events_apart(sequencer):
    """Scality sends null."""
    assert parse(entry(sequencer=sequencer)).event_id == f"shop/a.jpg#{WHEN}#ObjectCreated:Put"


@pytest.mark.parametrize("part", ["eventTime", "s3", "eventName"])
def test_a_notification_that_lacks_something_says_what(part):
    whole = entry()
    del whole[part]
    found = rejection(parse, whole)
    assert (found.reason, part in found.detail) == (RejectionReason.ENVELOPE_INVALID, True)


# EventBridge


@pytest.mark.parametrize("key", ["a.jpg", "photos/a+b.jpg", "a%20b.jpg", "写真/靴.jpg"])
def test_event_bridge_names_keys_as_they_are(key):
    event = parsed(bridge(key=key))
    assert isinstance(event, ImageUploaded)
    assert (event.image_id, event.event_id) == (f"shop/{key}", f"shop/{key}#0055#Object Created")
    assert event.image.url == f"https://store.example/shop/{quote(key)}"


@pytest.mark.parametrize(
    ("deletion_type", "item", "kind"),
    [
        ("Permanently Deleted", {}, ImageDeleted),
        ("Delete Marker Created", {"version-id": "m1"}, ImageDeleted),
        ("Permanently Deleted", {"version-id": "v1"}, PerhapsDeleted),
        (None, {}, ImageDeleted),
    ],
)
def test_event_bridge_tells_markers_from_versions(deletion_type, item, kind):
    assert isinstance(parsed(bridge("Object Deleted", deletion_type=deletion_type, **item)), kind)


@pytest.mark.parametrize(
    "name",
    [
        "Object Restore Initiated",
        "Object Restore Completed",
        "Object Restore Expired",
        "Object Storage Class Changed",
        "Object Access Tier Changed",
        "Object ACL Updated",
        "Object Tags Added",
        "Object Tags Deleted",
    ],
)
def test_what_changes_no_image_is_passed_over_from_event_bridge_too(name):
    assert parsed(bridge(name)) == PassedOver(PassOverReason.IMAGE_UNCHANGED)


def test_other_events_of_event_bridge_are_rejected():
    found = rejection(parsed, bridge("AWS API Call via CloudTrail"))
    assert found.reason == RejectionReason.ENVELOPE_UNKNOWN_TYPE
    broken = bridge()
    del broken["detail"]["bucket"]
    assert rejection(parsed, broken).reason == RejectionReason.ENVELOPE_INVALID


# Several entries


def test_several_entries_are_several_events_each_with_a_notification_of_its_own():
    entries = [entry(key="a.jpg"), entry("ObjectRemoved:Delete", "b.jpg"), entry("ObjectSold:Now"), 3]
    several = parse(*entries)
    assert isinstance(several, Several)
    assert [json.loads(value) for value in several.values] == [{"Records": [one]} for one in entries]
    first, second = (Parser(OBJECT_URL)(record(value, entry=n)) for n, value in enumerate(several.values[:2]))
    assert (first.event_id, second.event_id) == (
        "shop/a.jpg#0055#ObjectCreated:Put",
        "shop/b.jpg#0055#ObjectRemoved:Delete",
    )
    reasons = [rejection(Parser(OBJECT_URL), record(value)).reason for value in several.values[2:]]
    assert reasons == [RejectionReason.ENVELOPE_UNKNOWN_TYPE, RejectionReason.ENVELOPE_INVALID]


def test_a_record_of_more_events_than_anyone_sends_is_rejected_whole():
    assert isinstance(parsed({"Records": [0] * 10_000}), Several)
    assert rejection(parsed, {"Records": [0] * 10_001}).reason == RejectionReason.ENVELOPE_INVALID


# As the data of a CloudEvent


CEPH = {
    "specversion": "1.0",
    "id": "req.id2",
    "source": "ceph:s3.zonegroup.shop",
    "type": "com.amazonaws.ObjectCreated:Put",
    "subject": "a+b.jpg",
    "time": WHEN,
}


@pytest.mark.parametrize("wrap", [lambda one: {"Records": [one]}, lambda one: one])
def test_a_notification_may_be_the_data_of_a_cloud_event(wrap):
    """Ceph's `cloudevents=true`, and Knative's Ceph source."""
    data = wrap(entry(key="a+b.jpg", source="ceph:s3"))
    headers = [(f"ce_{name}", value.encode()) for name, value in CEPH.items()]
    for event in (parsed(data, headers=headers), parsed({**CEPH, "data": data})):
        assert (event.image_id, event.event_id) == ("shop/a+b.jpg", "shop/a+b.jpg#0055#ObjectCreated:Put")


def test_several_entries_in_a_cloud_event_stay_in_their_envelope():
    data = {"Records": [entry(key="a.jpg"), entry(key="b.jpg")]}
    headers = [(f"ce_{name}", value.encode()) for name, value in CEPH.items()]
    for body, given in ((data, headers), ({**CEPH, "data": data}, ())):
        several = parsed(body, headers=given)
        assert isinstance(several, Several)
        found = [Parser(OBJECT_URL)(record(value, headers=given)) for value in several.values]
        assert [event.image_id for event in found] == ["shop/a.jpg", "shop/b.jpg"]
