"""Preference: RankNet's cost by hand, what clicks say once freed of the place, and the commands, small."""

import argparse
import csv
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from export.bundle.assemble import assemble
from export.bundle.calibrate import calibrate
from export.bundle.take import take
from export.cli import main
from export.data import Dataset, Example
from export.errors import DatasetError
from export.parts import read_part
from export.preference import benchmark
from export.preference import feedback as feedback_module
from export.preference.click_pairs import pairs_by_inverse, pairs_by_order, pairs_by_rates
from export.preference.clicks import ClickLog, Counts, Rows, read_clicks
from export.preference.detail import DETAIL, DETAIL_WIDTH, detail_features
from export.preference.feedback import from_clicks
from export.preference.ladder import LEVELS, degrade
from export.preference.near_identical import grouped, near_identical, thumbnails
from export.preference.networks import APPEARANCE_WIDTH, appearance
from export.preference.propensity import (
    expectation_maximisation,
    intervention_harvesting,
    read_propensities,
)
from export.preference.quality import pairs_right_by_kind
from export.preference.ranking import grades, ndcg, pairs_right
from export.preference.ranknet import ranknet_cost
from export.preference.ratings import rated_pairs, read_ratings
from export.preference.simulation import shop
from export.preference.turning import kept_level, turned, turned_by_opencv, turned_by_splines
from export.preference.versions import ELSEWHERE, Ladders, Versions, drawn, ladders
from export.run import RunFolder
from schemas.bundle import DETAIL_MEASURES
from tests import images
from worker.settings import STARTER_BUNDLE


def test_ranknets_cost_and_gradient_are_those_computed_by_hand():
    first = torch.tensor([2.0, 0.0, -1.0], requires_grad=True)
    second = torch.tensor([1.0, 0.0, 2.0], requires_grad=True)
    cost = ranknet_cost(first, second, torch.tensor([1.0, 0.5, 0.0]))
    # o = 1, P = 1: log(1 + e) - 1. o = 0, P = 1/2: log 2. o = -3, P = 0: log(1 + e^-3).
    expected = [math.log(1 + math.e) - 1, math.log(2), math.log(1 + math.exp(-3))]
    np.testing.assert_allclose(cost.detach(), expected, rtol=1e-6)
    cost.sum().backward()
    # dC/do = sigmoid(o) - P.
    slope = [1 / (1 + math.exp(-1)) - 1, 0.0, 1 / (1 + math.exp(3))]
    np.testing.assert_allclose(first.grad, slope, atol=1e-7)
    np.testing.assert_allclose(second.grad, [-value for value in slope], atol=1e-7)


def test_ndcg_is_that_computed_by_hand_and_ties_gain_nothing():
    relevance = np.array([3.0, 0.0, 2.0])
    # Order 0, 1, 2: gains 7, 0, 3; the best order has 7, 3, 0.
    gained, best = 7 + 3 / math.log2(4), 7 + 3 / math.log2(3)
    assert ndcg(relevance, np.array([3.0, 2.0, 1.0]), 100) == pytest.approx(gained / best)
    assert ndcg(relevance, np.array([3.0, 2.0, 1.0]), 1) == 1
    assert ndcg(relevance, np.array([1.0, 2.0, 3.0]), 1) == pytest.approx(3 / 7)
    tied = ndcg(np.array([3.0, 0.0]), np.zeros(2), 1)
    assert tied == ndcg(np.array([0.0, 3.0]), np.zeros(2), 1) == pytest.approx(0.5)
    assert pairs_right(relevance, np.array([1.0, 1.0, 0.0])) == pytest.approx((0.5 + 1 + 0) / 3)
    with pytest.raises(DatasetError, match="rated alike"):
        pairs_right(np.ones(3), relevance)
    assert grades(np.array([1.0, 5.0]), 1, 5).tolist() == [1, 5]
    assert grades(np.array([-1.0, 1.0]), -1, 1).tolist() == [0, 4]


