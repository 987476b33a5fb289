"""The tag forest: tags over the minimum, the best first, and how its faults are told."""

from pathlib import Path

import numpy as np
import pytest
import xgboost

from schemas.bundle import TagHead
from schemas.policy import MOST_TAGS, TagLimits, TagRules
from tests.forests import DIM, drawn_forest, walked
from worker.errors import BundleError, StageError
from worker.model.forest.file import open_forest
from worker.model.tag import BoosterTagger, ForestTagger

NAMES = ["bag", "blue", "dress", "red", "shoes"]


@pytest.fixture(scope="module")
def head() -> TagHead:
    return TagHead(output="embedding", file="tags.ubj", names=NAMES, minimum_score=0.3)


@pytest.fixture(scope="module")
def embeddings() -> np.ndarray:
    rows = np.random.default_rng(3).normal(size=(40, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def bundle(head: TagHead, embeddings: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a booster of several labels, as bundles before 0.5.0 have it."""
    folder = tmp_path_factory.mktemp("bundle")
    labels = (embeddings[:, : len(NAMES)] > 0).astype(np.float32)
    settings = {"objective": "binary:logistic", "max_depth": 2, "nthread": 1}
    xgboost.train(settings, xgboost.DMatrix(embeddings, label=labels), 5).save_model(folder / head.file)
    return folder


@pytest.fixture(scope="module")
def tagger(head: TagHead, bundle: Path) -> BoosterTagger:
    return BoosterTagger(head, bundle, 1)


def test_every_tag_is_over_the_minimum_and_the_best_comes_first(tagger, head, embeddings):
    rows = tagger(embeddings)
    assert len(rows) == len(embeddings)
    assert any(rows)
    for row in rows:
        assert [tag.score for tag in row] == sorted((tag.score for tag in row), reverse=True)
        assert {tag.name for tag in row} <= set(head.names)
        assert all(head.minimum_score - 5e-5 <= tag.score <= 1 for tag in row)


def test_without_a_minimum_every_tag_has_its_score_and_with_the_highest_none(head, bundle, embeddings):
    rules = TagRules(most=None)
    every = BoosterTagger(head.model_copy(update={"minimum_score": 0.0}), bundle, 1)(embeddings, None, rules)
    assert all({tag.name for tag in row} == set(head.names) for row in every)
    none = BoosterTagger(head.model_copy(update={"minimum_score": 1.0}), bundle, 1)(embeddings)
    assert none == [[] for _ in embeddings]


def test_a_row_has_the_same_tags_whatever_batch_it_is_in(tagger, embeddings):
    together = tagger(embeddings)
    assert [tagger(embeddings[row : row + 1])[0] for row in range(len(embeddings))] == together


@pytest.mark.parametrize(
    "data",
    [b"not a forest", b"", b"{", b'{"learner": {}}', b'{"learner": \xb0}', b"{L\x00\xe6", b"\xff" * 200],
)
@pytest.mark.parametrize("name", ["tags.ubj", "tags.json"])
def test_a_forest_that_is_none_is_the_bundles_fault(head, tmp_path, data, name):
    head = head.model_copy(update={"file": name})
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BundleError, match="does not load"):
        BoosterTagger(head, tmp_path, 1)


def test_another_number_of_tags_than_the_manifest_names_is_its_fault(head, bundle):
    fewer = head.model_copy(update={"names": head.names[:-1]})
    with pytest.raises(BundleError, match=f"the manifest names {len(fewer.names)}"):
        BoosterTagger(fewer, bundle, 1)


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
