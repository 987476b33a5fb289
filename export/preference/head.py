"""Preference: RankNet over controlled degradations, on features of the frozen trunk.

Burges et al., "Learning to Rank using Gradient Descent" (ICML 2005). Of two versions of one photo,
the less degraded one is liked better. There are no ratings: this learns photo quality, not taste.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from export.embedding.trunk import QUALITY_WIDTH
from export.preference.ladder import LEVELS


class PreferenceHead(nn.Module):
    """Quality vector [n, width] to a score in [0, 1] an image."""

    mean: Tensor
    deviation: Tensor
    scale: Tensor

    def __init__(self, hidden: int = 48, width: int = QUALITY_WIDTH) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.register_buffer("scale", torch.ones(2))
        self.rank = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, 1))

    def margin(self, quality: Tensor) -> Tensor:
        """The unbounded utility [n]; only differences mean something."""
        inside = ((quality - self.mean) / self.deviation).clamp(-8.0, 8.0)
        utility: Tensor = self.rank(inside).squeeze(1)
        return utility

    def forward(self, quality: Tensor) -> Tensor:
        """Scores [n] in (0, 1); an ordinary photo of the training set is about 0.5."""
        return torch.sigmoid((self.margin(quality) - self.scale[0]) / self.scale[1])


def constant(_: float) -> float:
    """The learning rate that stays, at any share of a training."""
    return 2e-3


def train_preference(
    quality: NDArray[np.float32],
    seed: int,
    epochs: int = 30,
    hidden: int = 48,
    rate: Callable[[float], float] = constant,
    weight_of_best: float = 1.0,
) -> PreferenceHead:
    """RankNet: `quality` is float32 [photos, LEVELS + 1, width], best version first.

    `rate` gives the learning rate at a share of the training. Pairs with the best version count
    `weight_of_best` times what those of two worse ones do.
    """
    torch.manual_seed(seed)
    data = torch.from_numpy(quality)
    head = PreferenceHead(hidden, quality.shape[2])
    flat = data.flatten(0, 1)
    head.mean.copy_(flat.mean(dim=0))
    head.deviation.copy_(flat.std(dim=0).clamp_min(1e-3))
    optimiser = torch.optim.AdamW(head.parameters(), rate(0.0), weight_decay=0.05)
    steps = epochs * max(1, len(data) // 64)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate(step / steps)
        rows = data[torch.randint(len(data), (64,))]
        utility = head.margin(rows.flatten(0, 1)).view(64, -1)
        # Every pair of one photo's versions, and half as strong each photo's best against another's worst.
        loss = sum(
            (
                (1.0 if i else weight_of_best) * F.softplus(utility[:, j] - utility[:, i]).mean()
                for i in range(LEVELS + 1)
                for j in range(i + 1, LEVELS + 1)
            ),
            torch.zeros(()),
        )
        loss = loss + 0.5 * F.softplus(utility.roll(1, 0)[:, -1] - utility[:, 0]).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    head.eval()
    with torch.no_grad():
        best = head.margin(data[:, 0])
        head.scale.copy_(torch.stack([best.median(), head.margin(flat).std().clamp_min(1e-3)]))
    return head


@torch.no_grad()
def pair_accuracy(head: PreferenceHead, quality: NDArray[np.float32]) -> float:
    """Share of version pairs of one photo that are ranked right; `quality` as for training."""
    utility = head.margin(torch.from_numpy(quality).flatten(0, 1)).view(len(quality), -1)
    right = [utility[:, i] > utility[:, j] for i in range(LEVELS + 1) for j in range(i + 1, LEVELS + 1)]
    return float(torch.stack(right).float().mean())
