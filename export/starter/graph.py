"""The graph that serves: uint8 pixels to embedding, notice score, QR score and preference."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from export.alocc.model import AloccModel
from export.starter.images import SIDE
from export.starter.preference import PreferenceHead
from export.starter.trunk import Trunk, to_input

OUTPUTS = ("embedding", "text", "qr", "preference")
OPSET = 18


class NoveltyScore(nn.Module):
    """How well a class's reinforcer restores an image: 0.5 is the threshold, 1 is surely of the class."""

    cut: Tensor
    slope: Tensor

    def __init__(self, model: AloccModel, cut: float, slope: float) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("cut", torch.tensor(cut))
        self.register_buffer("slope", torch.tensor(slope))

    @staticmethod
    def closeness(model: AloccModel, vectors: Tensor) -> Tensor:
        """Minus the logarithm of the restoration error of verdict vectors [n, 32, 1, 1]: [n]."""
        return -torch.log(model.restoration_error(vectors) + 1e-6)

    def forward(self, vectors: Tensor) -> Tensor:
        """Verdict vectors [n, 32] to scores [n] in (0, 1)."""
        close = self.closeness(self.model, vectors[:, :, None, None])
        return torch.sigmoid((close - self.cut) * self.slope)


class Scorer(nn.Module):
    """The whole graph; the trunk runs once for all heads."""

    def __init__(
        self, trunk: Trunk, text: NoveltyScore, qr: NoveltyScore, preference: PreferenceHead
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.text = text
        self.qr = qr
        self.preference = preference

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """uint8 [n, 128, 128, 3] to embedding [n, 128], text [n], qr [n], preference [n]."""
        levels = self.trunk(to_input(images))
        verdict = self.trunk.verdict_vector(levels)
        return (
            self.trunk.embedding(levels),
            self.text(verdict),
            self.qr(verdict),
            self.preference(self.trunk.quality_vector(levels)),
        )


def mega_flops(scorer: Scorer) -> float:
    """Floating-point operations for one image in millions, a multiply-add counted as two."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        scorer(torch.zeros(1, SIDE, SIDE, 3, dtype=torch.uint8))
    return float(counter.get_total_flops()) / 1e6


def export_onnx(scorer: Scorer, path: Path) -> None:
    """Write the fp32 graph with a dynamic batch, in one file."""
    scorer = scorer.eval().to(memory_format=torch.contiguous_format)
    example = torch.zeros(2, SIDE, SIDE, 3, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.onnx.export(
        scorer, (example,), dynamo=True, input_names=["images"], output_names=list(OUTPUTS),
        dynamic_shapes=({0: batch},), opset_version=OPSET, external_data=False, verbose=False,
    )  # fmt: skip
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    program.save(str(path), external_data=False)
    onnx.checker.check_model(str(path))


def run_onnx(path: Path, images: NDArray[np.uint8], batch_size: int = 64) -> dict[str, NDArray[np.float32]]:
    """All outputs of a graph for uint8 images [n, 128, 128, 3], on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    parts = [
        session.run(list(OUTPUTS), {"images": images[start : start + batch_size]})
        for start in range(0, len(images), batch_size)
    ]
    return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(OUTPUTS)}


def largest_difference(scorer: Scorer, path: Path, images: NDArray[np.uint8]) -> dict[str, float]:
    """Per output, the largest absolute difference between torch and ONNX Runtime."""
    with torch.no_grad():
        ours = scorer(torch.from_numpy(images))
    theirs = run_onnx(path, images, len(images))
    return {
        name: float(np.abs(tensor.numpy() - theirs[name]).max())
        for name, tensor in zip(OUTPUTS, ours, strict=True)
    }
