"""Lanes: fetches side by side, host by host, so that no host's slowness becomes another's.

A host that served lately gets more turns at once than one that nobody knows or that fails, and all of the
latter together get half of the threads. Nothing that waits, for a turn, a pause or memory, occupies a thread.

With `parks`, a host that is down is not asked for each of its images: they are given up at once, to come back
later, and one question now and then tells when it is well. Where most of the traffic is of hosts that are
down, their images are held instead, and `waiting` says so: whoever reads the traffic stops until they serve.
"""

import heapq
import itertools
import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic, time
from types import TracebackType
from typing import Any, Self

from schemas.rejection import RejectionReason
from worker.errors import Rejection, StageError, StoreFailed
from worker.fetch.room import Grant, NoRoom, Room
from worker.fetch.standing import Standing

logger = logging.getLogger(__name__)

# Hosts that are remembered; those with work are, in any case.
_MOST_HOSTS = 4096
_FIRST_PAUSE = 0.25
# Pauses between questions to a host that is down and that images came from, or whose images are held.
_FIRST_PROBE, _LONGEST_PROBE = 1.0, 15.0
# The latest events, by whose hosts it is judged what most of the traffic is.
_RECENT = 200
_MOST = 0.8
# How long a host that never served, of a worker that was served by nobody, may make it wait.
_LONGEST_DOUBT = 300.0

# Rejections after an answer: the host is well.
_ANSWERED = {
    RejectionReason.FETCH_NOT_FOUND,
    RejectionReason.FETCH_HTTP_STATUS,
    RejectionReason.FETCH_TOO_LARGE,
    RejectionReason.SOURCE_EMPTY,
}

Attempt = Callable[[Grant], Any]
Done = Callable[[Any, Grant], None]


@dataclass(frozen=True)
class LaneLimits:
    """How many fetches at once, in all and of one host; `memory` is what fetched images may hold, in bytes.

    `patience` is how many seconds an image is asked for again in place, and a host may fail until it is down.
    """

    threads: int = 32
    per_host: int = 16
    memory: int = 160_000_000
    patience: float = 2.0
    parks: bool = False


@dataclass(eq=False)
class _Job:
    attempt: Attempt
    done: Done
    grant: Grant
    counted: bool
    needs: int = 0
    pause: float = _FIRST_PAUSE
    failing_since: float | None = None


@dataclass(eq=False)
class _Host:
    name: str
    standing: Standing
    waiting: deque[_Job] = field(default_factory=deque)
    held: deque[_Job] = field(default_factory=deque)
    running: int = 0
    resting: int = 0
    last_attempt: Attempt | None = None
    is_probed: bool = False
    probe_pause: float = _FIRST_PROBE
    recovered_at: float = 0.0  # Unix time

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.held or self.running or self.resting or self.is_probed)


