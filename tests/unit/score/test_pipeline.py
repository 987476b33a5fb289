"""The stages side by side: every event comes out once, whatever fails."""

import errno
import threading
import time

import numpy as np
import pytest

from schemas.events import DELETED, ImageDeleted, ImageReference, ImageUploaded
from schemas.rejection import RejectionReason
from worker.errors import Rejection, StageError, StoreFailed
from worker.fetch.lanes import LaneLimits, Lanes
from worker.score.outcome import Rejected, Removal, Verdict
from worker.score.pipeline import Pipeline, PipelineLimits
from worker.score.prepare import Prepared, ToDecode, ToFetch

TIME = "2026-01-02T03:04:05Z"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr("worker.score.again._PAUSES", (0.01, 0.01, 0.02, 0.05))


def upload(number):
    return ImageUploaded(event_id=str(number), image_id="i", uploaded_at=TIME, image=ImageReference(path="x"))


def prepare(read):
    event = read()
    if isinstance(event, ImageDeleted):
        return Removal(event)
    return Prepared(event, "0" * 64, np.zeros((2, 2, 3), np.uint8))


def judge(batch):
    return [
        Verdict(
            image.event,
            image.image_sha256,
            "accept",
            [],
            {},
            [],
            np.zeros(2, np.float32),
            image.event.uploaded_at,
        )
        for image in batch
    ]


def pipeline(prepare=prepare, judge=judge, is_wanted=lambda _: True, **changes):
    limits = PipelineLimits(**{"threads": 4, "batch_size": 8, "batch_wait": 0.01, **changes})
    return Pipeline(prepare, judge, Lanes(LaneLimits()), limits, is_wanted)


def outcomes_of(running, count, timeout=5.0):
    outcomes, deadline = {}, time.monotonic() + timeout
    while len(outcomes) < count and time.monotonic() < deadline:
        for completed in running.completed(0.05):
            assert completed.ticket not in outcomes
            outcomes[completed.ticket] = completed.outcome
    return outcomes


def test_every_event_comes_out_once_with_its_own_outcome():
    def reject():
        raise Rejection(RejectionReason.ENVELOPE_INVALID, "no")

    deleted = ImageDeleted(type=DELETED, event_id="d", image_id="i", deleted_at=TIME)
    with pipeline() as running:
        for number in range(60):
            reads = (lambda number=number: upload(number), reject, lambda: deleted)
            running.submit(number, reads[number % 3])
        outcomes = outcomes_of(running, 60)
    assert len(outcomes) == 60
    for number, outcome in outcomes.items():
        assert isinstance(outcome, (Verdict, Rejected, Removal)[number % 3])
        if isinstance(outcome, Verdict):
            assert outcome.event.event_id == str(number)


def test_batches_fill_up_to_the_size():
    sizes, entered = [], threading.Event()

    def slow(batch):
        sizes.append(len(batch))
        entered.wait(1)
        return judge(batch)

    with pipeline(judge=slow) as running:
        for number in range(40):
            running.submit(number, lambda number=number: upload(number))
        time.sleep(0.1)
        entered.set()
        assert len(outcomes_of(running, 40)) == 40
    assert max(sizes) == 8
    assert sum(sizes) == 40


def fail(*_):
    raise OSError("disk full")


@pytest.mark.parametrize("broken", [{"prepare": fail}, {"judge": fail}])
def test_a_failure_of_ours_is_raised_and_never_becomes_a_rejection(broken):
    with pipeline(**broken) as running:
        running.submit(0, lambda: upload(0))
        with pytest.raises(StageError, match="disk full"):
            outcomes_of(running, 1)


def submit_some(running, first, count=10):
    for number in range(first, first + count):
        running.submit(number, lambda number=number: upload(number))


def failing_prepare(fails):
    def run(read):
        event = read()
        if fails(int(event.event_id)):
            raise RuntimeError(f"a bug that {event.event_id} meets")
        return prepare(lambda: event)

    return run


def failing_judge(fails):
    def run(batch):
        if any(fails(int(image.event.event_id)) for image in batch):
            raise RuntimeError("a bug in the model")
        return judge(batch)

    return run


def outcomes_with_traffic(running, wanted, seconds=5.0):
    """Outcomes while others go on being submitted, until `wanted` has one."""
    outcomes, number, deadline = {}, 1000, time.monotonic() + seconds
    while wanted not in outcomes and time.monotonic() < deadline:
        submit_some(running, number, 2)
        number += 2
        outcomes |= {done.ticket: done.outcome for done in running.completed(0.01)}
    return outcomes


