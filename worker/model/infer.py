"""Infer: a batch of pixels to embeddings and scores, by ONNX Runtime."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from schemas.bundle import BundleManifest, Graph
from worker.errors import BundleError, ProviderError, StageError

logger = logging.getLogger(__name__)

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}


@dataclass(frozen=True)
class Inference:
    """Of a batch of n images: `embeddings` float32 [n, dim] of unit length, `scores` float32 [n] by name."""

    embeddings: NDArray[np.float32]
    scores: dict[str, NDArray[np.float32]]


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
        self._sessions = [
            (graph, _session(directory / graph.file, provider, threads)) for graph in manifest.graphs
        ]
        self._warm_up()

    def infer(self, pixels: NDArray[np.uint8]) -> Inference:
        """Run uint8 `pixels` [n, height, width, 3] through every graph.

        Raises:
            StageError: ONNX Runtime failed, or a graph gave a value that is not finite.

        """
        outputs: dict[str, NDArray[np.float32]] = {}
        for graph, session in self._sessions:
            outputs.update(_run(graph, session, {self.manifest.input.name: pixels}))
        head = self.manifest.embedding
        embeddings = outputs[head.output]
        if embeddings.shape != (len(pixels), head.dim):
            raise StageError(f"{head.output} gave {embeddings.shape}, not {(len(pixels), head.dim)}")
        scores = {score.name: outputs[score.output].reshape(len(pixels)) for score in self.manifest.scores}
        return Inference(embeddings, scores)

    def _warm_up(self) -> None:
        size = self.manifest.input
        black = np.zeros((1, size.height, size.width, 3), np.uint8)
        try:
            self.infer(black)
        except StageError as error:
            raise BundleError(f"the bundle's graphs do not run: {error}") from error


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
    graph: Graph, session: onnxruntime.InferenceSession, feed: dict[str, NDArray[np.uint8]]
) -> dict[str, NDArray[np.float32]]:
    try:
        values = session.run(graph.outputs, feed)
    except Exception as error:
        raise StageError(f"{graph.file} failed: {error}") from error
    for name, value in zip(graph.outputs, values, strict=True):
        if not np.isfinite(value).all():
            raise StageError(f"{graph.file} gave values of {name} that are not finite")
    return {name: np.asarray(value, np.float32) for name, value in zip(graph.outputs, values, strict=True)}