class Lanes:
    """Runs fetches in `limits.threads` threads; use as a context manager. Used from many threads at once."""

    def __init__(self, limits: LaneLimits) -> None:
        self._limits = limits
        self._per_host = min(limits.per_host, max(1, 3 * limits.threads // 4))
        self._room = Room(limits.memory, self._room_freed)
        self._executor = ThreadPoolExecutor(limits.threads, "fetch")
        self._changed = threading.Condition()
        self._hosts: OrderedDict[str, _Host] = OrderedDict()
        self._with_work: OrderedDict[str, _Host] = OrderedDict()  # hosts with jobs that wait for a turn
        self._recent: deque[_Host | None] = deque(maxlen=_RECENT)
        self._ever_served = False
        self._ours = False  # our own name server failed last
        self._running = self._doubtful = 0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._finished: deque[tuple[_Job, Any]] = deque()
        self._waiting_since: float | None = None
        self._closed = False
        self._timing = threading.Thread(target=self._keep_time, name="fetch-times", daemon=True)

    def __enter__(self) -> Self:
        self._timing.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Begin nothing more; attempts under way end in their time."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def submit(self, host: str, attempt: Attempt, done: Done, *, counted: bool = True) -> None:
        """Run `attempt` when it is its host's turn, in a thread; `done` gets what it returns or raises.

        Never blocks. `attempt` gets the room that its image may take, and `done` the same, to be released
        when the image is not held any more. What is not `counted` says nothing of what the traffic is.
        """
        job = _Job(attempt, done, Grant(self._room), counted)
        with self._changed:
            lane = self._host(host)
            if counted:
                self._recent.append(lane)
            now = monotonic()
            if self._is_closed_to(lane, now):
                self._give_up(lane, job, now)
            else:
                if lane.standing.is_down(now):
                    lane.standing.try_at = now + self._limits.patience  # this one will tell
                self._enqueue(lane, job)
                self._dispatch(now)
                if self._limits.parks and not lane.standing.is_proven(now):
                    self._at(now + self._limits.patience, lambda: self._lose_patience(lane, job))
        self._deliver()

    def served_locally(self) -> None:
        """An event was not to be fetched from any host: it counts as traffic that is served."""
        with self._changed:
            self._recent.append(None)
            self._ever_served = True

    def waiting(self) -> str | None:
        """Why the traffic should stop, where most of it is of hosts that are down."""
        with self._changed:
            if self._waiting_since is None:
                return None
            held = [host for host in self._hosts.values() if host.held]
            shown = ", ".join(
                f"{host.name} ({host.standing.last_failure.detail})"
                for host in held[:3]
                if host.standing.last_failure is not None
            )
            return f"most images are of stores that fail: {shown}; they are asked until they serve again"

    def hosts_down(self) -> int:
        """How many hosts are down."""
        now = monotonic()
        with self._changed:
            return sum(host.standing.is_down(now) for host in self._hosts.values())

    def recovered(self, name: str) -> float:
        """When a host that was down served again, in Unix time; 0 where it did not, or is not known."""
        with self._changed:
            host = self._hosts.get(name)
            return 0.0 if host is None else host.recovered_at

    # With the lock held, all that follow but _run and _deliver.

    def _host(self, name: str) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host(name, Standing(self._limits.patience))
            if len(self._hosts) > _MOST_HOSTS:
                idle = next((other for other in self._hosts.values() if not other.has_work), host)
                del self._hosts[idle.name]
        self._hosts.move_to_end(name)
        return host

    def _is_closed_to(self, host: _Host, now: float) -> bool:
        """Whether images of `host` are given up without being asked for."""
        standing = host.standing
        if not self._limits.parks or not standing.is_down(now):
            return False
        return bool(standing.is_proven(now) or host.held or now < standing.try_at)

    def _enqueue(self, host: _Host, job: _Job, *, first: bool = False) -> None:
        (host.waiting.appendleft if first else host.waiting.append)(job)
        self._with_work[host.name] = host

    def _dispatch(self, now: float) -> None:
        while self._running < self._limits.threads and not self._closed:
            found = next(self._startable(now), None)
            if found is None:
                return
            host, job = found
            host.waiting.remove(job)
            self._with_work.pop(host.name)
            if host.waiting:
                self._with_work[host.name] = host  # at the end: hosts take turns
            self._start(host, job, now)

    def _startable(self, now: float) -> Iterator[tuple[_Host, _Job]]:
        if not self._room.is_left:
            return
        for host in self._with_work.values():
            standing = host.standing
            doubtful = not standing.is_proven(now) or standing.failing_since is not None
            if self._limits.parks and now < standing.not_before:
                continue
            if host.running >= (max(1, self._per_host // 4) if doubtful else self._per_host):
                continue
            if doubtful and self._doubtful >= max(1, self._limits.threads // 2):
                continue
            job = host.waiting[0]
            try:
                job.grant.take(job.needs)
            except NoRoom:
                continue
            yield host, job

    def _start(self, host: _Host, job: _Job, now: float) -> None:
        standing = host.standing
        doubtful = not standing.is_proven(now) or standing.failing_since is not None
        host.running += 1
        self._running += 1
        self._doubtful += doubtful
        try:
            self._executor.submit(self._run, host, job, doubtful)
        except RuntimeError:  # the interpreter is ending
            self._closed = True

    def _run(self, host: _Host, job: _Job, doubtful: bool) -> None:
        began = monotonic()
        result: Any
        try:
            result = job.attempt(job.grant)
        except BaseException as error:  # noqa: BLE001 - passed on
            job.grant.release()
            result = error
        with self._changed:
            host.running -= 1
            self._running -= 1
            self._doubtful -= doubtful
            now = monotonic()
            self._judge(host, job, result, began, now)
            self._dispatch(now)
        self._deliver()

    def _judge(self, host: _Host, job: _Job, result: Any, began: float, now: float) -> None:
        if isinstance(result, NoRoom):
            job.needs = result.size
            self._enqueue(host, job, first=True)
            return
        if _is_unreachable(result) and host.standing.is_proven(now) and self._limits.parks:
            result = StoreFailed(result.reason, result.detail, host.name)  # a name that was there lately
        if isinstance(result, StoreFailed):
            self._failed(host, job, result, began, now)
            return
        if not isinstance(result, BaseException) or getattr(result, "reason", None) in _ANSWERED:
            self._served(host, now)
        self._finished.append((job, result))

    def _served(self, host: _Host, now: float) -> None:
        if host.standing.is_down(now):
            host.recovered_at = time()
        self._ever_served = True
        self._ours = False
        host.standing.served(now)
        host.last_attempt = None
        if host.held:
            logger.warning("%s serves again: %d images go on", host.name, len(host.held))
            host.waiting.extend(host.held)
            host.held.clear()
            self._with_work[host.name] = host
            self._reconsider(now)

    def _failed(self, host: _Host, job: _Job, failure: StoreFailed, began: float, now: float) -> None:
        failing = self._host(failure.host)
        failing.standing.failed(began, now, failure)
        failing.last_attempt = failing.last_attempt or job.attempt
        if not self._limits.parks:
            self._finished.append((job, StageError(failure.detail) if failure.is_ours else failure))
            return
        self._ours = failure.is_ours
        if job.failing_since is None:
            job.failing_since = began
        if failure.retry_after is not None:
            self._at(failing.standing.not_before, lambda: None)  # then its images have their turn
        if failing.standing.is_down(now) or failure.is_ours:
            self._give_up(failing, job, now, failure)
        elif now < job.failing_since + self._limits.patience:
            # The last attempt is at the end of the patience: then its host is down, or it alone fails.
            self._rest(host, job, min(now + job.pause, job.failing_since + self._limits.patience))
        else:
            self._give_up_soon(failing, job, now, failure)

    def _rest(self, host: _Host, job: _Job, until: float) -> None:
        host.resting += 1

        def again() -> None:
            host.resting -= 1
            then = monotonic()
            if self._is_closed_to(host, then):
                self._give_up(host, job, then)
            else:
                self._enqueue(host, job)

        self._at(max(until, host.standing.not_before), again)
        job.pause *= 2

    def _give_up_soon(self, host: _Host, job: _Job, now: float, failure: StoreFailed) -> None:
        """Give up after a moment: others that were asked with it tell then whether its host is down."""
        host.resting += 1

        def give_up() -> None:
            host.resting -= 1
            self._give_up(host, job, monotonic(), failure)

        self._at(now + _FIRST_PAUSE, give_up)

    def _lose_patience(self, host: _Host, job: _Job) -> None:
        """A host that nobody knows has had no turn, for others like it that are slow: later, then."""
        now, standing = monotonic(), host.standing
        hopeless = not standing.is_proven(now) and (host.running == 0 or standing.failing_since is not None)
        if hopeless and job in host.waiting:
            host.waiting.remove(job)
            if not host.waiting:
                self._with_work.pop(host.name, None)
            detail = f"no turn to ask {host.name} within {self._limits.patience:g} s: others do not answer"
            failure = StoreFailed(RejectionReason.FETCH_TIMEOUT, detail, host.name)
            self._finished.append((job, failure))

    def _watch(self, host: _Host, now: float) -> None:
        """`host` is down: what waits for a turn waits no more, and it is asked now and then."""
        waiting, host.waiting = host.waiting, deque()
        self._with_work.pop(host.name, None)
        for job in waiting:
            self._give_up(host, job, now)
        if (host.standing.is_proven(now) or host.held) and not host.is_probed:
            logger.warning("%s is down: %s", host.name, _not_asked(host).detail)
            host.is_probed = True
            host.probe_pause = _FIRST_PROBE
            self._at_next_probe(host, now)

    def _at_next_probe(self, host: _Host, now: float) -> None:
        self._at(max(now + host.probe_pause, host.standing.not_before), lambda: self._probe(host))
        host.probe_pause = min(2 * host.probe_pause, _LONGEST_PROBE)

    def _probe(self, host: _Host) -> None:
        now = monotonic()
        if not host.standing.is_down(now) or host.last_attempt is None:
            host.is_probed = False
            self._release(host, now)
            return
        if self._waiting_since is not None and not self._waits(now):
            self._reconsider(now)
        job = _Job(host.last_attempt, lambda _result, _grant: None, Grant(self._room), False)
        host.running += 1
        self._running += 1
        try:
            self._executor.submit(self._run_probe, host, job)
        except RuntimeError:
            self._closed = True

    def _run_probe(self, host: _Host, job: _Job) -> None:
        began = monotonic()
        result: Any
        try:
            result = job.attempt(job.grant)
        except BaseException as error:  # noqa: BLE001 - judged below
            result = error
        job.grant.release()
        with self._changed:
            host.running -= 1
            self._running -= 1
            now = monotonic()
            if isinstance(result, StoreFailed | NoRoom | StageError) or _is_unreachable(result):
                if isinstance(result, StoreFailed):
                    host.standing.failed(began, now, result)
                self._at_next_probe(host, now)
            else:
                host.is_probed = False
                self._served(host, now)
            self._dispatch(now)
        self._deliver()

    def _release(self, host: _Host, now: float) -> None:
        """What is held may be asked for again."""
        host.waiting.extend(host.held)
        host.held.clear()
        if host.waiting:
            self._with_work[host.name] = host
        self._reconsider(now)

    def _give_up(self, host: _Host, job: _Job, now: float, failure: StoreFailed | None = None) -> None:
        """Hold the image where most of the traffic is like it; else it has to come back later."""
        if self._waits(now):
            job.failing_since, job.pause = None, _FIRST_PAUSE
            host.held.append(job)
            if self._waiting_since is None:
                self._waiting_since = now
                logger.error("most images are of stores that fail, now %s: waiting for them", host.name)
        else:
            self._finished.append((job, failure or _not_asked(host)))
        if host.held or host.standing.is_down(now):
            self._watch(host, now)

    def _waits(self, now: float) -> bool:
        """Whether most of the traffic is of hosts that are down."""
        if self._ours:
            return True
        recent = self._recent
        down = {host for host in recent if host is not None and host.standing.is_down(now)}
        known = {host for host in down if host.standing.is_proven(now)}
        if known and sum(host in known for host in recent) >= _MOST * len(recent):
            return True
        # Of a worker that was never served nobody can say whose fault it is: it doubts for a while.
        if self._ever_served or not down or any(host is not recent[0] for host in recent):
            return False
        return self._waiting_since is None or now - self._waiting_since < _LONGEST_DOUBT

    def _reconsider(self, now: float) -> None:
        """Where nothing waits any more, say so; where it should not any more, give up what does."""
        if not self._waits(now):
            for host in self._hosts.values():
                held, host.held = host.held, deque()
                self._finished.extend((job, _not_asked(host)) for job in held)
        if not any(host.held for host in self._hosts.values()):
            self._waiting_since = None

    def _at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (when, next(self._numbers), action))
        self._changed.notify_all()

    def _keep_time(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._timers or self._timers[0][0] > monotonic()):
                    self._changed.wait(self._timers[0][0] - monotonic() if self._timers else None)
                if self._closed:
                    return
                now = monotonic()
                while self._timers and self._timers[0][0] <= now:
                    heapq.heappop(self._timers)[2]()
                self._dispatch(now)
            self._deliver()

    def _room_freed(self) -> None:
        with self._changed:
            self._dispatch(monotonic())
        self._deliver()

    def _deliver(self) -> None:
        """Tell who asked, without the lock."""
        while True:
            try:
                job, result = self._finished.popleft()
            except IndexError:
                return
            job.done(result, job.grant)


def _is_unreachable(result: Any) -> bool:
    return isinstance(result, Rejection) and result.reason is RejectionReason.FETCH_UNREACHABLE


def _not_asked(host: _Host) -> StoreFailed:
    last = host.standing.last_failure
    if last is None:
        return StoreFailed(RejectionReason.FETCH_UNREACHABLE, f"{host.name} asked for patience", host.name)
    return StoreFailed(last.reason, f"{last.detail} (its server is down)", host.name, last.retry_after)
