"""One tag added, trained again or taken out: no other tag's bytes change, and what cannot be is told."""

import argparse
import time

import pytest

from export.errors import TagsError
from export.parts import PARTS_FOLDER, Part, describe_file, read_part, write_part
from export.tags import change
from export.tags.recipe import TagRecipe
from export.tags.store import read_store, write_store
from export.tags.tag_set import train_tag_set
from schemas.bundle import Graph, ImageInput, TagHead
from tests.export.test_tag_training import images

RECIPE = TagRecipe(rounds=10, rounds_tried=[0, 10], trees_from=50)


@pytest.fixture
def run(tmp_path):
    """A run of three tags over 400 images, whose files lie there too."""
    shown = images(400, 0)
    found = train_tag_set(shown, RECIPE)
    names = [f"{i}.jpg" for i in range(400)]
    folder = tmp_path / "run" / PARTS_FOLDER / "tags"
    folder.mkdir(parents=True)
    for name in names:
        (tmp_path / name).touch()
    store = write_store(tmp_path / "run", found, names, list(shown.groups), 5)
    found.write(store.forest_path, "s", "1")
    (folder / "graph.onnx").write_bytes(b"x")
    write_part(
        folder,
        Part(
            head=TagHead(output="o", file="tags.forest", format="forest", minimum_score=0),
            graphs=[
                Graph(file="graph.onnx", inputs={"i": ImageInput(height=16, width=16)}, outputs={"o": "o"})
            ],
            files=[describe_file(folder / name) for name in ("graph.onnx", "tags.forest")],
        ),
    )
    return tmp_path / "run"


def labels(run, name, rows):
    path = run.parent / f"{name}.csv"
    path.write_text("path,tags\n" + "".join(f"{i}.jpg,{name}\n" for i in rows))
    return path


def asked(run, *names, source=None, out=None):
    return argparse.Namespace(
        run=run, name=list(names), labels=[str(source)], out=out, processes=1, encoding=None,
        path_column=None, label_column=None, group_column=None,
    )  # fmt: skip


def digests(run):
    return {name: table.digest() for name, table in read_store(run).tables().items()}


def test_a_tag_is_added_trained_again_and_taken_out_and_no_other_changes(run, capsys):
    before = digests(run)
    began = time.monotonic()
    tuesday = labels(run, "tuesday", range(0, 400, 9))
    assert change.add_tags(asked(run, source=tuesday, out=run / "watched.forest")) == 0
    assert time.monotonic() - began < 10
    after = digests(run)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"tuesday"}
    assert (run / "watched.forest").read_bytes() == read_store(run).forest_path.read_bytes()
    read_part(run / PARTS_FOLDER / "tags")
    assert read_store(run).forest().version.startswith("2-")
    other = labels(run, "tuesday", range(0, 400, 7))
    change.retrain_tags(asked(run, "tuesday", source=other))
    again = digests(run)
    assert again["tuesday"] != after["tuesday"]
    assert {name: again[name] for name in before} == before
    change.remove_tags(asked(run, "tuesday"))
    assert digests(run) == before
    alike = labels(run, "line\u0430r", range(0, 400, 9))
    change.add_tags(asked(run, source=alike))
    assert "look alike: linear / line\u0430r" in capsys.readouterr().err
    change.list_tags(asked(run))
    change.show_tags(asked(run, "linear"))
    assert "linear" in capsys.readouterr().out


def test_what_cannot_be_is_told_and_changes_nothing(run):
    before = read_store(run).forest_path.read_bytes()
    few, many = labels(run, "few", [3]), labels(run, "linear", range(50))
    every, again = labels(run, "every", range(400)), labels(run, "linear\u200b", range(50))
    none, nobody = run.parent / "none.csv", run.parent / "nobody.jsonl"
    none.write_text("path,none\n0.jpg,0\n1.jpg,0\n")
    nobody.write_text('{"path": "0.jpg", "tags": []}\n')
    for call, told in (
        (lambda: change.add_tags(asked(run, source=few)), "1 of the 400 images"),
        (lambda: change.add_tags(asked(run, source=every)), "400 of the 400 images"),
        (lambda: change.add_tags(asked(run, source=none)), "0 of the 400 images"),
        (lambda: change.add_tags(asked(run, source=nobody)), "no image of theirs has one"),
        (lambda: change.add_tags(asked(run, source=many)), "retrain"),
        (lambda: change.add_tags(asked(run, source=again)), "retrain"),  # the same name, with nothing to see
        (lambda: change.retrain_tags(asked(run, source=labels(run, "new", range(9)))), "adds it"),
        (lambda: change.add_tags(asked(run, "other", source=many)), "the labels have no tag other"),
        (lambda: change.remove_tags(asked(run, "nothing")), "no tag nothing"),
        (lambda: change.remove_tags(asked(run, "linear", "corner", "rare")), "cannot be empty"),
        (lambda: change.show_tags(asked(run, "nothing")), "no tag 'nothing'"),
        (lambda: change.list_tags(asked(run.parent)), "no run of `mekiki train tags`"),
    ):
        with pytest.raises(TagsError, match=told):
            call()
    assert read_store(run).forest_path.read_bytes() == before
