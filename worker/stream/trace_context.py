"""Trace context: the trace that a record belongs to, which its outcomes belong to as well.

W3C Trace Context's `traceparent` and `tracestate` come as record headers (OpenTelemetry's convention for
Kafka) or by CloudEvents' distributed-tracing extension, in binary mode (`ce_traceparent`) or in the value.
Outcomes carry them in both forms of headers; where spans are collected, the parent is the worker's own.
"""

import re

from worker.stream.kafka import Headers, InputRecord

# Versions to come may be longer (W3C Trace Context, 3.2.2); a trace or parent of zeros is none.
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_IN_VALUE = re.compile(rb'"traceparent"\s*:\s*"(' + _TRACEPARENT.pattern + rb')"')
_STATE_IN_VALUE = re.compile(rb'"tracestate"\s*:\s*"([ !#-\[\]-~]{1,512})"')
_LONGEST_STATE = 512
_STATE = re.compile(rb"[\t -~]*")


def trace_headers(record: InputRecord) -> Headers:
    """The headers that put an outcome of `record` into its trace; none where it is in none."""
    if record.processing is not None:
        return _headers(record.processing.parent, record.processing.state)
    return producers_trace(record)


def dead_letter_trace(record: InputRecord) -> Headers:
    """Of a dead letter: what the producer said, as it stands among its headers, comes first."""
    return producers_trace(record) or trace_headers(record)


def producers_trace(record: InputRecord) -> Headers:
    """As `trace_headers`, of the trace that the record came with."""
    given: dict[str, bytes] = {}
    for name, value in record.headers:
        given.setdefault(name.lower(), value or b"")
    for prefix in ("", "ce_"):
        parent = given.get(f"{prefix}traceparent", b"").strip()
        if _TRACEPARENT.fullmatch(parent):
            return _headers(parent, given.get(f"{prefix}tracestate", b""))
    value = record.value or b""
    if b'"traceparent"' in value and (found := _IN_VALUE.search(value)):
        state = _STATE_IN_VALUE.search(value)
        return _headers(found.group(1), state.group(1) if state else b"")
    return ()


def with_missing(headers: Headers, more: Headers) -> Headers:
    """`headers`, and those of `more` whose names are not among them: a dead letter has its event's own."""
    have = {name.lower() for name, _ in headers}
    return headers + tuple((name, value) for name, value in more if name not in have)


def _headers(parent: bytes, state: bytes) -> Headers:
    headers: Headers = (("traceparent", parent), ("ce_traceparent", parent))
    if state and len(state) <= _LONGEST_STATE and _STATE.fullmatch(state):
        headers += (("tracestate", state), ("ce_tracestate", state))
    return headers
