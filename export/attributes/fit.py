"""Attributes of labelled images: a sub-space that shows them, joined to the vector, and their vectors.

The query feature transformation of Mercari adds the median vector of one value and takes off that of another.
Where a vector hardly shows the attribute (a smile, in features trained on things), its difference is lost
among all else; so one number for each value, the probability that a linear classifier gives it, is joined
to the vector, large enough to count.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Vectors = NDArray[np.float32]
# Of the inverse penalty: few images, many numbers.
_STRENGTH = 0.1
# What is not shown at all cannot be made to count by a larger scale.
_LEAST_CHANGE = 0.1


@dataclass(frozen=True)
class SubSpace:
    """Numbers joined to a vector: scale * softmax(levels @ weights + bias), weights [levels, values]."""

    names: tuple[str, ...]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    scale: float

    def shown(self, levels: Vectors) -> NDArray[np.float64]:
        """The probability of each value: [n, values]."""
        raised = levels @ self.weights + self.bias
        powers = np.exp(raised - raised.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return shares

    def join(self, vectors: Vectors, levels: Vectors) -> Vectors:
        """Unit vectors [n, dim + values]."""
        joined = np.concatenate([unit(vectors), self.scale * self.shown(levels)], axis=1)
        return unit(joined)


def unit(vectors: NDArray[np.floating]) -> Vectors:
    """Rows of length 1."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)


def fit_sub_space(vectors: Vectors, levels: Vectors, labels: NDArray[np.str_]) -> SubSpace:
    """A classifier of the labels on `levels` [n, k], and the scale that makes its numbers count.

    The scale is set so that a change of value moves an image twice as far as the nearest image of another
    value lies in `vectors` [n, dim] (the median over the images): nearer, that one would stay the nearest.
    """
    scaler, classifier = StandardScaler(), LogisticRegression(C=_STRENGTH, max_iter=3000)
    make_pipeline(scaler, classifier).fit(levels.astype(np.float64), labels)
    names, weights, bias = classifier.classes_, classifier.coef_.T, classifier.intercept_
    if len(names) == 2:  # one column: that of the second value against the first
        weights = np.concatenate([np.zeros_like(weights), weights], axis=1)
        bias = np.concatenate([np.zeros_like(bias), bias])
    spread = scaler.scale_[:, None]
    bias = bias - (scaler.mean_[:, None] / spread * weights).sum(axis=0)
    space = SubSpace(tuple(map(str, names)), weights / spread, bias, 1.0)
    scale = 2 * _nearest_other(vectors, labels) / _change(space.shown(levels), labels)
    return replace(space, scale=scale)


def _change(shown: NDArray[np.float64], labels: NDArray[np.str_]) -> float:
    """How far the medians of two values lie apart in what is shown [n, values], on average over the pairs."""
    medians = np.array([np.median(shown[labels == name], axis=0) for name in np.unique(labels)])
    apart = np.linalg.norm(medians[:, None] - medians[None], axis=2)
    return max(float(apart[np.triu_indices(len(medians), 1)].mean()), _LEAST_CHANGE)


def _nearest_other(vectors: Vectors, labels: NDArray[np.str_]) -> float:
    """The median distance of an image to the nearest one of another value."""
    own = unit(vectors)
    near = []
    for row, label in zip(own, labels, strict=True):
        near.append(float((own[labels != label] @ row).max()))
    return float(np.median(np.sqrt(np.maximum(0, 2 - 2 * np.array(near)))))


def attribute_vectors(vectors: Vectors, labels: NDArray[np.str_]) -> dict[str, Vectors]:
    """By value, the median of its images less the median of those of every value, float32 [dim].

    Each value counts alike, however many images it has. A search that adds one and takes off another moves by
    the difference of their medians.
    """
    medians = {str(name): np.median(vectors[labels == name], axis=0) for name in np.unique(labels)}
    middle = np.mean(list(medians.values()), axis=0)
    return {name: (median - middle).astype(np.float32) for name, median in medians.items()}


def write_join(target: Path, space: SubSpace, dim: int, levels: int) -> None:
    """Write a graph `vector` [n, dim] and `levels` [n, levels] -> `embedding` of length 1, as `join`."""
    nodes = [helper.make_node("LpNormalization", ["vector"], ["base"], axis=1, p=2)]
    constants = [
        numpy_helper.from_array(space.weights.astype(np.float32), "weights"),
        numpy_helper.from_array(space.bias.astype(np.float32), "bias"),
        numpy_helper.from_array(np.array(space.scale, np.float32), "scale"),
    ]
    nodes += [
        helper.make_node("Gemm", ["levels", "weights", "bias"], ["raised"]),
        helper.make_node("Softmax", ["raised"], ["shares"], axis=1),
        helper.make_node("Mul", ["shares", "scale"], ["shown"]),
        helper.make_node("Concat", ["base", "shown"], ["joined"], axis=1),
        helper.make_node("LpNormalization", ["joined"], ["embedding"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes, "attributes",
        [
            helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["batch", dim]),
            helper.make_tensor_value_info("levels", TensorProto.FLOAT, ["batch", levels]),
        ],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", dim + len(space.names)])],
        constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, str(target))
