"""Notifications inside messages of SQS and SNS, and inside one another."""

import json

import pytest

from schemas.events import UPLOADED, ImageDeleted, ImageUploaded
from schemas.rejection import RejectionReason
from tests.unit.records import record
from tests.unit.score.test_notifications import CEPH, bridge, entry
from worker.errors import Rejection
from worker.score.outcome import Several
from worker.score.parse import Parser

PARSE = Parser("https://store.example/{bucket}/{key}")


def parsed(body):
    return PARSE(record(json.dumps(body).encode()))


def sns(body):
    return {
        "Type": "Notification",
        "MessageId": "22b80b92",
        "TopicArn": "arn:aws:sns:x:1:t",
        "Subject": "Amazon S3 Notification",
        "Message": json.dumps(body),
        "Timestamp": "2026-01-02T03:04:05.678Z",
        "SignatureVersion": "1",
    }


def sns_to_lambda(*bodies):
    return {
        "Records": [
            {"EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": "a", "Sns": sns(body)}
            for body in bodies
        ]
    }


def sqs_entry(body):
    return {
        "messageId": "059f36b4",
        "receiptHandle": "r",
        "body": body if isinstance(body, str) else json.dumps(body),
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:x:1:q",
    }


def sqs(*bodies):
    return {"Records": [sqs_entry(body) for body in bodies]}


def received(*bodies):
    return {"Messages": [received_one(body) for body in bodies]}


def received_one(body):
    return {"MessageId": "m", "ReceiptHandle": "r", "MD5OfBody": "0", "Body": json.dumps(body)}


S3 = {"Records": [entry(key="a+b.jpg")]}
WRAPPERS = {
    "sns": sns,
    "sns, to lambda": sns_to_lambda,
    "sqs": sqs,
    "sqs, received": received,
    "sqs, one received": received_one,
    "sns in sqs": lambda body: sqs(sns(body)),
    "sns in sqs, received": lambda body: received(sns(body)),
    "sns to lambda in sqs": lambda body: sqs(sns_to_lambda(body)),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_what_is_wrapped_is_read_as_if_it_were_not(wrapper):
    wrap = WRAPPERS[wrapper]
    assert parsed(wrap(S3)) == parsed(S3)
    assert parsed(wrap(bridge(key="a+b.jpg"))) == parsed(bridge(key="a+b.jpg"))
    deletion = {"Records": [entry("ObjectRemoved:Delete")]}
    assert isinstance(parsed(wrap(deletion)), ImageDeleted)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_our_own_events_may_be_wrapped_too(wrapper):
    own = {
        "event_id": "e",
        "image_id": "i",
        "uploaded_at": "2026-01-02T03:04:05Z",
        "image": {"path": "a.jpg"},
    }
    cloud = {"specversion": "1.0", "id": "1", "source": "/s", "type": UPLOADED, "subject": "i", "data": own}
    for event in (own, cloud):
        assert parsed(WRAPPERS[wrapper](event)) == parsed(event)


@pytest.mark.parametrize("inner", [S3, bridge(), sqs(S3), sns(S3)])
def test_what_kafka_connect_converted_is_read_as_if_it_were_not(inner):
    """A source connector whose records are text, or JSON, and its JsonConverter with and without schemas."""
    text = json.dumps(inner)
    for body in (
        text,
        {"schema": {"type": "string", "optional": False}, "payload": text},
        {"schema": None, "payload": inner},
    ):
        assert parsed(body) == parsed(inner)


@pytest.mark.parametrize("body", ["text", "", "[", {"schema": None, "payload": "text"}])
def test_text_that_is_no_json_is_rejected(body):
    with pytest.raises(Rejection, match="the string") as raised:
        parsed(body)
    assert raised.value.reason == RejectionReason.ENVELOPE_NOT_JSON


@pytest.mark.parametrize(
    "body", [{"schema": None, "payload": 7}, {"schema": None, "payload": None}, '"{}"', 7]
)
def test_what_is_converted_from_no_object_is_rejected(body):
    with pytest.raises(Rejection, match="not an object") as raised:
        parsed(body)
    assert raised.value.reason == RejectionReason.ENVELOPE_INVALID


def test_events_are_counted_through_all_envelopes():
    """Two messages of SQS, one of them with two entries, and one that is no JSON."""
    two = {"Records": [entry(key="a.jpg"), entry("ObjectRemoved:Delete", "b.jpg")]}
    broken = sqs_entry("no JSON")
    body = sqs(sns(two), bridge(key="c.jpg"))
    body["Records"].append(broken)
    several = parsed(body)
    assert isinstance(several, Several)
    assert len(several.values) == 4
    first, second, third = (PARSE(record(value, entry=n)) for n, value in enumerate(several.values[:3]))
    assert isinstance(first, ImageUploaded)
    assert isinstance(second, ImageDeleted)
    assert [event.image_id for event in (first, second, third)] == ["shop/a.jpg", "shop/b.jpg", "shop/c.jpg"]
    assert json.loads(several.values[3]) == {"Records": [broken]}
    with pytest.raises(Rejection) as raised:
        PARSE(record(several.values[3]))
    assert raised.value.reason == RejectionReason.ENVELOPE_NOT_JSON


CEPH_TWO = {**CEPH, "data": {"Records": [entry(key="a.jpg"), entry(key="b.jpg")]}}


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        (sqs(CEPH_TWO, S3), ["a.jpg", "b.jpg", "a b.jpg"]),
        ([CEPH_TWO, CEPH_TWO], ["a.jpg", "b.jpg"] * 2),
        (sqs(S3, sns(sqs(sns(sqs(sns(sqs(S3, S3))))))), ["a b.jpg"] * 3),
    ],
)
def test_several_in_several_are_as_many_events(body, keys):
    several = parsed(body)
    found = [PARSE(record(value, entry=number)) for number, value in enumerate(several.values)]
    assert [event.image_id for event in found] == [f"shop/{key}" for key in keys]


