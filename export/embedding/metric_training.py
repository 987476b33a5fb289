"""Training of the heads of vectors on pooled vectors of the frozen trunk, computed once for many views."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from export.embedding.heads import CopyHead, EmbeddingHead
from export.embedding.losses import NO_LABEL, contrast, pair_loss
from export.progress import told


@dataclass(frozen=True)
class Views:
    """Several views of each image as the trunk sees them; view 0 is the image itself.

    pooled: float16 [views, n, POOLED_WIDTH]; small: uint8 [views, n, 3, SMALL, SMALL].
    """

    pooled: NDArray[np.float16]
    small: NDArray[np.uint8]


@dataclass(frozen=True)
class MetricSettings:
    """Length and weights; fixed before any test."""

    steps: int = 2500
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    temperature: float = 0.1
    label_scale: float = 16.0
    label_weight: float = 0.5
    same_weight: float = 0.5  # of the supervised contrast
    pair_weight: float = 0.3
    part_weight: float = 0.5  # of the same losses of deep and shallow alone
    copy_steps: int = 2500
    copy_batch: int = 512
    copy_temperature: float = 0.05
    copy_weight_decay: float = 0.02


class _Proxies(nn.Module):
    """A direction for each label in a space."""

    def __init__(self, labels: int, dim: int) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.randn(labels, dim) * 0.1)

    def forward(self, vectors: Tensor, labels: Tensor, scale: float) -> Tensor:
        known = labels != NO_LABEL
        logits = scale * vectors[known] @ F.normalize(self.directions, dim=1).T
        return F.cross_entropy(logits, labels[known], label_smoothing=0.05)


def train_embedding_head(
    views: Views, labels: NDArray[np.int64], settings: MetricSettings, seed: int, device: torch.device
) -> EmbeddingHead:
    """Labels of images [n] (NO_LABEL where unknown) drawn together, views of one image too."""
    torch.manual_seed(seed)
    head = EmbeddingHead().to(device)
    pooled, small = (torch.from_numpy(values).to(device) for values in (views.pooled, views.small))
    head.standardise.fit(pooled[0].float())
    truth = torch.from_numpy(labels).to(device)
    count = int(labels.max()) + 1
    proxies = nn.ModuleList([_Proxies(count, dim) for dim in (128, 96, 32)]).to(device)
    optimiser = torch.optim.AdamW(
        [*head.parameters(), *proxies.parameters()],
        settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, settings.steps, pct_start=0.1
    )
    half = settings.batch_size // 2
    for _ in told(settings.steps, "embedding"):
        rows = _balanced(truth, half)
        picked = torch.randint(len(pooled), (2, half), device=device)
        taken = [(pooled[view, rows].float(), small[view, rows].float() / 127.5 - 1) for view in picked]
        both = [torch.cat(parts) for parts in zip(*taken, strict=True)]
        deep, shallow = head.parts(*both)
        joined, names = head.join(deep, shallow), truth[rows].repeat(2)
        loss = torch.zeros((), device=device)
        for space, weight, own in (
            (joined, 1.0, 0),
            (deep, settings.part_weight, 1),
            (shallow, settings.part_weight, 2),
        ):
            term = settings.label_weight * proxies[own](space, names, settings.label_scale)
            term = term + settings.same_weight * contrast(space, names, settings.temperature)
            term = term + settings.pair_weight * pair_loss(space[:half], space[half:], settings.temperature)
            loss = loss + weight * term
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return head.eval()


def _balanced(truth: Tensor, count: int) -> Tensor:
    """Rows, half of them drawn evenly over labels, so that rare ones meet their like."""
    anyhow = torch.randint(len(truth), (count // 2,), device=truth.device)
    known = torch.nonzero(truth != NO_LABEL).flatten()
    weight = 1.0 / torch.bincount(truth[known]).float()[truth[known]].sqrt()
    drawn = known[torch.multinomial(weight, count - len(anyhow), replacement=True)]
    return torch.cat([anyhow, drawn])


def train_copy_head(
    pooled: NDArray[np.float16], settings: MetricSettings, seed: int, device: torch.device
) -> CopyHead:
    """Two edits of each image drawn together; all others of the batch are not copies.

    `pooled` is float16 [edits, n, POOLED_WIDTH]; 0 is the image itself.
    """
    torch.manual_seed(seed)
    head = CopyHead().to(device)
    data = torch.from_numpy(pooled).to(device)
    head.standardise.fit(data[0].float())
    optimiser = torch.optim.AdamW(
        head.parameters(), settings.learning_rate, weight_decay=settings.copy_weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, settings.copy_steps, pct_start=0.1
    )
    for _ in told(settings.copy_steps, "copies"):
        rows = torch.randperm(data.shape[1], device=device)[: settings.copy_batch]
        first = torch.randint(len(data), (len(rows),), device=device)
        second = (first + torch.randint(1, len(data), (len(rows),), device=device)) % len(data)
        given = torch.cat([data[first, rows], data[second, rows]]).float()
        vectors = head(given)
        loss = pair_loss(vectors[: len(rows)], vectors[len(rows) :], settings.copy_temperature)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return head.eval()
