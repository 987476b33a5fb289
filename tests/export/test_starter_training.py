"""The starter's training, run small: it learns, it repeats, and its graph equals the network."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from export.alocc.model import RESTORED, score_images
from export.alocc.score import joint_cuts, slope_of
from export.bundle.assemble import assemble
from export.bundle.variants import cost_of, to_fp16, to_int8
from export.embedding.augment import augment, colour, lay, random_crop, spoil, warp
from export.embedding.edits import EDITS, random_edit
from export.embedding.losses import NO_LABEL, contrast
from export.embedding.metric_training import MetricSettings
from export.embedding.pixels import SIDE, WIDE, PixelSet
from export.embedding.training import (
    TrainingImages,
    TrunkSettings,
    features_of,
    train_trunk,
)
from export.embedding.trunk import QUALITY_WIDTH, Trunk, to_input
from export.errors import LossNotFinite, PartsDoNotFit
from export.graphs import largest_difference, run_onnx
from export.parts import Examples
from export.preference.head import PreferenceHead, pair_accuracy, train_preference
from export.preference.ladder import DEGRADATIONS, LEVELS, ladder
from export.processes import Processes
from export.retrieval import retrieval
from export.run import RunFolder
from export.starter.filtering import CLASSES, Filter, FilterSettings, train_filter
from export.starter.graph import OUTPUTS, Scorer, export_scorer, scorer_mega_flops
from export.starter.parts import GRAPH_FILE, TAGS_FILE, Trait, write_parts
from export.starter.score_comparison import side_by_side
from export.starter.vector_heads import VectorHeads, copy_figures, train_vector_heads, vectors_of
from export.tags.recipe import TagRecipe
from export.tags.tag_set import TagImages, positives_of, train_tag_set
from schemas.bundle import head_name
from worker.model.bundle import read_manifest

_QUICK = TrunkSettings(epochs=6, batch_size=32, pairs=8, averaging=0.8)
_CPU = Processes(torch.device("cpu"))


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
    return TrainingImages(PixelSet(exact, wide), types, labels, 4)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return RunFolder(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def trunk(data: TrainingImages, run: RunFolder) -> Trunk:
    torch.set_num_threads(1)
    return train_trunk(data, 0, _QUICK, run, _CPU)


@pytest.fixture(scope="module")
def filters(trunk: Trunk, data: TrainingImages, run: RunFolder) -> Filter:
    def of(kind: int, part: int) -> PixelSet:
        rows = np.flatnonzero(data.types == kind)[part::3]
        return PixelSet(data.pixels.exact[rows], data.pixels.wide[rows])

    sets = {name: of(kind, part) for kind, names in ((1, CLASSES["text"]), (2, CLASSES["qr"]))
            for part, name in enumerate(names)}  # fmt: skip
    sets |= {f"{group}-{split}": of(0, part) for group in ("clothing", "grocery")
             for part, split in enumerate(("train", "calibration"))}  # fmt: skip
    return train_filter(trunk, sets, 0, FilterSettings(epochs=30, batch_size=16), run, _CPU)


@pytest.fixture(scope="module")
def heads(trunk: Trunk, data: TrainingImages) -> VectorHeads:
    photos, labels = data.pixels.exact[:60], data.labels[:60]
    edited = np.stack([photos[:, ::-1], photos[:, :, ::-1]]).copy()
    settings = MetricSettings(steps=60, batch_size=64, copy_steps=60, copy_batch=64)
    return train_vector_heads(trunk, photos, edited, labels, settings, 0)


@pytest.fixture(scope="module")
def scorer(trunk: Trunk, filters: Filter, heads: VectorHeads, data: TrainingImages) -> Scorer:
    features = features_of(trunk, data.pixels.exact)
    quality = np.stack([features.quality[:40]] * (LEVELS + 1), axis=1)
    preference = train_preference(quality, 0, epochs=1)
    return Scorer(trunk, filters.text, filters.qr, preference, heads).eval()


@pytest.fixture(scope="module")
def graph(scorer: Scorer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "scorer.onnx"
    export_scorer(scorer, path)
    return path


def test_the_served_scores_tell_three_kinds_apart(scorer: Scorer, data: TrainingImages) -> None:
    with torch.no_grad():
        embedding, text, qr, _, copy = scorer(torch.from_numpy(data.pixels.exact))
    for kind, score in ((1, text), (2, qr)):
        assert (score[data.types == kind] >= 0.5).float().mean() > 0.9
        assert (score[data.types == 0] >= 0.5).float().mean() < 0.05
    for vectors in (embedding, copy):
        np.testing.assert_allclose(np.linalg.norm(vectors.numpy(), axis=1), 1.0, atol=1e-5)


def test_what_serves_is_what_the_heads_give(scorer: Scorer, heads: VectorHeads, data: TrainingImages) -> None:
    own = vectors_of(scorer.trunk, heads, data.pixels.exact[:20])
    with torch.no_grad():
        served = scorer(torch.from_numpy(data.pixels.exact[:20]))
    np.testing.assert_allclose(served[0].numpy(), own.embedding, atol=1e-5)
    np.testing.assert_allclose(served[4].numpy(), own.copy, atol=1e-5)


def test_an_edited_copy_lies_nearer_than_another_photo(heads: VectorHeads, trunk: Trunk) -> None:
    photos = _stripes(np.random.default_rng(9), 40, SIDE)
    own, copies = (vectors_of(trunk, heads, images).copy for images in (photos, photos[:, ::-1].copy()))
    similar = own @ copies.T
    assert np.mean(similar.argmax(axis=1) == np.arange(40)) > 0.8


def test_copies_are_counted_against_other_senders_alone() -> None:
    own = np.eye(4, dtype=np.float32)
    own[1] = own[0]  # one sender shows a thing twice: no false pair
    copies = np.stack([own] * len(EDITS))
    copies[0] = np.roll(own, 1, axis=1)
    figures = copy_figures(own, copies, ["a", "a", "b", "c"], 0.0)
    assert figures["quality 30"] < figures["quality 95"] == 1
    assert figures["mean"] == pytest.approx(np.mean([figures[name] for name in EDITS]))


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_changes_the_picture_and_leaves_it_a_picture(name: str) -> None:
    photo = Image.fromarray(_stripes(np.random.default_rng(3), 4, 200)[2])
    edited = EDITS[name](photo)
    assert edited.mode == "RGB"
    assert min(edited.size) >= 24
    assert edited.size != photo.size or (np.asarray(edited) != np.asarray(photo)).any()


def test_random_edits_repeat_by_their_seed() -> None:
    photo = Image.fromarray(_stripes(np.random.default_rng(3), 4, 100)[2])
    first, again = (
        [np.asarray(random_edit(np.random.default_rng(i), photo)) for i in range(30)] for _ in "ab"
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({image.shape for image in first}) > 5


def test_what_is_laid_on_a_ground_keeps_its_middle() -> None:
    torch.manual_seed(0)
    images = torch.full((64, 3, 64, 64), 0.25)
    laid = lay(images, 25, 0.5)
    assert torch.allclose(laid[:, :, 24:40, 24:40].amax(dim=(1, 2, 3)).median(), torch.tensor(0.25))
    corners = laid[:, :, 0, 0]
    assert (corners == 1).all(dim=1).any(), "no white ground"
    assert (corners == -1).all(dim=1).any(), "no black ground"


def test_a_search_finds_what_is_nearest_of_what_it_may() -> None:
    items = np.eye(3, dtype=np.float32)
    labels = np.array(["a", "b", "a"])
    itself = np.eye(3, dtype=bool)
    found = retrieval(items, labels, items, labels, itself)
    assert found == {"queries": 2, "R@1": 0.5, "R@5": 1.0, "nDCG@5": pytest.approx(0.8155), "mAP": 0.75}
    assert retrieval(items, labels, items, labels) | {"nDCG@5": 1} == {
        "queries": 3, "R@1": 1.0, "R@5": 1.0, "nDCG@5": 1, "mAP": pytest.approx(0.9444, abs=1e-3),
    }  # fmt: skip
    assert retrieval(items[:1], labels[:1], items[1:2], labels[1:2]) == {"queries": 0}


def test_the_same_seed_gives_the_same_trunk(data: TrainingImages, tmp_path: Path) -> None:
    short = TrunkSettings(epochs=1, batch_size=64, pairs=8)
    first, again = (
        train_trunk(data, 5, short, _empty(tmp_path / str(i)), _CPU).state_dict() for i in range(2)
    )
    for name, value in first.items():
        assert torch.equal(value, again[name]), name


def _empty(folder: Path) -> RunFolder:
    folder.mkdir()
    return RunFolder(folder)


class _Interrupted(Exception):
    """Stands for a kill after the first checkpoint."""


class _KilledAfterOneCheckpoint(RunFolder):
    def save_checkpoint(self, name: str, state: dict[str, object]) -> None:
        super().save_checkpoint(name, state)
        raise _Interrupted


def test_a_trunk_resumes_bit_by_bit(data: TrainingImages, tmp_path: Path) -> None:
    settings = TrunkSettings(epochs=2, batch_size=64, pairs=8)
    whole = train_trunk(data, 5, settings, _empty(tmp_path / "whole"), _CPU).state_dict()
    with pytest.raises(_Interrupted):
        train_trunk(data, 5, settings, _KilledAfterOneCheckpoint(_empty(tmp_path / "half").path), _CPU)
    resumed = train_trunk(data, 5, settings, RunFolder(tmp_path / "half"), _CPU).state_dict()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


def test_a_loss_that_is_not_finite_stops_training(data: TrainingImages, tmp_path: Path) -> None:
    wild = TrunkSettings(epochs=1, batch_size=32, pairs=8, temperature=0.0)
    with pytest.raises(LossNotFinite, match="pair"):
        train_trunk(data, 0, wild, RunFolder(tmp_path), _CPU)


def test_contrast_is_least_where_types_lie_together() -> None:
    types = torch.tensor([0, 0, 1, 1])
    apart = torch.eye(2)[types]
    mixed = torch.eye(2)[torch.tensor([0, 1, 0, 1])]
    assert float(contrast(apart, types, 0.2)) < 0.1
    assert float(contrast(mixed, types, 0.2)) > 1


def test_parts_are_measured_side_by_side(filters: Filter, data: TrainingImages) -> None:
    groups = {name: data.pixels.exact[data.types == kind] for kind, name in
              ((1, "notice-held"), (1, "notice-svg"), (2, "qr-photo-held"), (2, "qr-zxing"))}  # fmt: skip
    products = data.pixels.exact[data.types == 0]
    figures = side_by_side(filters, groups, products[::2], products[1::2], 0.05)
    assert len(figures) == 2 * 4
    own = figures["text by restoration"]
    assert isinstance(own, dict)
    assert own["AUROC"] > 0.95


def test_the_served_score_orders_as_the_restoration_does(
    filters: Filter, trunk: Trunk, data: TrainingImages
) -> None:
    images = data.pixels.exact[:30]
    with torch.no_grad():
        served = filters.qr(torch.from_numpy(features_of(trunk, images).verdict)).numpy()
    restored = score_images([filters.qr.model], images)[0][RESTORED]
    # float32 sigmoids may tie where float64 errors do not.
    assert (np.diff(served[np.argsort(restored)]) >= -1e-6).all()


def test_graph_equals_network_in_every_head(scorer: Scorer, graph: Path, data: TrainingImages) -> None:
    differences = largest_difference(scorer, graph, data.pixels.exact[:24])
    assert set(differences) == set(OUTPUTS)
    assert max(differences.values()) <= 1e-4, differences


def test_the_starters_parts_make_a_bundle_that_takes_the_place_of_the_one_before(
    scorer: Scorer, graph: Path, data: TrainingImages, tmp_path: Path
) -> None:
    run, out, images = tmp_path / "run", tmp_path / "bundle", data.pixels.exact[:8]
    run.mkdir()
    shutil.copyfile(graph, run / GRAPH_FILE)
    with torch.no_grad():
        given = [tensor.numpy() for tensor in scorer(torch.from_numpy(images))]
    examples = {name: Examples([images], values) for name, values in zip(OUTPUTS, given, strict=True)}
    embedding = features_of(scorer.trunk, data.pixels.exact[:60]).embedding
    tags = positives_of([(("a", "b", "c")[kind],) for kind in data.types[:60]])
    shown = TagImages(embedding, [str(i) for i in range(60)], tags)
    train_tag_set(shown, TagRecipe(rounds=0)).write(run / TAGS_FILE, "starter-9", "1")
    trait = Trait("starter-9", 0.05, 0.02, 0.0)
    parts = write_parts(run, trait, examples, 0, "0" * 64, {"tags": {"tags": 3}})
    for version in ("9", "10"):
        manifest = assemble(parts, "starter", version, out, card="# mine\n", replace=True)
    assert [graph.file for graph in manifest.graphs] == [GRAPH_FILE]
    assert [head_name(head) for head in manifest.heads] == [
        "embedding",
        "text",
        "qr",
        "preference",
        "copy",
        "tags",
    ]
    assert set(manifest.policy.thresholds) == {"text", "qr"}
    held, identifier = read_manifest(out)
    assert held.figures == {"tags": {"tags": 3}}
    assert identifier.startswith("starter-10-")
    with pytest.raises(PartsDoNotFit, match="not empty"):
        assemble(parts, "starter", "11", out)


def test_a_row_of_a_batch_equals_the_single_row(graph: Path, data: TrainingImages) -> None:
    images = data.pixels.exact[:6]
    together, alone = run_onnx(graph, images), run_onnx(graph, images, 1)
    for name in OUTPUTS:
        np.testing.assert_allclose(together[name], alone[name], atol=1e-5, err_msg=name)


def test_the_graph_costs_at_most_120_megaflops(scorer: Scorer) -> None:
    assert 50 < scorer_mega_flops(scorer) <= 120


def test_fp16_and_int8_stay_close(graph: Path, data: TrainingImages, tmp_path: Path) -> None:
    images = data.pixels.exact[:64]
    half, eight = tmp_path / "half.onnx", tmp_path / "eight.onnx"
    to_fp16(graph, half)
    to_int8(graph, eight, images)
    assert cost_of(half, graph, images, {"text": 0.5}).least_cosine >= 0.9999
    assert cost_of(eight, graph, images, {"text": 0.5}).least_cosine >= 0.95
    assert max(half.stat().st_size, eight.stat().st_size) < graph.stat().st_size


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


def _ramp(low: float, high: float, count: int = 1000) -> np.ndarray:
    return np.linspace(low, high, count, dtype=np.float32)


def _flagged(group: dict[str, np.ndarray], cuts: dict[str, float]) -> int:
    return int(np.any([group[name] >= cut for name, cut in cuts.items()], axis=0).sum())


def test_the_strictest_group_sets_the_cuts() -> None:
    tame, wild = ({"text": _ramp(0, top), "qr": _ramp(0, 0.1)} for top in (1, 2))
    inside = {"text": _ramp(1, 5, 9000), "qr": _ramp(1, 5, 9000)}
    cuts = joint_cuts([tame, wild], inside, 0.003)
    assert _flagged(wild, cuts) == 3
    assert _flagged(tame, cuts) == 0


def test_the_share_counts_a_photo_once_for_both_scores() -> None:
    values = np.insert(_ramp(0, 1, 999), 0, np.float32(4))
    inside = {"text": _ramp(1, 5, 9000), "qr": _ramp(1, 5, 9000)}
    cuts = joint_cuts([{"text": values, "qr": values}], inside, 0.001)
    assert cuts == pytest.approx({"text": 1, "qr": 1}, abs=1e-3)


def test_both_classes_are_accepted_at_one_rate() -> None:
    products = {"text": _ramp(0, 3), "qr": _ramp(0, 1)}
    inside = {"text": _ramp(1, 5, 9000), "qr": _ramp(2, 9, 7000)}
    cuts = joint_cuts([products], inside, 0.0)
    assert _flagged(products, cuts) == 0
    rates = [(inside[name] >= cuts[name]).mean() for name in inside]
    assert rates == pytest.approx([0.5, 0.5], abs=0.01)


def test_a_product_at_the_very_heart_of_the_class_leaves_one_image() -> None:
    cuts = joint_cuts(
        [{"text": _ramp(0, 9), "qr": _ramp(0, 9)}], {"text": _ramp(1, 5), "qr": _ramp(1, 5)}, 0.0
    )
    assert cuts == {"text": 5, "qr": 5}


def test_the_median_of_the_class_scores_095() -> None:
    assert 1 / (1 + np.exp(-(5 - 3) * slope_of(3.0, np.full(10, 5, np.float32)))) == pytest.approx(
        0.953, abs=1e-3
    )


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
