"""Training of tags: learnt, calibrated on held-back senders, and the same bytes wherever a tag is trained."""

from dataclasses import replace

import numpy as np
import pytest

from export.errors import TagsError
from export.tags.calibration import best_threshold, fit_calibration
from export.tags.measure import calibration_error
from export.tags.recipe import TagRecipe
from export.tags.tag_set import TagImages, measure_forest, positives_of, train_tag_set
from export.tags.workers import train_tags

DIM = 16


def images(count: int, seed: int) -> TagImages:
    """A linear tag, one that only trees find, a rare one, one that all have, one that one image has."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    tags = [
        [
            *(["linear"] if row[0] + 0.1 * rng.normal() > 0.15 else []),
            *(["corner"] if row[1] * row[2] > 0.03 else []),
            *(["rare"] if row[3] > 0.45 else []),
            "all",
            *(["one"] if i == 7 else []),
        ]
        for i, row in enumerate(vectors)
    ]
    return TagImages(vectors, [f"sender {i // 4}" for i in range(count)], positives_of(tags))


RECIPE = TagRecipe(rounds=30, rounds_tried=[0, 10, 30], trees_from=50, eta=0.2)


@pytest.fixture(scope="module")
def found():
    return train_tag_set(images(1200, 0), RECIPE)


def test_what_cannot_be_learnt_is_left_out_by_name(found):
    assert [table.name for table in found.tables] == ["corner", "linear", "rare"]
    assert (found.too_few, found.all_images) == (["one"], ["all"])
    few = images(200, 1)
    named = {"linear": few.positives["linear"], "none": np.empty(0, np.int64)}
    told = train_tag_set(
        replace(few, positives=named), RECIPE.model_copy(update={"rounds": 0}), minimum_count=0
    )
    assert ([table.name for table in told.tables], told.too_few) == (["linear"], ["none"])
    with pytest.raises(TagsError, match="no tag has 5000 images"):
        train_tag_set(images(200, 1), RECIPE, minimum_count=5000)


def test_held_images_are_ranked_and_the_trees_stand_where_they_help(found, tmp_path):
    found.write(tmp_path / "tags.forest", "s", "1")
    figures, each = measure_forest(tmp_path / "tags.forest", images(1000, 2))
    precision = {tag.name: tag.average_precision for tag in each}
    assert precision["linear"] > 0.9
    assert precision["corner"] > 0.4  # a fifth of images have it, and no linear term finds them
    assert precision["rare"] > 0.5
    trees = {table.name: len(table.trees) for table in found.tables}
    assert trees["corner"] > 0
    assert trees["rare"] == 0  # too few images
    assert figures["calibration error, 50 and more images"] < 0.07
    assert 0 < figures["micro average precision"] <= 1


def test_a_tag_has_the_same_bytes_alone_beside_others_and_in_processes(found):
    asked = {name: own for name, own in images(1200, 0).positives.items() if name in {"corner", "linear"}}
    whole = {table.name: table.digest() for table in found.tables}
    alone = [*train_tags({"linear": asked["linear"]}, found.data, found.recipe)]
    assert alone[0].digest() == whole["linear"]
    four = {**asked, "again": asked["corner"], "more": asked["linear"]}
    beside = {table.name: table.digest() for table in train_tags(four, found.data, found.recipe, processes=2)}
    assert {name: beside[name] for name in asked} == {name: whole[name] for name in asked}
    assert beside["again"] != beside["corner"]


def test_many_images_are_thinned_out_and_the_probabilities_stay(tmp_path):
    many = images(3000, 3)
    found = train_tag_set(many, RECIPE.model_copy(update={"most_rows": 600, "rounds": 0}))
    assert {table.rows for table in found.tables} == {600}
    found.write(tmp_path / "tags.forest", "s", "1")
    _, each = measure_forest(tmp_path / "tags.forest", images(2000, 4))
    assert all(tag.calibration_error < 0.06 for tag in each)
    assert next(tag for tag in each if tag.name == "linear").average_precision > 0.9


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_calibration_gives_the_share_that_is_true(kind):
    rng = np.random.default_rng(5)
    margins = rng.normal(size=4000)
    labels = rng.uniform(size=4000) < 1 / (1 + np.exp(-(2 * margins - 1)))
    weights = np.ones(4000)
    found = fit_calibration(kind, 3 * margins + 2, labels, weights)
    assert calibration_error(found(3 * margins + 2).astype(np.float32), labels) < 0.02
    threshold, f1 = best_threshold(found(3 * margins + 2), labels, weights)
    named = found(3 * margins + 2) >= threshold - 1e-9
    assert f1 == pytest.approx(2 * (named & labels).sum() / (named.sum() + labels.sum()), abs=1e-6)


def test_margins_that_say_nothing_give_everyone_the_same():
    rng = np.random.default_rng(6)
    labels = rng.uniform(size=500) < 0.1
    found = fit_calibration("platt", -5.0 * labels, labels, np.ones(500))
    assert found(np.array([-9.0, 9.0])) == pytest.approx([0.1, 0.1], abs=0.03)
