"""Spans, as a receiver of the protocol gets them; and none, at no cost, where no endpoint is set."""

import sys
import time
from contextlib import nullcontext

import pytest

import worker.stream.spans
from tests.otlp_receiver import OtlpReceiver, attributes
from tests.unit.records import record
from worker.errors import ConfigurationError, Rejection
from worker.settings import OtelSettings
from worker.stream.spans import Spans, create_spans, exemplar
from worker.stream.trace_context import dead_letter_trace, trace_headers

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01".encode()


def of_trace(parent=PARENT, **more):
    return record(headers=(("traceparent", parent), ("tracestate", b"shop=1")), **more)


@pytest.fixture
def receiver():
    with OtlpReceiver() as receiver:
        yield receiver


def created(receiver, **settings):
    return create_spans(OtelSettings(endpoint=receiver.endpoint, **settings), "score")


def test_without_an_endpoint_nothing_is_there_and_nothing_is_imported():
    spans, given, timed = create_spans(OtelSettings(), "score"), [of_trace()], nullcontext()
    assert type(spans) is Spans
    assert spans.begin(given, 0) is given
    assert spans.stage("fetch", timed) is timed
    began = time.process_time()
    for _ in range(10_000):
        with spans.within(given[0]), spans.batch("judge", given):
            pass
    assert time.process_time() - began < 0.1, "10 microseconds for what is entered once an event"
    assert exemplar(given[0]) is None


def test_each_record_is_processed_in_its_producers_trace_and_batches_link_to_it(receiver):
    spans = created(receiver)
    mine, alone = spans.begin([of_trace(offset=7), record(offset=8)], time.time_ns() - 1000)
    with spans.within(mine), spans.stage("fetch", nullcontext()):
        pass
    with spans.batch("judge", [mine, alone]), spans.stage("infer", nullcontext()):
        pass
    spans.end(mine, "accept", {"image_id": "i1", "event_id": "e1"})
    spans.end(alone, "block", {})
    spans.close()
    first, second = receiver.spans("process uploads")
    (poll,), (fetch,), (judge,), (infer,) = map(receiver.spans, ("poll uploads", "fetch", "judge", "infer"))
    assert first.trace_id.hex() == TRACE == fetch.trace_id.hex()
    assert first.parent_span_id.hex() == "00f067aa0ba902b7"
    assert first.trace_state == "shop=1"
    assert fetch.parent_span_id == first.span_id
    assert attributes(first)["messaging.kafka.offset"] == "7"
    assert attributes(first).items() >= {"mekiki.image_id": "i1", "mekiki.outcome": "accept"}.items()
    assert second.trace_id.hex() != TRACE
    assert not second.parent_span_id
    assert [link.span_id.hex() for link in poll.links] == ["00f067aa0ba902b7"]
    assert poll.start_time_unix_nano < first.start_time_unix_nano
    assert {link.span_id for link in judge.links} == {first.span_id, second.span_id}
    assert infer.parent_span_id == judge.span_id
    (resource,) = {tuple(sorted(one.items())) for one in receiver.resources}
    assert dict(resource).items() >= {"service.name": "mekiki", "mekiki.role": "score"}.items()
    name = f"00-{TRACE}-{first.span_id.hex()}-01".encode()
    assert dict(trace_headers(mine)) == {
        "traceparent": name,
        "ce_traceparent": name,
        "tracestate": b"shop=1",
        "ce_tracestate": b"shop=1",
    }
    assert exemplar(mine) == {"trace_id": TRACE, "span_id": first.span_id.hex()}
    assert dict(dead_letter_trace(mine))["traceparent"] == PARENT
    assert dict(dead_letter_trace(alone))["traceparent"].split(b"-")[1].decode() == second.trace_id.hex()


def test_what_is_wrong_with_a_stage_stands_on_its_span(receiver):
    spans = created(receiver)
    (one,) = spans.begin([of_trace()], 0)
    with pytest.raises(Rejection), spans.within(one), spans.stage("fetch", nullcontext()):
        raise Rejection("fetch.not_found", "404")
    spans.end(one, "rejected", {})
    spans.end(one, "of its second event", {})
    spans.close()
    (fetch,), (process,) = receiver.spans("fetch"), receiver.spans("process uploads")
    assert "fetch.not_found" in fetch.status.message
    assert not fetch.events, "no stack trace"
    assert process.status.code == 0
    assert attributes(process)["mekiki.outcome"] == "rejected"


@pytest.mark.parametrize(("given", "ratio", "left"), [(0, 1, 0), (1, 0, 1), (None, 0, 0), (None, 1, 1)])
def test_the_producer_decides_whether_a_trace_is_collected_else_the_ratio(receiver, given, ratio, left):
    spans = created(receiver, ratio=ratio)
    parent = record() if given is None else of_trace(PARENT[:-2] + b"0%d" % given)
    (one,) = spans.begin([parent], 0)
    assert (one.processing is not None) == bool(left)
    with spans.within(one), spans.stage("fetch", nullcontext()), spans.batch("judge", [one]):
        pass
    spans.end(one, "accept", {})
    spans.close()
    assert len(receiver.spans("process uploads")) == left == len(receiver.spans("fetch"))
    if given == 0:
        assert dict(trace_headers(one))["traceparent"] == parent.headers[0][1], "passed on as it came"


@pytest.mark.parametrize("status", [400, 503, None])
def test_a_collector_that_takes_nothing_holds_up_nobody(monkeypatch, status):
    monkeypatch.setattr(worker.stream.spans, "_LAST_SECONDS", 0.1)
    with OtlpReceiver() as receiver:
        receiver.status = status or 0
        endpoint = receiver.endpoint if status else "http://127.0.0.1:9/v1/traces"
        spans = create_spans(OtelSettings(endpoint=endpoint), "score")
        spans.end(spans.begin([of_trace()], 0)[0], "accept", {})
        began = time.monotonic()
        spans.close()
        assert time.monotonic() - began < 3


def test_headers_come_from_a_file(receiver, tmp_path):
    file = tmp_path / "headers"
    file.write_text("\nx-key = secret=1\n")
    spans = created(receiver, headers_file=file, service_name="shop")
    spans.begin([of_trace()], 0)
    spans.close()
    assert receiver.headers[0]["x-key"] == "secret=1"
    assert receiver.resources[0]["service.name"] == "shop"
    file.write_text("secret")
    with pytest.raises(ConfigurationError, match=":1: write name=value"):
        created(receiver, headers_file=file)
    with pytest.raises(ConfigurationError, match="headers_file"):
        created(receiver, headers_file=tmp_path / "none")


def test_without_the_extra_it_says_what_to_install(receiver, monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    with pytest.raises(ConfigurationError, match=r"mekiki\[otel\]"):
        created(receiver)
