"""The committed starter bundle: whole, of the stated shape, and right about the demo's own images."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from export.bundle.assemble import MANIFEST_FILE
from export.graphs import run_onnx
from export.starter.parts import GRAPH_FILE, MAX_BYTES
from export.starter.photos import excluded_photos
from schemas.bundle import BundleManifest
from worker.model.decode import ImageLimits, decode
from worker.model.tag import load_tagger

_ROOT = Path(__file__).parents[2]
BUNDLE = _ROOT / "worker/bundles/starter"
ASSETS = _ROOT / "worker/demo/assets"


@pytest.fixture(scope="module")
def manifest() -> BundleManifest:
    return BundleManifest.model_validate_json((BUNDLE / MANIFEST_FILE).read_bytes())


def _pixels(folder: str, manifest: BundleManifest) -> np.ndarray:
    files = sorted((ASSETS / folder).glob("*.jpg"))
    (size,) = manifest.image_inputs()
    shape = (size.height, size.width)
    return np.stack([decode(file.read_bytes(), *shape, ImageLimits()).pixels for file in files])


def _scores(folder: str, manifest: BundleManifest) -> dict[str, np.ndarray]:
    return run_onnx(BUNDLE / GRAPH_FILE, _pixels(folder, manifest))


def _blocked(scores: dict[str, np.ndarray], manifest: BundleManifest) -> np.ndarray:
    hits = np.zeros(len(scores["text"]), dtype=bool)
    for name, threshold in manifest.policy.thresholds.items():
        assert threshold.block is not None
        hits |= scores[name] >= threshold.block
    return hits


def test_drift_is_told_by_each_score(manifest: BundleManifest) -> None:
    assert set(manifest.reference) == {score.name for score in manifest.scores}
    for shares in manifest.reference.values():
        assert len(shares) == 10
        assert sum(shares) == pytest.approx(1, abs=1e-5)


def test_every_file_has_its_digest(manifest: BundleManifest) -> None:
    for file in manifest.files:
        data = (BUNDLE / file.name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.bytes, file.sha256)


def test_the_folder_stays_small() -> None:
    assert sum(file.stat().st_size for file in BUNDLE.iterdir()) <= MAX_BYTES


def test_it_costs_at_most_120_megaflops(manifest: BundleManifest) -> None:
    cost = manifest.figures["mega_flops"]
    assert isinstance(cost, float)
    assert cost <= 120


def test_embeddings_have_length_one_and_scores_lie_in_the_unit_interval(manifest: BundleManifest) -> None:
    found = _scores("photos", manifest)
    assert found["embedding"].shape == (100, manifest.embedding.dim)
    np.testing.assert_allclose(np.linalg.norm(found["embedding"], axis=1), 1.0, atol=1e-5)
    for score in manifest.scores:
        values = found[score.output]
        assert values.dtype == np.float32
        assert values.shape == (100,)
        assert values.min() >= 0
        assert values.max() <= 1


def test_a_row_of_a_batch_equals_the_single_row(manifest: BundleManifest) -> None:
    images = _pixels("notices", manifest)[:5]
    together, alone = run_onnx(BUNDLE / GRAPH_FILE, images), run_onnx(BUNDLE / GRAPH_FILE, images, 1)
    for name, values in together.items():
        np.testing.assert_allclose(values, alone[name], atol=1e-5, err_msg=name)


def test_tags_have_probabilities(manifest: BundleManifest) -> None:
    assert manifest.tags is not None
    vectors = _scores("photos", manifest)["embedding"]
    rows = load_tagger(manifest.tags, BUNDLE, 1)(vectors)
    assert len(rows) == 100
    assert any(rows)
    assert all(0 <= tag.score <= 1 for row in rows for tag in row)


def test_demo_photos_pass(manifest: BundleManifest) -> None:
    assert _blocked(_scores("photos", manifest), manifest).sum() <= 1


@pytest.mark.parametrize("folder", ["notices", "qr"])
def test_demo_notices_and_codes_are_blocked(folder: str, manifest: BundleManifest) -> None:
    assert _blocked(_scores(folder, manifest), manifest).mean() >= 0.9


def test_the_demo_shows_only_photos_that_no_training_reads() -> None:
    heads = {name[:8] for name in excluded_photos()}
    shown = [file.stem.rsplit("-", 1)[1] for file in (ASSETS / "photos").glob("*.jpg")]
    assert len(shown) == 100
    assert set(shown) <= heads
