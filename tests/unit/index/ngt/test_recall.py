"""What searches miss is counted, and the epsilon that is chosen reaches the recall that is asked for."""

import time

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from schemas.search import SearchFilter
from tests.unit.index.indexing import IDENTITY, axis, open_directory, snapshot, unit_rows
from worker.index.attributes import Attributes
from worker.index.neighbour import Neighbour
from worker.index.ngt.live import LiveIndex
from worker.index.ngt.recall import EPSILONS, Recall, Sample
from worker.metrics import Metrics


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """1,200 images in a segment with a graph, then changes: a view is of before them."""
    index = LiveIndex(IDENTITY, None)
    for number, row in enumerate(unit_rows(np.random.default_rng(3), 1200)):
        index.upsert(f"i{number}", row, Attributes(category="hats" if number % 2 else None))
    snapshot(index, open_directory(tmp_path_factory.mktemp("recall")))
    return index


def measuring(live, recall=0.99, share=1.0):
    metrics = Metrics(CollectorRegistry())
    return Recall(live, recall, share, metrics), lambda result: metrics.registry.get_sample_value(
        "mekiki_index_sampled_neighbours_total", {"result": result}
    )


def test_what_is_missed_is_counted_in_the_view_that_was_searched(live):
    recall, counted = measuring(live)
    assert counted("found") == counted("missed") == 0
    view, query = live.view, axis(0)
    where = SearchFilter(categories=["hats"])
    exact = live.search_exactly(view, query, 10, None, where)
    live.upsert("later", query, Attributes(category="hats"))
    recall.measure(Sample(view, query, 10, None, where, exact))
    assert (counted("found"), counted("missed")) == (10, 0)
    half = [*exact[:5], *(Neighbour(f"far {number}", 1.9) for number in range(5))]
    recall.measure(Sample(view, query, 10, None, where, half))
    assert (counted("found"), counted("missed")) == (15, 5)
    recall.measure(Sample(live.view, query, 10, None, where, exact))
    assert (counted("found"), counted("missed")) == (24, 6), "the later one is missed"
    recall.measure(Sample(view, query, 10, 0.0, where, []))
    assert (counted("found"), counted("missed")) == (24, 6), "within the radius there is nothing"


def test_exact_search_compares_everything(live):
    vectors = {f"i{number}": live.vector(f"i{number}") for number in range(1200)}
    found = live.search_exactly(live.view, -axis(3), 20)
    distances = sorted(float(1 + vector @ axis(3)) for vector in vectors.values())[:20]
    assert [near.distance for near in found] == pytest.approx(distances, abs=1e-6)


def test_epsilon_is_the_least_that_reaches_the_recall(live):
    (segment,) = live.segments
    chosen = []
    for asked in (0.01, 0.9, 1.0):
        recall, _ = measuring(live, asked)
        recall.choose_epsilon(segment, unit_rows(np.random.default_rng(5), 64))
        chosen.append(segment.epsilon)
    assert chosen == sorted(chosen)
    assert chosen[0] == EPSILONS[0]
    assert set(chosen) <= set(EPSILONS)


def test_it_measures_beside_the_searches_and_rests_in_proportion(live):
    (segment,) = live.segments
    segment.epsilon = UNMEASURED
    recall, counted = measuring(live, share=0.5)
    recall.start()
    try:
        search_until(live, recall, lambda: counted("found") >= 20)
        assert segment.epsilon == UNMEASURED, "nothing is chosen before there are searches to choose by"
        search_until(live, recall, lambda: segment.epsilon in EPSILONS)
        assert counted("found") >= 10 * 32
    finally:
        recall.stop()
        recall.stop()
    before = counted("found")
    recall.offer(Sample(live.view, axis(1), 10, None, None, []))
    assert counted("found") == before


@pytest.mark.parametrize("missed", [0, 1])
def test_epsilon_is_chosen_again_where_searches_miss_too_much(live, missed):
    (segment,) = live.segments
    recall, counted = measuring(live, share=0.5)
    recall.start()
    try:
        search_until(live, recall, lambda: counted("found") >= 10 * 63)
        segment.epsilon = UNMEASURED
        search_until(live, recall, lambda: counted("found") >= 10 * 160, missed)
        assert (segment.epsilon in EPSILONS) == bool(missed)
    finally:
        recall.stop()


UNMEASURED = 0.77


def search_until(live, recall, is_enough, missed=0):
    """Search beside `recall`, each time with so many of the 10 nearest missed."""
    deadline = time.monotonic() + 20
    while not is_enough():
        assert time.monotonic() < deadline
        view = live.view
        recall.offer(Sample(view, axis(1), 10, None, None, live.search_exactly(view, axis(1), 10)[missed:]))
        time.sleep(0.001)
