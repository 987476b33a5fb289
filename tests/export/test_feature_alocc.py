"""ALOCC over features: one class is restored, another is not."""

import numpy as np
import torch

from export.feature_alocc import ReinforcerSettings, restoration_error, train_reinforcer

_QUICK = ReinforcerSettings(epochs=12, batch_size=64, hidden=32, bottleneck=6)


def _classes() -> tuple[np.ndarray, np.ndarray]:
    """600 points near a 3-dimensional sheet in 20 dimensions, and 300 as large ones off it."""
    rng = np.random.default_rng(0)
    sheet = rng.normal(size=(3, 20))
    inside = rng.normal(size=(600, 3)) @ sheet + rng.normal(scale=0.1, size=(600, 20))
    outside = rng.normal(scale=inside.std(), size=(300, 20))
    return inside.astype(np.float32), outside.astype(np.float32)


def test_what_was_never_seen_is_restored_worse() -> None:
    inside, outside = _classes()
    model = train_reinforcer(inside[:500], 0, _QUICK)
    own, other = restoration_error(model, inside[500:]), restoration_error(model, outside)
    assert (own[:, None] < other[None, :]).mean() > 0.95


def test_same_seed_gives_the_same_reinforcer() -> None:
    inside, outside = _classes()
    first, again = (restoration_error(train_reinforcer(inside, 3, _QUICK), outside) for _ in range(2))
    assert np.array_equal(first, again)


def test_discriminator_gives_probabilities() -> None:
    inside, _ = _classes()
    model = train_reinforcer(inside, 1, _QUICK)
    with torch.no_grad():
        plain, restored = model.discriminate(torch.from_numpy(inside))
    for values in (plain, restored):
        assert values.shape == (600,)
        assert float(values.min()) >= 0
        assert float(values.max()) <= 1


def test_a_constant_feature_does_not_make_errors_infinite() -> None:
    inside, outside = _classes()
    inside[:, 0] = 2.0
    error = restoration_error(train_reinforcer(inside, 0, _QUICK), outside)
    assert np.isfinite(error).all()
