"""The stages side by side: many threads prepare events, one thread owns the model.

An event goes from step to step (`prepare.py`), each in the threads that are for it: an image that waits for a
slow store or for a decoder's memory holds up none that does not.

Every submitted event comes out of `completed` once, in any order; one that was submitted to be held comes
out prepared, and once more after `judge`. The caller bounds how many are inside; the channels between the
stages are then bounded too.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from worker.errors import Rejection, StageError, StoreFailed
from worker.fetch.lanes import Lanes
from worker.fetch.room import Grant
from worker.log import about
from worker.score.again import Again, Failure, kind_of
from worker.score.hanging import HangingWatch
from worker.score.outcome import Event, Outcome, Parked, Rejected, Several, Verdict
from worker.score.parsed import Parsed
from worker.score.prepare import Prepared, Step, ToDecode, ToFetch
from worker.shortage import is_shortage

Ticket = TypeVar("Ticket")

logger = logging.getLogger(__name__)

_JOIN_SECONDS = 2.0
_NOTHING: AbstractContextManager[None] = nullcontext()

_MODEL = "the model"


@dataclass(frozen=True)
class Completed(Generic[Ticket]):
    """What became of the event submitted with `ticket`, or that it is several, or held before the model."""

    ticket: Ticket
    outcome: Outcome | Several | Prepared


@dataclass(frozen=True)
class PipelineLimits:
    """How many threads for what: the first steps, and images in decoders, of those `costly` ones.

    A batch has up to `batch_size` images, waits `batch_wait` seconds to fill, and may be in the model for
    `judge_timeout` seconds; any other step may take `step_timeout`. What is costly and waits may hold
    `costly_bytes`.
    With `parks`, what fails by its store is parked, else rejected.
    """

    batch_size: int
    batch_wait: float
    judge_timeout: float = float("inf")
    step_timeout: float = float("inf")
    threads: int = 2
    decoding: int = 4
    costly: int = 1
    costly_bytes: int = 64_000_000
    parks: bool = False


class Pipeline(Generic[Ticket]):
    """Runs `prepare` and the steps that it gives in many threads, and `judge` in one; a context manager.

    What is to be fetched goes through `lanes`. No event that waits for something occupies a thread.
    """

    def __init__(
        self,
        prepare: Callable[[Callable[[], Parsed]], Step],
        judge: Callable[[Sequence[Prepared]], list[Verdict]],
        lanes: Lanes,
        limits: PipelineLimits,
        is_wanted: Callable[[Ticket], bool] = lambda _: True,
        within: Callable[[Ticket], AbstractContextManager[object]] = lambda _: _NOTHING,
        together: Callable[[Sequence[Ticket]], AbstractContextManager[object]] = lambda _: _NOTHING,
    ) -> None:
        """Build the stages. What is not wanted any more when its turn comes never meets the model.

        Each step of an event runs `within` its ticket, and a batch in the model `together` with its tickets.
        """
        self._within = within
        self._together = together
        self._is_wanted = is_wanted
        self._prepare = prepare
        self._judge = judge
        self._lanes = lanes
        self._limits = limits
        self._prepared: queue.SimpleQueue[tuple[Ticket, Prepared] | None] = queue.SimpleQueue()
        self._holding = threading.Event()  # what is prepared comes out, and does not go on to the model
        self._alone = threading.Event()  # what is in the model, or on its way there, is the only one
        self._batches = 0  # that went into the model
        self._in_model = False
        self._watch = HangingWatch()
        # What each event inside was begun with.
        self._reads: dict[int, tuple[Ticket, Callable[[], Parsed], bool]] = {}
        self._completed: queue.SimpleQueue[Completed[Ticket] | BaseException] = queue.SimpleQueue()
        self._again = Again(
            lambda ticket: id(ticket) in self._reads,
            self._begin_again,
            lambda ticket, outcome: self._completed.put(Completed(ticket, outcome)),
            self._completed.put,
        )
        self._begin = ThreadPoolExecutor(limits.threads, "prepare")
        self._decode = ThreadPoolExecutor(limits.decoding, "decode")
        self._decode_costly = ThreadPoolExecutor(limits.costly, "decode-costly")
        self._costly_bytes = 0
        self.waiting_for_decoders = 0  # events
        self._lock = threading.Lock()
        self._judging = threading.Thread(target=self._judge_batches, name="judge", daemon=True)

    def __enter__(self) -> Self:
        self._lanes.__enter__()
        self._judging.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop without finishing what is inside."""
        self._lanes.__exit__(kind, error, trace)
        for executor in (self._begin, self._decode, self._decode_costly):
            executor.shutdown(wait=False, cancel_futures=True)
        self._prepared.put(None)
        self._judging.join(_JOIN_SECONDS)

    def submit(
        self, ticket: Ticket, read: Callable[[], Parsed], *, is_new: bool = True, hold: bool = False
    ) -> None:
        """Take in an event; `read` parses it, in a thread of the pipeline. Does not block.

        One that is not new says nothing of what the traffic is. Where all that are inside are to be held,
        what would go to the model comes out as Prepared.
        """
        (self._holding.set if hold else self._holding.clear)()
        self._reads[id(ticket)] = (ticket, read, is_new)
        self._begin.submit(self._go_on, ticket, lambda: self._prepare(read), _nothing, is_new, None)

    def waiting(self) -> str | None:
        """Why nothing more should be submitted for now: most images are of stores that fail."""
        return self._lanes.waiting()

    def hosts_down(self) -> int:
        """How many hosts are asked now and then only."""
        return self._lanes.hosts_down()

    def recovered(self, host: str) -> float:
        """When a host that was down served again, in Unix time; 0 where it did not."""
        return self._lanes.recovered(host)

    def judge(self, ticket: Ticket, prepared: Prepared) -> None:
        """Take in again what was held, for the model alone: nothing else is inside. Does not block."""
        self._alone.set()
        self._prepared.put((ticket, prepared))

    def settle(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until the model has returned what it has now; whether it did."""
        batch, deadline = self._batches, time.monotonic() + timeout
        while self._in_model and self._batches == batch:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.001)
        return True

    def completed(self, timeout: float) -> list[Completed[Ticket]]:
        """Everything that came out since the last call; waits up to `timeout` seconds for the first.

        Raises:
            StageError: a stage failed by our own fault, or hangs. The pipeline is of no more use.

        """
        self._watch.look()
        self._again.turn()
        finished: list[Completed[Ticket]] = []
        try:
            finished.append(_unless_failed(self._completed.get(timeout=timeout)))
            while True:
                finished.append(_unless_failed(self._completed.get_nowait()))
        except queue.Empty:
            for completed in finished:
                self._reads.pop(id(completed.ticket), None)
                self._again.finished(completed.ticket)
            return finished

    def _go_on(
        self,
        ticket: Ticket,
        run: Callable[[], Step],
        release: Callable[[], None],
        is_new: bool,
        event: Event | None,
    ) -> None:
        """Run one step of an event, and pass it on to where it waits for the next."""
        try:
            with (
                self._watch.running("a stage before the model", self._limits.step_timeout),
                about(_ids(event)),
                self._within(ticket),
            ):
                step = run()
            if isinstance(step, ToDecode) and step.costly:
                step, release = self._within_costly_bytes(step, release)
            elif not isinstance(step, ToDecode):
                release()
            self._pass_on(ticket, step, release, is_new)
        except Rejection as rejection:
            release()
            self._completed.put(Completed(ticket, self._refused(rejection, event)))
        except BaseException as error:  # noqa: BLE001 - raised again by completed()
            release()
            if is_shortage(error):
                self._again.lacked(ticket, error)
            elif isinstance(error, Exception):
                kind = kind_of(event)
                self._again.failed(Failure(ticket, error, event, kind, self._again.others(kind)))
            else:
                self._completed.put(error)

    def _begin_again(self, ticket: Ticket) -> None:
        _, read, is_new = self._reads[id(ticket)]
        self._begin.submit(self._go_on, ticket, partial(self._prepare, read), _nothing, is_new, None)

    def _refused(self, rejection: Rejection, event: Event | None) -> Rejected | Parked:
        if self._limits.parks and isinstance(rejection, StoreFailed) and event is not None:
            return Parked(rejection, event)
        return Rejected(rejection, event)

    def _pass_on(self, ticket: Ticket, step: Step, release: Callable[[], None], is_new: bool) -> None:
        if isinstance(step, Prepared):
            self._again.got_on(kind_of(None), kind_of(step.event))
        if isinstance(step, Prepared) and not self._holding.is_set():
            self._prepared.put((ticket, step))
        elif isinstance(step, ToFetch):
            fetched = partial(self._fetched, ticket, step, is_new)
            self._lanes.submit(step.host, partial(self._fetch, ticket, step), fetched, counted=is_new)
        elif isinstance(step, ToDecode):
            if release is _nothing and not step.costly and is_new:
                self._lanes.served_locally()
            executor = self._decode_costly if step.costly else self._decode
            with self._lock:
                self.waiting_for_decoders += 1
            _submit(executor, self._go_on, ticket, partial(self._decoded, step), release, is_new, step.event)
        else:
            self._completed.put(Completed(ticket, step))

    def _fetch(self, ticket: Ticket, step: ToFetch, grant: Grant) -> Any:
        with about(_ids(step.event)), self._within(ticket):
            return step.fetch(grant.take)

    def _fetched(self, ticket: Ticket, step: ToFetch, is_new: bool, result: Any, grant: Grant) -> None:
        """What came of a fetch, told by the thread that fetched."""

        def go_on() -> Step:
            if isinstance(result, BaseException):
                raise result
            return step.then(result)

        self._go_on(ticket, go_on, grant.release, is_new, step.event)

    def _decoded(self, step: ToDecode) -> Step:
        with self._lock:
            self.waiting_for_decoders -= 1
        return step.then()

    def _within_costly_bytes(
        self, step: ToDecode, release: Callable[[], None]
    ) -> tuple[ToDecode, Callable[[], None]]:
        """Let go of the bytes of an image where those that wait as it does hold too many."""
        with self._lock:
            fits = step.let_go is None or self._costly_bytes + step.held <= self._limits.costly_bytes
            self._costly_bytes += step.held if fits else 0
        if not fits and step.let_go is not None:
            release()
            return step.let_go(), _nothing

        def release_both() -> None:
            with self._lock:
                self._costly_bytes -= step.held
            release()

        return step, release_both

    def _judge_batches(self) -> None:
        try:
            while batch := self._next_batch():
                self._batches += 1
                self._in_model = True  # before it is asked what is wanted: see settle
                batch = self._wanted(batch)
                if not batch:
                    self._in_model = False
                    continue
                self._judge_all(batch)
                self._in_model = False
        except BaseException as error:  # noqa: BLE001 - raised again by completed()
            self._completed.put(error)

    def _judge_all(self, batch: list[tuple[Ticket, Prepared]]) -> None:
        """Judge a batch; where that fails, each of its images alone."""
        others = self._again.others(_MODEL)
        try:
            with (
                self._watch.running("the model (model.timeout)", self._limits.judge_timeout),
                self._together([ticket for ticket, _ in batch]),
            ):
                verdicts = self._judge([prepared for _, prepared in batch])
        except Exception as error:  # noqa: BLE001 - looked at by completed()
            if len(batch) > 1:
                for one in batch:
                    self._judge_all([one])
                return
            ((ticket, prepared),) = batch
            self._again.failed(Failure(ticket, error, prepared.event, _MODEL, others))
            return
        self._again.got_on(_MODEL, events=len(batch))
        for (ticket, _), verdict in zip(batch, verdicts, strict=True):
            self._completed.put(Completed(ticket, verdict))

    def _wanted(self, batch: list[tuple[Ticket, Prepared]]) -> list[tuple[Ticket, Prepared]]:
        wanted = []
        for ticket, prepared in batch:
            if self._is_wanted(ticket):
                wanted.append((ticket, prepared))
            else:
                self._completed.put(Completed(ticket, prepared))
        return wanted

    def _next_batch(self) -> list[tuple[Ticket, Prepared]]:
        """The next images, up to the batch size; empty at the end."""
        batch: list[tuple[Ticket, Prepared]] = []
        deadline = float("inf")
        while len(batch) < self._limits.batch_size:
            try:
                left = None if not batch else max(0.0, deadline - time.monotonic())
                item = self._prepared.get(timeout=left)
            except queue.Empty:
                break
            if item is None:
                return []
            if not batch:
                deadline = time.monotonic() + self._limits.batch_wait
            batch.append(item)
            if self._alone.is_set():
                self._alone.clear()
                break
        return batch


def _ids(event: Event | None) -> Mapping[str, object]:
    return {} if event is None else {"image_id": event.image_id, "event_id": event.event_id}


def _nothing() -> None:
    """Nothing is held."""


def _submit(executor: ThreadPoolExecutor, run: Callable[..., None], *arguments: Any) -> None:
    with suppress(RuntimeError):  # the pipeline was closed meanwhile: nothing is finished any more
        executor.submit(run, *arguments)


def _unless_failed(item: Completed[Ticket] | BaseException) -> Completed[Ticket]:
    if isinstance(item, StageError):
        raise item
    if isinstance(item, BaseException):
        raise StageError(f"a stage failed: {type(item).__name__}: {item}") from item
    return item
