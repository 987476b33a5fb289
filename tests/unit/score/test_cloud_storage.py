"""Google Cloud Storage and Azure Blob Storage, in both modes of CloudEvents."""

import json

import pytest

from schemas.events import ImageDeleted, ImageUploaded
from schemas.rejection import RejectionReason
from tests.unit.records import record
from worker.errors import Rejection
from worker.score.outcome import PassedOver, PassOverReason
from worker.score.parse import Parser
from worker.score.parsed import PerhapsDeleted

OBJECT_URL = "https://storage.googleapis.com/{bucket}/{key}"
WHEN = "2026-01-02T03:04:05.9584103Z"


def google(kind="finalized", name="photos/a b+c.jpg", **more):
    return {
        "specversion": "1.0",
        "id": "1096434104173400",
        "source": "//storage.googleapis.com/projects/_/buckets/shop",
        "type": f"google.cloud.storage.object.v1.{kind}",
        "subject": f"objects/{name}",
        "time": WHEN,
        "datacontenttype": "application/json; charset=utf-8",
        "data": {
            "kind": "storage#object",
            "bucket": "shop",
            "name": name,
            "generation": "1587627537231057",
            "metageneration": "1",
            "contentType": "image/jpeg",
            "size": "352",
        },
        **more,
    }


def azure(kind="BlobCreated", blob="photos/a b+c.jpg", url=None, api="PutBlockList", **more):
    return {
        "specversion": "1.0",
        "id": "9aeb0fdf-c01e-0131-0922-9eb54906e209",
        "source": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/acct",
        "type": f"Microsoft.Storage.{kind}",
        "subject": f"/blobServices/default/containers/shop/blobs/{blob}",
        "time": WHEN,
        "data": {
            "api": api,
            "contentType": "image/jpeg",
            "contentLength": 447,
            "blobType": "BlockBlob",
            "url": url or "https://acct.blob.core.windows.net/shop/photos/a%20b%2Bc.jpg",
            "sequencer": "00000000000000EB000000000000C65A",
        },
        **more,
    }


def both_modes(event, object_url=OBJECT_URL):
    """The event as both modes give it: the same."""
    data = event["data"]
    headers = [(f"ce_{n}", v.encode()) for n, v in event.items() if n not in {"data", "datacontenttype"}]
    headers.append(("content-type", b"application/json"))
    binary = Parser(object_url)(record(json.dumps(data).encode(), headers=headers))
    assert binary == Parser(object_url)(record(json.dumps(event).encode()))
    return binary


def rejected(event, object_url=OBJECT_URL):
    with pytest.raises(Rejection) as raised:
        Parser(object_url)(record(json.dumps(event).encode()))
    return raised.value


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("photos/a b+c.jpg", "photos/a%20b%2Bc.jpg"),
        ("写真/靴.jpg", "%E5%86%99%E7%9C%9F/%E9%9D%B4.jpg"),
        ("100%25.jpg", "100%2525.jpg"),
        ("a.jpg", "a.jpg"),
    ],
)
def test_google_finalized_is_an_upload(name, escaped):
    event = both_modes(google(name=name, category="shoes", listingid="9"))
    assert isinstance(event, ImageUploaded)
    assert event.image_id == f"shop/{name}"
    assert event.image.url == f"https://storage.googleapis.com/shop/{escaped}"
    assert event.event_id == "//storage.googleapis.com/projects/_/buckets/shop#1096434104173400"
    assert (event.category, event.listing_id) == ("shoes", "9")


@pytest.mark.parametrize("kind", ["deleted", "archived"])
def test_google_deleted_is_a_deletion_unless_another_generation_is_there(kind):
    """Both are also sent for the generation that an upload replaced."""
    event = both_modes(google(kind))
    assert isinstance(event, PerhapsDeleted)
    assert (event.deleted.image_id, event.url) == (
        "shop/photos/a b+c.jpg",
        "https://storage.googleapis.com/shop/photos/a%20b%2Bc.jpg",
    )
    assert not event.is_gone({"x-goog-generation": "1587627537231058"})
    assert event.is_gone({"x-goog-generation": "1587627537231057"}), "a cache has it"
    assert event.is_gone({})


@pytest.mark.parametrize("kind", ["deleted", "archived"])
def test_google_deleted_is_a_deletion_where_nothing_can_be_asked(kind):
    assert isinstance(both_modes(google(kind), object_url=None), ImageDeleted)
    assert isinstance(both_modes(google(kind, data={"bucket": "shop", "name": "a.jpg"})), ImageDeleted)


def test_google_names_the_object_in_the_attributes_as_well():
    event = both_modes(google(data={"generation": "1"}))
    assert event.image_id == "shop/photos/a b+c.jpg"


def test_google_metadata_changes_no_image():
    assert both_modes(google("metadataUpdated")) == PassedOver(PassOverReason.IMAGE_UNCHANGED)


def test_google_needs_the_url_of_objects_for_an_upload():
    assert "fetch.object_url" in rejected(google(), None).detail


