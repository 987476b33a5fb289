"""Any image encoder that is an ONNX file, wrapped so that the worker can run it.

uint8 pixels go in; mean and scale, the encoder, and the pooling of maps or tokens follow in one graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, compose, helper, numpy_helper

from export.errors import EncoderError
from schemas.bundle import ImageInput

Pool = Literal["mean", "cls"]
_FLOATS = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16}
_USUAL_OUTPUTS = ("image_embeds", "embedding", "embeddings", "pooler_output", "features")
_OLDEST_OPSET = 13


@dataclass(frozen=True)
class Preprocessing:
    """How an encoder's own library makes its input: pixels of `image`, then (x / 255 - mean) / deviation."""

    image: ImageInput
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def _image(resize: str, interpolation: str, crop_share: float = 1.0) -> ImageInput:
    return ImageInput.model_validate(
        {"height": 224, "width": 224, "resize": resize, "filter": interpolation, "crop_share": crop_share}
    )


# torchvision's and timm's usual evaluation; OpenAI's CLIP; SigLIP; TensorFlow's mobilenets.
PRESETS = {
    "imagenet": Preprocessing(_image("crop", "bilinear", 0.875), *_IMAGENET),
    "dino": Preprocessing(_image("crop", "bicubic", 0.875), *_IMAGENET),
    "clip": Preprocessing(_image("crop", "bicubic"), *_CLIP),
    "siglip": Preprocessing(_image("stretch", "bicubic"), *_HALF),
    "tensorflow": Preprocessing(_image("stretch", "bilinear"), *_HALF),
}


def wrap_encoder(
    source: Path,
    preprocessing: Preprocessing,
    target: Path,
    *,
    output: str | None = None,
    pool: Pool = "mean",
) -> None:
    """Write a graph `images` uint8 [n, height, width, 3] -> `vector` float32 [n, dim] around an encoder.

    Args:
        source: an encoder with one input, float [n, 3, h, w] or [n, h, w, 3], whose output is a vector
            [n, d], maps [n, c, h, w] (averaged) or tokens [n, t, d] (see `pool`).
        preprocessing: what its library does to pixels.
        target: the file to write.
        output: the output to take; by default the only one, or one of the usual names.
        pool: of tokens, their mean or the first one.

    Raises:
        EncoderError: the file is no such encoder; the message says what is different and what to do.

    """
    model = _load(source)
    graph = model.graph
    taken = _image_input(source, graph, preprocessing.image)
    given = _output(source, graph, output)
    _free_the_batch(graph)
    opset = _opset(source, model)
    before = _before(taken, preprocessing, opset, model)
    after = _after(given, pool, opset, model, source)
    try:
        whole = compose.merge_models(
            before, compose.add_prefix(model, "encoder."), [("normalised", f"encoder.{taken.name}")],
            outputs=[f"encoder.{given.name}"],
        )  # fmt: skip
        whole = compose.merge_models(whole, after, [(f"encoder.{given.name}", "features")])
        onnx.checker.check_model(whole)
    except (ValueError, onnx.checker.ValidationError) as error:
        raise EncoderError(f"{source} cannot be wrapped: {error}") from None
    onnx.save(whole, str(target))


def write_reduction(target: Path, mean: np.ndarray | None, components: np.ndarray | None, dim: int) -> None:
    """Write a graph `vector` float32 [n, dim] -> `embedding` float32 [n, k] of length 1.

    Args:
        target: the file to write.
        mean: float [dim], taken off first; None leaves vectors as they are.
        components: float [dim, k], by which they are multiplied then.
        dim: of the vectors.

    """
    nodes, constants, name = [], [], "vector"
    if mean is not None and components is not None:
        constants = [
            numpy_helper.from_array(components.astype(np.float32), "components"),
            numpy_helper.from_array((-mean @ components).astype(np.float32), "bias"),
        ]
        nodes.append(helper.make_node("Gemm", ["vector", "components", "bias"], ["reduced"]))
        name = "reduced"
    nodes.append(helper.make_node("LpNormalization", [name], ["embedding"], axis=1, p=2))
    size = dim if components is None else components.shape[1]
    graph = helper.make_graph(
        nodes, "embedding",
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["batch", dim])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", size])], constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


def _load(source: Path) -> onnx.ModelProto:
    if not source.is_file():
        raise EncoderError(f"--encoder {source}: no such file")
    try:
        model = onnx.load(str(source))  # weights beside the file are taken in
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, OSError, ValueError) as error:
        raise EncoderError(
            f"--encoder {source} does not load as ONNX, or its weights do not lie beside it: {error}"
        ) from None
    return model


def _shape(value: onnx.ValueInfoProto) -> list[int | None]:
    return [axis.dim_value or None for axis in value.type.tensor_type.shape.dim]


