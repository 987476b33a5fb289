"""The starter's training, run small: it learns, it repeats, and its graph equals the network."""

from pathlib import Path

import numpy as np
import pytest
import torch

from export.errors import LossNotFinite
from export.feature_alocc import ReinforcerSettings, train_reinforcer
from export.starter.augment import augment, colour, random_crop, spoil, warp
from export.starter.filtering import RESTORATION_WEIGHT, cut_and_slope, fuse
from export.starter.graph import (
    OUTPUTS,
    Fusion,
    NoveltyScore,
    Scorer,
    export_onnx,
    largest_difference,
    mega_flops,
    run_onnx,
)
from export.starter.images import SIDE, WIDE, PixelSet
from export.starter.preference import (
    DEGRADATIONS,
    LEVELS,
    PreferenceHead,
    ladder,
    pair_accuracy,
    train_preference,
)
from export.starter.sides import part_values
from export.starter.training import (
    NO_LABEL,
    TrainingImages,
    TrunkSettings,
    features_of,
    train_trunk,
)
from export.starter.trunk import QUALITY_WIDTH, Trunk, to_input
from export.variants import cost_of, to_fp16, to_int8

_QUICK = TrunkSettings(cycles=(4, 1), batch_size=32, pairs=8, rendered_an_epoch=64)


