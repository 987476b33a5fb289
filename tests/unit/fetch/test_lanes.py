"""Hosts side by side: what one of them does is not the others' concern."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from schemas.rejection import RejectionReason
from worker.errors import Rejection, StageError, StoreFailed
from worker.fetch.lanes import LaneLimits, Lanes
from worker.fetch.room import Grant


class Fetches:
    """Fetches of hosts that the test makes fail, hang or serve; `out` has what came of each, by its name."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self.failing: dict[str, StoreFailed | Rejection] = {}
        self.hanging: dict[str, threading.Event] = {}
        self.asked: list[str] = []
        self.out: queue.Queue[tuple[str, Any]] = queue.Queue()

    def submit(
        self, host: str, name: str, size: int = 0, *, counted: bool = True, keep: bool = False
    ) -> None:
        def attempt(grant: Grant) -> bytes:
            grant.take(size)
            self.asked.append(host)
            if (hanging := self.hanging.get(host)) is not None:
                hanging.wait(5)
            if (failure := self.failing.get(host)) is not None:
                raise failure
            return name.encode()

        def done(result: Any, grant: Grant) -> None:
            if not keep:
                grant.release()
            self.out.put((name, result))

        self.lanes.submit(host, attempt, done, counted=counted)

    def get(self, count: int = 1, timeout: float = 3.0) -> dict[str, Any]:
        return dict(self.out.get(timeout=timeout) for _ in range(count))


def failed(host: str, *, retry_after: float | None = None, is_ours: bool = False) -> StoreFailed:
    return StoreFailed(RejectionReason.FETCH_UNREACHABLE, "no", host, retry_after, is_ours=is_ours)


@pytest.fixture
def fetches() -> Any:
    with Lanes(LaneLimits(threads=4, per_host=4, patience=0.05, parks=True)) as lanes:
        made = Fetches(lanes)
        yield made
        for event in made.hanging.values():
            event.set()


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline, f"never {what}"
        time.sleep(0.005)


def test_every_fetch_is_told_once_with_what_came_of_it(fetches: Fetches) -> None:
    fetches.failing["gone.test"] = Rejection(RejectionReason.FETCH_NOT_FOUND, "gone")
    for number in range(30):
        fetches.submit("gone.test" if number % 3 == 0 else f"{number % 7}.test", str(number))
    out = fetches.get(30)
    assert len(out) == 30
    for name, result in out.items():
        assert isinstance(result, Rejection) if int(name) % 3 == 0 else result == name.encode()


def test_more_that_hang_than_there_are_threads_hold_up_nobody(fetches: Fetches) -> None:
    fetches.submit("good.test", "first")
    fetches.get()
    for number in range(40):
        host = f"dead{number}.test"
        fetches.hanging[host] = threading.Event()
        fetches.submit(host, f"dead {number}")
    began = time.monotonic()
    for number in range(20):
        fetches.submit("good.test", f"good {number}")
    served: set[str] = set()
    while len(served) < 20:
        name, _ = fetches.out.get(timeout=10)
        served |= {name} if name.startswith("good") else set()
    assert time.monotonic() - began < 5


def test_what_has_no_turn_for_others_that_hang_comes_back_later(fetches: Fetches) -> None:
    for number in range(12):
        host = f"dead{number}.test"
        fetches.hanging[host] = threading.Event()
        fetches.submit(host, str(number))
    out = fetches.get(10)  # two had their turn
    assert all(isinstance(result, StoreFailed) for result in out.values())
    assert len(fetches.asked) == 2


def test_an_accident_is_mended_in_place(fetches: Fetches) -> None:
    with Lanes(LaneLimits(patience=3.0, parks=True)) as lanes:
        patient = Fetches(lanes)
        patient.failing["shop.test"] = failed("shop.test")
        patient.submit("shop.test", "a")
        until(lambda: len(patient.asked) == 1, "asked")
        del patient.failing["shop.test"]
        assert patient.get() == {"a": b"a"}
        assert len(patient.asked) == 2


def go_down(fetches: Fetches, host: str) -> None:
    """A host that served begins to fail, while others are served."""
    for number in range(10):
        fetches.submit(f"other{number}.test", "other")
    fetches.submit(host, "first")
    fetches.get(11)
    fetches.failing[host] = failed(host)
    for number in range(3):
        fetches.submit(host, f"failing {number}")
    assert all(isinstance(result, StoreFailed) for result in fetches.get(3).values())
    assert fetches.lanes.hosts_down() == 1


def test_a_host_that_is_down_is_not_asked_for_each_image_and_is_asked_until_it_serves(
    fetches: Fetches,
) -> None:
    go_down(fetches, "shop.test")
    asked = len(fetches.asked)
    for number in range(20):
        fetches.submit("shop.test", str(number), counted=False)
    out = fetches.get(20)
    assert all(isinstance(result, StoreFailed) for result in out.values())
    assert len(fetches.asked) <= asked + 1
    assert fetches.lanes.waiting() is None
    assert fetches.lanes.recovered("shop.test") == fetches.lanes.recovered("nobody.test") == 0
    mended = time.time()
    del fetches.failing["shop.test"]
    until(lambda: fetches.lanes.hosts_down() == 0, "well again")
    assert fetches.lanes.recovered("shop.test") >= mended
    fetches.submit("shop.test", "after")
    assert fetches.get() == {"after": b"after"}


