"""int8 bundles: served as any other, with what they cost; refused where they cost too much."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from export.bundle.quantize import quantize
from export.bundle.variants import graph_of, outputs_of, read_images
from export.cli import main
from export.errors import DatasetError, ExportError
from schemas.bundle import BundleManifest
from worker.model.bundle import load_bundle
from worker.model.bundle_files import SIGNATURE
from worker.settings import STARTER_BUNDLE, ModelSettings

DEMO = Path("worker/demo/assets")
SIZE = graph_of(STARTER_BUNDLE)[0].image_inputs()[0]


def changed(folder: Path, **update: object) -> Path:
    """The starter bundle with another manifest."""
    shutil.copytree(STARTER_BUNDLE, folder)
    file = folder / "manifest.json"
    manifest = BundleManifest.model_validate_json(file.read_text())
    file.write_text(manifest.model_copy(update=update).model_dump_json())
    return folder


def test_the_starter_in_int8_serves_and_says_what_it_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "int8"
    command = ["bundle", "quantize", str(STARTER_BUNDLE), "--images", str(DEMO), "--out", str(out)]
    assert main([*command, "--version", "9.9-int8", "--changed", "0.02"]) == 0
    bundle = load_bundle(ModelSettings(bundle=out))
    assert bundle.id.startswith("starter-9.9-int8-")
    assert f"{bundle.id}: 0 of " in capsys.readouterr().out
    figures = bundle.manifest.figures["int8"]
    assert isinstance(figures, dict)
    assert figures["decisions_changed"] == 0
    images = read_images(DEMO / "photos", SIZE, 40)
    name = bundle.manifest.graphs[0].file
    ours, theirs = outputs_of(out / name, images), outputs_of(STARTER_BUNDLE / name, images)
    assert 0 < np.abs(ours["embedding"] - theirs["embedding"]).max() < 0.1
    assert np.abs(ours["text"] - theirs["text"]).max() < 0.05
    assert (out / name).stat().st_size < (STARTER_BUNDLE / name).stat().st_size


def test_a_signature_does_not_vouch_for_what_was_made_of_the_bundle(tmp_path: Path) -> None:
    bundle = changed(tmp_path / "bundle")
    (bundle / SIGNATURE).write_text("{}")
    quantize(bundle, read_images(DEMO, SIZE, 100), "int8", tmp_path / "out", 0.05)
    assert not (tmp_path / "out" / SIGNATURE).exists()


def test_what_changes_decisions_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    images, name = read_images(DEMO, SIZE, 160), graph_of(STARTER_BUNDLE)[1]
    quantize(STARTER_BUNDLE, images, "int8", tmp_path / "int8", 1.0)
    before, after = (
        outputs_of(folder / name, images[1::2]) for folder in (STARTER_BUNDLE, tmp_path / "int8")
    )
    # Each score has a threshold that one image reaches in fp32 alone.
    policy = graph_of(STARTER_BUNDLE)[0].policy
    own = {
        score: policy.thresholds["text"].model_copy(
            update={"block": float(before[score][np.argmax(before[score] - after[score])]), "review": None}
        )
        for score in ("text", "qr", "preference")
    }
    bundle = changed(tmp_path / "bundle", policy=policy.model_copy(update={"thresholds": own}))
    with pytest.raises(ExportError, match=r"int8 changes \d+ of 80 decisions, at most 1.25% may"):
        quantize(bundle, images, "int8", tmp_path / "out", 0.0125)
    assert not (tmp_path / "out").exists()


def test_vectors_that_move_too_far_are_refused(tmp_path: Path) -> None:
    manifest = graph_of(STARTER_BUNDLE)[0]
    heads = [
        head.model_copy(update={"near_duplicate_distance": 0.001}) if head.kind == "copy" else head
        for head in manifest.heads
    ]
    bundle = changed(tmp_path / "bundle", heads=heads)
    with pytest.raises(ExportError, match="int8 moves copy by"):
        quantize(bundle, read_images(DEMO, SIZE, 100), "int8", tmp_path / "out", 0.05)


def test_too_few_images_and_a_folder_that_is_there_are_told(tmp_path: Path) -> None:
    images = read_images(DEMO, SIZE, 100)
    with pytest.raises(DatasetError, match=r"100 images cannot tell 0.10% of decisions: it takes 2000"):
        quantize(STARTER_BUNDLE, images, "int8", tmp_path / "out")
    with pytest.raises(DatasetError, match="is there already"):
        quantize(STARTER_BUNDLE, images, "int8", tmp_path, 0.05)
