"""No change of the code changes a verdict of the committed starter bundle by accident."""

import numpy as np
import pytest

from tests.golden.starter import Golden, judged, read


@pytest.fixture(scope="module")
def today() -> Golden:
    return judged()


@pytest.fixture(scope="module")
def committed() -> Golden:
    return read()


def test_decisions_and_their_reasons_are_those_of_the_fixture(today: Golden, committed: Golden) -> None:
    def decided(golden: Golden) -> list[tuple[str, str, list[str]]]:
        return [(image["path"], image["decision"], image["reasons"]) for image in golden.text["images"]]

    assert {decision for _, decision, _ in decided(committed)} == {"accept", "block"}
    assert decided(today) == decided(committed)


def test_scores_and_vectors_are_those_of_the_fixture(today: Golden, committed: Golden) -> None:
    assert today.text["scores"] == committed.text["scores"]
    np.testing.assert_allclose(today.scores, committed.scores, rtol=0, atol=1e-6)
    np.testing.assert_allclose(today.vectors, committed.vectors, rtol=0, atol=1e-6)


def test_tags_are_those_of_the_fixture(today: Golden, committed: Golden) -> None:
    for now, then in zip(today.text["images"], committed.text["images"], strict=True):
        # A tag's score is published with four digits, and may be rounded to either side.
        assert now["tags"] == pytest.approx(then["tags"], abs=1.01e-4)
