"""Training of the trunk: types, tags and an embedding in which two views of one image are close."""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from export.errors import LossNotFinite
from export.starter.augment import augment, random_crop
from export.starter.images import SIDE, PixelSet
from export.starter.trunk import EMBEDDING_DIM, TYPES, Trunk, to_input

_log = logging.getLogger(__name__)
NO_LABEL = -1


@dataclass(frozen=True)
class TrunkSettings:
    """Length and weights of the trunk's training; fixed before any test."""

    cycles: tuple[int, ...] = (8, 5, 5)  # epochs; the learning rate starts anew with each cycle, lower
    batch_size: int = 96
    rendered_an_epoch: int = 2500  # of each rendered type, drawn anew every epoch
    pairs: int = 24  # images of a batch that get a second view
    learning_rate: float = 3e-3
    cooling: float = 0.6  # of the learning rate, from cycle to cycle
    weight_decay: float = 0.02
    temperature: float = 0.1
    cosine_scale: float = 16.0
    type_weight: float = 0.7
    label_weight: float = 0.5
    pair_weight: float = 0.3


@dataclass(frozen=True)
class TrainingImages:
    """Everything the trunk sees: pixels, type (index into TYPES) and label (NO_LABEL where unknown)."""

    pixels: PixelSet
    types: NDArray[np.int64]
    labels: NDArray[np.int64]
    label_count: int
    photo_count: int  # the first rows are photos, the rest are rendered

    def __len__(self) -> int:
        return len(self.types)

    def epoch(self, rng: np.random.Generator, rendered: int) -> NDArray[np.int64]:
        """Row numbers of one epoch, shuffled: every photo, and `rendered` of each kind of render."""
        kinds = np.where(np.arange(len(self)) < self.photo_count, -1, self.types)
        chosen = [np.flatnonzero(kinds == -1)]
        for kind in range(len(TYPES)):
            rows = np.flatnonzero(kinds == kind)
            chosen.append(rng.permutation(rows)[:rendered])
        return rng.permutation(np.concatenate(chosen))


def join(parts: list[PixelSet]) -> PixelSet:
    """One set out of several, in order."""
    return PixelSet(np.concatenate([p.exact for p in parts]), np.concatenate([p.wide for p in parts]))


class _Heads(nn.Module):
    """What training alone needs: one direction of the embedding space for each label."""

    def __init__(self, label_count: int) -> None:
        super().__init__()
        self.labels = nn.Parameter(torch.randn(label_count, EMBEDDING_DIM) * 0.1)

    def forward(self, embedding: Tensor, scale: float) -> Tensor:
        """Scaled cosines [n, label_count]."""
        return scale * embedding @ F.normalize(self.labels, dim=1).T


