import json
from pathlib import Path

import numpy as np
import pytest

from export.alocc.mnist import read_mnist
from export.alocc.mnist_report import PAPER_F1, summarise
from export.cli import main
from export.errors import DatasetError


def drawn_digits(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright square whose place tells the digit, in noise: uint8 [n, 28, 28] and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    images = rng.integers(0, 60, (count, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        top, left = 2 + 12 * (label // 5), 1 + 5 * (label % 5)
        image[top : top + 9, left : left + 6] = rng.integers(200, 256)
    return images, labels


@pytest.fixture
def data(tmp_path: Path) -> Path:
    x_train, y_train = drawn_digits(1500, 0)
    x_test, y_test = drawn_digits(400, 1)
    path = tmp_path / "mnist.npz"
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


def test_the_benchmark_measures_every_digit_share_and_score(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = ["evaluate", "mnist", "--data", str(data), "--out", str(out), "--digits", "1", "4"]
    command += ["--seeds", "0", "--epochs", "6", "--threads", "1"]
    assert main(command) == 0
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    measured = [row for row in rows if row["phase"] == "evaluation"]
    keys = {(row["digit"], row["share"], row["score"]) for row in measured}
    assert len(keys) == len(measured) == 2 * 5 * 4
    restored = [row["auroc"] for row in measured if row["score"] == "restoration"]
    assert min(restored) > 0.8
    report = (out / "report.html").read_text()
    assert "0.97" in report  # the paper's D(R(X)) at 10 %
    size = (out / "metrics.jsonl").stat().st_size
    assert main([*command, "--resume"]) == 0  # nothing is trained or measured again
    assert (out / "metrics.jsonl").stat().st_size == size


def test_means_are_over_digits_and_spreads_over_seeds() -> None:
    rows = [
        {
            "score": "D(X)",
            "share": 0.1,
            "digit": digit,
            "seed": seed,
            "auroc": value,
            "f1": value,
            "f1_one_class": 0,
        }
        for digit, seed, value in [(0, 0, 0.8), (1, 0, 1.0), (0, 1, 0.6), (1, 1, 0.8)]
    ]
    rows += [{**row, "share": share} for row in rows for share in (0.2, 0.3, 0.4, 0.5)]
    row = summarise(rows)[0]
    assert row["auroc"]["mean"] == pytest.approx(0.8)
    assert row["auroc"]["spread"] == pytest.approx(0.2 / 2**0.5)  # seeds' means 0.9 and 0.7
    assert row["auroc"]["digits"] == pytest.approx(0.2 / 2**0.5)  # digits' means 0.7 and 0.9
    assert row["paper_f1"] == PAPER_F1["D(X)"][0]


def test_files_that_are_not_mnist(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    with pytest.raises(DatasetError, match=r"is no mnist.npz"):
        read_mnist(path)
    np.savez(path, x=np.zeros(3))
    with pytest.raises(DatasetError, match=r"x_train is not a file in the archive|is no mnist.npz"):
        read_mnist(path)
    square = np.zeros((5, 32, 32), np.uint8)
    np.savez(path, x_train=square, y_train=np.zeros(5), x_test=square, y_test=np.zeros(5))
    with pytest.raises(DatasetError, match=r"x_train is uint8 \(5, 32, 32\)"):
        read_mnist(path)
