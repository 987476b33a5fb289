"""Losses that compare the vectors of a batch with each other. Vectors are float32 [n, d], of length 1."""

import torch
from torch import Tensor
from torch.nn import functional as F

# The label of an image of which nothing is known: it is like no other.
NO_LABEL = -1


def pair_loss(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """InfoNCE both ways: row i of `first` belongs to row i of `second` (van den Oord et al., 2018)."""
    logits = first @ second.T / temperature
    own = torch.arange(len(first), device=first.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def contrast(vectors: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss (Khosla et al., NeurIPS 2020) of vectors of these labels [n].

    The mean over those that have their like in the batch.
    """
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    similar = (vectors @ vectors.T / temperature).masked_fill(itself, -1e4)
    same = (labels[:, None] == labels[None]) & ~itself & (labels != NO_LABEL)[:, None]
    shares = F.log_softmax(similar, dim=1)
    losses = -(shares * same).sum(dim=1) / same.sum(dim=1).clamp_min(1)
    alike = same.any(dim=1)
    return (losses * alike).sum() / alike.sum().clamp_min(1)
