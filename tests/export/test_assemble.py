"""Parts to a bundle: what is trained is served, and what does not fit is told."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from export.alocc.smoke import draw_smoke_images
from export.bundle.assemble import assemble
from export.bundle.show import diff, show
from export.bundle.take import take
from export.errors import ParityError, PartError, PartsDoNotFit
from export.graphs import export_onnx
from export.parts import Examples, Part, PartFolder, describe_file, read_part, write_part
from schemas.bundle import BundleManifest, Graph, ImageInput, OutputInput, ScoreHead
from schemas.policy import Threshold
from worker.model.bundle import read_manifest
from worker.settings import STARTER_BUNDLE

SIZE = ImageInput(height=16, width=16)
ROOT = Path(__file__).parents[2]


def mekiki(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "worker.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=110, check=False)


class Trunk(nn.Module):
    def forward(self, images):
        return images.float().mean(dim=(1, 2)) / 255


class Head(nn.Module):
    def __init__(self, channel):
        super().__init__()
        self.channel = channel

    def forward(self, vectors):
        return vectors[:, self.channel]


class OverTheBatch(nn.Module):
    def forward(self, vectors):
        return torch.sigmoid(vectors[:, 0] - vectors.mean())


def images(count=4):
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)


def part(folder: Path, name="red", channel=0, network=None, outputs=None, output="score") -> PartFolder:
    """A Part of two graphs: a trunk that is the same in all, and a head of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    network = network or Head(channel)
    export_onnx(Trunk(), torch.from_numpy(images()), folder / "trunk.onnx", ["vectors"])
    export_onnx(network, torch.rand(2, 3), folder / "head.onnx", ["score"], "vectors")
    given = network(Trunk()(torch.from_numpy(images()))).numpy()
    made = Part(
        head=ScoreHead(kind="novelty", name=name, output=output, description="how red"),
        graphs=[
            Graph(file="trunk.onnx", inputs={"images": SIZE}, outputs={"vectors": "vectors"}),
            Graph(
                file="head.onnx", inputs={"vectors": OutputInput(output="vectors")}, outputs={output: "score"}
            ),
        ],
        files=[describe_file(folder / "trunk.onnx"), describe_file(folder / "head.onnx")],
        threshold=Threshold(block=0.5),
        figures={"held": {"hit": 1, "total": 2, "percent": 50.0}},
    )
    return write_part(folder, made, Examples([images()], given if outputs is None else outputs))


def test_heads_of_one_trunk_run_it_once_and_names_that_clash_are_told_apart(tmp_path):
    red, green = part(tmp_path / "a", "red", 0), part(tmp_path / "b", "green", 1)
    spread = {"red": [0.5, 0.5, *[0.0] * 8]}
    manifest = assemble([red, green], "colours", "1", tmp_path / "out", reference=spread)
    assert manifest.reference == spread
    assert [graph.file for graph in manifest.graphs] == ["trunk.onnx", "head.onnx", "green-head.onnx"]
    assert [score.output for score in manifest.scores] == ["score", "green.score"]
    assert manifest.policy.thresholds == {"red": Threshold(block=0.5), "green": Threshold(block=0.5)}
    held, _ = read_manifest(tmp_path / "out")
    assert held == manifest
    assert "50.0 % (1 of 2)" in (tmp_path / "out" / "MODEL_CARD.md").read_text()


