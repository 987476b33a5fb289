"""Again: events that begin once more after a pause: this machine lacked something, or a stage of ours failed.

What all fail with ends the worker; what one event alone fails with again and again, while others like it get
on, is that event's: it is rejected for a reason of its own.
"""

import heapq
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from schemas.events import ImageReviewed, ImageUploaded
from schemas.rejection import RejectionReason
from worker.errors import Rejection
from worker.score.outcome import Event, Rejected

Ticket = TypeVar("Ticket")

logger = logging.getLogger(__name__)

# Where files or buffers run out, so many events begin again, so often.
_AGAIN = 8
_SHORTAGE_SECONDS = 1.0

# After a failure of ours an event begins again after these pauses; of its kind so many others must get on
# meanwhile for it to be the event's own.
_PAUSES = (0.5, 1.0, 2.0, 4.0)
_OTHERS = 3


@dataclass(frozen=True)
class Failure(Generic[Ticket]):
    """That a stage of ours failed with an event, of a kind of which `others` had got on before."""

    ticket: Ticket
    error: Exception
    event: Event | None
    kind: str
    others: int


@dataclass
class _Failing:
    """An event that failed by our fault, how often, and how many others of its kind had got on before."""

    others: int
    times: int = 0


class Again(Generic[Ticket]):
    """Any thread calls `lacked`, `failed`, `got_on` and `others`; the owner of the pipeline the rest."""

    def __init__(
        self,
        is_inside: Callable[[Ticket], bool],
        begin: Callable[[Ticket], None],
        reject: Callable[[Ticket, Rejected], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        """Nothing waits.

        Args:
            is_inside: whether an event has a way to begin again; one that was held before the model has not.
            begin: lets an event begin again.
            reject: gives an event its outcome.
            fail: ends the pipeline.

        """
        self._is_inside, self._begin, self._reject, self._fail = is_inside, begin, reject, fail
        self._short: queue.SimpleQueue[tuple[Ticket, BaseException]] = queue.SimpleQueue()
        self._short_at = 0.0
        self._failures: queue.SimpleQueue[Failure[Ticket]] = queue.SimpleQueue()
        self._failing: dict[int, _Failing] = {}
        self._resumed: list[tuple[float, int, Ticket]] = []
        self._numbers = count()  # tickets have no order
        self._got_on: Counter[str] = Counter()
        self._lock = threading.Lock()

    def lacked(self, ticket: Ticket, error: BaseException) -> None:
        """This machine had nothing left for an event: files, buffers, memory."""
        self._short.put((ticket, error))

    def failed(self, failure: Failure[Ticket]) -> None:
        """A stage of ours failed with an event."""
        self._failures.put(failure)

    def got_on(self, *kinds: str, events: int = 1) -> None:
        """So many events of each of these kinds are past a stage that others may fail in."""
        with self._lock:
            for kind in kinds:
                self._got_on[kind] += events

    def others(self, kind: str) -> int:
        """How many events of a kind have got on so far."""
        return self._got_on[kind]

    def finished(self, ticket: Ticket) -> None:
        """The event has its outcome."""
        self._failing.pop(id(ticket), None)

    def turn(self) -> None:
        """Let events begin again whose pause is over, and judge the failures that came meanwhile."""
        now = time.monotonic()
        self._begin_short(now)
        while not self._failures.empty():
            self._heed(self._failures.get_nowait(), now)
        while self._resumed and self._resumed[0][0] <= now:
            _, _, ticket = heapq.heappop(self._resumed)
            if self._is_inside(ticket):
                self._begin(ticket)

    def _begin_short(self, now: float) -> None:
        """Some of those for which this machine had nothing left, after a pause."""
        if now < self._short_at or self._short.empty():
            return
        self._short_at = now + _SHORTAGE_SECONDS
        for number in range(_AGAIN):
            try:
                ticket, error = self._short.get_nowait()
            except queue.Empty:
                return
            if number == 0:
                logger.warning("waiting for what this machine has not: %s", error)
            self._begin(ticket)

    def _heed(self, failure: Failure[Ticket], now: float) -> None:
        """Pause, and begin again; at last it is the event's fault, or ours.

        The event's own where it alone fails, and others of its kind got on meanwhile.
        """
        ticket, error = failure.ticket, failure.error
        if not self._is_inside(ticket):  # it was held before the model: the process is judged by it
            self._fail(error)
            return
        failing = self._failing.setdefault(id(ticket), _Failing(failure.others))
        if failing.times < len(_PAUSES):
            pause = _PAUSES[failing.times]
            logger.warning("an event failed by our own fault, tried again in %g s: %r", pause, error)
            heapq.heappush(self._resumed, (now + pause, next(self._numbers), ticket))
            failing.times += 1
        elif len(self._failing) == 1 and self._got_on[failure.kind] >= failing.others + _OTHERS:
            self._reject(ticket, Rejected(_rejection(error, failing.times + 1), failure.event))
        else:
            self._fail(error)


def kind_of(event: Event | None) -> str:
    """What events have in common that fail together: where their image is from, once that is known."""
    if not isinstance(event, ImageUploaded | ImageReviewed):
        return "any"
    image = event.image
    if image.object is not None:
        return image.object.bucket
    if image.url is not None:
        return urlsplit(image.url).netloc
    return "folder" if image.path is not None else "inline"


def _rejection(error: Exception, times: int) -> Rejection:
    return Rejection(
        RejectionReason.WORKER_FAILED,
        f"our own stages failed {times} times with this event alone, while others like it got on: "
        f"{type(error).__name__}: {str(error)[:500]}. Keep its bytes for whoever mends that, then send it "
        "again with `mekiki replay`",
    )