def test_where_most_is_of_one_store_its_images_are_held_until_it_serves(fetches: Fetches) -> None:
    for number in range(60):
        fetches.submit("store.test", str(number))
    fetches.get(60)
    fetches.failing["store.test"] = failed("store.test")
    for number in range(20):
        fetches.submit("store.test", str(number))
    until(lambda: fetches.lanes.waiting() is not None, "waiting")
    assert "store.test" in (fetches.lanes.waiting() or "")
    del fetches.failing["store.test"]
    out = fetches.get(20, timeout=5)
    assert all(isinstance(result, bytes) for result in out.values())
    assert fetches.lanes.waiting() is None


def test_a_worker_that_nobody_served_waits_for_its_store_too(fetches: Fetches) -> None:
    fetches.failing["store.test"] = failed("store.test")
    for number in range(5):
        fetches.submit("store.test", str(number))
    until(lambda: fetches.lanes.waiting() is not None, "waiting")
    assert fetches.out.empty()


def test_dead_hosts_that_nobody_knows_make_nobody_wait(fetches: Fetches) -> None:
    fetches.submit("good.test", "good")
    fetches.get()
    for number in range(50):
        host = f"dead{number % 2}.test"
        fetches.failing[host] = failed(host)
        fetches.submit(host, str(number))
    assert len(fetches.get(50)) == 50
    assert fetches.lanes.waiting() is None


def test_a_name_server_of_ours_is_waited_for_whatever_the_traffic_is(fetches: Fetches) -> None:
    for number in range(10):
        fetches.submit("good.test", str(number))
    fetches.get(10)
    fetches.failing["shop.test"] = failed("shop.test", is_ours=True)
    fetches.submit("shop.test", "a")
    until(lambda: fetches.lanes.waiting() is not None, "waiting")
    del fetches.failing["shop.test"]
    assert fetches.get(timeout=5) == {"a": b"a"}


def test_a_server_that_asks_for_patience_is_left_alone(fetches: Fetches) -> None:
    for number in range(10):
        fetches.submit(f"other{number}.test", "other")
    fetches.get(10)
    fetches.failing["busy.test"] = failed("busy.test", retry_after=60)
    fetches.submit("busy.test", "a")
    (result,) = fetches.get().values()
    assert isinstance(result, StoreFailed)
    assert result.retry_after == 60
    fetches.submit("busy.test", "b")
    assert isinstance(fetches.get()["b"], StoreFailed)
    assert fetches.asked.count("busy.test") == 1


def test_without_parking_a_failure_is_told_as_it_is() -> None:
    with Lanes(LaneLimits(patience=0.05)) as lanes:
        fetches = Fetches(lanes)
        fetches.failing["shop.test"] = failed("shop.test")
        fetches.failing["ours.test"] = failed("ours.test", is_ours=True)
        for number in range(9):
            fetches.submit("shop.test", str(number))
        assert all(isinstance(result, StoreFailed) for result in fetches.get(9).values())
        assert len(fetches.asked) == 9
        fetches.submit("ours.test", "ours")
        assert isinstance(fetches.get()["ours"], StageError)


def test_memory_is_waited_for_without_a_thread() -> None:
    with Lanes(LaneLimits(threads=2, memory=100)) as lanes:
        fetches = Fetches(lanes)
        grants: list[Grant] = []
        lanes.submit("a.test", lambda grant: grant.take(90), lambda _, grant: grants.append(grant))
        until(lambda: len(grants) == 1, "fetched")
        for number in range(4):
            fetches.submit("large.test", f"large {number}", 50)
        fetches.submit("small.test", "small", 5)
        assert fetches.get() == {"small": b"small"}
        assert fetches.out.empty()
        grants[0].release()
        assert len(fetches.get(4)) == 4


def test_of_one_store_for_all_that_is_silent_nothing_is_given_up() -> None:
    """Its images fail one after the other, and the first ones before it counts as down."""
    with Lanes(LaneLimits(threads=4, per_host=4, patience=0.05, parks=True)) as lanes:
        fetches = Fetches(lanes)
        for number in range(30):
            fetches.submit("store.test", str(number))
        fetches.get(30)
        fetches.failing["store.test"] = failed("store.test")
        fetches.hanging["store.test"] = threading.Event()
        for number in range(10):
            fetches.submit("store.test", str(number))
        threading.Timer(0.1, fetches.hanging["store.test"].set).start()
        until(lambda: lanes.waiting() is not None, "waiting")
        time.sleep(0.4)
        assert fetches.out.empty()
