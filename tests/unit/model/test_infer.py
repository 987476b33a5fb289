"""A bundle's graphs: what they give, and how their faults are told."""

import numpy as np
import pytest

from schemas.bundle import BundleManifest
from worker.errors import BundleError, ProviderError, StageError
from worker.model.bundle import read_manifest
from worker.model.infer import Model
from worker.settings import STARTER_BUNDLE


@pytest.fixture(scope="module")
def manifest() -> BundleManifest:
    return read_manifest(STARTER_BUNDLE)[0]


@pytest.fixture(scope="module")
def model(manifest: BundleManifest) -> Model:
    return Model(manifest, STARTER_BUNDLE, "cpu", 1)


def noise(manifest: BundleManifest, count: int) -> np.ndarray:
    shape = (count, manifest.input.height, manifest.input.width, 3)
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


def test_a_batch_gives_a_unit_vector_and_every_score_of_each_image(model, manifest):
    inference = model.infer(noise(manifest, 3))
    assert inference.embeddings.shape == (3, manifest.embedding.dim)
    assert inference.embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(inference.embeddings, axis=1), 1, atol=1e-4)
    assert set(inference.scores) == {score.name for score in manifest.scores}
    assert all(values.shape == (3,) and values.dtype == np.float32 for values in inference.scores.values())


def test_different_images_get_different_vectors_and_equal_ones_the_same(model, manifest):
    first, second = noise(manifest, 2)
    found = model.infer(np.stack([first, second, first])).embeddings
    np.testing.assert_allclose(found[0], found[2], atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_pixels_of_another_shape_are_our_own_failure(model, manifest):
    with pytest.raises(StageError, match="failed"):
        model.infer(noise(manifest, 1)[:, :-1])


def test_a_graph_that_is_no_graph_is_the_bundles_fault(manifest, tmp_path):
    for graph in manifest.graphs:
        (tmp_path / graph.file).write_bytes(b"not ONNX")
    with pytest.raises(BundleError, match=f"{manifest.graphs[0].file} does not load"):
        Model(manifest, tmp_path, "cpu", 1)


def test_an_output_that_no_graph_gives_is_the_bundles_fault(manifest):
    first, *others = manifest.graphs
    graphs = [first.model_copy(update={"outputs": [*first.outputs, "no_such_output"]}), *others]
    with pytest.raises(BundleError, match="do not run"):
        Model(manifest.model_copy(update={"graphs": graphs}), STARTER_BUNDLE, "cpu", 1)


def test_vectors_of_another_length_than_the_manifests_are_its_fault(manifest):
    head = manifest.embedding.model_copy(update={"dim": manifest.embedding.dim + 1})
    with pytest.raises(BundleError, match="do not run"):
        Model(manifest.model_copy(update={"embedding": head}), STARTER_BUNDLE, "cpu", 1)


def test_a_provider_that_is_not_installed_fails_with_what_to_do(manifest):
    with pytest.raises(ProviderError, match=r"set model\.provider to cpu"):
        Model(manifest, STARTER_BUNDLE, "openvino", 1)
