"""An encoder of one's own: wrapped as its library runs it, reduced, measured; what is none is told."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.decomposition import PCA
from torch import nn

from export.bundle.assemble import assemble
from export.bundle.take import take
from export.embedding.encoder import PRESETS, wrap_encoder, write_reduction
from export.errors import EncoderError
from export.graphs import export_onnx, run_onnx
from export.parts import read_part
from schemas.bundle import EmbeddingHead
from tests import images
from worker.model.forest.file import open_forest

ROOT = Path(__file__).parents[2]
IMAGENET = PRESETS["imagenet"]


class Tower(nn.Module):
    """A small convolutional encoder that gives a vector, maps or tokens of normalised pixels."""

    def __init__(self, gives: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 12, 32, 32)
        self.gives = gives

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        maps = self.convolution(pixels)
        if self.gives == "maps":
            return maps
        tokens = maps.flatten(2).transpose(1, 2)
        return tokens if self.gives == "tokens" else tokens.mean(dim=1)


def tower(folder: Path, gives: str = "vector") -> tuple[Path, Tower]:
    network = Tower(gives).eval()
    path = folder / f"{gives}.onnx"
    export_onnx(network, torch.zeros(2, 3, 224, 224), path, [gives], "pixel_values")
    return path, network


def pixels(count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 224, 224, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("gives", "pool"), [("vector", "mean"), ("maps", "mean"), ("tokens", "mean"), ("tokens", "cls")]
)
def test_a_wrapped_encoder_gives_what_it_gives_of_its_own_preprocessing(tmp_path, gives, pool):
    path, network = tower(tmp_path, gives)
    wrap_encoder(path, IMAGENET, tmp_path / "wrapped.onnx", pool=pool)
    ours = run_onnx(tmp_path / "wrapped.onnx", pixels())["vector"]
    normalised = (pixels() / 255.0 - IMAGENET.mean) / IMAGENET.deviation
    given = network(torch.from_numpy(normalised).permute(0, 3, 1, 2).float()).detach()
    expected = {"vector": given, "maps": given.flatten(2).mean(2) if gives == "maps" else given}.get(gives)
    if gives == "tokens":
        expected = given[:, 0] if pool == "cls" else given.mean(dim=1)
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-4)
    alone = run_onnx(tmp_path / "wrapped.onnx", pixels(), 1)["vector"]
    np.testing.assert_allclose(alone, ours, atol=1e-5)


def test_a_reduction_is_that_of_a_whitened_principal_component_analysis(tmp_path):
    raw = np.random.default_rng(2).normal(size=(50, 12)) * np.arange(1, 13) + 3
    analysis = PCA(4, whiten=True, random_state=0).fit(raw)
    components = analysis.components_.T / np.sqrt(analysis.explained_variance_)
    write_reduction(tmp_path / "e.onnx", analysis.mean_, components, 12)
    expected = analysis.transform(raw)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    ours = run_onnx(tmp_path / "e.onnx", raw.astype(np.float32))["embedding"]
    np.testing.assert_allclose(ours, expected, atol=1e-4)


def small(path: Path, inputs, output_shape, opset: int = 18, kind: int = TensorProto.FLOAT) -> Path:
    """A graph of one node over the first input, by its shapes alone."""
    values = [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs]
    constant = numpy_helper.from_array(np.zeros([1] * len(output_shape), np.float32), "c")
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, output_shape)
    graph = helper.make_graph([helper.make_node("Identity", ["c"], ["out"])], "g", values, [out], [constant])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), str(path)
    )
    return path


@pytest.mark.parametrize(
    ("inputs", "output", "opset", "message"),
    [
        ([("ids", [1, 77]), ("pixels", [1, 3, 224, 224])], [1, 4], 18, "ids, pixels: export the image tower"),
        ([("ids", [1, 77])], [1, 4], 18, "no float"),
        ([("pixels", [1, 4, 224, 224])], [1, 4], 18, "no 3 channels"),
        ([("pixels", [1, 3, 384, 384])], [1, 4], 18, "wants 384 x 384 pixels, not 224 x 224: set --size"),
        ([("pixels", [1, 3, 224, 224])], [1], 18, "has 1 axes"),
        ([("pixels", [1, 3, 224, 224])], [1, 4], 11, "opset 11: export it with opset 13 or later"),
    ],
)
def test_what_is_no_image_encoder_is_told(tmp_path, inputs, output, opset, message):
    path = small(tmp_path / "x.onnx", inputs, output, opset)
    with pytest.raises(EncoderError, match=message):
        wrap_encoder(path, IMAGENET, tmp_path / "wrapped.onnx")


def test_files_that_are_no_onnx_and_outputs_that_are_not_there_are_told(tmp_path):
    (tmp_path / "text.onnx").write_text("no ONNX")
    for name, message in (("text.onnx", "does not load as ONNX"), ("nowhere.onnx", "no such file")):
        with pytest.raises(EncoderError, match=message):
            wrap_encoder(tmp_path / name, IMAGENET, tmp_path / "wrapped.onnx")
    path, _ = tower(tmp_path)
    with pytest.raises(EncoderError, match="has the outputs vector: name one with --output"):
        wrap_encoder(path, IMAGENET, tmp_path / "wrapped.onnx", output="pooler")


def mekiki(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "worker.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=110, check=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Forty photos of two labels, an encoder, and the run folder of its embedding."""
    folder = tmp_path_factory.mktemp("encoder")
    for number in range(40):
        label = folder / "images" / ("dark" if number % 2 else "light")
        label.mkdir(parents=True, exist_ok=True)
        photo = images.photo(number, 300, 240)
        shade = Image.new("RGB", photo.size, "black" if number % 2 else "white")
        Image.blend(photo, shade, 0.6).save(label / f"{number}.jpg", quality=90)
    path, _ = tower(folder, "maps")
    done = mekiki("train", "embedding", "--encoder", path, "--images", folder / "images", "--dim", 6,
                  "--out", folder / "run")  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_the_command_leaves_a_part_that_is_measured_and_served(trained, tmp_path):
    found = read_part(trained / "run" / "parts" / "embedding")
    head = found.part.head
    assert isinstance(head, EmbeddingHead)
    assert head.dim == 6
    assert head.space.startswith("encoder-")
    assert 0 < head.near_duplicate_distance <= 2
    figures = found.part.figures
    assert figures["by label, other groups: encoder"]["R@1"] >= 0.8
    assert figures["variance kept"] > 0.5
    manifest = assemble(take(str(trained / "run")), "own", "1", tmp_path / "bundle")
    assert [graph.file for graph in manifest.graphs] == ["encoder.onnx", "embedding.onnx"]


