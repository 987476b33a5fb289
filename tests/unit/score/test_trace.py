"""What a process leaves beside an offset, and what its successor makes of it."""

from dataclasses import replace

import pytest

from worker.score.trace import How, Place, Trace

EVENT, OTHER = Place(5, None, 1_700_000_000_000), Place(5, 2, 1_700_000_000_000)
FULL = Trace(90, How.APART, False, EVENT, OTHER, 3, True)


@pytest.mark.parametrize(
    "trace", [Trace(7), FULL, Trace(8, How.ALONE, together=True), Trace(2**62, suspect=OTHER, deaths=1)]
)
def test_it_reads_what_it_wrote(trace):
    assert Trace.of(trace.text()) == trace
    assert len(trace.text()) < 400, "brokers take 4096 bytes"


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "{", "null", "[]", "7", '"mekiki"', "reset by a person", "{}"),
        '{"mekiki":2,"until":1,"how":"freely"}',
        '{"mekiki":1,"until":"x","how":"freely"}',
        '{"mekiki":1,"until":1,"how":"somehow"}',
        '{"mekiki":1,"until":1,"how":"apart","alone":[1]}',
        '{"mekiki":1,"until":1,"how":"apart","suspect":7}',
    ],
)
def test_what_is_not_ours_says_nothing(text):
    assert Trace.of(text) is None


def test_a_process_that_died_among_many_events_has_them_taken_apart():
    assert Trace(90).inherited() == Trace(90, How.APART)


def test_one_that_died_while_it_prepared_has_them_taken_alone():
    assert Trace(90, How.APART, together=True).inherited() == Trace(90, How.ALONE)


def test_the_same_event_alone_twice_is_counted_twice():
    once = Trace(90, How.APART, alone=EVENT).inherited()
    assert once == Trace(90, How.APART, suspect=EVENT, deaths=1)
    assert replace(once, alone=EVENT).inherited() == replace(once, deaths=2)


def test_another_event_begins_at_one():
    assert Trace(90, How.APART, alone=OTHER, suspect=EVENT, deaths=1).inherited().deaths == 1


def test_a_death_between_events_counts_for_none_and_forgets_none():
    between = Trace(90, How.APART, suspect=EVENT, deaths=1)
    assert between.inherited() == between
    assert replace(between, together=True).inherited() == replace(between, how=How.ALONE)


def test_a_clean_end_changes_nothing():
    left = Trace(90, How.APART, suspect=EVENT, deaths=1, clean=True)
    assert left.inherited() == replace(left, clean=False)