def _pair_loss(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """InfoNCE both ways: row i of `first` belongs to row i of `second`."""
    logits = first @ second.T / temperature
    own = torch.arange(len(first))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def _batch_loss(
    trunk: Trunk, heads: _Heads, data: TrainingImages, rows: NDArray[np.int64], settings: TrunkSettings
) -> Tensor:
    types = torch.from_numpy(data.types[rows])
    wide = torch.from_numpy(data.pixels.wide[rows])
    half = len(rows) // 2
    exact = torch.from_numpy(data.pixels.exact[rows[:half]])
    plain = torch.cat([to_input(exact), to_input(random_crop(wide[half:], SIDE))])
    mirrored = types == 0
    pairs = min(settings.pairs, half)
    views = torch.cat([augment(plain, mirrored), augment(plain[:pairs], mirrored[:pairs], strong=True)])
    with torch.autocast("cpu", torch.bfloat16):
        levels = trunk(views.contiguous(memory_format=torch.channels_last))
        embedding, evidence = trunk.embedding(levels).float(), trunk.evidence_vector(levels).float()
        verdict = trunk.type_logits(levels, evidence).float()
    # The mid-level vector alone tells product, notice and QR apart; noise stands in for what is unseen.
    noisy = F.dropout(evidence, 0.2) + 0.05 * torch.randn_like(evidence)
    truth = torch.cat([types, types[:pairs]])
    loss = F.cross_entropy(trunk.kind(noisy), truth, label_smoothing=0.02) + F.cross_entropy(verdict, truth)
    loss = settings.type_weight * loss
    labels = torch.from_numpy(data.labels[rows])
    known = labels != NO_LABEL
    if bool(known.any()):
        cosines = heads(embedding[: len(rows)][known], settings.cosine_scale)
        loss = loss + settings.label_weight * F.cross_entropy(cosines, labels[known], label_smoothing=0.05)
    pair = _pair_loss(embedding[:pairs], embedding[len(rows) :], settings.temperature)
    return loss + settings.pair_weight * pair


def train_trunk(data: Sequence[TrainingImages], seed: int, settings: TrunkSettings) -> Trunk:
    """Train for a fixed number of epochs, with warm restarts (SGDR, Loshchilov and Hutter, ICLR 2017).

    `data` has the images of each cycle. The same seed and machine give the same trunk.

    Raises:
        LossNotFinite: the loss became NaN or infinite.

    """
    torch.manual_seed(seed)
    trunk = Trunk()
    for cycle, images in enumerate(data):
        train_cycle(trunk, images, seed, cycle, settings)
    return trunk.eval()


def train_cycle(trunk: Trunk, data: TrainingImages, seed: int, cycle: int, settings: TrunkSettings) -> None:
    """One cycle, from warm-up to a learning rate of nothing; changes `trunk`.

    Each cycle has random numbers of its own, so that it can be run on a saved trunk.
    """
    torch.manual_seed(seed + 1000 * cycle)
    rng = np.random.default_rng([seed, cycle])
    trunk.train().to(memory_format=torch.channels_last)
    epochs = settings.cycles[cycle]
    heads = _Heads(data.label_count)
    parameters = [*trunk.parameters(), *heads.parameters()]
    rate = settings.learning_rate * settings.cooling**cycle
    optimiser = torch.optim.AdamW(parameters, rate, weight_decay=settings.weight_decay)
    steps = len(data.epoch(rng, settings.rendered_an_epoch)) // settings.batch_size
    total = max(1, steps * epochs)

    def slope(step: int) -> float:
        warm = min(1.0, (step + 1) / (0.05 * total + 1))
        return warm * 0.5 * (1 + math.cos(math.pi * step / total)) + 1e-4

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, slope)
    for epoch in range(epochs):
        order = data.epoch(rng, settings.rendered_an_epoch)
        began, losses = time.monotonic(), []
        for step in range(steps):
            rows = order[step * settings.batch_size : (step + 1) * settings.batch_size]
            loss = _batch_loss(trunk, heads, data, rows, settings)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, 2.0)
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise LossNotFinite("trunk", losses[-1], epoch, step, "lower the learning rate")
        seconds = time.monotonic() - began
        _log.info(
            "seed %d epoch %d of %d: loss %.3f, %.0f s", seed, epoch + 1, epochs, np.mean(losses), seconds
        )


@dataclass(frozen=True)
class Features:
    """What the trunk says of a set, row by row."""

    embedding: NDArray[np.float32]  # [n, 128]
    evidence: NDArray[np.float32]  # [n, 192]
    quality: NDArray[np.float32]  # [n, 512]
    types: NDArray[np.float32]  # logits [n, 3]


@torch.no_grad()
def features_of(trunk: Trunk, images: NDArray[np.uint8], batch_size: int = 256) -> Features:
    """Features of uint8 images [n, 128, 128, 3] in fp32, as they are served."""
    parts: list[tuple[NDArray[np.float32], ...]] = []
    for start in range(0, len(images), batch_size):
        levels = trunk(to_input(torch.from_numpy(images[start : start + batch_size])))
        evidence = trunk.evidence_vector(levels)
        found = (
            trunk.embedding(levels),
            evidence,
            trunk.quality_vector(levels),
            trunk.type_logits(levels, evidence),
        )
        parts.append(tuple(tensor.numpy() for tensor in found))
    columns = [np.concatenate([part[i] for part in parts]) for i in range(4)]
    return Features(*columns)
