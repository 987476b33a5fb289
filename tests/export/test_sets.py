from collections.abc import Callable
from pathlib import Path

import pytest

from export.alocc.sets import read_sets, with_other_tests
from export.alocc.settings import DataSettings
from export.errors import DatasetError

Draw = Callable[..., Path]


@pytest.fixture
def data(tmp_path: Path, draw: Draw) -> DataSettings:
    """120 notices of 60 sources and 80 products of 20 shops, in two tables."""
    for kind, count, groups in (("notices", 120, 60), ("products", 80, 20)):
        rows = []
        for number in range(count):
            draw(f"{kind}/{number}.png", seed=number)
            rows.append(f"{number}.png,{number % groups}")
        (tmp_path / kind / "labels.csv").write_text("path,shop\n" + "\n".join(rows) + "\n")
    return DataSettings(positive=[str(tmp_path / "notices")], product=[str(tmp_path / "products")])


def test_no_shop_is_on_two_sides_and_no_image_is_lost(data: DataSettings) -> None:
    sets = read_sets(data)
    groups = {name: {e.group for e in part.examples} for name, part in sets.by_name().items()}
    for one, other in (("train", "validation"), ("train", "positive"), ("validation", "positive")):
        assert groups[one].isdisjoint(groups[other])
    assert groups["threshold"].isdisjoint(groups["product"])
    assert len(sets.train) + len(sets.validation) + len(sets.positive) == 120
    assert len(sets.threshold) + len(sets.product) == 80
    assert sets.digest() == read_sets(data).digest()


def test_named_test_images_are_used_whole(data: DataSettings, tmp_path: Path, draw: Draw) -> None:
    for number in range(3):
        draw(f"held/{number}.png", seed=1000 + number)
    named = data.model_copy(update={"test_positive": [str(tmp_path / "held")]})
    sets = read_sets(named)
    assert [e.name for e in sets.positive.examples] == ["0.png", "1.png", "2.png"]
    assert len(sets.train) + len(sets.validation) == 120
    assert sets.digest() != read_sets(data).digest()


def test_other_tests_leave_training_and_threshold_as_they_were(
    data: DataSettings, tmp_path: Path, draw: Draw
) -> None:
    draw("held/0.png", seed=1000)
    sets = read_sets(data)
    changed = with_other_tests(sets, data, [], [str(tmp_path / "held")])
    assert (changed.train, changed.threshold, changed.positive) == (sets.train, sets.threshold, sets.positive)
    assert len(changed.product) == 1
    assert with_other_tests(sets, data, [], []) == sets


def test_images_of_the_training_are_no_test(data: DataSettings) -> None:
    sets = read_sets(data)
    with pytest.raises(DatasetError, match=r"is in two sets, 'train' \(of --positive\) and 'positive'"):
        with_other_tests(sets, data, data.positive, [])
    with pytest.raises(DatasetError, match="is in two sets"):
        read_sets(data.model_copy(update={"product": data.positive}))
