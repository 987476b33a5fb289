"""A bundle of another embedding space: the starter's, with vectors that lie elsewhere."""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.bundle.changed import write_changed
from worker.model.bundle import read_manifest
from worker.settings import STARTER_BUNDLE

SPACE = "another-space"
DIM = 128
# Dimensions change places and weights: within the space other images are near than before.
_PLACES = np.roll(np.arange(DIM), 17)
_WEIGHTS = np.linspace(0.2, 3.0, DIM, dtype=np.float32)


def write_bundle(out: Path) -> Path:
    """Write it to `out`."""
    manifest, _ = read_manifest(STARTER_BUNDLE)
    head = manifest.embedding
    assert head is not None
    assert head.dim == DIM
    (graph_file,) = (g.file for g in manifest.graphs if head.output in g.outputs)
    model = onnx.load(STARTER_BUNDLE / graph_file)
    for node in model.graph.node:  # the old output goes on under another name
        node.input[:] = ["old" if name == head.output else name for name in node.input]
        node.output[:] = ["old" if name == head.output else name for name in node.output]
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(_PLACES.astype(np.int64), "places"),
            numpy_helper.from_array(_WEIGHTS, "weights"),
        ]
    )
    model.graph.node.extend(
        [
            helper.make_node("Gather", ["old", "places"], ["moved"], axis=1),
            helper.make_node("Mul", ["moved", "weights"], ["weighed"]),
            helper.make_node("LpNormalization", ["weighed"], [head.output], axis=1, p=2),
        ]
    )
    changed_graph = out.with_suffix(".onnx")
    onnx.save(model, changed_graph)
    other = head.model_copy(update={"space": SPACE, "attributes": {}})
    heads = [other if each.kind == "embedding" else each for each in manifest.heads]
    write_changed(
        STARTER_BUNDLE, manifest.model_copy(update={"heads": heads}), out, {graph_file: changed_graph}
    )
    return out


def moved(vector: np.ndarray) -> np.ndarray:
    """The vector in the other space of an image that has `vector` in the starter's, float32 [DIM]."""
    weighed = vector[_PLACES] * _WEIGHTS
    return np.asarray(weighed / np.linalg.norm(weighed), np.float32)
