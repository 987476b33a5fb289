"""One step of ALOCC's training: D, then R, on a batch of the target class alone.

    min_R max_D  E[log D(X)] + E[log(1 - D(R(X + noise)))],   R also minimises  lambda |X - R(X + noise)|^2

(Sabokrou et al., CVPR 2018, equations 2 to 5; R in its non-saturating form, Goodfellow et al., 2014.)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.alocc.corruption import corrupt
from export.alocc.networks import StandardisedMaps
from export.loop import Batch, CheckpointedStep, cosine
from export.processes import Processes

# Maps [n, c, h, w] float32 on the training device of the images of these indices [n].
Inputs = Callable[[Tensor], StandardisedMaps]


@dataclass(frozen=True)
class StepSettings:
    """What a step hangs on.

    `noise` is the standard deviation added to the maps. `reconstruction_weight` is the published
    lambda; the squared norm is summed over an image, as in the paper. `corrupted_share` is how much of
    what D must refuse is self-made outliers (`export.alocc.corruption`); 0 is as published.
    """

    learning_rate: float = 2e-3
    discriminator_learning_rate: float = 5e-4
    noise: float = 0.4
    reconstruction_weight: float = 0.4
    corrupted_share: float = 0.0


class AdversarialStep(CheckpointedStep):
    """R and D against each other, as published."""

    def __init__(
        self,
        reinforcer: nn.Module,
        discriminator: nn.Module,
        inputs: Inputs,
        settings: StepSettings,
        processes: Processes,
    ) -> None:
        self._reinforcer = reinforcer
        self._discriminator = discriminator
        self._inputs = inputs
        self._settings = settings
        self._processes = processes
        self._optimize_r = _adam(reinforcer, settings.learning_rate)
        self._optimize_d = _adam(discriminator, settings.discriminator_learning_rate)

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Update D on real and restored maps, then R against the new D."""
        maps = self._inputs(batch.indices)  # [n, c, h, w]
        restored = self._reinforcer(maps + self._settings.noise * batch.normal(tuple(maps.shape[1:])))
        discrimination = batch.mean(self._discrimination(maps, restored.detach(), batch))
        self._update(self._discriminator, self._optimize_d, discrimination, batch.progress)
        adversarial = batch.mean(functional.softplus(-self._discriminator(restored)))
        reconstruction = batch.mean((restored - maps).square().sum(dim=(1, 2, 3)))
        loss = adversarial + self._settings.reconstruction_weight * reconstruction
        self._update(self._reinforcer, self._optimize_r, loss, batch.progress)
        return {
            "discrimination": discrimination,
            "adversarial": adversarial,
            "reconstruction": reconstruction / maps[0].numel(),
        }

    def _discrimination(self, maps: Tensor, restored: Tensor, batch: Batch) -> Tensor:
        """D's loss [n]: accept the class's maps, refuse what R restored and what is broken."""
        share = self._settings.corrupted_share
        if share == 0:
            real, fake = self._discriminator(torch.cat([maps, restored])).chunk(2)
            return functional.softplus(-real) + functional.softplus(fake)
        broken = self._broken(maps, batch)
        real, fake, wrong = self._discriminator(torch.cat([maps, restored, broken])).chunk(3)
        refused = (1 - share) * functional.softplus(fake) + share * functional.softplus(wrong)
        return functional.softplus(-real) + refused

    @torch.no_grad()
    def _broken(self, maps: Tensor, batch: Batch) -> Tensor:
        """Self-made outliers, one half of them as R gives them back: D judges both X and R(X)."""
        broken = corrupt(maps, batch.uniform())
        through = (batch.uniform() < 0.5).nonzero().squeeze(1)
        if len(through):
            broken[through] = self._reinforcer(broken[through])
        return broken

    def parts(self) -> dict[str, Any]:
        """Networks and optimisers."""
        return {
            "reinforcer": self._reinforcer,
            "discriminator": self._discriminator,
            "optimize_r": self._optimize_r,
            "optimize_d": self._optimize_d,
        }

    def _update(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, progress: float
    ) -> None:
        _descend(network, optimizer, loss, progress, self._processes)


def _adam(network: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    # beta1 0.5 as DCGAN (Radford et al., 2016), which the published networks follow.
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, betas=(0.5, 0.999))
    for group in optimizer.param_groups:
        group["full_lr"] = learning_rate
    return optimizer


def _descend(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    progress: float,
    processes: Processes,
) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["full_lr"] * cosine(progress)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    processes.sum_gradients(network.parameters())
    optimizer.step()
