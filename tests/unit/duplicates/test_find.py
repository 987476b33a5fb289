"""Pairs among images whose vectors are known; what they show is stood in for by numbers."""

import numpy as np
import pytest

from worker.duplicates.find import find_pairs
from worker.duplicates.local_features import Alignment

_COPY, _OTHER = Alignment(1.0, 1.0, 100), Alignment(0.1, 1.0, 20)


class ByNumber:
    """Pictures are numbers; equal ones are copies."""

    def __init__(self):
        self.asked = []

    def align(self, one, other):
        self.asked.append((one, other))
        return _COPY if one == other else _OTHER


def around(angles):
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_near_images_are_compared_once_and_verified_by_what_they_show():
    features, shown = ByNumber(), [1, 1, 2, 3]
    pairs = find_pairs(around(np.array([0, 0.01, 0.03, 2.0])), shown.__getitem__, features, 2)
    expected = [(0, 1, True), (1, 2, False), (0, 2, False), (2, 3, False), (1, 3, False)]
    assert [(p.one, p.other, p.verified) for p in pairs] == expected
    assert pairs[0].distance == pytest.approx(1 - np.cos(0.01), abs=1e-6)
    assert len(features.asked) == 5


@pytest.mark.parametrize("copies", [3, 9, 30])
def test_more_copies_than_candidates_come_together_in_one_group(copies):
    """Each one's nearest are copies of it, so that more are looked at."""
    angles = np.concatenate([np.linspace(0, 0.1, copies), [1.0, 1.2]])
    shown = [0] * copies + [1, 2]
    pairs = find_pairs(around(angles), shown.__getitem__, ByNumber(), 2, threads=2)
    linked = {p.one for p in pairs if p.verified} | {p.other for p in pairs if p.verified}
    assert linked == set(range(copies))
    assert len({(p.one, p.other) for p in pairs}) == len(pairs)


def test_what_is_compared_is_bounded():
    features = ByNumber()
    find_pairs(around(np.linspace(0, 1, 200)), lambda _: 0, features, 2)
    assert len(features.asked) <= 200 * 2 * 16


def test_no_image_and_one_image_have_no_pairs():
    for count in (0, 1):
        assert find_pairs(np.ones((count, 1), np.float32), lambda _: 0, ByNumber(), 5) == []
