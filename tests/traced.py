"""Events of producers with traces, judged and indexed: where traces and spans of the worker must be found."""

from collections import Counter
from dataclasses import replace

from tests import events, images
from tests.kafka.client import Record, wait_until
from tests.otlp_receiver import ReceivedSpans, attributes
from tests.results import Results
from tests.workplace import Workplace

NAMES = ("accepted", "blocked", "rejected", "deleted")
TRACES = {name: f"{number:032x}" for number, name in enumerate(NAMES, 1)}
PRODUCER = "00f067aa0ba902b7"


def with_trace(record: Record, name: str, flags: str = "01") -> Record:
    parent = f"00-{TRACES[name]}-{PRODUCER}-{flags}".encode()
    return replace(record, headers=(*record.headers, ("traceparent", parent)))


def traces(records: list[Record]) -> dict[str, tuple[str, str]]:
    """Trace and parent on a record, by image id."""
    found = {}
    for record in records:
        _, trace, parent, _ = (record.header("traceparent") or b"").decode().split("-")
        found[(record.key or b"").decode()] = (trace, parent)
    return found


def check_spans(workplace: Workplace, receiver: ReceivedSpans, otel: dict[str, str]) -> None:
    """Spans of both roles, sent as `otel` says, join the producers' traces on every outcome."""
    photo = images.jpeg(1)
    blocked = {**events.upload_body("blocked", path="a.jpg"), "category": "always-blocked"}
    (workplace.folder / "a.jpg").write_bytes(photo)
    sent = [
        with_trace(events.uploaded("accepted", path="a.jpg"), "accepted"),
        with_trace(events.as_json(blocked, "blocked"), "blocked"),
        with_trace(events.uploaded("rejected", path="none.jpg"), "rejected"),
        with_trace(events.deleted("deleted"), "deleted"),
        with_trace(events.uploaded("unsampled", path="a.jpg"), "deleted", "00"),
    ]
    topics, broker = workplace.settings.topics, workplace.broker
    settings = workplace.changed(otel=otel)
    broker.send(topics.uploaded, sent)
    with workplace.running("score", "index", settings=settings) as running:
        broker.wait_until_done(settings.kafka.group, topics.uploaded)
        wait_until(lambda: len(broker.read(topics.index_updated)) == 5, "the acknowledgements")
        metrics = running.open_metrics()
    for topic in (topics.uploaded, topics.embedded):  # a collector may be passing them on
        wait_until(lambda topic=topic: len(receiver.spans(f"process {topic}")) >= 4, "the spans")
    results = Results.read(broker, topics)
    process = {
        attributes(span)["mekiki.image_id"]: span for span in receiver.spans(f"process {topics.uploaded}")
    }
    assert set(process) == set(NAMES), "and none of what its producer does not sample"
    spans = {name: (TRACES[name], span.span_id.hex()) for name, span in process.items()}
    for name, span in process.items():
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACES[name], PRODUCER)
    outcomes = {name: attributes(span)["mekiki.outcome"] for name, span in process.items()}
    assert outcomes == {
        "accepted": "accept",
        "blocked": "block",
        "rejected": "rejected: fetch.not_found",
        "deleted": "deleted",
    }

    # The outcomes name the worker's span as their parent; the unsampled one, its producer's.
    unsampled = (TRACES["deleted"], PRODUCER)
    for found in (results.moderated, results.enriched):
        judged = {"accepted": spans["accepted"], "blocked": spans["blocked"], "unsampled": unsampled}
        assert traces(found) == judged
    assert traces(results.dead) == {"rejected": (TRACES["rejected"], PRODUCER)}
    assert traces([*results.embedded, *results.removed]) == {**spans, "unsampled": unsampled}

    # The index goes on from there.
    index = {
        attributes(span)["mekiki.image_id"]: span for span in receiver.spans(f"process {topics.embedded}")
    }
    assert {name: (span.trace_id.hex(), span.parent_span_id.hex()) for name, span in index.items()} == spans
    updates = {name: (span.trace_id.hex(), span.span_id.hex()) for name, span in index.items()}
    assert traces(broker.read(topics.index_updated)) == {**updates, "unsampled": unsampled}

    # Stages stand below their event; batches link to each.
    children = Counter(
        (span.name, span.trace_id.hex())
        for span in receiver.spans()
        if span.parent_span_id.hex() in {one for _, one in spans.values()}
    )
    assert children["fetch", TRACES["accepted"]] == children["decode", TRACES["blocked"]] == 1
    assert children["fetch", TRACES["rejected"]] == 1
    assert children["decode", TRACES["rejected"]] == children["fetch", TRACES["deleted"]] == 0
    ours = {span.span_id for span in process.values()}

    def linked(name: str, to: set[bytes]) -> set[bytes]:
        return {link.span_id for span in receiver.spans(name) for link in span.links} & to

    assert linked("publish", ours) == ours
    assert linked("publish", {span.span_id for span in index.values()}) == {s.span_id for s in index.values()}
    assert linked("judge", ours) == {process["accepted"].span_id, process["blocked"].span_id}
    assert linked(f"poll {topics.uploaded}", {bytes.fromhex(PRODUCER)})
    judges = {span.span_id for span in receiver.spans("judge")}
    assert {span.parent_span_id for span in receiver.spans("infer")} == judges
    told = {trace for trace, _ in spans.values() if f'trace_id="{trace}"' in metrics}
    assert told, "an exemplar leads from the latency to a trace"
