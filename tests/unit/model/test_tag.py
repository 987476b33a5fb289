"""The tag forest: tags over the minimum, the best first, and how its faults are told."""

import numpy as np
import pytest

from schemas.bundle import TagHead
from schemas.policy import MOST_TAGS, TagLimits, TagRules
from tests.forests import DIM, drawn_forest, walked
from worker.errors import BundleError, StageError
from worker.model.bundle import read_manifest
from worker.model.forest.file import open_forest
from worker.model.tag import BoosterTagger, ForestTagger
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
    rules = TagRules(most=None)
    every = BoosterTagger(head.model_copy(update={"minimum_score": 0.0}), STARTER_BUNDLE, 1)(
        embeddings, None, rules
    )
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


@pytest.fixture(scope="module")
def forest(tmp_path_factory):
    path = tmp_path_factory.mktemp("forest") / "tags.forest"
    drawn_forest(path, np.random.default_rng(11), tags=60)
    found = ForestTagger(open_forest(path), 0.0, 1)
    yield found
    found.close()


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(12).normal(size=(30, DIM)).astype(np.float32)


def test_a_forests_tags_are_those_over_their_own_thresholds(forest, vectors):
    own = forest.forest.tags
    margins = walked(forest.forest, vectors)[:, :-1]  # the last tag has knots
    scores = 1 / (1 + np.exp(-(own["slope"][:-1] * margins + own["offset"][:-1])))
    rows = forest(vectors, None, TagRules(most=None))
    for row, tags in zip(scores, rows, strict=True):
        given = {tag.name: tag.score for tag in tags if tag.name != forest.names[-1]}
        sure = np.abs(row - 0.5) > 1e-3
        expected = {forest.names[i] for i in np.flatnonzero(sure & (row >= 0.5))}
        assert expected <= set(given)
        assert not set(given) & {forest.names[i] for i in np.flatnonzero(sure & (row < 0.5))}
        for name, score in given.items():
            assert score == pytest.approx(row[forest.names.index(name)], abs=3e-4)
        assert [tag.score for tag in tags] == sorted((tag.score for tag in tags), reverse=True)


def test_the_default_rules_keep_events_small(forest, vectors):
    low = TagRules(thresholds=dict.fromkeys(forest.names, 0.0))
    assert {len(row) for row in forest(vectors, None, low)} == {MOST_TAGS}


def test_rules_hold_by_category(forest, vectors):
    several = TagRules(
        most=5,
        minimum=0.6,
        denied=["tag 3"],
        thresholds={"tag 4": 0.0},
        categories={
            "books": TagLimits(allowed=["tag 1", "tag 3", "tag 4"], thresholds={"tag 1": 0.0}),
            "shoes": TagLimits(most=60, minimum=0.0, denied=["tag 4"], thresholds={"tag 5": 0.0}),
        },
    )
    plain = forest(vectors, None, several)
    assert all(len(row) <= 5 and not {"tag 3"} & {tag.name for tag in row} for row in plain)
    assert all(tag.score >= 0.6 or tag.name == "tag 4" for row in plain for tag in row)
    books = forest(vectors, ["books"] * 30, several)
    assert all({tag.name for tag in row} == {"tag 1", "tag 4"} for row in books)
    shoes = forest(vectors, ["shoes"] * 30, several)
    assert all("tag 5" in {tag.name for tag in row} for row in shoes)
    assert all(not {"tag 3", "tag 4"} & {tag.name for tag in row} for row in shoes)
    mixed = forest(vectors, ["books", None, "shoes", "other"] * 7 + ["books", None], several)
    assert mixed[0::4] == books[0::4]
    assert mixed[1::4] == plain[1::4]
    assert mixed[2::4] == shoes[2::4]
    assert mixed[3::4] == plain[3::4]
