"""Session: an ONNX graph on the execution provider that was asked for, or an error that says why not."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnxruntime

from worker.cores import cores
from worker.errors import BundleError, ProviderError
from worker.settings import ModelSettings

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
_NO_FOLDER = f"{os.devnull}/external-data"  # there can be none
_FIXED_SHAPES = ("cuda", "tensorrt")


@dataclass(frozen=True)
class Execution:
    """How graphs run: the provider with its `options`, `threads` of the CPU (0: one a core), and `buckets`.

    Buckets are the sizes, ascending, that batches are padded to; none: batches run as they are.
    """

    provider: str = "cpu"
    threads: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    buckets: tuple[int, ...] = ()

    def padded(self, count: int) -> int:
        """How many images a batch of `count` is padded to."""
        return next((bucket for bucket in self.buckets if bucket >= count), count)


def execution(settings: ModelSettings) -> Execution:
    """As the settings say. A GPU, which prepares itself for each shape, gets the powers of two as buckets."""
    most, asked = settings.batch_size, settings.batch_buckets
    if not asked and settings.provider in _FIXED_SHAPES:
        asked = [min(2**power, most) for power in range(most.bit_length())]
    buckets = tuple(sorted({*asked, most})) if asked else ()
    return Execution(settings.provider, settings.threads, dict(settings.provider_options), buckets)


def start_session(path: Path, how: Execution) -> onnxruntime.InferenceSession:
    """The graph in `path`, on the provider of `how`.

    Raises:
        ProviderError: the provider is not there, does not start, or knows no such option.
        BundleError: the graph does not load.

    """
    name = _PROVIDERS[how.provider]
    if name not in onnxruntime.get_available_providers():
        raise ProviderError(
            f"model.provider is {how.provider!r}, but this installation of ONNX Runtime has "
            f"{onnxruntime.get_available_providers()}: install mekiki[gpu], or set model.provider to cpu"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = how.threads or cores()
    # Spinning threads would take the cores that fetching and decoding need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    # Weights in a file of their own would be read without a digest: of bytes, with this folder, none are.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", _NO_FOLDER)
    try:
        session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=[(name, dict(how.options))]
        )
    except Exception as error:
        if "provider option" in str(error).lower():
            raise ProviderError(f"model.provider_options: {error}") from error
        raise BundleError(
            f"{path.name} does not load (it must hold its weights itself, without external data): {error}"
        ) from error
    _check(session, name, how)
    return session


def _check(session: onnxruntime.InferenceSession, name: str, how: Execution) -> None:
    """Asked for CUDA without a usable GPU, ONNX Runtime falls back to the CPU and only logs it."""
    if session.get_providers()[0] != name:
        raise ProviderError(
            f"model.provider is {how.provider!r}, but ONNX Runtime fell back to {session.get_providers()}: "
            "check the GPU, its driver and the CUDA libraries, or set model.provider to cpu"
        )
    known = session.get_provider_options()[name]
    if unknown := sorted(set(how.options) - set(known)):
        raise ProviderError(f"model.provider_options: {name} has no {', '.join(unknown)}")
