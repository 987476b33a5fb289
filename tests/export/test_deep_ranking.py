"""Deep, shallow and both: what each can learn, and the command small over the starter's vectors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from export.attributes.levels import LevelEncoder, UpperBlocks, level_encoder
from export.bundle.assemble import assemble
from export.bundle.take import take
from export.cli import main
from export.data import Columns, Dataset, Example
from export.embedding.comparison import AGAINST, side_by_side, sources_of
from export.embedding.deep_ranking import (
    ARCHITECTURES,
    Deep,
    RankingSettings,
    ranked,
    train_ranking_heads,
)
from export.embedding.heads import Shallow
from export.embedding.ranking_views import encoder_views, frozen_blocks
from export.embedding.trunk import to_input
from export.graphs import run_onnx
from export.parts import read_part
from worker.settings import STARTER_BUNDLE

QUICK = RankingSettings(steps=60, classes=4, each=4)
COLOURS = ("#c02020", "#20c020", "#2020c0", "#c0c020")


def scenes(count=96, seed=0):
    """Vectors [n, 16] that tell a shape, averaged images that tell a colour, and the label of both."""
    rng = np.random.default_rng(seed)
    shape, colour = rng.integers(0, 2, count), rng.integers(0, 2, count)
    vectors = (np.where(shape[:, None], 1.0, -1.0) + rng.normal(0, 1.5, (count, 16))).astype(np.float32)
    small = np.full((count, 3, 8, 8), 64, np.uint8)
    small[np.arange(count), colour] = 192
    return vectors, small, np.array([f"{s}{c}" for s, c in zip(shape, colour, strict=True)])


def trained(settings, seed):
    vectors, small, labels = scenes()
    return train_ranking_heads(torch.nn.Identity(), encoder_views(vectors, small), labels, settings, seed)


def nearest_is_alike(vectors, labels):
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -9)
    return float((labels[similar.argmax(1)] == labels).mean())


@pytest.mark.parametrize(
    ("loss", "mining"), [("triplet", "semihard"), ("triplet", "hard"), ("contrast", "all")]
)
def test_only_both_parts_together_tell_what_shape_and_colour_say_together(loss, mining):
    settings = RankingSettings(loss=loss, mining=mining, steps=60, classes=4, each=4)
    held = scenes(seed=1)
    alike = {}
    for name, head in trained(settings, seed=0).items():
        found = ranked(head, *held[:2])
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        alike[name] = nearest_is_alike(found, held[2])
    assert alike["deep + shallow"] > 0.7
    assert alike["deep + shallow"] > max(alike["deep"], alike["shallow"]) + 0.15


def test_the_deep_part_starts_as_the_encoders_own_vector():
    """In as many dimensions as it has: the cosines are the same."""
    vectors = torch.randn(40, 12, generator=torch.Generator().manual_seed(0))
    deep = Deep(12).eval()
    deep.start_from(vectors)
    own = torch.nn.functional.normalize(vectors, dim=1)
    found = deep(vectors)
    torch.testing.assert_close(found @ found.T, own @ own.T, atol=1e-5, rtol=0)


def test_the_shallow_part_starts_as_the_histogram_of_colours():
    small = torch.rand(40, 3, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    small = small * torch.linspace(0, 1, 40)[:, None, None, None]
    shallow = Shallow(64, levels=6, sharpness=60.0)
    shallow.start_from(small)
    own = torch.nn.functional.normalize(shallow.histogram(small), dim=1)
    found = shallow(small)
    torch.testing.assert_close(found @ found.T, own @ own.T, atol=1e-4, rtol=0)


def test_the_same_seed_gives_the_same_head():
    first, second = (trained(QUICK, seed=3)["deep + shallow"] for _ in range(2))
    for name, value in first.state_dict().items():
        torch.testing.assert_close(value, second.state_dict()[name], atol=0, rtol=0)


def test_images_of_one_group_or_without_a_label_are_no_results():
    examples = [("a", "s1"), ("a", "s1"), ("a", "s2"), ("b", "s3"), ("b", "s4"), ("", "s5")]
    dataset = Dataset(tuple(Example(Path(str(i)), str(i), *one) for i, one in enumerate(examples)))
    angles = np.radians([0, 1, 40, 20, 90, 0.5])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    table = side_by_side({"own": vectors}, dataset, np.full(6, "all"))
    # 0 and 1 find b before their own at 40 degrees; that finds 3 first, as 3 finds 1, and 4 finds 2.
    assert table == {"all: own": {"queries": 5, "R@1": 0.0, "R@5": 1.0, "nDCG@5": table["all: own"]["nDCG@5"],
                                  "mAP": table["all: own"]["mAP"]}}  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two sources of four colours, six senders each."""
    folder = tmp_path_factory.mktemp("ranking")
    rng = np.random.default_rng(0)
    for source in ("shirts", "mugs"):
        (folder / source).mkdir()
        lines = ["path,label,sender_id"]
        for number in range(24):
            colour = COLOURS[number % 4]
            image = Image.effect_noise((64, 64), 60).convert("RGB")
            image = Image.blend(image, Image.new("RGB", (64, 64), colour), 0.7).rotate(int(rng.integers(360)))
            image.save(folder / source / f"{number}.jpg")
            lines.append(f"{number}.jpg,{colour},sender {number // 4}")
        lines.append("0.jpg,,nobody")
        (folder / source / "labels.csv").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize("architecture", ["shallow", "deep + shallow"])
