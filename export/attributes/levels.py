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
FROZEN = 14  # of the 19 blocks; those after them are what a training may change


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
        return _joined([read[block] for block in _BASE]), torch.cat([read[block] for block in LEVELS], dim=1)


class UpperBlocks(nn.Module):
    """The blocks that a training may change: maps of block 13 [n, 96, h, w] to the `vector` of an encoder.

    They are those of a LevelEncoder: what is trained here is written there. Batch statistics stay.
    """

    def __init__(self, network: LevelEncoder) -> None:
        super().__init__()
        self.blocks = network.features[FROZEN:].requires_grad_(True)

    def train(self, mode: bool = True) -> "UpperBlocks":  # noqa: ARG002
        """Stays in evaluation mode."""
        return super().train(False)

    def forward(self, maps: Tensor) -> Tensor:
        """See the class."""
        return _joined([maps.mean(dim=(2, 3)), self.blocks(maps).mean(dim=(2, 3))])


def _joined(pooled: list[Tensor]) -> Tensor:
    return torch.cat([F.normalize(F.relu(level), dim=1) for level in pooled], dim=1)


def level_encoder(weights: str, preprocess: Preprocess) -> LevelEncoder:
    """The network with these weights.

    Raises:
        WeightsError: the weights are missing or of another network.

    """
    network = LevelEncoder(preprocess)
    load_trunk_weights(network, weights)
    return network


def write_level_encoder(network: LevelEncoder, target: Path) -> ImageInput:
    """Write the graph with the outputs `vector` and `levels`; gives the pixels that it takes."""
    network.eval()
    export_onnx(network, torch.zeros(2, SIDE, SIDE, 3, dtype=torch.uint8), target, ("vector", "levels"))
    return ImageInput(height=SIDE, width=SIDE)