def test_raters_are_compared_with_themselves_alone():
    rows = [(image, "mild", str(4 + 0.5 * image)) for image in range(3)]
    rows += [(image, "harsh", str(image)) for image in range(3)]
    found = read_ratings([*rows, (0, "mild", "bad"), (1, "mild", ""), (2, "mild", "inf")])
    assert found.skipped == {"rating is no number": 1, "no rating": 1, "rating is not finite": 1}
    pairs = rated_pairs(found, 200, 0)
    assert (pairs.target == (pairs.first > pairs.second)).all()
    assert np.all(np.diff(found.relevance(3)) > 0)
    tie = rated_pairs(read_ratings([(0, "a", "1"), (1, "a", "1"), (0, "b", "1"), (2, "b", "2")]), 200, 0)
    assert set(tie.target[(tie.first + tie.second) == 1].tolist()) == {0.5}
    with pytest.raises(DatasetError, match="all images the same"):
        read_ratings([(0, "a", "1"), (1, "a", "1")])
    with pytest.raises(DatasetError, match="at least two ratings"):
        read_ratings([(0, "a", "x")])
    with pytest.raises(DatasetError, match="no rater rated two"):
        rated_pairs(read_ratings([(0, "a", "1"), (1, "a", "2")]).of_images(np.array([0])), 9, 0)


GRADES = np.arange(200) % 5 * 1.0
# What is liked is shown low: clicks as they are would say the contrary.
SHOWN_FIRST = -GRADES + np.random.default_rng(0).normal(0, 1, 200)


def test_propensities_are_found_in_the_log():
    counts = Counts.of(shop(GRADES, SHOWN_FIRST, 30_000, "position", 0))
    truth = 1 / np.arange(1, 11)
    for estimate in (expectation_maximisation, intervention_harvesting):
        found = estimate(counts, 200)
        np.testing.assert_allclose(found.values, truth, atol=0.06, err_msg=found.rule)
    naive = np.bincount(counts.position, counts.clicked)[1:] / np.bincount(counts.position, counts.shown)[1:]
    assert np.abs(naive / naive.max() - truth).max() > 0.2


def asked(**changed):
    usual = {"propensities": "em", "click_model": "auto", "weighting": "rates", "clip": 0.02, "seed": 0}
    return argparse.Namespace(**{**usual, **changed})


@pytest.mark.parametrize(("model", "rule"), [("position", "position-based"), ("cascade", "dependent clicks")])
def test_the_click_model_that_fits_is_taken_and_pairs_lean_to_what_is_liked(model, rule):
    rows = shop(GRADES, SHOWN_FIRST, 20_000, model, 1)
    log = ClickLog(Counts.of(rows), rows, len(rows), {}, 1.0)
    own, nobody = np.arange(200), np.empty(0, np.int64)

    liked = 0.02 + 0.88 * (np.exp2(GRADES) - 1) / 15

    def error(**changed):
        feedback = from_clicks(log, own, nobody, asked(**changed))
        pairs = feedback.pairs
        ideal = liked[pairs.first] / (liked[pairs.first] + liked[pairs.second])
        return float(np.abs(pairs.target - ideal).mean()), feedback

    corrected, feedback = error()
    assert feedback.figures["click model"].startswith(rule)
    naive, _ = error(propensities="none")
    assert corrected < 0.7 * naive
    assert feedback.bias.both > feedback.bias.position_alone


