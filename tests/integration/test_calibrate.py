"""Thresholds from labelled photos: no more mistakes than allowed, measured on other sellers."""

import csv
import tomllib
from pathlib import Path

import numpy as np
import pytest

from export.bundle.calibrate import Share, calibrate, level
from export.cli import main
from export.errors import DatasetError
from schemas.policy import Policy
from tests import images
from worker.model.bundle import load_bundle
from worker.settings import STARTER_BUNDLE, ModelSettings

DEMO = Path("worker/demo/assets")


def labelled(folder: Path, count: int) -> Path:
    """Photos of clothing, accepted, and notices, blocked, as `mekiki labels export` writes them."""
    folder.mkdir()
    photos = sorted((DEMO / "photos").rglob("*.*"))[:count]
    notices = sorted((DEMO / "notices").glob("*.jpg"))[:20]
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ("path", "label", "seller_id"))
        table.writeheader()
        for label, files in (("accept", photos), ("block", notices)):
            for number, source in enumerate(files):
                target = folder / f"{label}-{number}{source.suffix}"
                target.write_bytes(source.read_bytes())
                table.writerow({"path": target.name, "label": label, "seller_id": f"{label}-{number % 9}"})
    return folder


def test_the_starter_bundle_is_calibrated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = labelled(tmp_path / "labels", 60), tmp_path / "policy.toml"
    assert main(["bundle", "calibrate", str(STARTER_BUNDLE), "--labels", str(folder), "--mistakes", "0.1",
                 "--out", str(out)]) == 0  # fmt: skip
    policy = Policy.model_validate(tomllib.loads(out.read_text())["model"]["policy"])
    assert set(policy.thresholds) == {"text", "qr"}
    assert "95 %" in capsys.readouterr().out
    again = tmp_path / "calibrated"
    command = ["bundle", "calibrate", str(STARTER_BUNDLE), "--labels", str(folder), "--mistakes", "0.1"]
    assert main([*command, "--write", str(again), "--version", "9.9"]) == 0
    bundle = load_bundle(ModelSettings(bundle=again))
    assert bundle.id.startswith("starter-9.9-")
    assert bundle.manifest.policy.thresholds["text"].block == policy.thresholds["text"].block
    assert {name: round(sum(part), 3) for name, part in bundle.manifest.reference.items()} == dict.fromkeys(
        bundle.manifest.reference, 1.0
    )
    found = calibrate(STARTER_BUNDLE, str(folder), 0.1)
    assert found.blocked_by_mistake.value < 0.3
    assert found.blocked_rightly.value > 0.8


def test_too_few_images_and_other_labels_are_told(tmp_path: Path) -> None:
    folder = labelled(tmp_path / "labels", 12)
    with pytest.raises(DatasetError, match="choose the thresholds"):
        calibrate(STARTER_BUNDLE, str(folder), 0.001)
    (folder / "odd.jpg").write_bytes(images.jpeg(1))
    with (folder / "labels.csv").open("a") as file:
        file.write("odd.jpg,maybe,s\n")
    with pytest.raises(DatasetError, match="not maybe"):
        calibrate(STARTER_BUNDLE, str(folder), 0.5)


@pytest.mark.parametrize("allowed", [0.0, 0.01, 0.1, 0.5])
def test_no_more_mistakes_than_allowed(allowed: float) -> None:
    accepted = np.random.default_rng(1).random(1000)
    assert (accepted >= level(accepted, allowed)).mean() <= allowed


def test_an_interval_holds_its_share() -> None:
    low, high = Share(0, 100).interval()
    assert low == 0
    assert high == pytest.approx(0.037, abs=0.001)  # Wilson, 95 %
    assert Share(0, 0).interval() == (0.0, 1.0)
