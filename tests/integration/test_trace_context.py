"""A producer's trace on a real Kafka: found on every outcome of the event, and on no other's."""

import json
from dataclasses import replace

from tests import events, images
from tests.kafka.client import Record, wait_until
from tests.results import Results
from tests.workplace import Workplace

PARENTS = {name: f"00-{number:032x}-00f067aa0ba902b7-01".encode() for number, name in enumerate("abc", 1)}


def parents(records: list[Record]) -> list[tuple[str, bytes | None, bytes | None]]:
    """Image id, and the trace in both forms of headers."""
    return sorted(
        ((record.key or b"").decode(), record.header("traceparent"), record.header("ce_traceparent"))
        for record in records
    )


def test_a_trace_is_on_verdict_enriched_embedded_index_update_and_dead_letter(workplace: Workplace) -> None:
    photo = images.jpeg(1)
    plain = replace(events.uploaded_bytes("a", photo), headers=(("traceparent", PARENTS["a"]),))
    structured = events.structured("b", photo)
    body = {**json.loads(structured.value or b""), "traceparent": PARENTS["b"].decode()}
    bad = events.uploaded("c", path="none.jpg", headers=(("traceparent", PARENTS["c"]),))
    records = [
        plain,
        replace(structured, value=json.dumps(body).encode()),
        bad,
        events.uploaded_bytes("d", photo),
    ]
    topics, broker = workplace.settings.topics, workplace.broker
    broker.send(topics.uploaded, records)
    with workplace.running("score", "index"):
        broker.wait_until_done(workplace.settings.kafka.group, topics.uploaded)
        wait_until(lambda: len(broker.read(topics.index_updated)) == 4, "four acknowledgements")
    results = Results.read(broker, topics)
    judged = [("a", PARENTS["a"], PARENTS["a"]), ("b", PARENTS["b"], PARENTS["b"]), ("d", None, None)]
    rejected = [("c", PARENTS["c"], PARENTS["c"])]
    for found in (results.moderated, results.enriched):
        assert parents(found) == judged
    assert parents(results.dead) == rejected
    # What is rejected leaves the index, by a tombstone that Kafka may have dropped already.
    assert [one for one in parents(results.embedded) if one not in rejected] == judged
    assert parents(broker.read(topics.index_updated)) == sorted(judged + rejected)