def test_a_click_weighs_by_the_inverse_of_its_propensity_but_no_more_than_the_clip():
    rows = Rows(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 3]), np.array([1, 2, 1, 2]),
                np.array([True, False, False, True]))  # fmt: skip
    pairs = pairs_by_inverse(rows, np.array([1.0, 0.5, 1.0, 0.01]), 0.25, 10_000, 0)
    assert {*zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)} == {(0, 1), (3, 2)}
    assert (pairs.first == 3).mean() == pytest.approx(0.8, abs=0.03)  # 1 / 0.25 against 1
    by_rates = pairs_by_rates(rows, np.array([0.3, 0.1, 0.2, 0.2]), 100, 0)
    one = by_rates.first == 0
    assert set(np.round(by_rates.target[one], 4).tolist()) == {0.75}
    np.testing.assert_allclose(by_rates.weight[one], 0.4, rtol=1e-6)
    with pytest.raises(DatasetError, match="no list shows two"):
        pairs_by_rates(Rows(np.arange(2), np.arange(2), np.ones(2, int), np.ones(2, bool)), np.ones(2), 9, 0)


def write(path: Path, header: str, lines: list[str]) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_the_order_of_two_images_weighs_by_what_the_log_tells_of_it():
    clicks, looks = np.array([90.0, 10.0, 1.0, 0.0, 0.0]), np.array([100.0, 100.0, 2.0, 1.0, 0.0])
    found = pairs_by_order(clicks, looks, 2000, 0)
    told = {
        (first, second): (float(target), float(weight))
        for first, second, target, weight in zip(
            found.first.tolist(), found.second.tolist(), found.target, found.weight, strict=True
        )
    }
    assert len(told) == 12  # each of the four that were looked at against each other; the last never was
    assert told[0, 1][0] > 0.999
    assert told[1, 0][0] == pytest.approx(1 - told[0, 1][0], abs=1e-6)
    assert told[0, 1][1] > 0.99
    assert told[0, 2][1] < 0.9
    assert told[2, 3][0] > 0.5  # one click in two looks, against none in one: hardly more than nothing
    with pytest.raises(DatasetError, match="fewer than two of the images"):
        pairs_by_order(np.array([1.0, 0.0]), np.array([3.0, 0.0]), 10, 0)


def test_bad_rows_of_a_log_are_counted_and_a_log_that_tells_nothing_is_refused(tmp_path):
    images = {"a": 0, "b": 1}
    lines = ["1,a,1,1", "1,b,2,0", "2,b,1,true", "2,a,2,", "2,a,,1", "2,a,x,0", "2,c,1,1", "2,a,1,7"]
    log = read_clicks(write(tmp_path / "log.csv", "list_id,path,position,clicked", lines), images)
    assert log.shown == 4
    assert log.skipped == {
        "of an image that is not given": 1, "clicked, but shown at no position": 1,
        "position missing, or no whole number up to 10,000": 1, "click is neither 0 nor 1": 1,
    }  # fmt: skip
    assert log.rows.clicked.sum() == 2
    for header, bad, message in (
        ("list_id,path,clicked", ["1,a,1"], "no column for the position"),
        ("list_id,path,position,clicked", [], "empty|not one row"),
        ("list_id,path,position,clicked", ["1,a,,1"], "not one row to use .1 x clicked, but shown at no"),
        ("list_id,path,position,clicked", ["1,a,1,0"], "none was clicked"),
        ("list_id,path,position,clicked", ["1,a,1,0,9"], "not a readable table"),
    ):
        with pytest.raises(DatasetError, match=message):
            read_clicks(write(tmp_path / "bad.csv", header, bad), images)
    one = write(tmp_path / "one.csv", "list_id,path,position,clicked", ["1,a,1,1", "2,b,1,0"])
    apart = write(tmp_path / "apart.csv", "list_id,path,position,clicked", ["1,a,1,1", "1,b,2,1"])
    for path, message in ((one, "position 1 alone"), (apart, "no image stands both at positions 2")):
        for estimate in (expectation_maximisation, intervention_harvesting):
            with pytest.raises(DatasetError, match=message):
                estimate(read_clicks(path, images).counts, 2)


# `make test-large`: 2 GB.
LARGE = int(os.environ.get("MEKIKI_LARGE_BYTES", "40000000"))