def test_the_command_leaves_the_table_and_a_part_that_serves(photos, tmp_path, architecture, capsys):
    sources = [str(photos / name / "labels.csv") for name in ("shirts", "mugs")]
    command = ["train", "embedding", "--encoder", str(STARTER_BUNDLE), "--images", *sources]
    asked = ["--architecture", architecture, "--steps", "20", "--out", str(tmp_path / "run")]
    assert main([*command, *asked]) == 0
    found = read_part(tmp_path / "run" / "parts" / "embedding")
    rows = [row for row in found.part.figures if ": " in row]
    spaces = [*ARCHITECTURES, "frozen encoder", "histogram of colours"]
    sets = [f"{name}/labels.csv{against}" for name in ("shirts", "mugs") for against in ("", AGAINST)]
    assert set(rows) <= {f"{one}: {space}" for one in sets for space in spaces}
    assert len(rows) % len(spaces) == 0
    assert set(found.part.figures[rows[0]]) == {"queries", "R@1", "R@5", "nDCG@5", "mAP"}
    report = (tmp_path / "run" / "report.html").read_text()
    for space in spaces:
        assert f'<td class="text">{space}</td>' in report
    manifest = assemble(take(str(tmp_path / "run")), "own", "1", tmp_path / "bundle")
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    assert "histogram of colours" in card
    assert manifest.embedding.dim == {"shallow": 64, "deep + shallow": 192}[architecture]
    assert "report.html" in capsys.readouterr().out


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A MobileNetV2's file of weights, as they are drawn."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "net.pth"
    torch.save(LevelEncoder("tensorflow").state_dict(), path)
    return path


def test_frozen_and_upper_blocks_together_are_the_net(weights):
    network = level_encoder(str(weights), "torchvision").eval()
    images = torch.randint(0, 256, (2, 160, 160, 3), dtype=torch.uint8)
    maps = torch.from_numpy(frozen_blocks(network)(to_input(images)))
    torch.testing.assert_close(UpperBlocks(network)(maps), network(images)[0], atol=1e-4, rtol=0)


def test_over_weights_the_upper_blocks_are_trained_and_served(photos, weights, tmp_path):
    source = str(photos / "shirts" / "labels.csv")
    command = ["train", "embedding", "--weights", str(weights), "--images", source, "--steps", "2"]
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    found = read_part(tmp_path / "run" / "parts" / "embedding")
    assert found.part.head.dim == 192 + 64
    rows = {row.rpartition(": ")[0] for row in found.part.figures if ": " in row}
    assert "labels.csv, against those trained on" in rows
    network = level_encoder(str(weights), "tensorflow").eval()
    image = np.full((2, 224, 224, 3), 90, np.uint8)
    served = run_onnx(found.path / "encoder.onnx", image)
    before = network(torch.from_numpy(image))
    assert np.abs(served["levels"] - before[1].numpy()).max() < 1e-3  # of the blocks below
    assert np.abs(served["vector"] - before[0].numpy()).max() > 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--test-images", "{photos}/shirts/labels.csv"], "is in --images and in --test-images"),
        (["--test-images", "{photos}/mugs/labels.csv:label=#c02020"], "'test' of --test-images has 1 labels"),
        (["--encoder", "{photos}"], "part.json"),
    ],
)
def test_what_cannot_be_trained_is_said_with_its_option(photos, tmp_path, change, message, capsys):
    command = ["train", "embedding", "--encoder", str(STARTER_BUNDLE), "--out", str(tmp_path / "run")]
    command += ["--images", str(photos / "shirts" / "labels.csv")]
    assert main([*command, *(part.format(photos=photos) for part in change)]) == 2
    assert message in capsys.readouterr().err


def test_the_source_of_an_image_is_called_as_it_was_named(photos):
    source = str(photos / "mugs" / "labels.csv:label=#c02020")
    dataset = Dataset(tuple(Example(photos / "mugs" / f"{n}.jpg", str(n), "", "") for n in (0, 4)))
    assert sources_of(dataset, [source], Columns(), None).tolist() == ["labels.csv:label=#c02020"] * 2


def test_the_starters_photos_as_tables_name_kind_department_and_sender(tmp_path):
    from export.starter import tables
    from export.starter.photos import Photo

    grocery = Photo(tmp_path / "1.jpg", "grocery", ("Golden-Delicious", "Apple", "Fruit"), "test")
    shirt = Photo(tmp_path / "2.jpg", "clothing", ("T-Shirt", "Kids"), "test", "s1")
    unknown = Photo(tmp_path / "3.jpg", "clothing", (), "test", "s1")
    assert tables._row(grocery)[1:] == ["grocery", "Golden-Delicious", "Fruit", "1.jpg"]
    assert tables._row(shirt)[1:] == ["clothing", "T-Shirt", "clothing", "s1"]
    assert tables._row(unknown)[2] == ""
