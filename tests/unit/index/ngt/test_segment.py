import shutil

import numpy as np
import pytest

from schemas.search import SearchFilter
from tests.unit.index.indexing import IDENTITY, axis, filled, open_directory, searched, snapshot, unit_rows
from worker.errors import IndexDirectoryError
from worker.index.attributes import NOTHING_KNOWN, Attributes, nothing_known, together, write_columns
from worker.index.backend import IndexIdentity
from worker.index.ngt import build as build_module
from worker.index.ngt.checksums import Damaged, list_files
from worker.index.ngt.live import LiveIndex
from worker.index.ngt.segment import (
    ATTRIBUTES,
    MANIFEST_FILE,
    SegmentManifest,
    costs_less_by_graph,
    open_segment,
    write_manifest,
)


@pytest.fixture(params=[0, 1000], ids=["graph", "whole"])
def small_graphs(request, monkeypatch):
    monkeypatch.setattr(build_module, "EXACT_UP_TO", request.param)


def test_a_segment_comes_back_as_it_was_written(tmp_path, small_graphs):
    live, vectors = filled(300)
    path = snapshot(live, open_directory(tmp_path)).path
    segment = open_segment(path, IDENTITY)
    assert len(segment) == segment.living == 300
    for image_id, vector in vectors.items():
        assert np.array_equal(segment.vector(segment.positions[image_id]), vector)
        near = searched(segment, vector, 1, 0)[0]
        assert (near.image_id, near.distance) == (image_id, pytest.approx(0, abs=1e-6))


def test_distances_are_cosine_distances(tmp_path, small_graphs):
    live, vectors = filled(50)
    segment = snapshot(live, open_directory(tmp_path))
    query = unit_rows(np.random.default_rng(5), 1)[0]
    found = searched(segment, query, 50, 0)
    assert len(found) == 50
    for near in found:
        assert near.distance == pytest.approx(1 - float(vectors[near.image_id] @ query), abs=1e-6)


def test_what_counts_no_more_does_not_cost_results(tmp_path, small_graphs):
    live, vectors = filled(400)
    segment = snapshot(live, open_directory(tmp_path))
    query = vectors["i0"]
    order = sorted(vectors, key=lambda image_id: -float(vectors[image_id] @ query))
    segment.died.update({segment.positions[image_id]: 5 for image_id in order[:200]})
    assert [near.image_id for near in searched(segment, query, 10, 5)] == order[200:210]
    assert [near.image_id for near in searched(segment, query, 10, 4)] == order[:10]
    assert segment.dead(4) == []
    assert len(segment.dead(5)) == 200 == 400 - segment.living


def test_within_is_exact(tmp_path, small_graphs):
    live, vectors = filled(300)
    segment = snapshot(live, open_directory(tmp_path))
    queries = unit_rows(np.random.default_rng(9), 20)
    found = segment.within(queries, 0.4, [0] * 20)
    for query, near in zip(queries, found, strict=True):
        assert {n.image_id for n in near} == {i for i, row in vectors.items() if 1 - row @ query <= 0.4}
    assert any(found)


SHARES = (0.001, 0.01, 0.05, 0.2, 0.6)


@pytest.fixture(scope="module")
def filtered(tmp_path_factory):
    """A segment with a graph; image n has the tag of each share that its number is under, near or far."""
    rows = unit_rows(np.random.default_rng(3), 2000)
    chance = np.random.default_rng(4).random(2000)
    farthest = np.argsort(np.argsort(rows @ rows[0])) / 2000
    live = LiveIndex(IDENTITY, None)
    for number, row in enumerate(rows):
        tags = [f"chance {share}" for share in SHARES if chance[number] < share or number < 2]
        tags += [f"far {share}" for share in SHARES if farthest[number] < share]
        live.upsert(f"i{number}", row, Attributes(tags=tuple(tags)))
    return snapshot(live, open_directory(tmp_path_factory.mktemp("filtered"))), rows


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("kind", ["chance", "far"])
def test_a_filter_of_any_selectivity_finds_the_nearest(filtered, share, kind):
    segment, rows = filtered
    where = SearchFilter(tags=[f"{kind} {share}"])
    held = np.array([f"{kind} {share}" in attributes_of(segment, n).tags for n in range(len(rows))])
    assert abs(held.mean() - share) < 0.02
    wanted = found = 0
    for query in rows[:20]:
        nearest = np.sort(1 - rows[held] @ query)[:10]
        answer = searched(segment, query, 10, 0, where=where)
        assert all(held[int(near.image_id[1:])] for near in answer)
        assert len(answer) == len(nearest)
        wanted += len(nearest)
        found += sum(near.distance <= nearest[-1] + 1e-5 for near in answer)
    assert found / wanted >= 0.95


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_where_much_counts_no_more_the_nearest_that_count_are_found(filtered, share, monkeypatch):
    segment, rows = filtered
    dead = np.random.default_rng(4).random(len(rows)) < share
    monkeypatch.setattr(segment, "died", {segment.positions[f"i{n}"]: 5 for n in np.flatnonzero(dead)})
    found = 0
    for query in unit_rows(np.random.default_rng(5), 30):
        nearest = np.sort(1 - rows[~dead] @ query)[:10]
        found += sum(near.distance <= nearest[-1] + 1e-5 for near in searched(segment, query, 10, 5))
    assert found / 300 >= 0.99