@pytest.mark.parametrize("stage", ["prepare", "judge"])
def test_what_one_event_alone_has_is_tried_again_and_then_its_own(stage):
    tries = []

    def fails(number):
        tries.extend([number] * (number == 3))
        return number == 3

    broken = {"prepare": failing_prepare(fails)} if stage == "prepare" else {"judge": failing_judge(fails)}
    with pipeline(**broken) as running:
        submit_some(running, 0)
        outcomes = outcomes_with_traffic(running, 3)
    rejected = outcomes.pop(3)
    assert isinstance(rejected, Rejected)
    assert rejected.rejection.reason is RejectionReason.WORKER_FAILED
    assert "a bug" in rejected.rejection.detail
    assert len(tries) >= 5
    assert len(outcomes) >= 9
    assert all(isinstance(outcome, Verdict) for outcome in outcomes.values())


@pytest.mark.parametrize("stage", ["prepare", "judge"])
def test_what_passes_costs_no_event(stage):
    left = [2]

    def fails(number):
        left[0] -= number == 3
        return number == 3 and left[0] >= 0

    broken = {"prepare": failing_prepare(fails)} if stage == "prepare" else {"judge": failing_judge(fails)}
    with pipeline(**broken) as running:
        submit_some(running, 0)
        outcomes = outcomes_of(running, 10)
    assert len(outcomes) == 10
    assert all(isinstance(outcome, Verdict) for outcome in outcomes.values())


@pytest.mark.parametrize(
    "fails",
    [
        pytest.param(lambda number: number % 2 == 0, id="half of them"),
        pytest.param(lambda number: number in (3, 4), id="two at once"),
        pytest.param(lambda number: number < 500 or number > 1002, id="all but two"),
    ],
)
def test_what_several_have_is_ours_and_stops_the_worker(fails):
    with pipeline(prepare=failing_prepare(fails)) as running:
        submit_some(running, 0)
        with pytest.raises(StageError, match="a bug"):
            outcomes_with_traffic(running, -1)


def test_what_only_events_of_another_source_get_past_is_ours():
    def run(read):
        event = read()
        if event.image.path is not None:
            raise RuntimeError("the folder is not mounted")
        return prepare(lambda: event)

    def inline(number):
        image = ImageReference(data="aGVsbG8=")
        return ImageUploaded(event_id=str(number), image_id="i", uploaded_at=TIME, image=image)

    def staged(read):
        event = read()
        return ToDecode(event, False, 0, lambda: run(lambda: event))

    with pipeline(prepare=staged) as running:
        running.submit(0, lambda: upload(0))
        for number in range(1, 30):
            running.submit(number, lambda number=number: inline(number))
        with pytest.raises(StageError, match="not mounted"):
            outcomes_of(running, 30)


def test_leaving_does_not_wait_for_what_is_inside():
    began = time.monotonic()
    with pipeline(prepare=lambda read: (time.sleep(0.3), prepare(read))[1], threads=1) as running:
        for number in range(50):
            running.submit(number, lambda number=number: upload(number))
    assert time.monotonic() - began < 10


def prepared(number):
    return Prepared(upload(number), "0" * 64, np.zeros((2, 2, 3), np.uint8))


def test_what_waits_for_a_store_or_for_memory_holds_up_nobody():
    """More of them than there are threads of any kind."""
    release, dead = threading.Event(), []

    def costly(number):
        release.wait(20)
        return prepared(number)

    def silent(number, take_room):
        dead.append(number)
        release.wait(20)
        raise StoreFailed(RejectionReason.FETCH_TIMEOUT, "late", f"dead{number}.test")

    def prepare(read):
        number = int(read().event_id)
        if number < 40:
            return ToDecode(upload(number), True, 10, lambda: costly(number))
        if number < 80:
            return ToFetch(
                upload(number),
                f"dead{number}.test",
                lambda take_room: silent(number, take_room),
                lambda _: None,
            )
        return ToFetch(
            upload(number),
            "good.test",
            lambda _: b"good",
            lambda _: ToDecode(upload(number), False, 4, lambda: prepared(number)),
        )

    with pipeline(prepare=prepare) as running:
        running.submit(-1, lambda: upload(1000))
        assert len(outcomes_of(running, 1)) == 1  # the good host is known
        for number in range(120):
            running.submit(number, lambda number=number: upload(number))
        began = time.monotonic()
        assert set(outcomes_of(running, 40)) == set(range(80, 120))
        assert time.monotonic() - began < 10
        assert 0 < len(dead) <= 16
        release.set()
        assert len(outcomes_of(running, 80)) == 80