def _image_input(source: Path, graph: onnx.GraphProto, image: ImageInput) -> onnx.ValueInfoProto:
    constants = {constant.name for constant in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise EncoderError(
            f"{source} has the inputs {names}: export the image tower alone, with pixels as its only input"
        )
    taken: onnx.ValueInfoProto = inputs[0]
    shape = _shape(taken)
    if len(shape) != 4 or taken.type.tensor_type.elem_type not in _FLOATS:
        raise EncoderError(
            f"{source}: the input {taken.name} is no float [n, 3, height, width] or [n, height, width, 3], "
            f"but has the shape {shape}"
        )
    if shape[1] not in {3, None} and shape[3] != 3:
        raise EncoderError(f"{source}: the input {taken.name} has the shape {shape}, which has no 3 channels")
    sides = shape[1:3] if _channels_last(taken) else shape[2:4]
    asked = (image.height, image.width)
    if any(own is not None and own != side for own, side in zip(sides, asked, strict=True)):
        raise EncoderError(
            f"{source} wants {sides[0]} x {sides[1]} pixels, not {asked[0]} x {asked[1]}: set --size"
        )
    return taken


def _channels_last(taken: onnx.ValueInfoProto) -> bool:
    shape = _shape(taken)
    return shape[3] == 3 and shape[1] != 3


def _output(source: Path, graph: onnx.GraphProto, asked: str | None) -> onnx.ValueInfoProto:
    outputs: dict[str, onnx.ValueInfoProto] = {value.name: value for value in graph.output}
    usual = [name for name in _USUAL_OUTPUTS if name in outputs]
    name = asked or (next(iter(outputs)) if len(outputs) == 1 else next(iter(usual), ""))
    if name not in outputs:
        raise EncoderError(f"{source} has the outputs {', '.join(outputs)}: name one with --output")
    return outputs[name]


def _free_the_batch(graph: onnx.GraphProto) -> None:
    """Any number of images; shapes in between that were inferred for one are left out."""
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del graph.value_info[:]


def _opset(source: Path, model: onnx.ModelProto) -> int:
    opset = next((one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}), 0)
    if opset < _OLDEST_OPSET:
        raise EncoderError(f"{source} is of opset {opset}: export it with opset {_OLDEST_OPSET} or later")
    return opset


def _model(graph: onnx.GraphProto, opset: int, like: onnx.ModelProto) -> onnx.ModelProto:
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=like.ir_version
    )


def _before(
    taken: onnx.ValueInfoProto, preprocessing: Preprocessing, opset: int, like: onnx.ModelProto
) -> onnx.ModelProto:
    kind, last = taken.type.tensor_type.elem_type, _channels_last(taken)
    height, width = preprocessing.image.height, preprocessing.image.width
    mean = 255 * np.array(preprocessing.mean, np.float32).reshape(1, 1, 1, 3)
    deviation = 255 * np.array(preprocessing.deviation, np.float32).reshape(1, 1, 1, 3)
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["float", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["planes"], perm=[0, 1, 2, 3] if last else [0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["normalised"], to=kind),
    ]  # fmt: skip
    shape: list[str | int | None] = ["batch", 3, height, width]
    if last:
        shape = ["batch", height, width, 3]
    graph = helper.make_graph(
        nodes, "pixels",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", height, width, 3])],
        [helper.make_tensor_value_info("normalised", kind, shape)],
        [numpy_helper.from_array(mean, "mean"), numpy_helper.from_array(deviation, "deviation")],
    )  # fmt: skip
    return _model(graph, opset, like)


def _after(
    given: onnx.ValueInfoProto, pool: Pool, opset: int, like: onnx.ModelProto, source: Path
) -> onnx.ModelProto:
    rank, kind = len(given.type.tensor_type.shape.dim), given.type.tensor_type.elem_type
    constants: list[TensorProto] = []
    if rank == 2:
        nodes = [helper.make_node("Identity", ["features"], ["pooled"])]
    elif rank == 4:
        nodes = [
            helper.make_node("GlobalAveragePool", ["features"], ["averaged"]),
            helper.make_node("Flatten", ["averaged"], ["pooled"]),
        ]
    elif rank == 3 and pool == "cls":
        constants.append(numpy_helper.from_array(np.array(0, np.int64), "first"))
        nodes = [helper.make_node("Gather", ["features", "first"], ["pooled"], axis=1)]
    elif rank == 3:
        nodes, constants = _mean_of_tokens(opset)
    else:
        raise EncoderError(
            f"{source}: the output {given.name} has {rank} axes; a vector has 2, tokens 3, maps 4: name "
            "another with --output"
        )
    nodes.append(helper.make_node("Cast", ["pooled"], ["vector"], to=TensorProto.FLOAT))
    features = helper.make_tensor_value_info("features", kind, [None] * rank)
    vector = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["batch", None])
    return _model(helper.make_graph(nodes, "pool", [features], [vector], constants), opset, like)


def _mean_of_tokens(opset: int) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    if opset < 18:  # the axes were an attribute
        return [helper.make_node("ReduceMean", ["features"], ["pooled"], axes=[1], keepdims=0)], []
    axes: Sequence[int] = [1]
    constant = numpy_helper.from_array(np.array(axes, np.int64), "axes")
    return [helper.make_node("ReduceMean", ["features", "axes"], ["pooled"], keepdims=0)], [constant]
