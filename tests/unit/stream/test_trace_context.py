import json

import pytest

from tests.unit.records import record
from worker.stream.trace_context import trace_headers, with_missing

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STATE = "shop=1,other=a b"


def value(**more):
    return json.dumps({"specversion": "1.0", **more, "data": {"image": {"data": "aGVsbG8="}}}).encode()


@pytest.mark.parametrize(
    "given",
    [
        record(headers=(("traceparent", PARENT.encode()), ("tracestate", STATE.encode()))),
        record(headers=(("Traceparent", PARENT.encode()), ("TraceState", STATE.encode()))),
        record(headers=(("ce_traceparent", PARENT.encode()), ("ce_tracestate", STATE.encode()))),
        record(
            headers=(
                ("traceparent", b"damaged"),
                ("ce_traceparent", PARENT.encode()),
                ("ce_tracestate", STATE.encode()),
            )
        ),
        record(value(traceparent=PARENT, tracestate=STATE)),
    ],
)
def test_a_trace_is_found_in_every_form_and_given_on_in_both(given):
    assert dict(trace_headers(given)) == {
        "traceparent": PARENT.encode(),
        "ce_traceparent": PARENT.encode(),
        "tracestate": STATE.encode(),
        "ce_tracestate": STATE.encode(),
    }


@pytest.mark.parametrize(
    "parent",
    [
        *(
            "",
            "x",
            PARENT.upper(),
            PARENT[:-1],
            PARENT + "0",
            "ff" + PARENT[2:],
            PARENT.replace("00f067aa0ba902b7", "0" * 16),
        ),
        PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        PARENT.replace("-", "_"),
        PARENT + "\n" + PARENT,
    ],
)
def test_what_is_no_trace_is_not_given_on(parent):
    assert trace_headers(record(headers=(("traceparent", parent.encode()),))) == ()
    assert trace_headers(record(value(traceparent=parent))) == ()


@pytest.mark.parametrize("state", ["x" * 513, "a\x00b", "é"])
def test_a_state_that_no_header_can_have_is_left_out(state):
    headers = (("traceparent", PARENT.encode()), ("tracestate", state.encode()))
    assert "tracestate" not in dict(trace_headers(record(headers=headers)))


def test_what_has_its_own_keeps_it():
    mine, more = (("Traceparent", b"mine"), ("a", None)), (("traceparent", b"x"), ("ce_traceparent", b"x"))
    assert with_missing(mine, more) == (*mine, ("ce_traceparent", b"x"))


def test_a_record_without_value_or_headers_is_in_no_trace():
    assert trace_headers(record(None)) == ()
    assert trace_headers(record(headers=(("traceparent", None),))) == ()
