"""Attributes: what is joined to a vector, what the graph gives of it, and what plus and minus find."""

import numpy as np
import pytest
from PIL import Image

from export import cli
from export.attributes.fit import attribute_vectors, fit_sub_space, unit, write_join
from schemas.bundle import BundleManifest
from tests.encoder import write_parts
from worker.model.bundle import load_bundle
from worker.model.decode import ImageLimits, decode_inputs
from worker.model.embed import embed
from worker.settings import ModelSettings

COLOURS = {"blue": (40, 60, 200), "green": (40, 180, 60), "red": (200, 50, 40)}


def drawn(seed, things=12, values=2):
    """Vectors of things that hardly show a value, levels that show it, and which thing and value each is."""
    at = np.random.default_rng(seed)
    thing, value = np.repeat(np.arange(things), values), np.tile(np.arange(values), things)
    kinds, shift = at.normal(size=(things, 16)), 0.01 * at.normal(size=(values, 16))
    vectors = kinds[thing] + shift[value] + 0.1 * at.normal(size=(len(thing), 16))
    levels = at.normal(size=(len(thing), 6))
    levels[:, :values] += 8 * np.eye(values)[value]
    return unit(vectors), levels.astype(np.float32), thing, np.array([f"value {v}" for v in value])


@pytest.mark.parametrize("values", [2, 3])
def test_plus_and_minus_find_the_same_thing_with_the_other_value(values):
    """The thing itself is in the index; without arithmetic, or without what is joined, it is the nearest."""
    vectors, levels, thing, labels = drawn(0, values=values)
    trained = thing < 6
    space = fit_sub_space(vectors[trained], levels[trained], labels[trained])
    joined = space.join(vectors, levels)
    found = {}
    for name, shown in (("joined", joined), ("plain", vectors)):
        known = attribute_vectors(shown[trained], labels[trained])
        hits = []
        for row in np.flatnonzero((thing >= 6) & (labels == "value 0")):
            nearest = int(np.argmax(shown @ (shown[row] + known["value 1"] - known["value 0"])))
            hits.append(thing[nearest] == thing[row] and labels[nearest] == "value 1")
        found[name] = np.mean(hits)
    assert found["joined"] == 1.0
    assert found["plain"] < 0.5


@pytest.mark.parametrize("values", [2, 4])
def test_the_graph_gives_what_the_sub_space_says(tmp_path, values):
    vectors, levels, _, labels = drawn(1, values=values)
    space = fit_sub_space(vectors, levels, labels)
    write_join(tmp_path / "join.onnx", space, vectors.shape[1], levels.shape[1])
    import onnxruntime

    session = onnxruntime.InferenceSession(str(tmp_path / "join.onnx"))
    (given,) = session.run(None, {"vector": 3 * vectors, "levels": levels})
    np.testing.assert_allclose(given, space.join(vectors, levels), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(given, axis=1), 1, atol=1e-5)
    assert (given[:, vectors.shape[1] :] >= 0).all()


def test_a_value_of_few_images_counts_as_much_as_one_of_many():
    vectors = np.array([[1, 0]] * 99 + [[0, 1]], np.float32)
    known = attribute_vectors(vectors, np.array(["many"] * 99 + ["few"]))
    np.testing.assert_allclose(known["many"], [0.5, -0.5])
    np.testing.assert_allclose(known["few"], -known["many"])


def photos(folder):
    """Photos by colour, of things that differ otherwise."""
    at = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(14):
            pixels = np.array(colour) + at.normal(0, 12, (64, 64, 3))
            y, x = at.integers(0, 40, 2)
            pixels[y : y + 20, x : x + 20] = at.integers(0, 256, 3)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


def test_the_command_leaves_an_embedding_whose_bundle_shows_its_attributes(tmp_path, capsys):
    write_parts(tmp_path / "encoder")
    asked = ("train", "attributes", "--labels", photos(tmp_path / "photos"), "--out", tmp_path / "run")
    assert run(*asked, "--encoder", tmp_path / "encoder" / "embedding") == 0
    assert "nearest has the value asked for" in capsys.readouterr().out
    assert run("bundle", "assemble", "--part", tmp_path / "run", "--name", "x", "--version", "1",
               "--out", tmp_path / "bundle") == 0  # fmt: skip
    bundle = load_bundle(ModelSettings(bundle=tmp_path / "bundle", threads=1))
    head = bundle.manifest.embedding
    assert sorted(head.attributes) == ["blue", "green", "red"]
    assert head.space.startswith("attributes-")

    def vector(name):
        return embed(bundle, ImageLimits(), decode_inputs, (tmp_path / "photos" / name).read_bytes())

    names = [f"{colour}/{n}.png" for colour in COLOURS for n in range(14)]
    held = np.stack([vector(name) for name in names])
    known = {name: value.to_array() for name, value in head.attributes.items()}
    right = [
        names[int(np.argmax(held @ (held[row] + known["red"] - known["blue"])))].startswith("red/")
        for row in range(14)
    ]
    assert np.mean(right) >= 0.9


def test_a_manifest_refuses_attributes_of_another_space(tmp_path):
    from worker.settings import STARTER_BUNDLE

    raw = BundleManifest.model_validate_json((STARTER_BUNDLE / "manifest.json").read_bytes()).model_dump()
    head = next(head for head in raw["heads"] if head["kind"] == "embedding")
    assert "attributes" not in head
    from schemas.vector import Vector

    for values, says in ((np.ones(3), "3 numbers"), (np.full(head["dim"], np.nan), "not finite")):
        head["attributes"] = {"red": Vector.from_array(values.astype(np.float32)).model_dump()}
        with pytest.raises(ValueError, match=says):
            BundleManifest.model_validate(raw)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((), "--encoder RUN"),
        (("--weights", "none"), "shows nothing"),
        (("--weights", "x.pth", "--encoder", "y"), "--encoder RUN"),
        (("--weights", "missing.pth"), "no such file"),
    ],
)
def test_what_cannot_be_trained_is_told(tmp_path, capsys, given, says):
    assert (
        run("train", "attributes", "--labels", photos(tmp_path / "p"), "--out", tmp_path / "run", *given) == 2
    )
    assert says in capsys.readouterr().err
