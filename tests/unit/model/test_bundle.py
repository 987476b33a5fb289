"""The starter bundle: checked by digest, and the same for an image whatever batch it is in."""

import json
import shutil

import numpy as np
import pytest

from schemas.policy import Policy
from worker.errors import BundleError, ConfigurationError, ProviderError
from worker.model.bundle import load_bundle, load_policy, read_manifest
from worker.model.infer import ImageBatch
from worker.settings import STARTER_BUNDLE, ModelSettings, Settings


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(ModelSettings())


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(STARTER_BUNDLE, tmp_path / "bundle")


def images(bundle, count):
    (size,) = bundle.manifest.image_inputs()
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return ImageBatch([coarse.repeat(size.height // 8, axis=1).repeat(size.width // 8, axis=2)], {})


def test_a_batchs_row_equals_the_single_row(bundle):
    pixels = images(bundle, 5)
    together = bundle.model.infer(pixels)
    for row in range(5):
        alone = bundle.model.infer(ImageBatch([pixels.pixels[0][row : row + 1]], {}))
        np.testing.assert_allclose(together.embeddings[row], alone.embeddings[0], atol=1e-5)
        for name, values in together.scores.items():
            assert values[row] == pytest.approx(alone.scores[name][0], abs=1e-5)


def test_embeddings_are_of_unit_length_and_scores_within_0_and_1(bundle):
    inference = bundle.model.infer(images(bundle, 4))
    np.testing.assert_allclose(np.linalg.norm(inference.embeddings, axis=1), 1, atol=1e-4)
    assert set(inference.scores) == {"text", "qr", "preference"}
    assert all(((values >= 0) & (values <= 1)).all() for values in inference.scores.values())


def test_tags_are_ordered_and_over_the_minimum(bundle):
    tags = bundle.tagger(bundle.model.infer(images(bundle, 6)).embeddings)
    assert len(tags) == 6
    for row in tags:
        scores = [tag.score for tag in row]
        assert scores == sorted(scores, reverse=True)
        assert all(score >= bundle.manifest.tags.minimum_score - 1e-4 for score in scores)


def test_a_damaged_file_is_refused_by_name(copy):
    path = copy / "scorer.onnx"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(BundleError, match=r"scorer\.onnx is damaged"):
        read_manifest(copy)


def test_a_missing_file_is_refused_by_name(copy):
    (copy / "tags.forest").unlink()
    with pytest.raises(BundleError, match=r"lacks tags\.forest"):
        read_manifest(copy)


def test_a_folder_without_a_manifest(tmp_path):
    with pytest.raises(BundleError, match="there is no bundle"):
        load_bundle(ModelSettings(bundle=tmp_path))


def test_a_manifest_of_another_shape(copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "graphs": []}))
    with pytest.raises(BundleError, match="does not fit"):
        read_manifest(copy)


def test_the_bundle_is_small():
    assert sum(path.stat().st_size for path in STARTER_BUNDLE.iterdir()) <= 10_000_000


def test_a_provider_that_is_not_there_fails_instead_of_falling_back():
    with pytest.raises(ProviderError, match=r"model\.provider is 'cuda'"):
        load_bundle(ModelSettings(provider="cuda"))


def test_the_operators_policy_takes_the_place_of_the_bundles(bundle, tmp_path):
    path = tmp_path / "policy.json"
    path.write_text('{"thresholds": {"text": {"block": 0.123}}}')
    assert policy_of(bundle, policy_file=path).thresholds["text"].block == 0.123
    assert policy_of(bundle) == bundle.manifest.policy
    with pytest.raises(ConfigurationError, match="nudity"):
        policy_of(bundle, policy={"thresholds": {"nudity": {"block": 1}}})


def policy_of(bundle, codes=False, **model):
    settings = Settings.model_validate({"codes": {"enabled": codes}, "model": model})
    return load_policy(settings, bundle.manifest)


@pytest.mark.parametrize(
    "thresholds",
    [
        {"code_area": {"block": 0.1}},
        {"qr": {"block": 0.5, "unless": {"score": "code_area", "below": 0.05}}},
    ],
)
def test_a_policy_on_code_area_needs_the_codes_stage(bundle, thresholds):
    policy = {"categories": {"books": thresholds}}
    assert policy_of(bundle, codes=True, policy=policy) == Policy.model_validate(policy)
    with pytest.raises(ConfigurationError, match=r"code_area, .* set codes\.enabled to true"):
        policy_of(bundle, policy=policy)


def test_an_exemption_by_an_unknown_score_is_refused(bundle):
    policy = {"thresholds": {"qr": {"block": 0.5, "unless": {"score": "nudity", "below": 0.05}}}}
    with pytest.raises(ConfigurationError, match="nudity"):
        policy_of(bundle, codes=True, policy=policy)