def _stripes(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    """Three kinds of image that a network tells apart at a glance: flat, striped, checked."""
    images = np.empty((count, side, side, 3), np.uint8)
    rows, columns = np.mgrid[0:side, 0:side]
    for i in range(count):
        base = rng.integers(60, 196, 3)
        period = int(rng.integers(6, 14))
        wave = (rows // period % 2) * (i % 3 > 0) ^ (columns // period % 2) * (i % 3 > 1)
        images[i] = (base + (wave[..., None] * 2 - 1) * (i % 3 > 0) * 55).clip(0, 255)
    return images


@pytest.fixture(scope="module")
def data() -> TrainingImages:
    rng = np.random.default_rng(0)
    wide = _stripes(rng, 192, WIDE)
    types = (np.arange(192) % 3).astype(np.int64)
    labels = np.where(types == 0, np.arange(192) // 3 % 4, NO_LABEL).astype(np.int64)
    edge = (WIDE - SIDE) // 2
    exact = np.ascontiguousarray(wide[:, edge:-edge, edge:-edge])
    return TrainingImages(PixelSet(exact, wide), types, labels, 4, 0)


@pytest.fixture(scope="module")
def trunk(data: TrainingImages) -> Trunk:
    torch.set_num_threads(1)
    return train_trunk([data, data], 0, _QUICK)


@pytest.fixture(scope="module")
def scorer(trunk: Trunk, data: TrainingImages) -> Scorer:
    features = features_of(trunk, data.pixels.exact)
    quick = ReinforcerSettings(epochs=4, batch_size=32)
    scores = []
    for kind in (1, 2):
        alocc = train_reinforcer(features.evidence[data.types == kind], kind, quick)
        scores.append(NoveltyScore(alocc, kind, Fusion(0.5, 0.5, 0.0, 1.0)))
    quality = np.stack([features.quality[:40]] * (LEVELS + 1), axis=1)
    return Scorer(trunk, *scores, train_preference(quality, 0, epochs=1)).eval()


@pytest.fixture(scope="module")
def graph(scorer: Scorer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "scorer.onnx"
    export_onnx(scorer, path)
    return path


def test_a_few_epochs_tell_three_kinds_apart(trunk: Trunk, data: TrainingImages) -> None:
    found = features_of(trunk, data.pixels.exact)
    assert (found.types.argmax(axis=1) == data.types).mean() > 0.9
    np.testing.assert_allclose(np.linalg.norm(found.embedding, axis=1), 1.0, atol=1e-5)


def test_the_same_seed_gives_the_same_trunk(data: TrainingImages) -> None:
    short = TrunkSettings(cycles=(1,), batch_size=32, pairs=8, rendered_an_epoch=16)
    first, again = (train_trunk([data], 5, short).state_dict() for _ in range(2))
    for name, value in first.items():
        assert torch.equal(value, again[name]), name


def test_a_loss_that_is_not_finite_stops_training(data: TrainingImages) -> None:
    wild = TrunkSettings(cycles=(1,), batch_size=32, pairs=8, rendered_an_epoch=64, temperature=0.0)
    with pytest.raises(LossNotFinite, match="trunk"):
        train_trunk([data], 0, wild)


def test_parts_agree_with_the_served_score(scorer: Scorer, trunk: Trunk, data: TrainingImages) -> None:
    features = features_of(trunk, data.pixels.exact[:20])
    parts = part_values(scorer.qr, features)
    assert {len(values) for values in parts.values()} == {20}
    with torch.no_grad():
        served = scorer.qr(torch.from_numpy(features.evidence), torch.from_numpy(features.types)).numpy()
    assert (np.argsort(parts["served"]) == np.argsort(served)).all()


def test_graph_equals_network_in_every_head(scorer: Scorer, graph: Path, data: TrainingImages) -> None:
    differences = largest_difference(scorer, graph, data.pixels.exact[:24])
    assert set(differences) == set(OUTPUTS)
    assert max(differences.values()) <= 1e-4, differences


def test_a_row_of_a_batch_equals_the_single_row(graph: Path, data: TrainingImages) -> None:
    images = data.pixels.exact[:6]
    together, alone = run_onnx(graph, images), run_onnx(graph, images, 1)
    for name in OUTPUTS:
        np.testing.assert_allclose(together[name], alone[name], atol=1e-5, err_msg=name)


def test_the_graph_costs_at_most_100_megaflops(scorer: Scorer) -> None:
    assert 50 < mega_flops(scorer) <= 100


def test_fp16_and_int8_stay_close(graph: Path, data: TrainingImages, tmp_path: Path) -> None:
    images = data.pixels.exact[:64]
    half, eight = tmp_path / "half.onnx", tmp_path / "eight.onnx"
    to_fp16(graph, half)
    to_int8(graph, eight, images)
    assert cost_of(half, graph, images, {"text": 0.5}).least_cosine >= 0.9999
    assert cost_of(eight, graph, images, {"text": 0.5}).least_cosine >= 0.95
    assert eight.stat().st_size < half.stat().st_size < graph.stat().st_size


def test_epochs_hold_every_photo_and_some_renders(data: TrainingImages) -> None:
    photos = TrainingImages(
        data.pixels, np.r_[np.zeros(64), data.types[64:]].astype(np.int64), data.labels, 4, 64
    )
    rows = photos.epoch(np.random.default_rng(0), 10)
    assert len(rows) == 64 + 3 * 10
    assert set(range(64)) <= set(rows.tolist())


def test_views_keep_shape_and_range() -> None:
    torch.manual_seed(0)
    images = to_input(torch.randint(0, 256, (16, 64, 64, 3), dtype=torch.uint8))
    flip = torch.arange(16) % 2 == 0
    for view in (
        warp(images, 0.3, 10, flip),
        colour(images),
        spoil(images.clone()),
        augment(images, flip, strong=True),
    ):
        assert view.shape == images.shape
        assert float(view.min()) >= -1
        assert float(view.max()) <= 1


def test_mirroring_alone_mirrors() -> None:
    torch.manual_seed(0)
    ramp = torch.linspace(-1, 1, 32).expand(1, 3, 32, 32)
    turned = warp(ramp, 0.0, 0.0, torch.tensor([True]))
    assert float(turned[0, 0, 16, 4]) > float(turned[0, 0, 16, 28])


def test_crops_come_from_the_wide_image() -> None:
    wide = torch.arange(2 * 10 * 10 * 3).view(2, 10, 10, 3)
    crop = random_crop(wide, 6)
    assert crop.shape == (2, 6, 6, 3)
    assert set(crop[1].flatten().tolist()) <= set(wide[1].flatten().tolist())


def test_restoration_weighs_a_tenth_of_the_margin_in_units_of_spread() -> None:
    rng = np.random.default_rng(0)
    groups = [(rng.normal(size=(4000, 2)) * [5, 0.5]).astype(np.float32) for _ in range(2)]
    weights = fuse(groups) * np.array([5, 0.5])
    assert weights[0] / weights[1] == pytest.approx(RESTORATION_WEIGHT, rel=0.05)


def test_the_strictest_group_sets_the_cut() -> None:
    tame, wild = np.linspace(0, 1, 1001, dtype=np.float32), np.linspace(0, 2, 1001, dtype=np.float32)
    cut, slope = cut_and_slope([tame, wild], np.full(10, 5, np.float32), 0.01)
    assert cut == pytest.approx(1.98, abs=1e-3)
    assert slope == pytest.approx(3 / (5 - cut))


def test_preference_learns_which_version_is_worse() -> None:
    rng = np.random.default_rng(0)
    photo = rng.normal(size=(200, 1, QUALITY_WIDTH))
    harm = np.arange(LEVELS + 1)[None, :, None] * rng.normal(size=QUALITY_WIDTH) * 0.3
    quality = (photo + harm).astype(np.float32)
    head = train_preference(quality[:150], 0, epochs=20)
    assert pair_accuracy(head, quality[150:]) > 0.9
    scores = head(torch.from_numpy(quality[:, 0])).detach()
    assert 0 < float(scores.min()) < float(scores.max()) < 1


def test_ladders_get_worse_step_by_step() -> None:
    from PIL import Image

    rng = np.random.default_rng(1)
    photo = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for _ in range(2 * len(DEGRADATIONS)):
        steps = ladder(rng, photo, 32).astype(int)
        assert steps.shape == (LEVELS + 1, 32, 32, 3)
        assert np.abs(steps[3] - steps[0]).mean() > 0


def test_untrained_preference_is_a_probability() -> None:
    head = PreferenceHead().eval()
    scores = head(torch.randn(5, QUALITY_WIDTH)).detach()
    assert scores.shape == (5,)
    assert bool(((scores > 0) & (scores < 1)).all())
