"""The graph that serves: uint8 pixels to embedding, notice score, QR score and preference."""

from pathlib import Path

import torch
from torch import Tensor, nn

from export.alocc.score import NoveltyScore
from export.embedding.heads import averaged
from export.embedding.pixels import SIDE
from export.embedding.trunk import Trunk, to_input
from export.graphs import export_onnx, mega_flops
from export.preference.head import PreferenceHead
from export.starter.vector_heads import VectorHeads

OUTPUTS = ("embedding", "text", "qr", "preference", "copy")


class Scorer(nn.Module):
    """The whole graph; the trunk runs once for all heads."""

    def __init__(
        self,
        trunk: Trunk,
        text: NoveltyScore,
        qr: NoveltyScore,
        preference: PreferenceHead,
        vectors: VectorHeads,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.text = text
        self.qr = qr
        self.preference = preference
        self.embed = vectors.embedding
        self.copy = vectors.copy

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """uint8 [n, 128, 128, 3] to embedding [n, 128], text [n], qr [n], preference [n], copy [n, 64]."""
        given = to_input(images)
        levels = self.trunk(given)
        pooled = self.trunk.pooled_vector(levels)
        verdict = self.trunk.verdict_vector(levels)
        return (
            self.embed(pooled, averaged(given)),
            self.text(verdict),
            self.qr(verdict),
            self.preference(self.trunk.quality_vector(levels)),
            self.copy(pooled),
        )


def export_scorer(scorer: Scorer, path: Path) -> None:
    """Write the graph that serves."""
    export_onnx(scorer, torch.zeros(2, SIDE, SIDE, 3, dtype=torch.uint8), path, OUTPUTS)


def scorer_mega_flops(scorer: Scorer) -> float:
    """Floating-point operations for one image in millions."""
    return mega_flops(scorer, torch.zeros(1, SIDE, SIDE, 3, dtype=torch.uint8))
