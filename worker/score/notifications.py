"""Bucket notifications: what S3 and the stores that speak like it say about one object, as an event.

The form is Amazon's (docs.aws.amazon.com/AmazonS3/latest/userguide: notification-content-structure,
ev-events); the names of events are those of S3, MinIO (its `internal/event/name.go`) and Ceph (its
`rgw_notify_event_type.cc`).
"""

from collections.abc import Mapping
from enum import Enum, auto
from urllib.parse import unquote_plus

from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.score.objects import ObjectChange
from worker.score.outcome import PassedOver, PassOverReason
from worker.score.parsed import Parsed
from worker.score.pubsub import is_storage_message, storage_message
from worker.score.validate import Json, invalid, unknown_type
from worker.score.wrappers import is_wrapper

_VERSION_HEADER = "x-amz-version-id"


class _Kind(Enum):
    CREATED = auto()
    DELETED = auto()
    VERSION_DELETED = auto()  # the object itself, where the event names no version
    UNCHANGED = auto()


# By the beginning of the name, in lower case, the first that fits.
_KINDS = {
    # MinIO files these under ObjectCreated.
    "objectcreated:puttagging": _Kind.UNCHANGED,
    "objectcreated:deletetagging": _Kind.UNCHANGED,
    "objectcreated:putretention": _Kind.UNCHANGED,
    "objectcreated:putlegalhold": _Kind.UNCHANGED,
    "objectcreated:": _Kind.CREATED,
    "objectremoved:noop": _Kind.UNCHANGED,
    "objectremoved:deletemarkercreated": _Kind.DELETED,
    "objectremoved:deleteallversions": _Kind.DELETED,
    "objectremoved:": _Kind.VERSION_DELETED,
    "lifecycleexpiration:deletemarkercreated": _Kind.DELETED,
    "lifecycleexpiration:": _Kind.VERSION_DELETED,
    "lifecycledelmarkerexpiration:": _Kind.UNCHANGED,  # the object was gone before
    "objectlifecycle:expiration:current": _Kind.DELETED,
    "objectlifecycle:": _Kind.UNCHANGED,  # old versions, delete markers, uploads given up, storage classes
    "reducedredundancylostobject": _Kind.DELETED,
    # Ceph's second zone, under its old name and its new one.
    "objectsynced:create": _Kind.CREATED,
    "objectsynced:deletionmarkercreated": _Kind.DELETED,
    "objectsynced:delete": _Kind.VERSION_DELETED,
    "replication:create": _Kind.CREATED,
    "replication:deletionmarkercreated": _Kind.DELETED,
    "replication:delete": _Kind.VERSION_DELETED,
    **dict.fromkeys(
        (
            "replication:operation", "lifecycletransition", "intelligenttiering", "objectrestore:",
            "objecttransition:", "objecttagging:", "objectacl:", "objectannotation:", "objectretention:",
            "objectlegalhold:", "objectaccessed:", "scanner:", "bucketcreated:", "bucketremoved:",
            "testevent",
        ),
        _Kind.UNCHANGED,
    ),
}  # fmt: skip

# EventBridge has other names for the same.
_DETAIL_TYPES = {
    "Object Created": _Kind.CREATED,
    "Object Deleted": _Kind.VERSION_DELETED,
    **dict.fromkeys(
        (
            "Object Restore Initiated", "Object Restore Completed", "Object Restore Expired",
            "Object Storage Class Changed", "Object Access Tier Changed", "Object ACL Updated",
            "Object Tags Added", "Object Tags Deleted",
            "Object Annotation Added", "Object Annotation Deleted",
        ),
        _Kind.UNCHANGED,
    ),
}  # fmt: skip

# S3 and MinIO escape keys as HTML forms do; these send them as they are.
_RAW_KEYS = ("ceph:", "scality:")


def is_notification(body: Json) -> bool:
    """Whether `body` is anything that a bucket, or the topic that it tells, sends."""
    return (
        "Records" in body
        or _is_test(body)
        or _is_from_event_bridge(body)
        or ("Type" in body and "TopicArn" in body)
        or is_wrapper(body)
        or is_storage_message(body)
        or "Messages" in body
        or "receivedMessages" in body
    )


