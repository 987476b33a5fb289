"""Calibrate: margins to probabilities, and back to the least margin of a probability."""

import numpy as np
from numpy.typing import NDArray

from worker.model.forest.file import ForestFile


def probabilities(
    forest: ForestFile, tags: NDArray[np.uint32], margins: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Probabilities float32 [n] of `margins` [n], each of the tag at its place in `tags` [n].

    Platt's sigmoid (1999), or between the tag's knots, as isotonic regression leaves them.
    """
    own = forest.tags[tags]
    scores = _sigmoid(own["slope"] * margins + own["offset"])
    for place in np.flatnonzero(own["knots"]):
        x, y = _knots(forest, int(tags[place]))
        scores[place] = np.interp(margins[place], x, y)
    return scores.astype(np.float32)


def least_margins(forest: ForestFile, wanted: NDArray[np.float32]) -> NDArray[np.float32]:
    """Float32 [tags]: the margin from which a tag's probability is at least `wanted` [tags].

    Infinity where it never is, minus infinity where it always is.
    """
    tags = forest.tags
    asked = np.asarray(wanted, np.float64)
    with np.errstate(divide="ignore"):
        least = (np.log(asked) - np.log1p(-np.minimum(asked, 1.0)) - tags["offset"]) / tags["slope"]
    for tag in np.flatnonzero(tags["knots"]):
        x, y = _knots(forest, int(tag))
        within = np.interp(asked[tag], y, x)
        least[tag] = -np.inf if asked[tag] <= y[0] else np.inf if asked[tag] > y[-1] else within
    least[asked <= 0] = -np.inf
    least[asked > 1] = np.inf
    return np.asarray(least, np.float32)


def _knots(forest: ForestFile, tag: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    own = forest.tags[tag]
    knots = forest.knots[int(own["first_knot"]) : int(own["first_knot"]) + int(own["knots"])]
    return knots[:, 0], knots[:, 1]


def _sigmoid(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Without overflow at either end."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * np.asarray(x, np.float64))))
