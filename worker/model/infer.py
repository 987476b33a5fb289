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
from worker.errors import BundleError, ProviderError, StageError

logger = logging.getLogger(__name__)

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}


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

    def __init__(self, manifest: BundleManifest, directory: Path, provider: str, threads: int) -> None:
        """Load and warm up the graphs.

        Raises:
            ProviderError: `provider` is not what the sessions run on.
            BundleError: a graph does not load, or does not give what the manifest says.

        """
        self.manifest = manifest
        self.provider = provider
        self._inputs = manifest.image_inputs()
        self._sessions = [
            (graph, _session(directory / graph.file, provider, threads)) for graph in manifest.graphs
        ]
        self._warm_up()

    def infer(self, batch: ImageBatch) -> Inference:
        """Run a batch through every graph; a graph that others take from runs once.

        Raises:
            StageError: ONNX Runtime failed, or a graph gave a value that is not finite.

        """
        outputs: dict[str, NDArray[np.float32]] = {}
        for graph, session in self._sessions:
            outputs.update(_run(graph, session, self._feed(graph, batch, outputs)))
        heads, count = self.manifest, len(batch)
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

    def _warm_up(self) -> None:
        black = ImageBatch(
            [np.zeros((1, size.height, size.width, 3), np.uint8) for size in self._inputs],
            {measure: np.ones(1, np.float32) for measure in MEASURES},
        )
        try:
            self.infer(black)
        except StageError as error:
            raise BundleError(f"the bundle's graphs do not run: {error}") from error


def _vectors(
    head: EmbeddingHead | CopyHead | None, outputs: Mapping[str, NDArray[np.float32]], count: int
) -> NDArray[np.float32] | None:
    if head is None:
        return None
    vectors = outputs[head.output]
    if vectors.shape != (count, head.dim):
        raise StageError(f"{head.output} gave {vectors.shape}, not {(count, head.dim)}")
    return vectors


def _session(path: Path, provider: str, threads: int) -> onnxruntime.InferenceSession:
    name = _PROVIDERS[provider]
    if name not in onnxruntime.get_available_providers():
        raise ProviderError(
            f"model.provider is {provider!r}, but this installation of ONNX Runtime has "
            f"{onnxruntime.get_available_providers()}: install mekiki[gpu], or set model.provider to cpu"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Spinning threads would take the cores that fetching and decoding need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=[name])
    except Exception as error:
        raise BundleError(f"{path.name} does not load: {error}") from error
    # Asked for CUDA without a usable GPU, ONNX Runtime falls back to the CPU and only logs it.
    if session.get_providers()[0] != name:
        raise ProviderError(
            f"model.provider is {provider!r}, but ONNX Runtime fell back to {session.get_providers()}: "
            "check the GPU, its driver and the CUDA libraries, or set model.provider to cpu"
        )
    return session


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
