"""The tag forest: tags over the minimum, the best first, and how its faults are told."""

import numpy as np
import pytest

from schemas.bundle import TagHead
from worker.errors import BundleError, StageError
from worker.model.bundle import read_manifest
from worker.model.tag import BoosterTagger
from worker.settings import STARTER_BUNDLE


@pytest.fixture(scope="module")
def head() -> TagHead:
    found = read_manifest(STARTER_BUNDLE)[0].tags
    assert found is not None
    return found


@pytest.fixture(scope="module")
def embeddings() -> np.ndarray:
    dim = read_manifest(STARTER_BUNDLE)[0].embedding.dim
    rows = np.random.default_rng(3).normal(size=(20, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def tagger(head: TagHead) -> BoosterTagger:
    return BoosterTagger(head, STARTER_BUNDLE, 1)


def test_every_tag_is_over_the_minimum_and_the_best_comes_first(tagger, head, embeddings):
    rows = tagger(embeddings)
    assert len(rows) == len(embeddings)
    assert any(rows)
    for row in rows:
        assert [tag.score for tag in row] == sorted((tag.score for tag in row), reverse=True)
        assert {tag.name for tag in row} <= set(head.names)
        assert all(head.minimum_score - 5e-5 <= tag.score <= 1 for tag in row)


def test_without_a_minimum_every_tag_has_its_score_and_with_the_highest_none(head, embeddings):
    every = BoosterTagger(head.model_copy(update={"minimum_score": 0.0}), STARTER_BUNDLE, 1)(embeddings)
    assert all({tag.name for tag in row} == set(head.names) for row in every)
    none = BoosterTagger(head.model_copy(update={"minimum_score": 1.0}), STARTER_BUNDLE, 1)(embeddings)
    assert none == [[] for _ in embeddings]


def test_a_row_has_the_same_tags_whatever_batch_it_is_in(tagger, embeddings):
    together = tagger(embeddings)
    assert [tagger(embeddings[row : row + 1])[0] for row in range(len(embeddings))] == together


def test_a_forest_that_is_none_is_the_bundles_fault(head, tmp_path):
    (tmp_path / head.file).write_bytes(b"not a forest")
    with pytest.raises(BundleError, match="does not load"):
        BoosterTagger(head, tmp_path, 1)


def test_another_number_of_tags_than_the_manifest_names_is_its_fault(head):
    fewer = head.model_copy(update={"names": head.names[:-1]})
    with pytest.raises(BundleError, match=f"the manifest names {len(fewer.names)}"):
        BoosterTagger(fewer, STARTER_BUNDLE, 1)


def test_vectors_of_another_length_are_our_own_failure(tagger, embeddings):
    with pytest.raises(StageError, match="failed"):
        tagger(embeddings[:, :-1])