def test_of_what_is_costly_and_waits_bytes_are_let_go_and_got_again():
    release, again = threading.Event(), []

    def wait_and_prepare(number):
        release.wait(5)
        return prepared(number)

    def get_again(number):
        again.append(number)
        return prepared(number)

    def prepare(read):
        number = int(read().event_id)
        return ToDecode(
            upload(number),
            True,
            40,
            lambda: wait_and_prepare(number),
            lambda: ToDecode(read(), True, 0, lambda: get_again(number)),
        )

    with pipeline(prepare=prepare, costly_bytes=100) as running:
        for number in range(10):
            running.submit(number, lambda number=number: upload(number))
        time.sleep(0.1)
        release.set()
        assert len(outcomes_of(running, 10)) == 10
        assert 7 <= len(again) <= 8, "room for two, and none of what is taken is lost"
        for number in range(10, 12):
            running.submit(number, lambda number=number: upload(number))
        assert len(outcomes_of(running, 2)) == 2
        assert len(again) <= 8


def test_what_is_held_comes_out_prepared_and_is_judged_alone_when_asked():
    sizes = []

    def counting(batch):
        sizes.append(len(batch))
        return judge(batch)

    with pipeline(judge=counting, batch_wait=5.0) as running:
        running.submit(1, lambda: upload(1), hold=True)
        prepared = outcomes_of(running, 1)[1]
        assert isinstance(prepared, Prepared)
        began = time.monotonic()
        running.judge(1, prepared)
        assert isinstance(outcomes_of(running, 1)[1], Verdict)
        assert time.monotonic() - began < 2.0, "it waited for others"
    assert sizes == [1]


def test_a_model_that_hangs_is_told(monkeypatch):
    monkeypatch.setattr("worker.score.hanging._LONGEST_TURN_SECONDS", 0.02)
    entered, leave = threading.Event(), threading.Event()

    def hanging(batch):
        entered.set()
        leave.wait(5)
        return judge(batch)

    with pipeline(judge=hanging, judge_timeout=0.1) as running:
        running.submit(1, lambda: upload(1))
        assert entered.wait(5)
        running.completed(0.0)
        time.sleep(0.2)  # as a process that was stopped: this counts as one turn
        running.completed(0.0)
        with pytest.raises(StageError, match="it hangs"):
            outcomes_of(running, 1)
        leave.set()


def test_what_is_not_wanted_any_more_never_meets_the_model():
    judged = []

    def noting(batch):
        judged.extend(image.event.event_id for image in batch)
        return judge(batch)

    with pipeline(judge=noting, is_wanted=lambda ticket: ticket % 2) as running:
        for number in range(6):
            running.submit(number, lambda number=number: upload(number))
        outcomes = outcomes_of(running, 6)
        assert running.settle(1.0)
    assert sorted(judged) == ["1", "3", "5"]
    assert [isinstance(outcomes[number], Verdict) for number in range(6)] == [False, True] * 3


def test_settling_waits_for_the_model_and_not_for_ever():
    entered, leave = threading.Event(), threading.Event()

    def slow(batch):
        entered.set()
        leave.wait(5)
        return judge(batch)

    with pipeline(judge=slow) as running:
        assert running.settle(0.0)
        running.submit(1, lambda: upload(1))
        assert entered.wait(5)
        assert not running.settle(0.01)
        leave.set()
        assert running.settle(5.0)


def test_what_fails_for_want_of_files_begins_again_and_comes_out_once(monkeypatch):
    monkeypatch.setattr("worker.score.again._SHORTAGE_SECONDS", 0.01)
    failures = dict.fromkeys(range(12), 2)

    def prepare_later(read):
        event = read()
        number = int(event.event_id)
        if failures[number]:
            failures[number] -= 1
            raise StageError("no connection") from OSError(errno.EMFILE, "too many open files")
        return prepare(lambda: event)

    with pipeline(prepare=prepare_later) as running:
        for number in range(12):
            running.submit(number, lambda number=number: upload(number))
        outcomes = outcomes_of(running, 12)
    assert all(isinstance(outcome, Verdict) for outcome in outcomes.values())
    assert len(outcomes) == 12
    assert running._reads == {}
