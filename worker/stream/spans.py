"""Spans: what a worker did with an event, and when, for whoever collects traces (OpenTelemetry).

Without an endpoint there are none, and the calls cost nothing. With one, for each record of Kafka:

    poll             one of several records; a link to what each producer was in
    process          from polling to the commit, in the producer's trace; outcomes name it as their parent
      parse, fetch, decode, codes
    judge            a batch, with a link to the process of each image
      infer, tag
    publish          a commit, with a link to the process of each event

A record whose producer's trace is not sampled leaves none. Names of attributes are those of OpenTelemetry's
semantic conventions for messaging. What the collector does not take is dropped: nothing waits for it.
"""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from worker.errors import ConfigurationError
from worker.settings import OtelSettings
from worker.stream.kafka import InputRecord, Processing
from worker.stream.span_exporter import create_exporter
from worker.stream.trace_context import producers_trace

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_NOTHING: AbstractContextManager[None] = nullcontext()

# Of a commit: more records than that are not linked to.
_MOST_LINKS = 512
# Finished spans that wait to be sent; beyond these the oldest are dropped.
_MOST_WAITING = 16_384
_MOST_AT_ONCE = 1024
# How long the end of a process may wait for the collector.
_LAST_SECONDS = 2.0


class Spans:
    """No spans. Used from many threads at once."""

    def begin(self, records: Sequence[InputRecord], polled_at: int) -> Sequence[InputRecord]:
        """Records that were polled, begun at `polled_at` (Unix time in ns), each with its processing."""
        del polled_at
        return records

    def within(self, record: InputRecord) -> AbstractContextManager[object]:
        """Within, stages are those of `record`."""
        del record
        return _NOTHING

    def stage(self, name: str, timed: AbstractContextManager[object]) -> AbstractContextManager[object]:
        """`timed`, and a span of that name around it."""
        del name
        return timed

    def batch(self, name: str, records: Iterable[InputRecord]) -> AbstractContextManager[object]:
        """A span around what is done for all `records` together."""
        del name, records
        return _NOTHING

    def end(self, record: InputRecord, outcome: str, ids: Mapping[str, str]) -> None:
        """The record is done with; `ids` name its image and event."""

    def close(self) -> None:
        """Send what waits to be sent, if the collector takes it at once."""