def test_too_many_dimensions_for_the_images_are_told(trained, tmp_path):
    done = mekiki("train", "embedding", "--encoder", trained / "maps.onnx", "--images", trained / "images",
                  "--dim", 500, "--out", tmp_path / "run")  # fmt: skip
    assert done.returncode == 2
    assert "--dim 500 is more than" in done.stderr
    assert "Traceback" not in done.stderr


def test_too_few_images_and_values_that_are_not_finite_are_told(trained, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for number in range(9):
        images.photo(number, 64, 64).save(few / f"{number}.jpg")
    asked = ("train", "embedding", "--images", few, "--out", tmp_path / "run", "--encoder")
    done = mekiki(*asked, trained / "maps.onnx")
    assert done.returncode == 2
    assert "at least 10 images and got 9" in done.stderr
    network = Tower("vector").eval()
    with torch.no_grad():
        network.convolution.bias.fill_(float("nan"))
    export_onnx(network, torch.zeros(2, 3, 224, 224), tmp_path / "nan.onnx", ["vector"], "pixel_values")
    images.photo(9, 64, 64).save(few / "9.jpg")
    for number in range(10, 30):
        images.photo(number, 64, 64).save(few / f"{number}.jpg")
    done = mekiki(*asked, tmp_path / "nan.onnx")
    assert done.returncode == 2
    assert "not finite" in done.stderr


def test_a_filter_trains_on_an_encoders_vectors_and_shares_its_trunk(trained, tmp_path):
    dark, light = (trained / "images" / name for name in ("dark", "light"))
    done = mekiki(
        "train", "alocc", "--positive", dark, "--product", light,
        "--encoder", trained / "run", "--seeds", 0, "--epochs", 3, "--out", tmp_path / "filter",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    parts = [*take(str(trained / "run")), *take(str(tmp_path / "filter"))]
    manifest = assemble(parts, "own", "1", tmp_path / "bundle")
    assert [graph.file for graph in manifest.graphs] == ["encoder.onnx", "embedding.onnx", "dark.onnx"]
    assert [score.name for score in manifest.scores] == ["dark"]


def test_tags_and_preference_train_on_an_encoders_vectors_and_share_its_trunk(trained, tmp_path):
    for model, source in (("tags", "--labels"), ("preference", "--images")):
        done = mekiki(
            "train",
            model,
            source,
            trained / "images",
            "--encoder",
            trained / "run",
            "--out",
            tmp_path / model,
        )
        assert done.returncode == 0, done.stderr
    runs = (trained / "run", tmp_path / "tags", tmp_path / "preference")
    parts = [part for run in runs for part in take(str(run))]
    manifest = assemble(parts, "own", "1", tmp_path / "bundle")
    assert [graph.file for graph in manifest.graphs] == ["encoder.onnx", "embedding.onnx", "preference.onnx"]
    assert open_forest(tmp_path / "bundle" / manifest.tags.file).names == ["dark", "light"]
    out = tmp_path / "results.jsonl"
    done = mekiki("scan", trained / "images", "--out", out, "--set", f"model.bundle={tmp_path / 'bundle'}")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert all(0 <= line["scores"]["preference"] <= 1 for line in lines)
    best = [line["tags"][0]["name"] == line["path"].partition("/")[0] for line in lines if line["tags"]]
    assert sum(best) > 0.8 * len(lines)


def test_what_is_no_embedding_is_told(trained, tmp_path):
    done = mekiki(
        "train", "tags", "--labels", trained / "images", "--encoder", tmp_path, "--out", tmp_path / "o"
    )
    assert done.returncode == 2
    assert "there is no Part in" in done.stderr
