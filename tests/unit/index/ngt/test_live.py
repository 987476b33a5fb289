"""Parts of a live index: what newer ones hide, and what a failed build leaves."""

from tests.unit.index.indexing import (
    IDENTITY,
    axis,
    build_here,
    filled,
    open_directory,
    snapshot,
    turned,
)
from worker.index.ngt.live import LiveIndex


def test_a_failed_build_loses_nothing_and_freezes_the_same_again(tmp_path):
    live, vectors = filled(20)
    first = live.freeze()
    live.delete("i3")
    live.advance(0, 21)
    assert live.freeze() is first
    assert first.offsets == {0: 20}
    assert live.size().tail == 21
    live.swap(build_here(open_directory(tmp_path), first))
    assert live.vector("i3") is None
    assert live.offsets() == {0: 21}
    assert live.size().vectors == len(vectors) - 1


def test_a_build_in_progress_hides_nothing(tmp_path):
    live = LiveIndex(IDENTITY, None)
    live.upsert("old", axis(0))
    snapshot(live, open_directory(tmp_path))
    live.upsert("frozen", turned(axis(0), axis(1), 0.1))
    live.freeze()
    live.upsert("new", turned(axis(0), axis(1), 0.2))
    assert [near.image_id for near in live.search(axis(0), 5)] == ["old", "frozen", "new"]
    live.upsert("frozen", axis(5))
    live.delete("old")
    assert [near.image_id for near in live.search(axis(0), 5)] == ["new", "frozen"]
    assert live.size().vectors == 2
