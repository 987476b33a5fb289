"""Trunks: frozen networks that turn uint8 images into the maps that R and D work on.

A trunk is any module uint8 [n, height, width, 3] -> float32 [n, c, h, w]. `Pixels` is the
published space; `MobileNetV2` cuts torchvision's network at a mid-level block. Weights come from a
file, from a bundle, from torchvision's own download, or are left random.
"""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.embedding.part import Encoder
from export.embedding.served_trunk import trunk_of_bundle
from export.embedding.trunk import VerdictSpace
from export.errors import WeightsError
from export.parts import output_of
from worker.model.infer import Model
from worker.model.session import Execution

# How pixels in [0, 255] become a network's input: (scale, mean, deviation) in units of 1 / 255.
Preprocess = Literal["tensorflow", "torchvision"]
_PREPROCESS = {
    "tensorflow": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # x / 127.5 - 1
    "torchvision": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


# Constants, and a head of the starter's trunk that stands beside its verdict space.
_NOT_OF_THE_MAPS = ("normalise.", "embed.")


class Normalise(nn.Module):
    """Uint8 [n, h, w, 3] to float32 [n, 3, h, w], less a mean and over a deviation by channel."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        mean, deviation = _PREPROCESS[preprocess]
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("deviation", 255 * torch.tensor(deviation).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        normalised: Tensor = (images.permute(0, 3, 1, 2).float() - self.mean) / self.deviation
        return normalised


class Pixels(nn.Module):
    """No trunk: the pixels themselves, float32 [n, 3, h, w] in [-1, 1]; or their mean, [n, 1, h, w]."""

    def __init__(self, *, channels: Literal[1, 3] = 3) -> None:
        super().__init__()
        self.channels = channels
        self.normalise = Normalise("tensorflow")

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        maps: Tensor = self.normalise(images)
        return maps if self.channels == 3 else maps.mean(dim=1, keepdim=True)


class MobileNetV2(nn.Module):
    """The first `blocks` + 1 feature blocks of torchvision's mobilenet_v2, pooled by `pool`.

    Sandler et al., CVPR 2018. At 224 px, 6 blocks give 32 maps of 28 x 28, 13 give 96 of 14 x 14.
    """

    def __init__(self, blocks: int, pool: int, preprocess: Preprocess) -> None:
        super().__init__()
        from torchvision.models import mobilenet_v2  # noqa: PLC0415 - pixel models do without it

        self.normalise = Normalise(preprocess)
        self.features = mobilenet_v2(weights=None).features[: blocks + 1]
        self.pool = pool
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        maps: Tensor = self.features(self.normalise(images))
        return functional.avg_pool2d(maps, self.pool) if self.pool > 1 else maps

    def train(self, mode: bool = True) -> "MobileNetV2":  # noqa: ARG002
        """Stays in evaluation mode: a frozen trunk keeps its batch statistics."""
        return super().train(False)


class EncoderSpace(nn.Module):
    """The vectors of an embedding's Part, by ONNX Runtime as the worker runs it: float32 [n, dim, 1, 1]."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self._manifest = encoder.part.part.manifest()
        self._model = Model(self._manifest, encoder.part.path, Execution())

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        vectors = output_of(self._model, self._manifest, [images.cpu().numpy()])
        return torch.from_numpy(vectors)[:, :, None, None].to(images.device)


def load_trunk_weights(trunk: nn.Module, weights: str) -> None:
    """Fill a trunk: `weights` is a file of a state dict, `torchvision`, `none`, or a bundle of the starter's.

    Raises:
        WeightsError: the file is missing or of another network, or the download failed.

    """
    if weights == "none" or isinstance(trunk, EncoderSpace):
        return
    state = _state_of(trunk, weights)
    wanted = trunk.state_dict()
    held = {name: value.to(wanted[name].dtype) for name, value in state.items() if name in wanted}
    own = {name for name in wanted if not name.startswith(_NOT_OF_THE_MAPS)}
    if missing := sorted(own - held.keys()):
        raise WeightsError(
            f"{weights} lacks {len(missing)} of {len(own)} tensors of {type(trunk).__name__} "
            f"({', '.join(missing[:3])} ...): weights of another network?"
        )
    try:
        trunk.load_state_dict(held, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"{weights} does not fit {type(trunk).__name__}: {error}") from error


def _state_of(trunk: nn.Module, weights: str) -> dict[str, Tensor]:
    if weights == "torchvision":
        return _downloaded()
    if isinstance(trunk, VerdictSpace) and Path(weights).is_dir():
        return trunk_of_bundle(Path(weights))
    return _read_state(Path(weights))


def _read_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError(
            f"--weights {path}: no such file: give a state dict, torchvision, or a bundle "
            "with the starter's trunk for the verdict space"
        )
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"--weights {path} is no state dict that torch.load reads: {error}") from error
    return state


def _downloaded() -> dict[str, Tensor]:
    from torchvision.models import MobileNet_V2_Weights  # noqa: PLC0415

    try:
        state: dict[str, Tensor] = MobileNet_V2_Weights.IMAGENET1K_V2.get_state_dict(
            progress=True, check_hash=True
        )
    except OSError as error:
        raise WeightsError(
            f"--weights torchvision could not be downloaded ({error}); without internet access give a file"
        ) from error
    return state
