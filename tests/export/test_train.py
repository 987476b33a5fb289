import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from export.alocc.smoke import draw_smoke_images
from export.cli import main
from export.errors import ExportError

FAST = ["--epochs", "2", "--batch-size", "16", "--threads", "1"]


def table(folder: Path, lines: list[str], encoding: str = "utf-8") -> str:
    path = folder / "labels.csv"
    path.write_text("path,label\n" + "\n".join(lines) + "\n", encoding=encoding)
    return str(path)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_smoke_images(folder)
    return folder


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("smoke") / "run"
    assert main(["train", "alocc", "--smoke", "--seeds", "0", "1", "--out", str(out), *FAST]) == 0
    return out


@pytest.mark.timeout(300)
def test_a_smoke_run_leaves_everything_behind(smoke: Path) -> None:
    config = json.loads((smoke / "config.json").read_text())
    assert config["settings"]["seeds"] == [0, 1]
    assert len(config["data_digest"]) == 64
    rows = [json.loads(line) for line in (smoke / "metrics.jsonl").read_text().splitlines()]
    trained = {(row["phase"], row["epoch"]) for row in rows if row["phase"] != "evaluation"}
    spaces = ("pixel", "feature")
    assert trained == {
        (f"{space}-seed{seed}", epoch) for space in spaces for seed in (0, 1) for epoch in (0, 1)
    }
    measured = {(row["space"], row["seed"], row["score"]) for row in rows if row["phase"] == "evaluation"}
    scores = ("D(X)", "D(R(X))", "restoration", "fusion")
    assert measured == {(space, seed, score) for space in spaces for seed in (0, 1) for score in scores}
    best = [row["auroc"] for row in rows if row.get("space") == "feature" and row.get("score") == "fusion"]
    assert min(best) > 0.9  # strokes on paper against blobs: easy even for random features


@pytest.mark.timeout(300)
def test_the_report_holds_figures_and_pictures(smoke: Path) -> None:
    report = (smoke / "report.html").read_text()
    for words in (
        "All scores side by side",
        "R(X) under X",
        "Calibration",
        "Data digest",
        "0.3 % false positives",
    ):
        assert words in report
    assert report.count("data:image/png") >= 7
    assert report.count("data:image/jpeg") >= 2 * 32
    assert "http" not in report  # one file, nothing fetched


@pytest.mark.timeout(300)
def test_a_finished_run_is_measured_again_on_other_images(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "again.html"
    sources = ["--positive", str(images / "notices"), "--product", str(images / "products")]
    out = tmp_path / "run"
    assert (
        main(["train", "alocc", *sources, "--spaces", "pixel", "--seeds", "3", "--out", str(out), *FAST]) == 0
    )
    other = tmp_path / "other"
    draw_smoke_images(other, count=12)
    (other / "notices/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    arguments = ["--test-positive", str(other / "notices"), "--test-product", str(other / "products")]
    assert main(["evaluate", "alocc", str(out), *arguments, "--report", str(report)]) == 0
    assert "broken image" in report.read_text()
    assert "left out of positive: 1 x broken image" in capsys.readouterr().err
    last = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    assert (last["positives"], last["negatives"]) == (12, 12)


def test_resuming_a_finished_run_trains_nothing_again(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    sources = ["--positive", str(images / "notices"), "--product", str(images / "products")]
    command = ["train", "alocc", *sources, "--spaces", "pixel", "--seeds", "0", "--out", str(out), *FAST]
    assert main(command) == 0
    before = torch.load(out / "checkpoints/pixel-seed0.pt", weights_only=True)
    assert main(command) == 2  # the folder holds a run
    assert main([*command, "--resume"]) == 0
    after = torch.load(out / "checkpoints/pixel-seed0.pt", weights_only=True)
    weights = ("step", "reinforcer", "last.weight")
    for key in weights:
        before, after = before[key], after[key]
    assert torch.equal(before, after)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--device", "cuda"], "--device cuda: torch"),
        (["--positive", "nowhere"], "nowhere: no such folder or table"),
        (["--weights", "none.pth", "--spaces", "feature"], "--weights none.pth: no such file"),
        (["--spaces", "feature", "verdict", "--weights", "x.pth"], "different trunks"),
        (["--spaces", "feature"], "--weights FILE"),
        (["--spaces", "verdict", "--weights", "none.pth"], "--weights none.pth: no such file"),
        (["--seeds", "1", "1"], "a seed stands twice"),
        (["--false-positive-rate", "2"], "less than 1"),
        (["--epochs", "0"], "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    change: list[str], message: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "cuda" in change and torch.cuda.is_available():
        change, message = ["--device", "cuda", "--positive", "nowhere"], "no such folder"
    sources = ["--positive", str(images / "notices"), "--product", str(images / "products")]
    assert main(["train", "alocc", *sources, "--out", str(tmp_path / "run"), *FAST, *change]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_labels_in_another_encoding(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_smoke_images(tmp_path)  # beside the table: the split hangs on names, which are relative to it
    lines = [f"notices/{n:03d}.png,お知らせ" for n in range(60)]
    source = table(tmp_path, lines, "cp932")
    command = ["train", "alocc", "--positive", source, "--product", str(images / "products"), "--seeds", "0"]
    assert main([*command, "--out", str(tmp_path / "run"), *FAST]) == 2
    assert "as cp932 that line reads" in capsys.readouterr().err
    assert main([*command, "--encoding", "cp932", "--out", str(tmp_path / "run"), *FAST]) == 0


def test_an_image_on_both_sides_is_refused(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = ["--positive", str(images / "notices"), "--product", str(images / "products")]
    held = ["--test-positive", str(images / "notices")]
    assert main(["train", "alocc", *sources, *held, "--out", str(tmp_path / "run"), *FAST]) == 2
    assert "is in two sets, 'train' (of --positive) and 'positive'" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_ends_the_run(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = ["--positive", str(images / "notices"), "--product", str(images / "products")]
    high = ["--learning-rate", "1e30"]
    assert main(["train", "alocc", *sources, *high, "--out", str(tmp_path / "run"), *FAST]) == 2
    assert "is nan at epoch" in capsys.readouterr().err


def test_too_few_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one").mkdir()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "one/a.png")
    sources = ["--positive", str(tmp_path / "one"), "--product", str(tmp_path / "one")]
    assert main(["train", "alocc", *sources, "--out", str(tmp_path / "run"), *FAST]) == 2
    assert "the target class (--positive) needs at least 10 images and got 1" in capsys.readouterr().err


def test_the_commands_are_listed_without_torch() -> None:
    import subprocess
    import sys

    script = (
        "import sys, argparse; sys.modules['torch'] = None\n"
        "from export.cli import add_commands, main\n"
        "add_commands(argparse.ArgumentParser().add_subparsers())\n"
        "sys.exit(main(['train', 'alocc', '--smoke', '--out', 'x']))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "training needs torch, which is not installed: pip install 'mekiki[train]'" in done.stderr


def test_errors_of_training_are_errors_of_mekiki() -> None:
    from worker.errors import MekikiError

    assert issubclass(ExportError, MekikiError)
