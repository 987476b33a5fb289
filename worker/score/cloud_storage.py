"""What Google Cloud Storage and Azure Blob Storage say about an object, as CloudEvents.

Google: cloud.google.com/eventarc/docs/cloudevents (google.cloud.storage.object.v1). Azure: "Azure Blob
Storage as an Event Grid source", in both schemas.
"""

import re
from collections.abc import Mapping
from urllib.parse import parse_qs

from worker.score.cloud_events import CloudEvent
from worker.score.objects import ObjectChange
from worker.score.outcome import PassedOver, PassOverReason
from worker.score.parsed import Parsed
from worker.score.validate import Json, invalid, unknown_type

_GOOGLE = "google.cloud.storage.object.v1."
_AZURE = "Microsoft.Storage."

_GOOGLE_BUCKET = re.compile(r"//storage\.googleapis\.com/projects/[^/]+/buckets/([^/]+)")
_AZURE_BLOB = re.compile(r"/blobServices/default/containers/([^/]+)/blobs/(.+)", re.DOTALL)

# Files of a hierarchical namespace or of SFTP: still empty; another event follows when they are complete.
_AZURE_INCOMPLETE = {"CreateFile", "SftpCreate"}
_AZURE_UNCHANGED = {
    "BlobTierChanged", "AsyncOperationInitiated", "BlobInventoryPolicyCompleted", "LifecyclePolicyCompleted",
    "DirectoryCreated",
}  # fmt: skip


def is_storage_event(kind: str) -> bool:
    """Whether a CloudEvent of this type comes from a store."""
    return kind.startswith((_GOOGLE, _AZURE))


def storage_event(event: CloudEvent, time: str, object_url: str | None) -> Parsed:
    """What the event says about an object; `time` stands in where the event has none.

    Raises:
        Rejection: it is incomplete, of an unknown kind, or its object cannot be asked for.

    """
    data = event.data if isinstance(event.data, Mapping) else {}
    kind = event.attributes["type"]
    if kind.startswith(_GOOGLE):
        return _google(kind.removeprefix(_GOOGLE), event, data, time, object_url)
    return _azure(kind.removeprefix(_AZURE), event, data, time, object_url)


def _google(kind: str, event: CloudEvent, data: Json, time: str, object_url: str | None) -> Parsed:
    if kind == "metadataUpdated":
        return PassedOver(PassOverReason.IMAGE_UNCHANGED)
    if kind not in {"finalized", "deleted", "archived"}:
        raise unknown_type(f"{_GOOGLE}{kind[:100]} is no event of an object that is known")
    source = _GOOGLE_BUCKET.match(event.attributes["source"])
    bucket = data.get("bucket") or (source.group(1) if source else "")
    key = data.get("name") or event.attributes.get("subject", "").removeprefix("objects/")
    change = ObjectChange(
        str(bucket), str(key), event.event_id, time, None, event.extensions, data.get("size")
    )
    return google_change(kind == "finalized", change, str(data.get("generation") or ""), object_url)


def google_change(is_there: bool, change: ObjectChange, generation: str, object_url: str | None) -> Parsed:
    """What it means that a generation of an object of Google's is there, or gone.

    Raises:
        Rejection: its object cannot be asked for.

    """
    if is_there:
        return PassedOver(PassOverReason.IMAGE_UNCHANGED) if change.is_folder else change.uploaded(object_url)
    if object_url is None or not generation:
        return change.deleted()
    # Also sent for the generation that an upload replaced. Public objects are cached for an hour: only an
    # answer of another generation shows that there is one.
    return change.perhaps_deleted(object_url, "x-goog-generation", generation, gone_if_unnamed=True)


def _azure(kind: str, event: CloudEvent, data: Json, time: str, object_url: str | None) -> Parsed:
    if kind in _AZURE_UNCHANGED or (kind == "BlobCreated" and str(data.get("api")) in _AZURE_INCOMPLETE):
        return PassedOver(PassOverReason.IMAGE_UNCHANGED)
    if kind not in {"BlobCreated", "BlobDeleted"}:
        raise unknown_type(
            f"{_AZURE}{kind[:100]} is no event that is known: tell what it does to images blob by blob"
        )
    place = _AZURE_BLOB.fullmatch(event.attributes.get("subject", ""))
    if place is None:
        raise invalid("the subject of the Azure event names no container and blob")
    url, _, query = str(data.get("blobUrl") or data.get("url") or "").partition("?")
    container, blob = place.groups()
    at = object_url if object_url and object_url.startswith(("object:", "az:")) else None
    change = ObjectChange(
        container, blob, event.event_id, time, None if at else url or None, event.extensions
    )
    if kind == "BlobCreated":
        if not url:
            raise invalid("the data of the Azure event lacks 'url'")
        return change.uploaded(at)
    versions = parse_qs(query)
    for name, header in (("versionid", "x-ms-version-id"), ("snapshot", "x-ms-snapshot")):
        if name in versions:  # an old one: the blob itself may be there
            return change.perhaps_deleted(at, header, versions[name][0], gone_if_unnamed=False)
    return change.deleted()