def test_a_head_that_gives_other_numbers_than_its_network_is_refused_and_leaves_nothing(tmp_path):
    wrong = part(tmp_path / "a", outputs=np.zeros(4, np.float32))
    with pytest.raises(ParityError, match="red of"):
        assemble([wrong], "wrong", "1", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assemble([wrong], "wrong", "1", tmp_path / "out", check=False)
    assert (tmp_path / "out" / "manifest.json").is_file()


def test_a_graph_that_looks_over_the_batch_is_refused(tmp_path):
    with pytest.raises(ParityError, match="in a batch than alone"):
        assemble([part(tmp_path / "a", network=OverTheBatch())], "wrong", "1", tmp_path / "out")


def test_two_heads_of_one_name_are_refused_by_their_origins(tmp_path):
    red, other = part(tmp_path / "a"), part(tmp_path / "b", channel=1)
    with pytest.raises(PartsDoNotFit, match=r"a and .*b both give 'red'"):
        assemble([red, other], "twice", "1", tmp_path / "out")
    with pytest.raises(PartsDoNotFit, match="one head of embedding"):
        assemble([*take(f"{STARTER_BUNDLE}:embedding")] * 2, "twice", "1", tmp_path / "out")
    renamed = [*take(str(tmp_path / "a")), *take(f"pink={tmp_path / 'b'}")]
    manifest = assemble(renamed, "twice", "1", tmp_path / "out")
    assert [score.name for score in manifest.scores] == ["red", "pink"]
    assert set(manifest.policy.thresholds) == {"red", "pink"}


def test_a_folder_that_holds_something_is_not_written_over(tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(PartsDoNotFit, match="is not empty"):
        assemble([part(tmp_path / "a")], "x", "1", tmp_path)
    assert (tmp_path / "kept.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere", "there is no nowhere"),
        ("{run}", "no run folder with Parts"),
        ("{starter}:colour", "has no head colour; it has embedding, text, qr, preference, copy, tags"),
        ("two={starter}:text,qr", "2 Parts are meant"),
        ("label={starter}:tags", "has no other name"),
        ("{run}:space=pixel,shoe=3", "shoe is none of space, seed, score"),
    ],
)
def test_what_part_names_wrongly_is_told(tmp_path, text, message):
    with pytest.raises(PartError, match=message):
        take(text.format(run=tmp_path, starter=STARTER_BUNDLE))


@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "not json", "empty json"])
def test_a_damaged_part_is_refused_by_the_file(tmp_path, harm):
    folder = part(tmp_path / "a").path
    graph, told = folder / "head.onnx", folder / "part.json"
    if harm == "flip":
        raw = bytearray(graph.read_bytes())
        raw[-3] ^= 1
        graph.write_bytes(raw)
    elif harm == "cut":
        graph.write_bytes(graph.read_bytes()[:-1])
    elif harm == "remove":
        graph.unlink()
    else:
        told.write_text("{" if harm == "not json" else "{}")
    with pytest.raises(PartError, match=r"head\.onnx|part\.json"):
        read_part(folder)


def test_heads_of_a_bundle_carry_their_thresholds_and_only_the_graphs_that_they_need(tmp_path):
    assemble([part(tmp_path / "a", "red"), part(tmp_path / "b", "green", 1)], "both", "1", tmp_path / "both")
    (green,) = take(f"{tmp_path / 'both'}:green")
    assert [graph.file for graph in green.part.graphs] == ["trunk.onnx", "green-head.onnx"]
    assert green.part.threshold == Threshold(block=0.5)
    alone = assemble([green], "alone", "1", tmp_path / "alone")
    assert {file.name for file in alone.files} == {"trunk.onnx", "green-head.onnx", "MODEL_CARD.md"}


