"""Training of the trunk: verdict space, labels, an embedding in which two views of one image are close."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from export.embedding.augment import augment, random_crop
from export.embedding.losses import NO_LABEL, contrast, pair_loss
from export.embedding.pixels import SIDE, PixelSet
from export.embedding.trunk import EMBEDDING_DIM, EVIDENCE_WIDTH, JOINT_WIDTH, TYPES, Trunk, to_input
from export.loop import Batch, CheckpointedStep, Schedule, cosine, fit
from export.processes import Processes
from export.run import RunFolder


@dataclass(frozen=True)
class TrunkSettings:
    """Length and weights of the trunk's training; fixed before any test."""

    epochs: int = 18
    batch_size: int = 96
    pairs: int = 24  # images of a batch that get a second view
    learning_rate: float = 3e-3
    warm_up: float = 0.05  # of the training
    weight_decay: float = 0.02
    averaging: float = 0.998  # of the weights, from step to step
    temperature: float = 0.1
    verdict_temperature: float = 0.2
    cosine_scale: float = 16.0
    type_weight: float = 0.7
    verdict_weight: float = 0.7
    label_weight: float = 1.0
    pair_weight: float = 0.3


@dataclass(frozen=True)
class TrainingImages:
    """Everything the trunk sees: pixels, type (index into TYPES) and label (NO_LABEL where unknown)."""

    pixels: PixelSet
    types: NDArray[np.int64]
    labels: NDArray[np.int64]
    label_count: int

    def __len__(self) -> int:
        return len(self.types)


def join(parts: list[PixelSet]) -> PixelSet:
    """One set out of several, in order."""
    return PixelSet(np.concatenate([p.exact for p in parts]), np.concatenate([p.wide for p in parts]))


class Heads(nn.Module):
    """What training alone needs: a direction of the embedding for each label, and classifiers of types."""

    def __init__(self, label_count: int) -> None:
        super().__init__()
        self.labels = nn.Parameter(torch.randn(label_count, EMBEDDING_DIM) * 0.1)
        self.evidence = nn.Linear(EVIDENCE_WIDTH, len(TYPES))
        self.joint = nn.Sequential(nn.Dropout(0.2), nn.Linear(JOINT_WIDTH, len(TYPES)))

    def label_logits(self, embedding: Tensor, scale: float) -> Tensor:
        """Scaled cosines [n, label_count]."""
        return scale * embedding @ F.normalize(self.labels, dim=1).T


def _batch_loss(
    trunk: Trunk,
    heads: Heads,
    data: TrainingImages,
    rows: NDArray[np.int64],
    settings: TrunkSettings,
    device: torch.device,
) -> dict[str, Tensor]:
    """The weighted losses by name, of images augmented by torch's own random numbers."""
    types = torch.from_numpy(data.types[rows]).to(device)
    half = len(rows) // 2
    exact = torch.from_numpy(data.pixels.exact[rows[:half]]).to(device)
    wide = torch.from_numpy(data.pixels.wide[rows[half:]]).to(device)
    plain = torch.cat([to_input(exact), to_input(random_crop(wide, SIDE))])
    mirrored = types == 0
    pairs = min(settings.pairs, half)
    views = torch.cat([augment(plain, mirrored), augment(plain[:pairs], mirrored[:pairs], strong=True)])
    with torch.autocast(device.type, torch.bfloat16):
        levels = trunk(views.contiguous(memory_format=torch.channels_last))
        embedding = trunk.embedding(levels).float()
        joint = trunk.joint_vector(levels).float()
        verdict = trunk.verdict_vector(levels).float()
    # The mid-level vector alone tells product, notice and QR apart; noise stands in for what is unseen.
    evidence = joint[:, :EVIDENCE_WIDTH]
    noisy = F.dropout(evidence, 0.2) + 0.05 * torch.randn_like(evidence)
    truth = torch.cat([types, types[:pairs]])
    told = F.cross_entropy(heads.evidence(noisy), truth, label_smoothing=0.02)
    told = told + F.cross_entropy(heads.joint(joint), truth)
    losses = {
        "type": settings.type_weight * told,
        "verdict": settings.verdict_weight * contrast(verdict, truth, settings.verdict_temperature),
        "pair": settings.pair_weight
        * pair_loss(embedding[:pairs], embedding[len(rows) :], settings.temperature),
    }
    labels = torch.from_numpy(data.labels[rows]).to(device)
    known = labels != NO_LABEL
    logits = heads.label_logits(embedding[: len(rows)][known], settings.cosine_scale)
    named = F.cross_entropy(logits, labels[known], label_smoothing=0.05, reduction="sum")
    losses["label"] = settings.label_weight * named / known.sum().clamp_min(1)
    return losses


