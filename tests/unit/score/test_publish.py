"""Outcomes to records."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime

import jsonschema
import numpy as np
import pytest

from schemas.events import (
    DELETED,
    Code,
    ImageDeleted,
    ImageEmbedded,
    ImageEnriched,
    ImageModerated,
    ImageReference,
    ImageUploaded,
    Tag,
)
from schemas.generate import json_schema
from schemas.policy import Policy
from schemas.rejection import RejectionReason
from tests.unit.records import record
from worker.errors import Rejection
from worker.score.decide import policy_sha256
from worker.score.outcome import PassedOver, PassOverReason, Rejected, Removal, Verdict
from worker.score.publish import Publisher
from worker.score.served import Attribution
from worker.settings import TopicSettings
from worker.stream.dead_letter import ENTRY, TIMESTAMP, dead_letter_record
from worker.stream.record_limits import RecordLimits

TOPICS = TopicSettings()
NOW = datetime(2026, 1, 2, tzinfo=UTC)
EVENT = ImageUploaded(event_id="e", image_id="目", uploaded_at=NOW, image=ImageReference(path="x"))
FIRST = Attribution("tiny-1-abc", "space-1", policy_sha256(Policy()), ["preference"], "copies-1")
PUBLISH = Publisher(TOPICS, FIRST)


def verdict(decision):
    scores, tags = {"text": 0.25, "preference": 0.5}, [Tag(name="shoes", score=0.75)]
    return Verdict(EVENT, "a" * 64, decision, [], scores, tags, np.array([0.6, 0.8], np.float32), NOW)


def by_topic(records):
    assert len({out.topic for out in records}) == len(records)
    return {out.topic: out for out in records}


def test_a_verdict_says_what_judged_it():
    by = Attribution("next-2-def", "space-2", "f" * 64, ("quality",))
    out = by_topic(PUBLISH(record(), replace(verdict("accept"), attribution=by)))
    moderated = ImageModerated.model_validate_json(out[TOPICS.moderated].value)
    enriched = ImageEnriched.model_validate_json(out[TOPICS.enriched].value)
    embedded = ImageEmbedded.model_validate_json(out[TOPICS.embedded].value)
    assert {each.bundle_id for each in (moderated, enriched, embedded)} == {"next-2-def"}
    assert (moderated.policy_sha256, embedded.space, enriched.preference) == ("f" * 64, "space-2", None)
    nothing = replace(by, space=None)
    out = by_topic(PUBLISH(record(), replace(verdict("accept"), attribution=nothing)))
    assert out[TOPICS.embedded].value is None


def test_an_accepted_image_gives_one_result_on_each_output_topic():
    out = by_topic(PUBLISH(record(offset=41, partition=3), verdict("accept")))
    moderated = ImageModerated.model_validate_json(out[TOPICS.moderated].value)
    enriched = ImageEnriched.model_validate_json(out[TOPICS.enriched].value)
    embedded = ImageEmbedded.model_validate_json(out[TOPICS.embedded].value)
    assert set(out) == {TOPICS.moderated, TOPICS.enriched, TOPICS.embedded}
    assert {o.key for o in out.values()} == {"目".encode()}
    assert moderated.decision == "accept"
    assert enriched.preference == 0.5
    assert embedded.vector.to_array().tolist() == np.array([0.6, 0.8], np.float32).tolist()
    for result in (moderated, enriched, embedded):
        assert (result.bundle_id, result.image_sha256, result.input.offset) == ("tiny-1-abc", "a" * 64, 41)


def test_the_vector_that_copies_are_known_by_is_on_the_embedded_event_where_there_is_one():
    plain = by_topic(PUBLISH(record(), verdict("accept")))[TOPICS.embedded]
    assert b"copy_" not in plain.value
    copy = np.array([0.6, 0.8], np.float32)
    told = by_topic(PUBLISH(record(), replace(verdict("accept"), copy_vector=copy)))[TOPICS.embedded]
    found = ImageEmbedded.model_validate_json(told.value)
    assert found.copy_vector is not None
    np.testing.assert_array_equal(found.copy_vector.to_array(), copy)
    assert found.copy_space == "copies-1"


def test_what_search_filters_by_is_on_the_embedded_event_and_left_out_where_there_is_none():
    told = replace(verdict("accept"), event=EVENT.model_copy(update={"category": "hats"}))
    body = json.loads(by_topic(PUBLISH(record(), told))[TOPICS.embedded].value)
    assert (body["category"], body["tags"]) == ("hats", ["shoes"])
    assert body["preferences"] == {"preference": 0.5}
    jsonschema.validate(body, json_schema(ImageEmbedded))
    plain = json.loads(
        by_topic(PUBLISH(record(), replace(verdict("accept"), tags=[], scores={})))[TOPICS.embedded].value
    )
    assert not {"category", "tags", "preferences"} & set(plain)


def test_codes_are_on_the_verdict_and_fit_its_schema():
    code = Code(format="QRCode", payload="https://example.com", area_share=0.6)
    out = by_topic(PUBLISH(record(), replace(verdict("block"), codes=[code])))
    body = json.loads(out[TOPICS.moderated].value)
    assert body["codes"] == [{"format": "QRCode", "payload": "https://example.com", "area_share": 0.6}]
    jsonschema.validate(body, json_schema(ImageModerated))
    assert ImageModerated.model_validate(body).codes == [code]


def test_without_codes_a_verdict_is_what_it_was_before_there_were_any():
    out = by_topic(PUBLISH(record(), verdict("block")))
    body = json.loads(out[TOPICS.moderated].value)
    assert set(body) == {
        *("type", "event_id", "image_id", "listing_id", "bundle_id", "image_sha256", "input"),
        *("uploaded_at", "decided_at", "decision", "reasons", "scores", "category", "policy_sha256"),
    }
    jsonschema.validate(body, json_schema(ImageModerated))
    assert ImageModerated.model_validate(body).codes == []


def test_a_blocked_image_leaves_the_index():
    out = by_topic(PUBLISH(record(), verdict("block")))
    assert out[TOPICS.embedded].value is None
    assert json.loads(out[TOPICS.moderated].value)["decision"] == "block"


def test_the_same_event_gives_the_same_event_ids_wherever_it_is_read():
    first = PUBLISH(record(offset=1), verdict("accept"))
    again = PUBLISH(record(offset=9), verdict("accept"))
    assert [dict(out.headers)["ce_id"] for out in first] == [dict(out.headers)["ce_id"] for out in again]
    assert len({dict(out.headers)["ce_id"] for out in first}) == 3


def test_a_deletion_is_a_tombstone_on_the_embedded_topic():
    deleted = ImageDeleted(type=DELETED, event_id="d", image_id="目", deleted_at=NOW)
    (out,) = PUBLISH(record(), Removal(deleted))
    assert (out.topic, out.key, out.value) == (TOPICS.embedded, "目".encode(), None)


def test_a_rejection_keeps_the_original_bytes_key_and_headers():
    rejection = Rejection(RejectionReason.ENVELOPE_NOT_JSON, "the value is not JSON")
    original = record(
        b"\xff\x00", key=b"k", headers=[("trace", b"1"), ("trace", b"2"), ("none", None)], offset=5
    )
    (out,) = PUBLISH(original, Rejected(rejection))
    assert (out.topic, out.key, out.value) == (TOPICS.dead_letter, b"k", b"\xff\x00")
    assert out.headers[:3] == original.headers
    headers = dict(out.headers)
    assert headers["mekiki.reason"] == b"envelope.not_json"
    assert headers["__streams.errors.exception"] == b"Rejection"
    assert headers["__streams.errors.topic"] == b"uploads"
    assert headers["__streams.errors.offset"] == b"5"


@pytest.mark.parametrize(
    ("timestamp_ms", "headers", "kept"),
    [
        (1_700_000_000_000, (), b"1700000000000"),
        (9_000_000_000_000_000_000, (), b"9000000000000000000"),
        (0, (), None),
        (-1, (), None),
        (1_700_000_000_000, ((TIMESTAMP, b"1600000000000"),), b"1600000000000"),
        (1_700_000_000_000, ((TIMESTAMP, b"yesterday"),), b"1700000000000"),
        (1_700_000_000_000, ((TIMESTAMP, b"9" * 40),), b"1700000000000"),
        (1_700_000_000_000, ((TIMESTAMP, None),), b"1700000000000"),
    ],
)
def test_a_dead_letter_has_the_time_of_rejection_and_keeps_the_events_in_a_header(
    timestamp_ms, headers, kept
):
    rejected = record(b"{}", timestamp_ms=timestamp_ms, headers=headers)
    letter = dead_letter_record("dlq", rejected, Rejection(RejectionReason.SOURCE_EMPTY, "a"))
    assert [value for name, value in letter.headers if name == TIMESTAMP] == ([] if kept is None else [kept])
    assert not hasattr(letter, "timestamp_ms"), "what is produced has the time of producing"


def test_each_of_several_events_of_a_record_is_rejected_by_itself():
    """A place of its own makes an id of its own; what is rejected again as one event has none any more."""
    rejection = Rejection(RejectionReason.SOURCE_EMPTY, "a")
    whole, *parts = (
        dict(dead_letter_record("dlq", record(b"{}", offset=4, entry=entry), rejection).headers)
        for entry in (None, 0, 1, 10)
    )
    assert ENTRY not in whole
    assert [part[ENTRY] for part in parts] == [b"0", b"1", b"10"]
    assert len({letter["mekiki.event_id"] for letter in (whole, *parts)}) == 4
    again = dead_letter_record("dlq", record(b"{}", offset=4, entry=1), rejection)
    assert dict(again.headers) == parts[1]
    replayed = dead_letter_record("dlq", record(b"{}", headers=again.headers, offset=9), rejection)
    assert ENTRY not in dict(replayed.headers)


def test_a_result_names_the_entry_of_a_record_of_several_alone():
    for entry, stands in ((None, False), (0, True), (7, True)):
        out = by_topic(PUBLISH(record(offset=4, entry=entry), verdict("accept")))
        for topic, model in ((TOPICS.moderated, ImageModerated), (TOPICS.embedded, ImageEmbedded)):
            body = json.loads(out[topic].value)
            assert ("entry" in body["input"]) == stands
            assert body["input"].get("entry") == entry
            jsonschema.validate(body, json_schema(model))


def test_what_is_passed_over_leaves_no_record():
    assert PUBLISH(record(), PassedOver(PassOverReason.TEST)) == []


REJECTION = Rejection(RejectionReason.IMAGE_CORRUPT, "cut")


def test_an_upload_that_is_rejected_takes_an_earlier_image_out_of_the_index():
    """What is searchable has been judged as it is shown now: an accepted image lends it to no other."""
    at = record(b"{}", offset=7)
    letter, tombstone = PUBLISH(at, Rejected(REJECTION, EVENT))
    assert letter == dead_letter_record(TOPICS.dead_letter, at, REJECTION)
    assert (tombstone.topic, tombstone.key, tombstone.value) == (TOPICS.embedded, "目".encode(), None)
    headers = dict(tombstone.headers)
    assert headers["mekiki.reason"] == b"image.corrupt"
    assert headers["mekiki.cause_time"] == NOW.isoformat().encode()


def test_what_names_no_upload_takes_nothing_out():
    assert len(PUBLISH(record(), Rejected(REJECTION))) == 1
    deleted = ImageDeleted(type=DELETED, event_id="d", image_id="i", deleted_at=NOW)
    assert len(PUBLISH(record(), Rejected(REJECTION, deleted))) == 1


def test_a_dead_letter_that_its_topic_does_not_take_goes_without_its_value():
    limits = RecordLimits([TOPICS.dead_letter])
    publish = Publisher(TOPICS, FIRST, limits)
    at = record(b"x" * 5000, headers=(("trace", b"y" * 5000),), offset=7)
    (whole,) = publish(at, Rejected(REJECTION))
    assert limits.refused(whole.topic, whole.size)
    (letter,) = publish(at, Rejected(REJECTION))
    headers = dict(letter.headers)
    assert letter.value is None
    assert headers["mekiki.value_bytes"] == b"5000"
    assert headers["mekiki.value_sha256"] == hashlib.sha256(b"x" * 5000).hexdigest().encode()
    assert headers["__streams.errors.offset"] == b"7"
    assert headers["mekiki.reason"] == b"image.corrupt"
    assert "trace" not in headers
    assert letter.size < 2500
    (small,) = publish(record(b"{}"), Rejected(REJECTION))
    assert small.value == b"{}"


def test_every_outcome_is_in_the_trace_of_its_event():
    parent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    event = record(headers=(("traceparent", parent),))
    removal = Removal(ImageDeleted(type=DELETED, event_id="d", image_id="i", deleted_at=NOW))
    rejected = Rejected(Rejection(RejectionReason.SOURCE_EMPTY, "empty"))
    for outcome in (verdict("accept"), verdict("block"), removal, rejected):
        records = PUBLISH(event, outcome)
        assert records
        for made in records:
            assert [value for name, value in made.headers if name == "traceparent"] == [parent]
            assert [value for name, value in made.headers if name == "ce_traceparent"] == [parent]


def test_preferences_of_a_bundle_that_has_several_are_told_by_name():
    scores = {"text": 0.1, "quality": 0.7, "clicks": 0.2}
    told = replace(verdict("accept"), scores=scores)
    for names, preference in (
        (["quality", "clicks"], 0.7),  # the first one of the bundle
        (["clicks"], 0.2),
        ([], None),
    ):
        publish = Publisher(TOPICS, replace(FIRST, preferences=names))
        value = json.loads(by_topic(publish(record(), told))[TOPICS.enriched].value)
        assert value["preference"] == preference
        assert value.get("preferences") == ({name: scores[name] for name in names} or None)
    both = replace(told, scores={**scores, "preference": 0.9})
    publish = Publisher(TOPICS, replace(FIRST, preferences=["clicks", "preference"]))
    enriched = ImageEnriched.model_validate_json(by_topic(publish(record(), both))[TOPICS.enriched].value)
    assert enriched.preference == 0.9
    assert enriched.preferences == {"clicks": 0.2, "preference": 0.9}
    embedded = ImageEmbedded.model_validate_json(by_topic(publish(record(), both))[TOPICS.embedded].value)
    assert embedded.preferences == enriched.preferences
    alone = json.loads(by_topic(PUBLISH(record(), verdict("accept")))[TOPICS.enriched].value)
    assert "preferences" not in alone