def notification(body: Json, object_url: str | None) -> Parsed:
    """What a notification of one entry says.

    Raises:
        Rejection: it is incomplete, of an unknown kind, or its object cannot be asked for.

    """
    if _is_test(body):
        return PassedOver(PassOverReason.TEST)
    if _is_from_event_bridge(body):
        return _from_event_bridge(body, object_url)
    if is_storage_message(body):
        return storage_message(body, object_url)
    if "Records" in body:
        return _from_records(body["Records"], object_url)
    if "Type" in body and body["Type"] != "Notification":
        raise unknown_type(
            f"{str(body['Type'])[:100]!r} of a topic of SNS concerns no image: "
            "confirm a subscription by opening its SubscribeURL"
        )
    raise _not_unwrapped()


def _is_test(body: Json) -> bool:
    """S3 sends this when notifications are configured."""
    return body.get("Event") == "s3:TestEvent"


def _is_from_event_bridge(body: Json) -> bool:
    return body.get("source") == "aws.s3" and "detail-type" in body


def _from_records(entries: object, object_url: str | None) -> Parsed:
    if not isinstance(entries, list) or len(entries) != 1 or not isinstance(entries[0], Mapping):
        raise invalid("Records of a bucket notification must be a list of objects, and not empty")
    entry = entries[0]
    if is_wrapper(entry):
        raise _not_unwrapped()
    if "eventName" not in entry:
        raise invalid("the bucket notification lacks 'eventName'")
    name = str(entry["eventName"])
    kind = _kind_of(name)
    if kind is _Kind.UNCHANGED:
        return _unchanged(name)
    try:
        item, time = entry["s3"]["object"], str(entry["eventTime"])
        bucket, key = str(entry["s3"]["bucket"]["name"]), str(item["key"])
        sequencer, version = item.get("sequencer") or time, str(item.get("versionId") or "")
    except (KeyError, TypeError, AttributeError) as error:
        raise invalid(f"the bucket notification lacks {error}") from error
    if not str(entry.get("eventSource")).startswith(_RAW_KEYS):
        key = unquote_plus(key)
    event_id = f"{bucket}/{key}#{sequencer}#{name}"
    change = ObjectChange(bucket, key, event_id, time, size=item.get("size"))
    return _event(kind, change, version, object_url)


def _from_event_bridge(body: Json, object_url: str | None) -> Parsed:
    """Unlike in a notification, the key stands here as it is."""
    name = str(body["detail-type"])
    if (kind := _DETAIL_TYPES.get(name)) is None:
        raise unknown_type(f"{name[:100]!r} of aws.s3 is no event of an object that is known")
    if kind is _Kind.UNCHANGED:
        return _unchanged(name)
    try:
        detail, time = body["detail"], str(body["time"])
        bucket, key = str(detail["bucket"]["name"]), str(detail["object"]["key"])
        version = str(detail["object"].get("version-id") or "")
        sequencer = detail["object"].get("sequencer") or body.get("id") or time
        if detail.get("deletion-type") == "Delete Marker Created":
            kind = _Kind.DELETED
    except (KeyError, TypeError, AttributeError) as error:
        raise invalid(f"the event of EventBridge lacks {error}") from error
    event_id = f"{bucket}/{key}#{sequencer}#{name}"
    change = ObjectChange(bucket, key, event_id, time, size=detail["object"].get("size"))
    return _event(kind, change, version, object_url)


def _kind_of(name: str) -> _Kind:
    lower = name.lower().removeprefix("s3:")
    for beginning, kind in _KINDS.items():
        if lower.startswith(beginning):
            return kind
    raise unknown_type(
        f"bucket event {name[:100]!r} is none that is known, such as ObjectCreated or ObjectRemoved"
    )


def _event(kind: _Kind, change: ObjectChange, version: str, object_url: str | None) -> Parsed:
    if kind is _Kind.CREATED:
        return PassedOver(PassOverReason.IMAGE_UNCHANGED) if change.is_folder else change.uploaded(object_url)
    if kind is _Kind.VERSION_DELETED and version:
        # It may have been an old version, the newest, a delete marker, or the last of all.
        return change.perhaps_deleted(object_url, _VERSION_HEADER, version, gone_if_unnamed=False)
    return change.deleted()


def _unchanged(name: str) -> PassedOver:
    test = name.lower().endswith("testevent")
    return PassedOver(PassOverReason.TEST if test else PassOverReason.IMAGE_UNCHANGED)


def _not_unwrapped() -> Rejection:
    return Rejection(
        RejectionReason.ENVELOPE_NOT_JSON,
        "the message of SQS, SNS or Pub/Sub carries no JSON object, or one too deep inside",
    )
