import pytest

from worker.index.resume import LogRange, resume


def test_an_empty_index_reads_and_acknowledges_everything():
    found = resume({}, {0: LogRange(0, 10), 1: LogRange(4, 4)}, {})
    assert found.start == {0: 0, 1: 4}
    assert found.acknowledge_from == {0: 0, 1: 4}
    assert found.lost is None


def test_the_tail_is_replayed_silently_up_to_what_was_acknowledged():
    found = resume({0: 50}, {0: LogRange(0, 100)}, {0: 80})
    assert found.start == {0: 50}
    assert found.acknowledge_from == {0: 80}


def test_a_lost_directory_is_rebuilt_without_new_acknowledgements():
    found = resume({}, {0: LogRange(0, 100)}, {0: 80})
    assert found.start == {0: 0}
    assert found.acknowledge_from == {0: 80}


def test_without_committed_offsets_what_a_generation_holds_counts_as_acknowledged():
    found = resume({0: 50}, {0: LogRange(0, 100)}, {})
    assert found.acknowledge_from == {0: 50}


def test_committed_offsets_that_were_set_back_are_acknowledged_again():
    found = resume({0: 50}, {0: LogRange(0, 100)}, {0: 20})
    assert found.start == {0: 20}
    assert found.acknowledge_from == {0: 20}


def test_a_partition_added_later_starts_at_its_beginning():
    found = resume({0: 50}, {0: LogRange(0, 100), 1: LogRange(0, 5)}, {0: 100})
    assert found.start == {0: 50, 1: 0}
    assert found.lost is None


@pytest.mark.parametrize(
    ("indexed", "says"), [({0: 500}, "ends at 100"), ({0: 5}, "begins at 10"), ({0: 50, 9: 1}, "9 is gone")]
)
def test_an_index_that_does_not_stand_for_the_log_is_lost(indexed, says):
    found = resume(indexed, {0: LogRange(10, 100)}, {0: 500})
    assert says in found.lost
    assert found.start == {0: 10}
    assert found.acknowledge_from == {0: 10}


@pytest.mark.parametrize("offset", [10, 100])
def test_the_ends_of_the_log_are_in_range(offset):
    assert resume({0: offset}, {0: LogRange(10, 100)}, {}).lost is None


@pytest.mark.parametrize(
    ("indexed", "others", "acknowledges_from"),
    [
        ({}, {0: 80}, 80),
        ({}, {1: 80}, 0),
        ({0: 50}, {0: 80}, 80),
        ({0: 90}, {0: 80}, 90),
        ({}, {0: 101}, 0),
    ],
)
def test_what_others_acknowledged_is_not_acknowledged_again(indexed, others, acknowledges_from):
    found = resume(indexed, {0: LogRange(0, 100)}, {}, others)
    assert found.acknowledge_from == {0: acknowledges_from}
    assert found.start == {0: indexed.get(0, 0)}


def test_an_index_of_its_own_offsets_asks_nobody():
    assert resume({}, {0: LogRange(0, 100)}, {0: 20}, {0: 80}).acknowledge_from == {0: 20}
