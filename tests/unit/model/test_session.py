"""Sessions run as the settings say: on the provider, with its options, in the shapes that were warmed up."""

from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from pydantic import ValidationError

from worker.errors import BundleError, ProviderError
from worker.model import session
from worker.model.bundle import read_manifest
from worker.model.infer import ImageBatch, Model
from worker.model.session import Execution, execution, start_session
from worker.settings import STARTER_BUNDLE, ModelSettings


class Recording:
    """ONNX Runtime's session on the CPU, which tells how it was started and what batches it saw."""

    started: ClassVar[list[tuple[str, dict[str, str], int]]] = []
    seen: ClassVar[list[int]] = []

    def __init__(self, path, options, providers):
        ((self.name, its),) = providers
        self.its = its
        Recording.started.append((self.name, its, options.intra_op_num_threads))
        self.real = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def get_providers(self):
        return [self.name]

    def get_provider_options(self):
        return {self.name: {"cudnn_conv_algo_search": "EXHAUSTIVE", "gpu_mem_limit": "0"}}

    def run(self, names, feed):
        Recording.seen.append(len(feed["images"]))
        return self.real.run(names, feed)


@pytest.fixture
def card(monkeypatch):
    """A GPU that is played by the CPU."""
    Recording.started, Recording.seen = [], []
    played = SimpleNamespace(
        SessionOptions=onnxruntime.SessionOptions,
        InferenceSession=Recording,
        get_available_providers=lambda: ["CUDAExecutionProvider"],
    )
    monkeypatch.setattr(session, "onnxruntime", played)
    return Recording


def images(count: int) -> ImageBatch:
    (size,) = read_manifest(STARTER_BUNDLE)[0].image_inputs()
    shape = (count, size.height, size.width, 3)
    return ImageBatch([np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)], {})


@pytest.mark.parametrize(
    ("provider", "asked", "batch", "buckets"),
    [
        ("cpu", [], 32, ()),
        ("cpu", [8], 32, (8, 32)),
        ("cuda", [], 32, (1, 2, 4, 8, 16, 32)),
        ("cuda", [], 48, (1, 2, 4, 8, 16, 32, 48)),
        ("tensorrt", [], 1, (1,)),
        ("cuda", [16, 4, 4], 16, (4, 16)),
    ],
)
def test_batches_are_padded_to_few_shapes_on_a_gpu(provider, asked, batch, buckets):
    how = execution(ModelSettings(provider=provider, batch_buckets=asked, batch_size=batch))
    assert how.buckets == buckets
    assert how.padded(1) == (buckets or (1,))[0]
    assert how.padded(batch) == batch


def test_a_bucket_larger_than_any_batch_is_refused():
    with pytest.raises(ValidationError, match=r"model\.batch_size"):
        ModelSettings(batch_buckets=[64], batch_size=32)


def test_every_shape_is_warmed_up_and_no_other_is_seen(card):
    how = execution(ModelSettings(provider="cuda", batch_size=8, threads=3))
    model = Model(read_manifest(STARTER_BUNDLE)[0], STARTER_BUNDLE, how)
    assert card.started == [("CUDAExecutionProvider", {}, 3)]
    assert card.seen == [1, 2, 4, 8]
    for count in (1, 3, 5, 8):
        model.infer(images(count))
    assert card.seen[4:] == [1, 4, 8, 8]


def test_what_a_batch_is_padded_with_changes_nothing(card):
    manifest = read_manifest(STARTER_BUNDLE)[0]
    plain = Model(manifest, STARTER_BUNDLE, Execution("cuda", 1))
    padded = Model(manifest, STARTER_BUNDLE, Execution("cuda", 1, buckets=(8,)))
    expected, found = plain.infer(images(3)), padded.infer(images(3))
    assert card.seen[-1] == 8
    assert found.embeddings.shape == expected.embeddings.shape
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-5)
    np.testing.assert_allclose(found.copies, expected.copies, atol=1e-5)
    for name, values in expected.scores.items():
        np.testing.assert_allclose(found.scores[name], values, atol=1e-5)


def test_options_reach_the_provider(card):
    asked = {"cudnn_conv_algo_search": "HEURISTIC", "gpu_mem_limit": "2000000000"}
    start_session(STARTER_BUNDLE / "scorer.onnx", Execution("cuda", 1, asked))
    assert card.started == [("CUDAExecutionProvider", asked, 1)]


@pytest.mark.parametrize("option", ["cudnn_conv_algo", "device", "trt_fp16_enable"])
def test_an_option_that_the_provider_does_not_know_is_refused(card, option):
    with pytest.raises(
        ProviderError, match=rf"model\.provider_options: CUDAExecutionProvider has no {option}"
    ):
        start_session(STARTER_BUNDLE / "scorer.onnx", Execution("cuda", 1, {option: "1"}))


def test_the_cpu_has_no_options():
    with pytest.raises(ProviderError, match="CPUExecutionProvider has no arena_extend_strategy"):
        start_session(STARTER_BUNDLE / "scorer.onnx", Execution(options={"arena_extend_strategy": "0"}))


def external(location: str) -> TensorProto:
    """Three weights that stand in another file."""
    tensor = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[3])
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


@pytest.mark.parametrize(
    "location", ["weights.bin", "../weights.bin", "/tmp/weights.bin", "*/_ORT_MEM_ADDR_/*"]
)
@pytest.mark.parametrize("place", ["initializer", "constant"])
def test_weights_outside_the_graph_are_never_read(tmp_path, monkeypatch, location, place):
    """Not from beside it, nor from where the worker runs: no digest is held against them."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    monkeypatch.chdir(bundle)
    for folder in (bundle, tmp_path):
        (folder / "weights.bin").write_bytes(np.ones(3, np.float32).tobytes())
    nodes, weights = [helper.make_node("Add", ["x", "weights"], ["y"])], [external(location)]
    if place == "constant":
        nodes.insert(0, helper.make_node("Constant", [], ["weights"], value=weights.pop()))
    of_three = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", of_three[:1], of_three[1:], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (bundle / "graph.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(BundleError, match=r"graph\.onnx does not load \(it must hold its weights itself"):
        start_session(bundle / "graph.onnx", Execution(threads=1))