class TrunkStep(CheckpointedStep):
    """One step of the trunk's training; `averaged` is the trunk that serves.

    Weights are averaged over the last steps (Polyak and Juditsky, 1992). One process alone: the losses
    compare the images of a batch with each other.
    """

    def __init__(
        self, trunk: Trunk, data: TrainingImages, settings: TrunkSettings, device: torch.device
    ) -> None:
        self._device = device
        self._trunk = trunk.to(device).train().to(memory_format=torch.channels_last)
        self._heads = Heads(data.label_count).to(device)
        self._data = data
        self._settings = settings
        self._parameters = [*trunk.parameters(), *self._heads.parameters()]
        self._optimizer = torch.optim.AdamW(
            self._parameters, settings.learning_rate, weight_decay=settings.weight_decay
        )
        average = get_ema_multi_avg_fn(settings.averaging)  # type: ignore[no-untyped-call]
        self.averaged = AveragedModel(trunk, multi_avg_fn=average, use_buffers=True)

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Update trunk, heads and average."""
        settings = self._settings
        # The views draw from torch's global generator: seeded by the batch, a resumed run repeats them.
        torch.manual_seed(int(torch.randint(2**31, (), generator=batch.generator)))
        losses = _batch_loss(
            self._trunk, self._heads, self._data, batch.indices.numpy(), settings, self._device
        )
        for group in self._optimizer.param_groups:
            warm = min(1.0, (batch.progress + 1e-3) / settings.warm_up)
            group["lr"] = settings.learning_rate * warm * cosine(batch.progress)
        self._optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._parameters, 2.0)
        self._optimizer.step()
        self.averaged.update_parameters(self._trunk)
        return losses

    def parts(self) -> dict[str, Any]:
        """Networks, optimiser and average."""
        return {
            "trunk": self._trunk,
            "heads": self._heads,
            "optimizer": self._optimizer,
            "averaged": self.averaged,
        }


def train_trunk(
    data: TrainingImages, seed: int, settings: TrunkSettings, run: RunFolder, processes: Processes
) -> Trunk:
    """Train for a fixed number of epochs, or go on from the run's checkpoint. Same seed, same trunk.

    Raises:
        LossNotFinite: see `export.loop.fit`.

    """
    torch.manual_seed(seed)
    step = TrunkStep(Trunk(), data, settings, processes.device)
    schedule = Schedule(settings.epochs, settings.batch_size, seed)
    fit(step, phase="trunk", count=len(data), schedule=schedule, run=run, processes=processes)
    trunk = Trunk()
    trunk.load_state_dict(step.averaged.module.state_dict())
    return trunk.eval()


@dataclass(frozen=True)
class Features:
    """What the trunk says of a set, row by row."""

    embedding: NDArray[np.float32]  # [n, 128]
    verdict: NDArray[np.float32]  # [n, 32]
    quality: NDArray[np.float32]  # [n, 512]


@torch.no_grad()
def features_of(trunk: Trunk, images: NDArray[np.uint8], batch_size: int = 256) -> Features:
    """Features of uint8 images [n, 128, 128, 3] in fp32, as they are served."""
    parts: list[tuple[NDArray[np.float32], ...]] = []
    device = next(trunk.parameters()).device
    for start in range(0, len(images), batch_size):
        levels = trunk(to_input(torch.from_numpy(images[start : start + batch_size]).to(device)))
        found: Sequence[Tensor] = (
            trunk.embedding(levels),
            trunk.verdict_vector(levels),
            trunk.quality_vector(levels),
        )
        parts.append(tuple(tensor.cpu().numpy() for tensor in found))
    return Features(*(np.concatenate([part[i] for part in parts]) for i in range(3)))
