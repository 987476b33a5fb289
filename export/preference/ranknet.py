"""RankNet: the cost of a pair, and the pairs that it is taken over.

Burges et al., "Learning to Rank using Gradient Descent" (ICML 2005): of two images with utilities s_i and
s_j, o = s_i - s_j, the modelled probability that i is liked better is sigmoid(o), and the cost of a target
probability P is C = -P o + log(1 + e^o). Its gradient by o is sigmoid(o) - P: a tie (P = 1/2) draws the two
together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Pairs:
    """Pairs of images, by their rows: int64 [n] twice; the probability that the first is better; a weight."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    target: NDArray[np.float32]
    weight: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.first)


def ranknet_cost(first: Tensor, second: Tensor, target: Tensor) -> Tensor:
    """The cost C [n] of utilities [n] and [n] and of target probabilities [n]."""
    difference = first - second
    return F.softplus(difference) - target * difference


def draw_within(
    group: NDArray[np.int64], count: int, rng: np.random.Generator, share: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """`count` pairs of different rows of one group: rows, other rows, and the sizes of their groups.

    Args:
        group: of each row [n], ascending.
        count: pairs to draw; none where every group is one row.
        rng: draws them.
        share: how often a row is drawn as the first one, [n]; alike where it is None.

    """
    begin = np.searchsorted(group, group, "left")
    size = np.searchsorted(group, group, "right") - begin
    able = np.flatnonzero(size > 1 if share is None else (size > 1) & (share > 0))
    if not len(able):
        return (np.empty(0, np.int64),) * 3
    chance = None if share is None else share[able] / share[able].sum()
    one = able[rng.integers(len(able), size=count)] if chance is None else rng.choice(able, count, p=chance)
    other = begin[one] + (one - begin[one] + 1 + rng.integers(0, size[one] - 1)) % size[one]
    return one, other, size[one]
