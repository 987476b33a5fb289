"""ALOCC over feature vectors: a reinforcer that restores one class, and how badly it restores the rest.

After Sabokrou, Khalooei, Fathy and Adeli, "Adversarially Learned One-Class Classifier for Novelty
Detection" (CVPR 2018). There R and D work on pixels; here on features of a trunk, standardised by
the class itself, with dense layers. R gets the features with noise and must give them back clean;
D must tell features of the class from restored ones. Both see the class alone. The score that
serves is the restoration error: products are restored badly, because R never saw one.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

Features = NDArray[np.float32]


@dataclass(frozen=True)
class ReinforcerSettings:
    """How a reinforcer is trained; fixed, never chosen on test data."""

    bottleneck: int = 24
    hidden: int = 96
    noise: float = 0.3
    dropout: float = 0.1
    reconstruction_weight: float = 4.0
    epochs: int = 40
    batch_size: int = 256
    learning_rate: float = 2e-3


class FeatureAlocc(nn.Module):
    """R and D over vectors of `width` features, with the class's own standardisation inside."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, settings: ReinforcerSettings) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.reinforcer = nn.Sequential(
            nn.Linear(width, settings.hidden), nn.LeakyReLU(0.2),
            nn.Linear(settings.hidden, settings.bottleneck), nn.LeakyReLU(0.2),
            nn.Linear(settings.bottleneck, settings.hidden), nn.LeakyReLU(0.2),
            nn.Linear(settings.hidden, width),
        )  # fmt: skip
        self.discriminator = nn.Sequential(
            nn.Linear(width, settings.hidden), nn.LeakyReLU(0.2), nn.Linear(settings.hidden, 1)
        )

    def standardise(self, features: Tensor) -> Tensor:
        """Features [n, width] in units of the class's spread, within 12 of them."""
        inside: Tensor = ((features - self.mean) / self.deviation).clamp(-12.0, 12.0)
        return inside

    def forward(self, features: Tensor) -> Tensor:
        """The restoration error of each row: features [n, width] -> [n], 0 where R restores exactly."""
        inside = self.standardise(features)
        error: Tensor = (inside - self.reinforcer(inside)).square().mean(dim=1)
        return error

    def discriminate(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """D(X) and D(R(X)) as probabilities: features [n, width] -> two [n]."""
        inside = self.standardise(features)
        restored = self.reinforcer(inside)
        plain, through = self.discriminator(inside), self.discriminator(restored)
        return torch.sigmoid(plain).squeeze(1), torch.sigmoid(through).squeeze(1)


def train_reinforcer(
    features: Features, seed: int, settings: ReinforcerSettings | None = None
) -> FeatureAlocc:
    """Train R and D on one class: `features` float32 [n, width] of that class alone."""
    chosen = settings or ReinforcerSettings()
    torch.manual_seed(seed)
    data = torch.from_numpy(features)
    model = FeatureAlocc(data.shape[1], chosen)
    model.mean.copy_(data.mean(dim=0))
    # A feature that the class hardly moves would make every product infinitely strange.
    spread = data.std(dim=0)
    model.deviation.copy_(spread.clamp_min(0.1 * float(spread.mean()) + 1e-6))
    inside = model.standardise(data).detach()
    repair = torch.optim.AdamW(model.reinforcer.parameters(), chosen.learning_rate, weight_decay=1e-3)
    judge = torch.optim.AdamW(
        model.discriminator.parameters(), chosen.learning_rate * 0.25, weight_decay=1e-2
    )
    steps = chosen.epochs * max(1, len(inside) // chosen.batch_size)
    slope = torch.optim.lr_scheduler.CosineAnnealingLR(repair, steps)
    for _ in range(steps):
        rows = inside[torch.randint(len(inside), (chosen.batch_size,))]
        noisy = F.dropout(rows + chosen.noise * torch.randn_like(rows), chosen.dropout)
        restored = model.reinforcer(noisy)
        _train_discriminator(model, judge, rows, restored.detach())
        fooled = F.binary_cross_entropy_with_logits(model.discriminator(restored), torch.ones(len(rows), 1))
        loss = fooled + chosen.reconstruction_weight * F.mse_loss(restored, rows)
        repair.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        repair.step()
        slope.step()
    return model.eval()


def _train_discriminator(
    model: FeatureAlocc, judge: torch.optim.Optimizer, real: Tensor, restored: Tensor
) -> None:
    """One step of D; real and restored rows go through it in one batch, labels smoothed."""
    logits = model.discriminator(torch.cat([real, restored])).squeeze(1)
    labels = torch.cat([torch.full((len(real),), 0.9), torch.full((len(restored),), 0.1)])
    loss = F.binary_cross_entropy_with_logits(logits, labels)
    judge.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    judge.step()


@torch.no_grad()
def restoration_error(model: FeatureAlocc, features: Features) -> Features:
    """How badly each row is restored: float32 [n, width] -> float32 [n]."""
    error: Features = model(torch.from_numpy(features)).numpy()
    return error
