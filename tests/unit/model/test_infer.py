"""A bundle's graphs: what they give, and how their faults are told."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from schemas.bundle import BundleManifest
from worker.errors import BundleError, ProviderError, StageError
from worker.model.bundle import read_manifest
from worker.model.infer import ImageBatch, Model
from worker.model.session import Execution
from worker.settings import STARTER_BUNDLE


@pytest.fixture(scope="module")
def manifest() -> BundleManifest:
    return read_manifest(STARTER_BUNDLE)[0]


@pytest.fixture(scope="module")
def model(manifest: BundleManifest) -> Model:
    return Model(manifest, STARTER_BUNDLE, Execution(threads=1))


def noise(manifest: BundleManifest, count: int) -> np.ndarray:
    (size,) = manifest.image_inputs()
    shape = (count, size.height, size.width, 3)
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


def test_a_batch_gives_a_unit_vector_and_every_score_of_each_image(model, manifest):
    inference = model.infer(ImageBatch([noise(manifest, 3)], {}))
    assert inference.embeddings.shape == (3, manifest.embedding.dim)
    assert inference.embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(inference.embeddings, axis=1), 1, atol=1e-4)
    assert set(inference.scores) == {score.name for score in manifest.scores}
    assert all(values.shape == (3,) and values.dtype == np.float32 for values in inference.scores.values())


def test_different_images_get_different_vectors_and_equal_ones_the_same(model, manifest):
    first, second = noise(manifest, 2)
    found = model.infer(ImageBatch([np.stack([first, second, first])], {})).embeddings
    np.testing.assert_allclose(found[0], found[2], atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_pixels_of_another_shape_are_our_own_failure(model, manifest):
    with pytest.raises(StageError, match="failed"):
        model.infer(ImageBatch([noise(manifest, 1)[:, :-1]], {}))


def test_a_graph_that_is_no_graph_is_the_bundles_fault(manifest, tmp_path):
    for graph in manifest.graphs:
        (tmp_path / graph.file).write_bytes(b"not ONNX")
    with pytest.raises(BundleError, match=f"{manifest.graphs[0].file} does not load"):
        Model(manifest, tmp_path, Execution(threads=1))


def test_an_output_that_no_graph_gives_is_the_bundles_fault(manifest):
    first, *others = manifest.graphs
    graphs = [first.model_copy(update={"outputs": {**first.outputs, "more": "no_such_output"}}), *others]
    with pytest.raises(BundleError, match="do not run"):
        Model(manifest.model_copy(update={"graphs": graphs}), STARTER_BUNDLE, Execution(threads=1))


def test_vectors_of_another_length_than_the_manifests_are_its_fault(manifest):
    head = manifest.embedding.model_copy(update={"dim": manifest.embedding.dim + 1})
    with pytest.raises(BundleError, match="do not run"):
        Model(manifest.model_copy(update={"heads": [head]}), STARTER_BUNDLE, Execution(threads=1))


def test_a_provider_that_is_not_installed_fails_with_what_to_do(manifest):
    with pytest.raises(ProviderError, match=r"set model\.provider to cpu"):
        Model(manifest, STARTER_BUNDLE, Execution("openvino"))


def test_a_trunk_runs_once_for_the_graphs_that_take_from_it_and_measures_come_in(tmp_path):
    made = chained(tmp_path)
    model = Model(made, tmp_path, Execution(threads=1))
    pixels = np.full((2, 16, 16, 3), 10, np.uint8)
    found = model.infer(ImageBatch([pixels], {"width": np.array([0.25, 0.5], np.float32)}))
    assert found.embeddings is None
    assert found.tag_vectors is None
    # The trunk's mean of 10, and the width, through the head: mean * 0.01 + width.
    np.testing.assert_allclose(found.scores["bright"], [0.35, 0.6], atol=1e-6)


def chained(folder):
    """A trunk, and a head that takes its output and a measured number, of which each gives one score."""
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 16, 16, 3])
    maps = helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["n"])
    axes = numpy_helper.from_array(np.array([1, 2, 3]), "axes")
    save(folder / "trunk.onnx", [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["maps"], keepdims=0),
    ], [images], maps, [axes])  # fmt: skip
    width = helper.make_tensor_value_info("width", TensorProto.FLOAT, ["n", 1])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"])
    numbers = [
        numpy_helper.from_array(np.float32(0.01), "share"),
        numpy_helper.from_array(np.array([1]), "one"),
    ]
    save(folder / "head.onnx", [
        helper.make_node("Mul", ["maps", "share"], ["scaled"]),
        helper.make_node("Squeeze", ["width", "one"], ["flat"]),
        helper.make_node("Add", ["scaled", "flat"], ["score"]),
    ], [maps, width], score, numbers)  # fmt: skip
    return BundleManifest.model_validate({
        "name": "chained", "version": "1", "created_at": "2026-01-01T00:00:00Z", "policy": {},
        "graphs": [
            {"file": "trunk.onnx", "outputs": {"maps": "maps"},
             "inputs": {"images": {"kind": "pixels", "height": 16, "width": 16}}},
            {"file": "head.onnx", "outputs": {"bright": "score"},
             "inputs": {"maps": {"kind": "output", "output": "maps"},
                        "width": {"kind": "measured", "measures": ["width"]}}},
        ],
        "heads": [{"kind": "novelty", "name": "bright", "output": "bright", "description": ""}],
        "files": [{"name": f"{name}.onnx", "bytes": 1, "sha256": "0" * 64} for name in ("trunk", "head")],
    })  # fmt: skip


def save(path, nodes, inputs, output, constants):
    graph = helper.make_graph(nodes, path.stem, inputs, [output], constants)
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(path))