def test_one_of_several_is_never_several():
    """It would have no place of its own, and its record would never be finished."""
    with pytest.raises(Rejection) as raised:
        PARSE(record(json.dumps(CEPH_TWO).encode(), entry=0))
    assert raised.value.reason == RejectionReason.ENVELOPE_INVALID


@pytest.mark.parametrize(
    "body",
    [
        sqs("not JSON"),
        sqs(""),
        sqs("[1, 2]"),
        sqs("7"),
        {"Records": [{"eventSource": "aws:sqs"}]},
        {"Records": [{"eventSource": "aws:sqs", "body": 7}]},
        {"Records": [{"EventSource": "aws:sns", "Sns": 7}]},
        {**sns({}), "Message": "Hello"},
        {**sns({}), "Message": None},
        {"Messages": []},
        {"Messages": [7]},
    ],
)
def test_a_message_that_carries_no_json_object_is_rejected(body):
    with pytest.raises(Rejection, match="SQS, SNS or Pub") as raised:
        parsed(body)
    assert raised.value.reason == RejectionReason.ENVELOPE_NOT_JSON


def test_messages_in_messages_come_to_an_end():
    body = S3
    for _ in range(12):
        body = sns(body)
    with pytest.raises(Rejection, match="too deep") as raised:
        parsed(body)
    assert raised.value.reason == RejectionReason.ENVELOPE_NOT_JSON


@pytest.mark.parametrize("kind", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_a_subscription_waits_for_a_person(kind):
    with pytest.raises(Rejection, match="SubscribeURL") as raised:
        parsed({**sns({}), "Type": kind, "SubscribeURL": "https://sns.x.amazonaws.com/?Action=Confirm"})
    assert raised.value.reason == RejectionReason.ENVELOPE_UNKNOWN_TYPE