def test_a_large_log_is_read_in_bounded_memory(tmp_path):
    path = tmp_path / "log.csv"
    block = "".join(
        f"{{0}}-{number // 10},item-{number * 7919 % 3000}.jpg,{number % 10 + 1},{int(number % 31 == 0)}\n"
        for number in range(100_000)
    )
    with path.open("w") as file:
        file.write("list_id,path,position,clicked\n")
        blocks = LARGE // len(block)
        file.writelines(block.replace("{0}", str(number)) for number in range(blocks))
    code = (
        "import resource; from pathlib import Path; from export.preference.clicks import read_clicks\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "images = {f'item-{n}.jpg': n for n in range(2000)}\n"
        f"log = read_clicks(Path({str(path)!r}), images, most_rows=100_000)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
        "print(log.shown, sum(log.skipped.values()), len(log.rows))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peak, shown, skipped, drawn = map(int, done.stdout.split())
    assert peak < 250_000  # kilobytes
    assert shown + skipped == 100_000 * blocks
    assert skipped > 0
    assert 0 < drawn <= 100_000
    path.unlink()


def test_a_log_of_any_form_is_read_alike_and_more_lists_than_fit_are_drawn_whole(tmp_path):
    rows = shop(GRADES, SHOWN_FIRST, 300, "position", 3)
    names = {f"{item}.jpg": item for item in range(200)}
    held = list(zip(rows.list, rows.item, rows.position, rows.clicked, strict=True))
    np.random.default_rng(0).shuffle(held)  # rows of a list need not stand together
    table = write(tmp_path / "log.csv", "session,item,rank,click",
                  [f"{a},{b}.jpg,{c},{int(d)}" for a, b, c, d in held])  # fmt: skip
    lines = tmp_path / "log.jsonl"
    lines.write_text("".join(
        json.dumps({"session": str(a), "item": f"{b}.jpg", "rank": int(c), "click": bool(d)}) + "\n"
        for a, b, c, d in held
    ))  # fmt: skip
    whole = read_clicks(table, names)
    for log in (whole, read_clicks(lines, names)):
        expected = Counts.of(rows)
        for name in ("item", "position", "shown", "clicked"):
            np.testing.assert_array_equal(getattr(log.counts, name), getattr(expected, name))
    small = read_clicks(table, names, most_rows=1000)
    assert 0 < len(small.rows) <= 1000
    assert small.lists_drawn < 1
    assert set(np.bincount(small.rows.list).tolist()) == {10}
    np.testing.assert_array_equal(small.counts.shown, whole.counts.shown)


def test_given_propensities_are_read_and_judged(tmp_path):
    found = read_propensities(write(tmp_path / "p.csv", "position,propensity", ["1,0.8", "2,0.4"]))
    assert found.at(np.array([1, 2, 9])).tolist() == [1.0, 0.5, 0.5]
    for line, message in (("1,0", r"not in \(0, 1\]"), ("x,1", "no position and propensity")):
        with pytest.raises(DatasetError, match=message):
            read_propensities(write(tmp_path / "p.csv", "position,propensity", [line]))


def test_near_identical_images_join_the_groups_of_their_senders(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (3, 80, 80, 3), dtype=np.uint8)
    copy = np.clip(noise[0].astype(int) + 3, 0, 255).astype(np.uint8)
    images = np.stack([*noise, copy])
    groups = near_identical((thumbnails(images), 0.01))
    assert groups[0] == groups[3]
    assert len(set(groups.tolist())) == 3
    examples = [Example(tmp_path, str(i), "", group) for i, group in enumerate("abcb")]
    joined = grouped(Dataset(tuple(examples)), groups)
    assert [example.group for example in joined.examples] == ["a", "a", "c", "a"]
    assert appearance(torch.from_numpy(images)).shape == (4, APPEARANCE_WIDTH)


@pytest.fixture
def few_pairs(monkeypatch):
    """Fewer than a training of such little steps would draw from."""
    for module in (feedback_module, benchmark):
        monkeypatch.setattr(module, "PAIRS", 20_000)


def mekiki(*arguments: object) -> int:
    return main(list(map(str, arguments)))


def test_ratings_and_clicks_become_heads_of_one_bundle(tmp_path, capsys, few_pairs):
    rng = np.random.default_rng(0)
    light, folder = rng.random(40), tmp_path / "images"
    folder.mkdir()
    for number, level in enumerate(light):
        pixels = rng.normal(255 * level, 20, (40, 40, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    rated = tmp_path / "ratings.csv"
    with rated.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["path", "rating"])
        out.writerows((f"images/{number}.png", f"{4 * level:.1f}") for number, level in enumerate(light))
    assert mekiki("train", "preference", "--ratings", rated, "--epochs", 1, "--out", tmp_path / "rated") == 0
    rows = shop(np.rint(4 * light), -light, 400, "position", 0)
    lines = [
        f"{a},{b},{c},{int(d)}"
        for a, b, c, d in zip(rows.list, rows.item, rows.position, rows.clicked, strict=True)
    ]
    log = write(tmp_path / "clicks.csv", "list_id,image,position,clicked", lines)
    assert mekiki(
        "train", "preference", "--clicks", log, "--images", folder, "--encoder", STARTER_BUNDLE,
        "--epochs", 2, "--out", tmp_path / "clicked",
    ) == 0  # fmt: skip
    assert "click model" in read_part(tmp_path / "clicked" / "parts" / "clicks").part.figures
    report = (tmp_path / "clicked" / "report.html").read_text()
    assert "What the place in the list does" in report
    parts = [*take(str(tmp_path / "rated")), *take(str(tmp_path / "clicked"))]
    manifest = assemble(parts, "liked", "1", tmp_path / "bundle")
    assert [(score.kind, score.name) for score in manifest.scores] == [
        ("preference", "preference"), ("preference", "clicks"),
    ]  # fmt: skip
    joint = mekiki(
        "train", "preference", "--ratings", rated, "--architecture", "joint", "--out", tmp_path / "x"
    )
    assert joint == 2
    assert "name one with --encoder" in capsys.readouterr().err


def test_photo_quality_takes_numbers_of_the_decoder_and_is_calibrated_beside_filters(tmp_path):
    for label in ("accept", "block"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(12):
            photo = images.photo(number, 96, 72)
            photo.save(tmp_path / "images" / label / f"{label}{number}.png")
    assert mekiki(
        "train", "preference", "--images", tmp_path / "images", "--encoder", STARTER_BUNDLE,
        "--name", "quality", "--epochs", 1, "--out", tmp_path / "quality",
    ) == 0  # fmt: skip
    part = read_part(tmp_path / "quality" / "parts" / "quality").part
    assert part.manifest().detail_measures() == set(DETAIL) == DETAIL_MEASURES
    right = part.figures["pairs of held photos ranked right"]
    assert {"all", "tilt, mild", "tilt of a resampled photo", *ELSEWHERE} <= set(right)
    # The first seed of the evaluation is what that command trains, on what it has drawn already.
    measured = [
        "evaluate", "quality", "--images", tmp_path / "images", "--encoder", STARTER_BUNDLE,
        "--epochs", 1, "--out", tmp_path / "measured",
    ]  # fmt: skip
    assert mekiki(*measured, "--seeds", 0) == 0
    rows = RunFolder(tmp_path / "measured").metrics()
    assert rows[0].items() >= right.items()
    assert mekiki(*measured, "--seeds", 1) == 2
    (drawn_once,) = (tmp_path / "measured" / "versions").iterdir()
    before = drawn_once.stat().st_mtime_ns
    assert mekiki(*measured, "--seeds", 1, "--resume") == 0
    assert drawn_once.stat().st_mtime_ns == before
    parts = [*take(f"{STARTER_BUNDLE}:embedding,text,qr"), *take(str(tmp_path / "quality"))]
    assemble(parts, "good", "1", tmp_path / "bundle")
    found = calibrate(tmp_path / "bundle", str(tmp_path / "images"), 0.5)
    assert "quality" in found.reference


def test_photos_that_do_not_decode_are_told(tmp_path, capsys):
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes(b"no image")
    told = {"0.1": "12 of 12 images do not decode", "1": "not one of 12 photos decodes"}
    for share, message in told.items():
        assert mekiki(
            "evaluate", "quality", "--images", tmp_path, "--encoder", STARTER_BUNDLE,
            "--max-broken", share, "--out", tmp_path / share,
        ) == 2  # fmt: skip
        assert message in capsys.readouterr().err
    images.photo(0, 64, 64).save(tmp_path / "0.png")
    assert mekiki(
        "train", "preference", "--images", tmp_path, "--encoder", STARTER_BUNDLE, "--max-broken", 1,
        "--out", tmp_path / "few",
    ) == 2  # fmt: skip
    assert "photos decode; give more images" in capsys.readouterr().err


def test_a_hidden_utility_is_looked_for_in_ratings_and_in_the_clicks_of_three_models(tmp_path, few_pairs):
    folder = tmp_path / "images"
    for number in range(40):
        kind = folder / f"kind {number % 2}"
        kind.mkdir(parents=True, exist_ok=True)
        images.photo(number, 60, 60).save(kind / f"{number}.png")
    assert mekiki(
        "evaluate", "preference", "--images", folder, "--encoder", STARTER_BUNDLE, "--seeds", 0, 1,
        "--utilities", "taste", "--lists", 200, "--epochs", 1, "--out", tmp_path / "hidden",
    ) == 0  # fmt: skip
    told = [json.loads(line) for line in (tmp_path / "hidden" / "metrics.jsonl").read_text().splitlines()]
    summaries = {row["source"]: row for row in told if row["phase"] == "summary"}
    assert {"ratings", "true grades", "cascade, em", "noise, harvest", "position, gap"} <= set(summaries)
    assert summaries["ratings"]["seeds"] == 2
    assert 0 < summaries["ratings"]["mean"] <= 1
    found = {row["phase"]: row["ndcg@100"] for row in told if row["phase"] != "summary"}
    for model in ("position", "cascade", "noise"):
        gaps = [found[f"true-{seed}"] - found[f"{model}-none-{seed}"] for seed in (0, 1)]
        closed = summaries.get(f"{model}, em, share of the gap", {"seeds": 0})
        assert closed["seeds"] == sum(gap >= 0.05 for gap in gaps)
    assert sum(row["phase"] == "position-none-1" for row in told) == 1


def test_every_kind_of_degradation_counts_alike():
    best_first = [[4, 3, 2, 1], [4, 5, 2, 1], [1, 2, 3, 4]]  # by the only feature, which is the utility
    quality = np.array(best_first, np.float32)[..., None]
    held = Ladders(quality, np.array(["blur", "blur", "tilt"]))
    head = SimpleNamespace(margin=lambda features: features[:, 0])
    found = pairs_right_by_kind(head, held)
    assert (found["blur"], found["blur, mild"], found["blur, heavy"]) == (0.8333, 0.5, 1)
    assert (found["tilt"], found["all"], found["all, mild"]) == (0, 0.4167, 0.25)


def test_originals_are_as_they_were_or_saved_anew_and_as_many_resampled_as_is_asked():
    originals = np.tile(np.arange(3, dtype=np.float32)[:, None], (400, 1, 1))
    worse = np.full((400, 2, LEVELS, 1), 9, np.float32)
    kinds = np.tile(np.array(["tilt", "tilt by OpenCV"]), (400, 1))
    versions = Versions(np.arange(400).astype(str), originals, worse, kinds)
    found = ladders(versions, np.random.default_rng(0), ["tilt"], 0.2)
    assert found.quality.shape == (400, LEVELS + 1, 1)
    assert set(found.kinds.tolist()) == {"tilt"}
    assert (found.quality[:, 1:] == 9).all()
    shares = np.bincount(found.quality[:, 0, 0].astype(int)) / 400
    np.testing.assert_allclose(shares, [0.4, 0.4, 0.2], atol=0.07)
    assert len(ladders(versions, np.random.default_rng(0), ELSEWHERE, 0).kinds) == 400
    held = versions.of(Dataset((Example(Path(), "7", "", ""), Example(Path(), "no more", "", ""))))
    assert held.names.tolist() == ["7"]


def test_versions_hang_on_the_bytes_and_a_photo_is_upright_and_over_white_as_it_is_served():
    clear, out = images.photo(3, 64, 48), io.BytesIO()
    clear.putalpha(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    clear.save(out, "PNG", exif=exif)
    kinds, uploads = drawn(out.getvalue(), 0)
    assert uploads == drawn(out.getvalue(), 0)[1] != drawn(out.getvalue(), 1)[1]
    assert len(uploads) == 2 + LEVELS * len(kinds)
    assert kinds[:2] == ["tilt", "tilt"]
    assert kinds[2] in ELSEWHERE
    with Image.open(io.BytesIO(uploads[0])) as saved:
        assert saved.size == (48, 64)
        assert np.asarray(saved).min() > 250


def test_numbers_of_the_full_size_luminance_are_finite_features_and_a_tilt_has_a_strength():
    extreme = torch.tensor([[0.0, 0.0, 1.0, *[0.0] * 13], [1e6, 200.0, 60.0, *[255.0] * 7, *[-1.0] * 6]])
    found = detail_features(extreme)
    assert found.shape == (2, DETAIL_WIDTH)
    assert torch.isfinite(found).all()
    photo = images.photo(3, 200, 160)
    rng = np.random.default_rng(0)
    for _ in range(8):  # every ground, in the frame, grown and cut off
        mild, strong = (degrade(rng, photo, "tilt", level) for level in (1, LEVELS))
        apart = [np.abs(np.asarray(turned.resize(photo.size), float) - np.asarray(photo)).mean()
                 for turned in (mild, strong)]  # fmt: skip
        assert 0 < apart[0] < apart[1]


def test_a_photo_without_corners_shows_none_and_one_that_is_kept_level_is_not_turned():
    rng = np.random.default_rng(1)
    white, stripes = Image.new("RGB", (120, 90), "white"), np.zeros((90, 120, 3), np.uint8)
    stripes[::2] = 255
    for turn in (turned, turned_by_opencv, turned_by_splines):
        made = [turn(rng, Image.new("RGB", (120, 90), (9, 99, 199)), 15.0) for _ in range(24)]
        cut = [np.asarray(one, int) for one in made if one.width < white.width]
        grown = [np.asarray(one, int) for one in made if one.width > white.width]
        assert 0 < len(cut) < len(made) - len(grown) < len(made)
        assert all(np.abs(one[2:-2, 2:-2] - np.array([9, 99, 199])).max() <= 2 for one in cut)
        # A frame that is grown shows the ground in every corner, and all of the photo.
        for one in grown:
            assert len({tuple(one[row, column]) for row in (0, -1) for column in (0, -1)}) == 1
            photo = np.abs(one - np.array([9, 99, 199])).max(axis=2) <= 2
            assert 0.9 < photo.sum() / (white.width * white.height) < 1.2
    for _ in range(8):
        level = np.asarray(kept_level(rng, Image.fromarray(stripes), (3.0, 15.0)), float)[4:-4, 4:-4, 0]
        assert np.ptp(level, axis=1).max() <= 2
    assert kept_level(rng, Image.new("RGB", (1, 1)), (15.0,)).size == (1, 1)
