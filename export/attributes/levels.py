"""MobileNetV2 read at several depths: what a thing is lies deep, how it looks lies earlier."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.alocc.trunks import Normalise, Preprocess, load_trunk_weights
from export.graphs import export_onnx
from schemas.bundle import ImageInput

SIDE = 224
# Blocks of torchvision's mobilenet_v2 (Sandler et al., 2018): 24 to 96 maps each.
LEVELS = (3, 6, 10, 13)
_BASE = (13, 18)


class LevelEncoder(nn.Module):
    """uint8 [n, 224, 224, 3] to `vector` [n, 1376] and `levels` [n, 216], means of feature maps.

    `vector` is non-negative where the maps are (the last one is, by its ReLU6), as in Mercari's query
    feature transformation; of block 13 the positive part is taken.
    """

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        from torchvision.models import mobilenet_v2  # noqa: PLC0415 - an encoder of one's own does without

        self.normalise = Normalise(preprocess)
        self.features = mobilenet_v2(weights=None).features
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        maps, read = self.normalise(images), {}
        for block, layer in enumerate(self.features):
            maps = layer(maps)
            if block in LEVELS or block in _BASE:
                read[block] = maps.mean(dim=(2, 3))
        joined = [F.normalize(F.relu(read[block]), dim=1) for block in _BASE]
        return torch.cat(joined, dim=1), torch.cat([read[block] for block in LEVELS], dim=1)


def write_level_encoder(weights: str, preprocess: Preprocess, target: Path) -> ImageInput:
    """Write the graph with the outputs `vector` and `levels`; gives the pixels that it takes.

    Raises:
        WeightsError: the weights are missing or of another network.

    """
    network = LevelEncoder(preprocess)
    load_trunk_weights(network, weights)
    network.eval()
    export_onnx(network, torch.zeros(2, SIDE, SIDE, 3, dtype=torch.uint8), target, ("vector", "levels"))
    return ImageInput(height=SIDE, width=SIDE)
