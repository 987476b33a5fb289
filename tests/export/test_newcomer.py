"""The suite as one meets it: what serves the verdict space, what is refused, what is said on the way."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from export.alocc.advice import advice
from export.alocc.evaluation import SeedResult
from export.alocc.settings import PIXEL_MODEL, VERDICT_MODEL, AloccSettings, DataSettings, SpaceSettings
from export.alocc.smoke import draw_smoke_images
from export.alocc.step import StepSettings
from export.alocc.training import filled_trunk
from export.cli import main
from export.embedding.served_trunk import trunk_of_bundle
from export.embedding.trunk import Trunk, to_input
from export.errors import ParityError, WeightsError
from export.graphs import run_onnx
from export.metrics import Measured
from export.preference.networks import TrunkUtility
from export.progress import progress
from worker.settings import STARTER_BUNDLE

FAST = ["--epochs", "2", "--batch-size", "16", "--threads", "1", "--seeds", "0"]


def asked(model, space="verdict"):
    spaces = {space: SpaceSettings(model=model, step=StepSettings(), epochs=1)}
    return AloccSettings(data=DataSettings(positive=["a"], product=["b"]), spaces=spaces, seeds=[0, 1])


@torch.no_grad()
def test_the_trunk_of_a_bundle_gives_the_maps_that_the_bundle_serves(tmp_path: Path) -> None:
    """Preference and embedding hang on every depth; their graph runs on."""
    trunk = Trunk().eval()
    lacking = trunk.load_state_dict(trunk_of_bundle(STARTER_BUNDLE), strict=False)
    assert lacking.missing_keys == ["embed.weight", "embed.bias"]
    assert not lacking.unexpected_keys
    graph = onnx.load(str(STARTER_BUNDLE / "scorer.onnx"))
    depths = {"relu_1": "low", "relu_5": "middle", "relu_6": "deep"}
    for name in depths:
        graph.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    onnx.save(graph, str(tmp_path / "open.onnx"))
    images = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), dtype=np.uint8)
    served = run_onnx(tmp_path / "open.onnx", images)
    levels = trunk(to_input(torch.from_numpy(images)))
    for name, depth in depths.items():
        np.testing.assert_allclose(getattr(levels, depth).numpy(), served[name], atol=1e-4)


def changed(folder: Path, change) -> Path:
    """The starter bundle with other weights in its graph."""
    for file in STARTER_BUNDLE.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    graph = onnx.load(str(folder / "scorer.onnx"))
    for tensor in graph.graph.initializer:
        change(tensor)
    onnx.save(graph, str(folder / "scorer.onnx"))
    manifest = json.loads((folder / "manifest.json").read_text())
    for file in manifest["files"]:
        file["sha256"] = hashlib.sha256((folder / file["name"]).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_a_trunk_whose_graph_computes_something_else_is_refused(tmp_path: Path) -> None:
    def clip(tensor: onnx.TensorProto) -> None:
        if tensor.name == "val_2":  # what the pixels are centred by
            tensor.CopyFrom(numpy_helper.from_array(np.float32(0.5), tensor.name))

    with pytest.raises(ParityError, match="other vectors"):
        trunk_of_bundle(changed(tmp_path, clip))


@pytest.mark.parametrize(
    ("name", "message"),
    [("trunk.verdict.bias", "no graph"), ("trunk.deep.0.weight_bias", "lacks trunk.deep")],
)
def test_a_bundle_without_the_starters_trunk_is_refused(tmp_path: Path, name: str, message: str) -> None:
    def rename(tensor: onnx.TensorProto) -> None:
        tensor.name = "other" if tensor.name == name else tensor.name

    with pytest.raises(WeightsError, match=message):
        trunk_of_bundle(changed(tmp_path, rename))


def test_the_verdict_space_and_the_preference_take_the_trunk_of_a_bundle() -> None:
    space = filled_trunk(asked(VERDICT_MODEL).spaces["verdict"], str(STARTER_BUNDLE))
    images = torch.randint(0, 256, (2, 128, 128, 3), dtype=torch.uint8)
    utility = TrunkUtility()
    utility.trunk.load_state_dict(trunk_of_bundle(STARTER_BUNDLE), strict=False)
    utility.train()  # its statistics stay those of the graph
    levels = utility.trunk(to_input(images))
    torch.testing.assert_close(space(images)[:, :, 0, 0], utility.trunk.verdict_vector(levels).detach())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    draw_smoke_images(folder)
    return folder


def test_without_weights_the_starters_trunk_serves_and_the_end_says_what_comes_next(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = ["--positive", str(drawn / "notices"), "--product", str(drawn / "products")]
    assert main(["train", "alocc", *sources, "--out", str(tmp_path / "run"), *FAST]) == 0
    said = capsys.readouterr()
    assert "Use restoration in the verdict space" in said.out
    assert f"mekiki bundle assemble --part {tmp_path / 'run'} --part {STARTER_BUNDLE}:embedding" in said.out
    assert "are too few to tell 0.3% from twice that" in said.out
    assert "verdict-seed0: epoch 2 of 2" in said.err
    report = (tmp_path / "run" / "report.html").read_text()
    assert "Use restoration in the verdict space" in report
    assert report.count('class="served"') == 1


@pytest.mark.parametrize("space", ["feature", "verdict"])
def test_a_random_trunk_is_refused_with_what_to_give(
    drawn: Path, tmp_path: Path, space: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = ["--positive", str(drawn / "notices"), "--product", str(drawn / "products")]
    command = ["train", "alocc", *sources, "--spaces", space, "--weights", "none", "--out"]
    assert main([*command, str(tmp_path / "run"), *FAST]) == 2
    said = capsys.readouterr().err
    assert f"--spaces {space} works on a trained trunk" in said
    assert "--weights FILE" in said if space == "feature" else "leave --weights out" in said
    assert not (tmp_path / "run").exists()


def result(space, recall, flagged, products=1000):
    measured = Measured(0.9, 0.9, 0.5, recall, flagged, 0.9, 200, products)
    return [SeedResult(space, seed, {}, {}, {}, {"restoration": measured}) for seed in (0, 1)]


@pytest.mark.parametrize(
    ("space", "found", "words", "unsaid"),
    [
        ("verdict", (0.98, 0.002), "98.0% of the target class and flags 0.20%", "little"),
        ("verdict", (0.5, 0.002), "That is little", "flags more"),
        ("verdict", (0.98, 0.02), "flags more than the 0.3% asked for", "little"),
        ("pixel", (0.3, 0.002), "are for comparison", "That is little"),
    ],
)
def test_figures_that_speak_against_a_score_are_told(space, found, words, unsaid) -> None:
    model = PIXEL_MODEL if space == "pixel" else VERDICT_MODEL
    said = " ".join(advice(asked(model, space), result(space, *found), Path("run")))
    assert words in said
    assert unsaid not in said


def test_a_log_is_told_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(4, "decode", seconds=0) as done:
        done(3)
        done(1)
    assert capsys.readouterr().err == "decode: 3 of 4\ndecode: 4 of 4\n"


def test_an_autoencoder_trains_by_its_command(drawn: Path, tmp_path: Path) -> None:
    command = ["train", "autoencoder", "--images", str(drawn / "products"), "--epochs", "1", "--out"]
    assert main([*command, str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "parts" / "embedding" / "part.json").is_file()


def test_a_set_that_is_too_small_is_named_with_its_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_smoke_images(tmp_path, count=11)
    lines = [f"{n:03d}.png,{'one' if n else 'two'}" for n in range(11)]
    table = tmp_path / "products" / "labels.csv"
    table.write_text("\n".join(["path,sender_id", *lines]))
    command = ["train", "autoencoder", "--images", str(table), "--out", str(tmp_path / "run")]
    assert main(command) == 2
    assert "of --images (after splitting by group)" in capsys.readouterr().err
