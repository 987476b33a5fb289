"""A small image encoder as ONNX with an input, a crop and a mean of its own, and the Parts made of it."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from export.parts import Part, PartFolder, describe_file, write_part
from schemas.bundle import EmbeddingHead, Graph, Head, ImageInput, OutputInput, ScoreHead

PIXELS = ImageInput(height=224, width=224, resize="crop", filter="bicubic", crop_share=0.875)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DIM = 3 * 8 * 8


def reference_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """What timm and torchvision feed such an encoder: Resize(256, bicubic), CenterCrop(224)."""
    whole = int(256 * image.width / min(image.size)), int(256 * image.height / min(image.size))
    left, top = round((whole[0] - 224) / 2), round((whole[1] - 224) / 2)
    resized = image.convert("RGB").resize(whole, Image.Resampling.BICUBIC)
    return np.asarray(resized.crop((left, top, left + 224, top + 224)))


def reference_vector(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What the encoder's own library would give of its pixels: float64 [DIM], of length 1."""
    normalised = (pixels / 255.0 - MEAN) / DEVIATION
    pooled = normalised.reshape(8, 28, 8, 28, 3).mean(axis=(1, 3)).transpose(2, 0, 1).ravel()
    vector: NDArray[np.float64] = pooled / np.linalg.norm(pooled)
    return vector


def write_parts(folder: Path) -> list[PartFolder]:
    """An embedding, and a score `bright` over the maps of the same trunk."""
    maps = Graph(file="trunk.onnx", inputs={"images": PIXELS}, outputs={"maps": "maps"})
    takes = {"maps": OutputInput(output="maps")}
    return [
        _part(
            folder / "embedding", maps,
            Graph(file="embedding.onnx", inputs=takes, outputs={"embedding": "vector"}),
            EmbeddingHead(output="embedding", dim=DIM, space="tiny-1", near_duplicate_distance=0.05),
        ),
        _part(
            folder / "bright", maps,
            Graph(file="bright.onnx", inputs=takes, outputs={"bright": "score"}),
            ScoreHead(kind="novelty", name="bright", output="bright", description="how bright it is"),
        ),
    ]  # fmt: skip


def _part(folder: Path, maps: Graph, graph: Graph, head: Head) -> PartFolder:
    folder.mkdir(parents=True)
    _save(_trunk(), folder / maps.file)
    _save(_embedding() if isinstance(head, EmbeddingHead) else _bright(), folder / graph.file)
    files = [describe_file(folder / one.file) for one in (maps, graph)]
    return write_part(folder, Part(head=head, graphs=[maps, graph], files=files))


def _constant(name: str, values: object, dtype: type = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def _trunk() -> onnx.GraphProto:
    return helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["float", "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "deviation"], ["normalised"]),
            helper.make_node("Transpose", ["normalised"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("AveragePool", ["planes"], ["pooled"], kernel_shape=[28, 28], strides=[28, 28]),
            helper.make_node("Flatten", ["pooled"], ["maps"]),
        ],
        "trunk",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 224, 224, 3])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["n", DIM])],
        [
            _constant("mean", 255 * np.array(MEAN).reshape(1, 1, 1, 3)),
            _constant("deviation", 255 * np.array(DEVIATION).reshape(1, 1, 1, 3)),
        ],
    )


def _embedding() -> onnx.GraphProto:
    return helper.make_graph(
        [helper.make_node("LpNormalization", ["maps"], ["vector"], axis=1, p=2)],
        "embedding",
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["n", DIM])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", DIM])],
    )


def _bright() -> onnx.GraphProto:
    return helper.make_graph(
        [
            helper.make_node("ReduceMean", ["maps", "axes"], ["mean"], keepdims=0),
            helper.make_node("Sigmoid", ["mean"], ["score"]),
        ],
        "bright",
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["n", DIM])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"])],
        [_constant("axes", [1], np.int64)],
    )


def _save(graph: onnx.GraphProto, path: Path) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
