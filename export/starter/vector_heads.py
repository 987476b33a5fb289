"""The starter's heads of vectors: their views of the training photos, their training, their figures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.embedding.augment import view
from export.embedding.edits import EDITS
from export.embedding.heads import CopyHead, EmbeddingHead, averaged
from export.embedding.metric_training import (
    MetricSettings,
    Views,
    train_copy_head,
    train_embedding_head,
)
from export.embedding.trunk import Trunk, to_input

VIEWS = 16
_BATCH = 256


@dataclass(frozen=True)
class VectorHeads:
    """Embedding and copy vector over one trunk, ready for the graph."""

    embedding: EmbeddingHead
    copy: CopyHead


@dataclass(frozen=True)
class Vectors:
    """Of images, row by row: embedding float32 [n, 128], copy float32 [n, 64], each of length 1."""

    embedding: NDArray[np.float32]
    copy: NDArray[np.float32]


def train_vector_heads(
    trunk: Trunk,
    photos: NDArray[np.uint8],
    edited: NDArray[np.uint8],
    labels: NDArray[np.int64],
    settings: MetricSettings,
    seed: int,
) -> VectorHeads:
    """Both heads, over the frozen trunk.

    Args:
        trunk: as it will serve.
        photos: uint8 [n, 128, 128, 3], of training.
        edited: uint8 [edits, n, 128, 128, 3], edits of the same.
        labels: [n], NO_LABEL where unknown.
        settings: lengths and weights.
        seed: of views and weights.

    """
    device = next(trunk.parameters()).device
    torch.manual_seed(seed)
    plain = pooled(trunk, to_input(torch.from_numpy(photos)))
    views = [plain, *(_view(trunk, photos, number) for number in range(VIEWS))]
    stacked = Views(np.stack([view[0] for view in views]), np.stack([view[1] for view in views]))
    copies = [plain[0], *(pooled(trunk, to_input(torch.from_numpy(one)))[0] for one in edited)]
    return VectorHeads(
        train_embedding_head(stacked, labels, settings, seed, device).cpu(),
        train_copy_head(np.stack(copies), settings, seed, device).cpu(),
    )


def _view(
    trunk: Trunk, photos: NDArray[np.uint8], number: int
) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
    """One view of every photo."""
    parts = []
    device = next(trunk.parameters()).device
    for start in range(0, len(photos), _BATCH):
        images = to_input(torch.from_numpy(photos[start : start + _BATCH]).to(device))
        parts.append(pooled(trunk, view(images, number)))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


@torch.no_grad()
def pooled(trunk: Trunk, images: Tensor) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
    """Pooled vectors and averaged images of float32 [n, 3, 128, 128], as training keeps them."""
    device = next(trunk.parameters()).device
    vectors, small = [], []
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH].to(device)
        vectors.append(trunk.pooled_vector(trunk(batch)).half().cpu().numpy())
        small.append(((averaged(batch) + 1) * 127.5).round().clamp(0, 255).byte().cpu().numpy())
    return np.concatenate(vectors), np.concatenate(small)


@torch.no_grad()
def vectors_of(trunk: Trunk, heads: VectorHeads, images: NDArray[np.uint8]) -> Vectors:
    """Vectors of uint8 images [n, 128, 128, 3] in fp32, as they are served."""
    parts = []
    for start in range(0, len(images), _BATCH):
        batch = to_input(torch.from_numpy(images[start : start + _BATCH]))
        vector = trunk.pooled_vector(trunk(batch))
        parts.append((heads.embedding(vector, averaged(batch)).numpy(), heads.copy(vector).numpy()))
    return Vectors(np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))


def copy_figures(
    own: NDArray[np.float32],
    copies: NDArray[np.float32],
    senders: Sequence[str],
    false_share: float = 1e-4,
) -> dict[str, float]:
    """The share of edited copies that are found, edit by edit, at `false_share` of false pairs.

    Args:
        own: vectors of photos, of length 1 [n, d].
        copies: those of their edits [EDITS, n, d], in the order of EDITS.
        senders: of each photo; pairs of one sender's photos are no false pairs: they may be relisted.
        false_share: of all pairs of photos of two senders.

    """
    similar = own @ own.T
    sender = np.asarray(senders)
    others = similar[sender[:, None] != sender[None, :]]
    cut = float(np.quantile(others, 1 - false_share))
    found = {name: float(((copies[i] * own).sum(axis=1) > cut).mean()) for i, name in enumerate(EDITS)}
    return {"mean": float(np.mean(list(found.values()))), **found}
