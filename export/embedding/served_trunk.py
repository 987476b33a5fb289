"""The starter's trunk out of a bundle: the weights of its graph, as a state dict to train on."""

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor
from torch.nn import functional as F

from export.embedding.pixels import SIDE
from export.embedding.trunk import Trunk, to_input
from export.errors import ParityError, WeightsError
from export.graphs import run_model
from worker.model.bundle import read_manifest

_PREFIX = "trunk."
_CONVOLUTIONS = {  # with the normalisation that the graph has in each one's weights
    "low.0.0": "low.0.1",
    "low.1.convolution": "low.1.normalise",
    "middle.0.0": "middle.0.1",
    "middle.1.convolution": "middle.1.normalise",
    "middle.2.0": "middle.2.1",
    "middle.3.convolution": "middle.3.normalise",
    "deep.0": "deep.1",
    "evidence.0": "evidence.1",
}
_VERDICT = ("verdict.weight", "verdict.bias")
_TOLERANCE = 1e-5


def trunk_of_bundle(bundle: Path) -> dict[str, Tensor]:
    """The state dict of the `Trunk` that a bundle's graph holds, without `embed`, which no graph has.

    The graph's convolutions hold their normalisation; here it has a mean of 0, a variance of 1, and gives
    back the graph's bias. So the maps are the same, and a training must leave its statistics as they are.

    Raises:
        BundleError: the folder holds no bundle.
        WeightsError: none of its graphs holds the starter's trunk.
        ParityError: the weights give other verdict vectors than the graph does.

    """
    manifest, _ = read_manifest(bundle)
    for graph in manifest.graphs:
        model = onnx.load(str(bundle / graph.file))
        held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        if all(_PREFIX + name in held for name in _VERDICT):
            state = _state(held, bundle)
            _require_same_vectors(state, model, bundle)
            return state
    raise WeightsError(f"{bundle}: no graph of this bundle holds the starter's trunk; name one that does")


def _state(held: dict[str, NDArray[np.float32]], bundle: Path) -> dict[str, Tensor]:
    def tensor(name: str) -> Tensor:
        if _PREFIX + name not in held:
            raise WeightsError(
                f"{bundle}: its graph lacks {_PREFIX}{name}: its trunk is not the starter's, or it is int8"
            )
        return torch.from_numpy(held[_PREFIX + name].astype(np.float32))

    state = {name: tensor(name) for name in _VERDICT}
    epsilon = torch.nn.BatchNorm2d(1).eps
    for convolution, norm in _CONVOLUTIONS.items():
        bias = tensor(f"{convolution}.weight_bias")
        state[f"{convolution}.weight"] = tensor(f"{convolution}.weight")
        state[f"{norm}.weight"] = torch.full_like(bias, (1 + epsilon) ** 0.5)
        state[f"{norm}.bias"] = bias
        state[f"{norm}.running_mean"] = torch.zeros_like(bias)
        state[f"{norm}.running_var"] = torch.ones_like(bias)
        state[f"{norm}.num_batches_tracked"] = torch.tensor(1)
    return state


@torch.no_grad()
def _require_same_vectors(state: dict[str, Tensor], model: onnx.ModelProto, bundle: Path) -> None:
    """Compare the verdict vectors of noise, blurred more and more, with those of the graph itself."""
    trunk = Trunk().eval()
    trunk.load_state_dict(state, strict=False)
    noise = torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    smooth = [F.interpolate(noise[i : i + 1, :, : 4**i, : 4**i], SIDE, mode="bilinear") for i in range(4)]
    images = (255 * torch.cat(smooth)).byte().permute(0, 2, 3, 1).contiguous()
    ours = trunk.verdict_vector(trunk(to_input(images)))
    theirs = F.normalize(torch.from_numpy(_verdicts(model, images.numpy())), dim=1)
    if (difference := float((ours - theirs).abs().max())) > _TOLERANCE:
        raise ParityError(f"{bundle}: the weights of its trunk give other vectors than it, by {difference:g}")


def _verdicts(model: onnx.ModelProto, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the graph gives to its verdict space, float32 [n, 32], before it is made of length 1."""
    weight = _PREFIX + _VERDICT[0]
    (name,) = (node.output[0] for node in model.graph.node if weight in node.input)
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return run_model(model.SerializeToString(), images)[name]