def test_what_is_farther_than_others_have_is_not_looked_for(filtered, monkeypatch):
    segment, rows = filtered
    order = np.argsort(-rows @ rows[0])
    monkeypatch.setattr(segment, "died", {segment.positions[f"i{n}"]: 5 for n in order[:300]})
    asked = []
    ask = segment._by_graph
    monkeypatch.setattr(segment, "_by_graph", lambda *which: asked.append(which[1]) or ask(*which))
    limits = np.float32([1 - rows[order[10]] @ rows[0]])
    assert len(segment.look(rows[:1], 10, 5, None, lambda: limits).candidates.rows) < 10
    assert len(asked) == 1
    found = searched(segment, rows[0], 10, 5)
    assert [near.image_id for near in found] == [f"i{n}" for n in order[300:310]]


def attributes_of(segment, number):
    columns, rows = segment.attributes_of([segment.positions[f"i{number}"]])
    return columns.row(int(rows[0]))


def test_few_are_compared_and_many_are_asked_of_the_graph():
    assert not costs_less_by_graph(50, 50_000, 10)
    assert costs_less_by_graph(25_000, 50_000, 10)
    assert not costs_less_by_graph(0, 50_000, 10)


def test_a_segment_of_an_earlier_release_has_no_attributes(tmp_path):
    live, vectors = filled(5)
    path = snapshot(live, open_directory(tmp_path)).path
    shutil.rmtree(path / ATTRIBUTES)
    manifest = SegmentManifest.model_validate_json((path / MANIFEST_FILE).read_bytes())
    (path / MANIFEST_FILE).unlink()
    write_manifest(path, manifest.model_copy(update={"files": list_files(path)}))
    segment = open_segment(path, IDENTITY)
    assert not segment.has_attributes
    assert attributes_of(segment, 0) == NOTHING_KNOWN
    assert searched(segment, vectors["i0"], 5, 0, where=SearchFilter(categories=["hats"])) == []
    assert len(searched(segment, vectors["i0"], 5, 0)) == 5


def test_attributes_that_do_not_fit_are_damage(tmp_path):
    live, _ = filled(5)
    path = snapshot(live, open_directory(tmp_path)).path
    shutil.rmtree(path / ATTRIBUTES)
    write_columns(path / ATTRIBUTES, together([(nothing_known(4), np.arange(4))]))
    manifest = SegmentManifest.model_validate_json((path / MANIFEST_FILE).read_bytes())
    (path / MANIFEST_FILE).unlink()
    write_manifest(path, manifest.model_copy(update={"files": list_files(path)}))
    with pytest.raises(Damaged, match="attributes of 4 images"):
        open_segment(path, IDENTITY)


def test_counts_that_do_not_fit_are_damage_even_with_right_checksums(tmp_path):
    live, _ = filled(5)
    path = snapshot(live, open_directory(tmp_path)).path
    manifest = SegmentManifest.model_validate_json((path / MANIFEST_FILE).read_bytes())
    write_manifest(path, manifest.model_copy(update={"images": 6}))
    with pytest.raises(Damaged, match="5 ids"):
        open_segment(path, IDENTITY)


@pytest.mark.parametrize("changed", [{"space": "other"}, {"dim": 8}, {"topic": "other"}])
def test_a_segment_of_another_index_is_refused(tmp_path, changed):
    live, _ = filled(5)
    path = snapshot(live, open_directory(tmp_path)).path
    with pytest.raises(IndexDirectoryError, match=r"index\.directory"):
        open_segment(path, IndexIdentity(**(IDENTITY.model_dump() | changed)))


def test_a_whole_segment_in_the_place_of_another_is_damage(tmp_path):
    directory = open_directory(tmp_path)
    live, _ = filled(5)
    digest = snapshot(live, directory).digest
    live.upsert("other", axis(0))
    other = snapshot(live, directory)
    with pytest.raises(Damaged, match="checksum"):
        open_segment(other.path, IDENTITY, digest)
