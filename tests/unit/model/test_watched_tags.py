"""A tag set that is replaced while the worker runs: taken between two batches, or refused."""

import os

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from export.tags.tables import write_forest
from tests.forests import DIM, drawn_codebook, drawn_forest, drawn_table
from worker.errors import BundleError
from worker.metrics import Metrics
from worker.model.bundle import Bundle, load_tags
from worker.model.forest.file import open_forest
from worker.model.tag import ForestTagger
from worker.model.watched_tags import WatchedTags

VECTORS = np.zeros((2, DIM), np.float32)


def put(path, seed, tags=4):
    """A set of its own, by a rename."""
    other = path.with_suffix(".new")
    drawn_forest(other, np.random.default_rng(seed), tags=tags)
    other.replace(path)
    return open_forest(path).version


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def first(tmp_path):
    drawn_forest(tmp_path / "first.forest", np.random.default_rng(0))
    return ForestTagger(open_forest(tmp_path / "first.forest"), 0.0, 1)


@pytest.fixture
def watched(tmp_path, first, registry):
    def load(path):
        return ForestTagger(open_forest(path, apart=True), 0.0, 1)

    return WatchedTags(first, tmp_path / "tags.forest", load, 0.01, Metrics(registry))


def counted(registry, result):
    return registry.get_sample_value("mekiki_tag_sets_total", {"result": result})


def test_the_bundles_tags_serve_until_there_are_others(watched, first, tmp_path, registry):
    assert watched.current() is first
    version = put(tmp_path / "tags.forest", 1)
    assert watched.current() is first  # nobody has looked yet
    watched.look()
    taken = watched.current()
    assert taken.version == version != first.version
    assert registry.get_sample_value("mekiki_tag_set_info", {"version": version}) == 1
    assert registry.get_sample_value("mekiki_tag_set_info", {"version": first.version}) is None
    assert (counted(registry, "taken"), counted(registry, "refused")) == (1, 0)
    watched.look()
    assert watched.current() is taken  # the same file is loaded once


def test_two_sets_between_two_batches_are_one_change(watched, tmp_path, registry):
    for seed in (1, 2):
        version = put(tmp_path / "tags.forest", seed)
        watched.look()
    assert watched.current().version == version
    assert counted(registry, "taken") == 1


@pytest.mark.parametrize("harm", ["flip", "cut", "foreign", "empty", "directory"])
def test_a_damaged_set_is_refused_once_and_the_one_in_use_stays(watched, tmp_path, registry, harm):
    path = tmp_path / "tags.forest"
    put(path, 1)
    watched.look()
    taken = watched.current()
    data = bytearray(path.read_bytes())
    if harm == "flip":
        data[len(data) // 2] ^= 4
    path.unlink()
    if harm == "directory":
        path.mkdir()
    else:
        kept = {"flip": bytes(data), "cut": bytes(data[:999]), "foreign": b"PK" * 900, "empty": b""}[harm]
        path.write_bytes(kept)
    watched.look()
    watched.look()
    assert watched.current() is taken
    assert (counted(registry, "taken"), counted(registry, "refused")) == (1, 1)
    assert taken(VECTORS)  # and it answers


def test_the_set_in_use_stays_when_the_file_is_gone_or_written_over(watched, tmp_path):
    path = tmp_path / "tags.forest"
    put(path, 1)
    watched.look()
    taken = watched.current()
    before = taken(VECTORS)
    os.truncate(path, 10)  # as cp would begin
    assert taken(VECTORS) == before
    path.unlink()
    watched.look()
    assert watched.current() is taken


def test_it_looks_by_itself_while_it_is_entered(watched, tmp_path):
    with watched:
        version = put(tmp_path / "tags.forest", 3)
        for _ in range(500):
            if watched.current().version == version:
                break
            watched._ended.wait(0.01)
        assert watched.current().version == version


def test_a_set_for_other_vectors_is_told(tmp_path, first):
    from worker.model.bundle import read_manifest
    from worker.settings import STARTER_BUNDLE

    manifest, identifier = read_manifest(STARTER_BUNDLE)
    bundle = Bundle(identifier, manifest, None, first)
    rng = np.random.default_rng(4)
    path = tmp_path / "other.forest"
    book = drawn_codebook(rng, dim=DIM + 1)
    write_forest(path, book, manifest.embedding.space, "1", [drawn_table(rng, book, "a", 1)])
    with pytest.raises(BundleError, match=r"vectors of 7 numbers, those of starter-.* have 6"):
        load_tags(bundle, path, 1)
    drawn_forest(path, rng)
    with pytest.raises(BundleError, match="of the space drawn, those of starter-"):
        load_tags(bundle, path, 1)
    book = drawn_codebook(rng)
    write_forest(path, book, manifest.embedding.space, "1", [drawn_table(rng, book, "a", 1)])
    assert load_tags(bundle, path, 1).names == ["a"]
