"""Infer: a batch of pixels to embeddings and scores, by ONNX Runtime."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from schemas.bundle import (
    MEASURES,
    BundleManifest,
    CopyHead,
    EmbeddingHead,
    Graph,
    ImageInput,
    Measure,
    OutputInput,
)
from worker.errors import BundleError, StageError
from worker.model.session import Execution, start_session

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageBatch:
    """n images: uint8 [n, height, width, 3] for each of the manifest's `image_inputs`, in order.

    `measured` holds float32 [n] by measure.
    """

    pixels: Sequence[NDArray[np.uint8]]
    measured: Mapping[Measure, NDArray[np.float32]]

    def __len__(self) -> int:
        return len(self.pixels[0]) if self.pixels else len(next(iter(self.measured.values())))


@dataclass(frozen=True)
class Inference:
    """Of a batch of n images: what the heads of the bundle give, None where it has no such head.

    `embeddings` and `copies` are float32 [n, dim] of unit length, `tag_vectors` float32 [n, dim], `scores`
    float32 [n] by name.
    """

    embeddings: NDArray[np.float32] | None
    tag_vectors: NDArray[np.float32] | None
    scores: dict[str, NDArray[np.float32]]
    copies: NDArray[np.float32] | None = None


class Model:
    """The ONNX graphs of a bundle on one execution provider. Thread-safe, as ONNX Runtime's sessions are."""

    def __init__(self, manifest: BundleManifest, directory: Path, how: Execution) -> None:
        """Load the graphs, and warm them up in every shape that a batch is padded to.

        Raises:
            ProviderError: the provider of `how` is not what the sessions run on.
            BundleError: a graph does not load, or does not give what the manifest says.

        """
        self.manifest = manifest
        self.provider = how.provider
        self._how = how
        self._inputs = manifest.image_inputs()
        self._sessions = [(graph, start_session(directory / graph.file, how)) for graph in manifest.graphs]
        for count in how.buckets or (1,):
            self._warm_up(count)

    def infer(self, batch: ImageBatch) -> Inference:
        """Run a batch through every graph; a graph that others take from runs once.

        Raises:
            StageError: ONNX Runtime failed, or a graph gave a value that is not finite.

        """
        outputs: dict[str, NDArray[np.float32]] = {}
        heads, count = self.manifest, len(batch)
        padded = _padded(batch, self._how.padded(count))
        for graph, session in self._sessions:
            outputs.update(_run(graph, session, self._feed(graph, padded, outputs)))
        outputs = {name: values[:count] for name, values in outputs.items()}
        return Inference(
            _vectors(heads.embedding, outputs, count),
            None if heads.tags is None else outputs[heads.tags.output].reshape(count, -1),
            {score.name: outputs[score.output].reshape(count) for score in heads.scores},
            _vectors(heads.copies, outputs, count),
        )

    def _feed(
        self, graph: Graph, batch: ImageBatch, outputs: Mapping[str, NDArray[np.float32]]
    ) -> dict[str, NDArray[np.generic]]:
        feed: dict[str, NDArray[np.generic]] = {}
        for name, source in graph.inputs.items():
            if isinstance(source, ImageInput):
                feed[name] = batch.pixels[self._inputs.index(source)]
            elif isinstance(source, OutputInput):
                feed[name] = outputs[source.output]
            else:
                feed[name] = np.stack([batch.measured[measure] for measure in source.measures], axis=1)
        return feed

    def _warm_up(self, count: int) -> None:
        black = ImageBatch(
            [np.zeros((count, size.height, size.width, 3), np.uint8) for size in self._inputs],
            {measure: np.ones(count, np.float32) for measure in MEASURES},
        )
        try:
            self.infer(black)
        except StageError as error:
            raise BundleError(f"the bundle's graphs do not run: {error}") from error


def _padded(batch: ImageBatch, count: int) -> ImageBatch:
    """`batch` with its last image again and again, up to `count`."""
    more = count - len(batch)
    if more <= 0:
        return batch
    return ImageBatch(
        [np.concatenate([pixels, np.repeat(pixels[-1:], more, axis=0)]) for pixels in batch.pixels],
        {
            name: np.concatenate([values, np.repeat(values[-1:], more)])
            for name, values in batch.measured.items()
        },
    )


def _vectors(
    head: EmbeddingHead | CopyHead | None, outputs: Mapping[str, NDArray[np.float32]], count: int
) -> NDArray[np.float32] | None:
    if head is None:
        return None
    vectors = outputs[head.output]
    if vectors.shape != (count, head.dim):
        raise StageError(f"{head.output} gave {vectors.shape}, not {(count, head.dim)}")
    return vectors


def _run(
    graph: Graph, session: onnxruntime.InferenceSession, feed: dict[str, NDArray[np.generic]]
) -> dict[str, NDArray[np.float32]]:
    try:
        values = session.run(list(graph.outputs.values()), feed)
    except Exception as error:
        raise StageError(f"{graph.file} failed: {error}") from error
    for name, value in zip(graph.outputs, values, strict=True):
        if not np.isfinite(value).all():
            raise StageError(f"{graph.file} gave values of {name} that are not finite")
    return {name: np.asarray(value, np.float32) for name, value in zip(graph.outputs, values, strict=True)}
