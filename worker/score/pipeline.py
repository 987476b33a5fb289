"""The stages side by side: many threads prepare events, one thread owns the model.

Every submitted event comes out of `completed` once, in any order. The caller bounds how many are
inside; the channels between the stages are then bounded too.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

from worker.errors import Rejection, StageError
from worker.score.outcome import Outcome, PassedOver, Rejected, Removal, Several, Verdict
from worker.score.parsed import Parsed
from worker.score.prepare import Prepared

Ticket = TypeVar("Ticket")


@dataclass(frozen=True)
class Completed(Generic[Ticket]):
    """What became of the event that was submitted with `ticket`, or that it is several."""

    ticket: Ticket
    outcome: Outcome | Several


class Pipeline(Generic[Ticket]):
    """Runs `prepare` in `threads` threads and `judge` in one; use as a context manager."""

    def __init__(
        self,
        prepare: Callable[[Callable[[], Parsed]], Prepared | Removal | PassedOver | Several | Verdict],
        judge: Callable[[Sequence[Prepared]], list[Verdict]],
        *,
        threads: int,
        batch_size: int,
        batch_wait: float,
    ) -> None:
        self._prepare = prepare
        self._judge = judge
        self._batch_size = batch_size
        self._batch_wait = batch_wait
        self._prepared: queue.SimpleQueue[tuple[Ticket, Prepared] | None] = queue.SimpleQueue()
        self._completed: queue.SimpleQueue[Completed[Ticket] | BaseException] = queue.SimpleQueue()
        self._executor = ThreadPoolExecutor(threads, "prepare")
        self._judging = threading.Thread(target=self._judge_batches, name="judge", daemon=True)

    def __enter__(self) -> Self:
        self._judging.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop without finishing what is inside."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._prepared.put(None)
        self._judging.join(10)

    def submit(self, ticket: Ticket, read: Callable[[], Parsed]) -> None:
        """Take in an event; `read` parses it, in a thread of the pipeline. Does not block."""
        self._executor.submit(self._prepare_one, ticket, read)

    def completed(self, timeout: float) -> list[Completed[Ticket]]:
        """Everything that came out since the last call; waits up to `timeout` seconds for the first.

        Raises:
            StageError: a stage failed by our own fault. The pipeline is of no more use.

        """
        finished: list[Completed[Ticket]] = []
        try:
            finished.append(_unless_failed(self._completed.get(timeout=timeout)))
            while True:
                finished.append(_unless_failed(self._completed.get_nowait()))
        except queue.Empty:
            return finished

    def _prepare_one(self, ticket: Ticket, read: Callable[[], Parsed]) -> None:
        try:
            prepared = self._prepare(read)
        except Rejection as rejection:
            self._completed.put(Completed(ticket, Rejected(rejection)))
        except BaseException as error:  # noqa: BLE001 - raised again by completed()
            self._completed.put(error)
        else:
            if isinstance(prepared, Prepared):
                self._prepared.put((ticket, prepared))
            else:
                self._completed.put(Completed(ticket, prepared))

    def _judge_batches(self) -> None:
        try:
            while batch := self._next_batch():
                verdicts = self._judge([prepared for _, prepared in batch])
                for (ticket, _), verdict in zip(batch, verdicts, strict=True):
                    self._completed.put(Completed(ticket, verdict))
        except BaseException as error:  # noqa: BLE001 - raised again by completed()
            self._completed.put(error)

    def _next_batch(self) -> list[tuple[Ticket, Prepared]]:
        """The next images, up to the batch size; empty at the end."""
        batch: list[tuple[Ticket, Prepared]] = []
        deadline = float("inf")
        while len(batch) < self._batch_size:
            try:
                left = None if not batch else max(0.0, deadline - time.monotonic())
                item = self._prepared.get(timeout=left)
            except queue.Empty:
                break
            if item is None:
                return []
            if not batch:
                deadline = time.monotonic() + self._batch_wait
            batch.append(item)
        return batch


def _unless_failed(item: Completed[Ticket] | BaseException) -> Completed[Ticket]:
    if isinstance(item, StageError):
        raise item
    if isinstance(item, BaseException):
        raise StageError(f"a stage failed: {type(item).__name__}: {item}") from item
    return item