class CollectedSpans(Spans):
    """Spans sent to a collector by OTLP, in batches, by a thread of its own.

    Raises:
        ConfigurationError: mekiki[otel] is not installed; as `create_exporter`.

    """

    def __init__(self, settings: OtelSettings, role: str) -> None:
        try:
            from opentelemetry import trace  # noqa: PLC0415 - where there is no endpoint, nobody pays for it
            from opentelemetry.sdk import trace as sdk  # noqa: PLC0415
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
            from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415

            exporter = create_exporter(settings)
        except ImportError as error:
            raise ConfigurationError(
                "otel.endpoint is set, and what sends spans is not installed: pip install 'mekiki[otel]' "
                f"({error})"
            ) from error
        about = {"service.name": settings.service_name, "service.version": version("mekiki")}
        self._provider = sdk.TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.ratio)),
            resource=Resource.create({**about, "mekiki.role": role}),
            shutdown_on_exit=False,
            span_limits=sdk.SpanLimits(max_links=_MOST_LINKS),
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, max_queue_size=_MOST_WAITING, max_export_batch_size=_MOST_AT_ONCE)
        )
        self._trace = trace
        self._tracer = self._provider.get_tracer("mekiki", version("mekiki"))

    def begin(self, records: Sequence[InputRecord], polled_at: int) -> Sequence[InputRecord]:
        """See Spans."""
        if not records:
            return records
        parents = [_context(record) for record in records]
        links = [self._trace.Link(parent) for parent in parents[:_MOST_LINKS] if parent is not None]
        poll = self._tracer.start_span(
            f"poll {records[0].topic}",
            kind=self._trace.SpanKind.CLIENT,
            start_time=polled_at,
            links=links,
            attributes={
                **_messaging("receive", records[0].topic),
                "messaging.batch.message_count": len(records),
            },
        )
        poll.end()
        now = time.time_ns()
        return [self._begun(record, parent, now) for record, parent in zip(records, parents, strict=True)]

    def within(self, record: InputRecord) -> AbstractContextManager[object]:
        """See Spans."""
        if record.processing is None:
            return _NOTHING
        span: Span = record.processing.span
        return self._trace.use_span(span, record_exception=False, set_status_on_exception=False)

    def stage(self, name: str, timed: AbstractContextManager[object]) -> AbstractContextManager[object]:
        """See Spans."""
        if not self._trace.get_current_span().is_recording():
            return timed
        both = ExitStack()
        both.enter_context(self._tracer.start_as_current_span(name, record_exception=False))
        both.enter_context(timed)
        return both

    def batch(self, name: str, records: Iterable[InputRecord]) -> AbstractContextManager[object]:
        """See Spans."""
        processed = [record.processing for record in records if record.processing is not None]
        if not processed:
            return _NOTHING
        return self._tracer.start_as_current_span(
            name,
            kind=self._trace.SpanKind.PRODUCER if name == "publish" else self._trace.SpanKind.INTERNAL,
            links=[self._trace.Link(one.span.get_span_context()) for one in processed[:_MOST_LINKS]],
            attributes={"messaging.batch.message_count": len(processed)},
            record_exception=False,
        )

    def end(self, record: InputRecord, outcome: str, ids: Mapping[str, str]) -> None:
        """See Spans. Of a record of several events, the first that is done with names it."""
        if record.processing is None or not record.processing.span.is_recording():
            return
        span: Span = record.processing.span
        span.set_attributes({"mekiki.outcome": outcome, **{f"mekiki.{name}": ids[name] for name in ids}})
        span.end()

    def close(self) -> None:
        """See Spans."""
        ending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        ending.start()
        ending.join(_LAST_SECONDS)

    def _begun(self, record: InputRecord, parent: Any, now: int) -> InputRecord:
        trace = self._trace
        context = None if parent is None else trace.set_span_in_context(trace.NonRecordingSpan(parent))
        span = self._tracer.start_span(
            f"process {record.topic}",
            context,
            kind=trace.SpanKind.CONSUMER,
            start_time=now,
            attributes={
                **_messaging("process", record.topic),
                "messaging.destination.partition.id": str(record.partition),
                "messaging.kafka.offset": record.offset,
            },
        )
        if not span.is_recording():
            return record
        mine = span.get_span_context()
        name = f"00-{mine.trace_id:032x}-{mine.span_id:016x}-{mine.trace_flags:02x}"
        state = mine.trace_state.to_header()
        return replace(record, processing=Processing(span, name.encode(), state.encode()))


def create_spans(settings: OtelSettings, role: str) -> Spans:
    """The spans that the settings ask for.

    Raises:
        ConfigurationError: as CollectedSpans.

    """
    return Spans() if settings.endpoint is None else CollectedSpans(settings, role)


def exemplar(record: InputRecord) -> dict[str, str] | None:
    """What a histogram says of `record` beside its value: where its trace is, if it left one."""
    if record.processing is None:
        return None
    _, trace_id, span_id, _ = record.processing.parent.decode().split("-")
    return {"trace_id": trace_id, "span_id": span_id}


def _messaging(operation: str, topic: str) -> dict[str, str]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
    }


def _context(record: InputRecord) -> Any:
    """What the producer was in, as a SpanContext; None where it says nothing."""
    from opentelemetry.trace import SpanContext, TraceFlags, TraceState  # noqa: PLC0415

    headers = dict(producers_trace(record))
    parent = (headers.get("traceparent") or b"").decode("ascii")
    if not parent:
        return None
    _, trace_id, span_id, flags = parent.split("-")[:4]
    state = (headers.get("tracestate") or b"").decode("ascii")
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)), TraceState.from_header([state])
    )
