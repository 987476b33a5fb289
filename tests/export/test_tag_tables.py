"""From a booster to its trees in a forest: margins within 0.002 of the booster's."""

import numpy as np
import pytest
import xgboost

from benchmarks.tag_boosters import leaves_numbered
from export.errors import TagsError
from export.tags.tables import TagTable, table_at, trees_of, write_forest
from worker.model.forest.codebook import fit_codebook
from worker.model.forest.evaluate import Evaluator
from worker.model.forest.file import open_forest
from worker.model.forest.kernels import choose_kernel

RARE, DIM = -6.0, 12


@pytest.fixture(scope="module")
def learned():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(1500, DIM)).astype(np.float32)
    vectors[:, 3] = np.round(vectors[:, 3])
    return vectors, fit_codebook(vectors)


def booster(learned, seed, rounds=50, depth=6, base=None):
    vectors, book = learned
    codes, rng = book.encode(vectors), np.random.default_rng(seed)
    value = vectors @ rng.normal(size=DIM) + vectors[:, 0] * vectors[:, 1] + vectors[:, 3]
    labels = (value > np.quantile(value, 0.98)).astype(np.float32)
    data = xgboost.DMatrix(codes, label=labels, base_margin=np.full(1500, RARE) if base is None else base)
    return xgboost.train({"objective": "binary:logistic", "max_depth": depth, "nthread": 1}, data, rounds)


@pytest.mark.parametrize(("rounds", "depth"), [(50, 6), (300, 2), (1, 1), (0, 6)])
def test_margins_of_other_vectors_are_the_boosters(learned, tmp_path, rounds, depth):
    vectors, book = learned
    rng = np.random.default_rng(1)
    held = rng.normal(size=(400, DIM)).astype(np.float32)
    weights = rng.normal(size=DIM).astype(np.float32)
    plain, over = booster(learned, 2, rounds, depth), booster(learned, 3, rounds, depth, vectors @ weights)
    tables = [
        TagTable("plain", *trees_of(plain, book), base=RARE),
        TagTable("over a linear term", *trees_of(over, book), linear=weights),
    ]
    write_forest(tmp_path / "tags.forest", book, "s", "1", tables)
    forest = open_forest(tmp_path / "tags.forest")
    got = Evaluator(forest, choose_kernel(1), 1).margins(held)
    for column, (own, base) in enumerate(((plain, np.full(400, RARE)), (over, held @ weights))):
        asked = xgboost.DMatrix(book.encode(held), base_margin=base)
        np.testing.assert_allclose(got[:, column], own.predict(asked, output_margin=True), atol=0.002)
    assert [table_at(forest, i).digest() for i in range(2)] == [table.digest() for table in tables]


def test_every_image_reaches_the_leaf_that_the_booster_gives_it(learned, tmp_path):
    """Each tree is a tag of its own, whose leaves have XGBoost's numbers of them as their values."""
    own, held = booster(learned, 6), np.random.default_rng(7).normal(size=(400, DIM)).astype(np.float32)
    numbered = leaves_numbered(own)
    tables = [TagTable(f"tree {i}", *trees_of(numbered[i : i + 1], learned[1])) for i in range(50)]
    write_forest(tmp_path / "tags.forest", learned[1], "s", "1", tables)
    got = Evaluator(open_forest(tmp_path / "tags.forest"), choose_kernel(1), 1).margins(held)
    leaves = own.predict(xgboost.DMatrix(learned[1].encode(held)), pred_leaf=True)
    assert len(np.unique(leaves)) > 20
    np.testing.assert_array_equal(got, leaves)


def test_a_tree_that_is_too_deep_says_what_to_do(learned):
    with pytest.raises(TagsError, match="train with max_depth 6"):
        trees_of(booster(learned, 4, depth=9), learned[1])


def test_two_tags_of_one_name_are_refused(learned, tmp_path):
    table = TagTable("one", *trees_of(booster(learned, 5, 1), learned[1]))
    with pytest.raises(TagsError, match="each name once"):
        write_forest(tmp_path / "tags.forest", learned[1], "s", "1", [table, table])