def test_the_starter_taken_apart_and_put_together_is_the_same_model(tmp_path):
    manifest = assemble(take(str(STARTER_BUNDLE)), "starter", "again", tmp_path / "out")
    before = BundleManifest.model_validate_json((STARTER_BUNDLE / "manifest.json").read_bytes())
    assert manifest.graphs == before.graphs
    assert manifest.heads == before.heads
    assert manifest.policy == before.policy
    said = diff(STARTER_BUNDLE, tmp_path / "out")
    assert "MODEL_CARD.md" in said
    assert "head" not in said
    assert "graph" not in said
    assert diff(tmp_path / "out", tmp_path / "out") == ""
    assert "a forest of tags" in show(tmp_path / "out")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two folders of own images, a trained run, and a bundle of it with the starter's other heads."""
    folder = tmp_path_factory.mktemp("own")
    draw_smoke_images(folder / "images")
    run, bundle = folder / "run", folder / "bundle"
    done = mekiki(
        "train", "alocc", "--positive", folder / "images/notices", "--product", folder / "images/products",
        "--spaces", "pixel", "--seeds", 0, 1, "--epochs", 3, "--out", run,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = mekiki(
        "bundle", "assemble", "--part", run, "--part", f"{STARTER_BUNDLE}:embedding,tags,preference",
        "--name", "own", "--version", 1, "--out", bundle,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def scanned(folder, *settings):
    out = folder / "results.jsonl"
    done = mekiki(
        "scan", folder / "images", "--out", out, "--set", f"model.bundle={folder / 'bundle'}", *settings
    )
    assert done.returncode == 0, done.stderr
    lines = (json.loads(line) for line in out.read_text().splitlines())
    return {str(folder / "images" / line["path"]): line for line in lines}


def reported(run):
    with (run / "scores.csv").open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def test_what_scan_serves_is_what_the_training_report_measured(trained):
    served, rows = scanned(trained), reported(trained / "run")
    assert len(rows) > 20
    for row in rows:
        line = served[row["path"]]
        assert line["scores"]["notices"] == pytest.approx(float(row["score"]), abs=1e-4)
        assert set(line["scores"]) == {"notices", "preference"}
    # The figures in the card are those of the rows.
    found = read_part(trained / "run" / "parts" / "notices").part.figures["blocked of the target class"]
    hits = sum(float(row["score"]) >= 0.5 for row in rows if row["set"] == "positive")
    assert isinstance(found, dict)
    assert found["hit"] == hits


def test_measuring_a_run_on_other_images_leaves_its_part_as_trained(trained, tmp_path):
    part, scores = trained / "run" / "parts" / "notices" / "part.json", trained / "run" / "scores.csv"
    before = part.read_bytes(), scores.read_bytes()
    shutil.copytree(trained / "images" / "notices", tmp_path / "other")
    done = mekiki(
        "evaluate", "alocc", trained / "run", "--test-positive", tmp_path / "other",
        "--report", tmp_path / "report.html",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (part.read_bytes(), scores.read_bytes()) == before


def test_an_own_bundle_passes_the_check(trained):
    done = mekiki("check", "--set", f"model.bundle={trained / 'bundle'}", "--set", "kafka.request_timeout=1")
    assert "own-1-" in done.stdout + done.stderr


@pytest.mark.parametrize("score", ["restoration", "D(X)", "D(R(X))", "fusion"])
def test_every_score_and_seed_of_a_run_can_be_served(trained, tmp_path, score):
    (asked,) = take(f"other={trained / 'run'}:seed=1,score={score}")
    manifest = assemble([asked], "other", "1", tmp_path / "out")
    assert [head.name for head in manifest.scores] == ["other"]
    assert asked.part.seeds == [1]


def test_a_third_blocked_class_is_a_run_folder_and_two_lines_of_policy(trained, tmp_path):
    done = mekiki(
        "bundle", "assemble", "--part", STARTER_BUNDLE, "--part", f"size_chart={trained / 'run'}",
        "--name", "three", "--version", 1, "--out", tmp_path / "bundle",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    config = tmp_path / "mekiki.toml"
    config.write_text(
        f'[model]\nbundle = "{tmp_path / "bundle"}"\n[model.policy.thresholds.size_chart]\nblock = 0.0\n'
    )
    shutil.copytree(trained / "images" / "notices", tmp_path / "images" / "notices")
    out = tmp_path / "results.jsonl"
    done = mekiki("scan", tmp_path / "images", "--out", out, "--config", config)
    assert done.returncode == 0, done.stderr
    for line in map(json.loads, out.read_text().splitlines()):
        assert line["decision"] == "block"
        assert [reason["score"] for reason in line["reasons"]] == ["size_chart"]
        assert set(line["scores"]) == {"text", "qr", "size_chart", "preference"}