@pytest.mark.parametrize(
    ("blob", "url"),
    [
        ("photos/a b+c.jpg", "https://acct.blob.core.windows.net/shop/photos/a%20b%2Bc.jpg"),
        ("靴.jpg", "https://acct.blob.core.windows.net/shop/%E9%9D%B4.jpg"),
        ("dir/靴.jpg", "https://acct.dfs.core.windows.net/shop/dir/%E9%9D%B4.jpg"),
        ("a.jpg", "https://acct.blob.core.windows.net/shop/a.jpg"),
        ("🎽" * 1024, "https://acct.blob.core.windows.net/shop/" + "%F0%9F%8E%BD" * 1024),
    ],
)
def test_azure_created_is_an_upload_from_the_url_that_it_names(blob, url):
    for object_url in (OBJECT_URL, None):
        event = both_modes(azure(blob=blob, url=url, category="shoes"), object_url)
        assert isinstance(event, ImageUploaded)
        assert (event.image_id, event.image.url, event.category) == (f"shop/{blob}", url, "shoes")
        assert event.event_id.endswith("/storageAccounts/acct#9aeb0fdf-c01e-0131-0922-9eb54906e209")


def event_grid(event):
    """The same event in Event Grid's own schema."""
    names = {"source": "topic", "type": "eventType", "time": "eventTime", "specversion": "metadataVersion"}
    return {names.get(name, name): value for name, value in event.items()} | {"dataVersion": ""}


@pytest.mark.parametrize(
    "event",
    [
        azure(),
        azure("BlobDeleted"),
        azure(api="CreateFile"),
        azure("BlobDeleted", url="https://a/b?snapshot=1"),
    ],
)
def test_azure_says_the_same_in_event_grids_own_schema(event):
    """A list of one, as it comes to Event Hubs; several are several."""
    parse, plain = Parser(None), both_modes(event)
    for body in (event_grid(event), [event_grid(event)]):
        assert parse(record(json.dumps(body).encode())) == plain
    several = parse(record(json.dumps([event_grid(event), event_grid(azure())]).encode()))
    assert [parse(record(value)) for value in several.values] == [plain, both_modes(azure())]


@pytest.mark.parametrize("api", ["PutBlob", "PutBlockList", "CopyBlob", "FlushWithClose", "SftpCommit"])
def test_azure_files_are_uploads_when_they_are_complete(api):
    assert isinstance(both_modes(azure(api=api)), ImageUploaded)


@pytest.mark.parametrize(
    ("kind", "api"),
    [
        ("BlobCreated", "CreateFile"),
        ("BlobCreated", "SftpCreate"),
        ("BlobTierChanged", "SetBlobTier"),
        ("AsyncOperationInitiated", "CopyBlob"),
        ("DirectoryCreated", "CreateDirectory"),
        ("BlobInventoryPolicyCompleted", ""),
        ("LifecyclePolicyCompleted", ""),
    ],
)
def test_azure_events_that_change_no_image_are_passed_over(kind, api):
    assert both_modes(azure(kind, api=api)) == PassedOver(PassOverReason.IMAGE_UNCHANGED)


@pytest.mark.parametrize("api", ["DeleteBlob", "DeleteFile", "SftpRemove"])
def test_azure_deleted_is_a_deletion(api):
    event = both_modes(azure("BlobDeleted", api=api))
    assert isinstance(event, ImageDeleted)
    assert event.image_id == "shop/photos/a b+c.jpg"


@pytest.mark.parametrize("query", ["versionid=2026-01-01T00:00:00.1Z", "snapshot=2026-01-01T00:00:00.1Z"])
def test_of_an_azure_version_that_is_gone_the_store_is_asked(query):
    event = both_modes(azure("BlobDeleted", url=f"https://acct.blob.core.windows.net/shop/a.jpg?{query}"))
    assert isinstance(event, PerhapsDeleted)
    assert event.url == "https://acct.blob.core.windows.net/shop/a.jpg"
    assert not event.is_gone({"x-ms-version-id": "2026-02-01T00:00:00.1Z"})
    assert not event.is_gone({})


@pytest.mark.parametrize(
    "event",
    [
        azure("BlobRenamed"),
        azure("DirectoryDeleted"),
        azure("DirectoryRenamed"),
        azure("New"),
        google("invented"),
        google("finalized2"),
    ],
)
def test_what_is_not_known_is_rejected(event):
    assert rejected(event).reason == RejectionReason.ENVELOPE_UNKNOWN_TYPE


@pytest.mark.parametrize(
    "event",
    [
        azure(subject="/blobServices/default/containers/shop"),
        azure(subject=None),
        azure(data={}),
        azure(data=None),
        azure(api=["PutBlob"], url=7, subject="/else"),
        azure("BlobDeleted", url="https://acct.blob.core.windows.net/\ud800?versionid=1"),
        azure("BlobDeleted", url=f"https://acct.blob.core.windows.net/{'a' * 20_000}?versionid=1"),
        google(source="/else", data={}),
        google(subject="", data=None),
    ],
)
def test_an_incomplete_event_is_rejected(event):
    assert rejected(event).reason == RejectionReason.ENVELOPE_INVALID


@pytest.mark.parametrize("name", ["../a.jpg", "a/./b.jpg", "a/.."])
def test_a_dot_segment_is_never_asked_for(name):
    for event in (google(name=name), azure(blob=name), google("deleted", name)):
        assert rejected(event).reason == RejectionReason.SOURCE_UNSUPPORTED
