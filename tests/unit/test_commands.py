"""A folder judged by the real bundle, without a broker. Replaying is in tests/integration."""

import json
from pathlib import Path

import pytest

from tests import images
from worker.commands import find_duplicates, scan_folder
from worker.errors import ConfigurationError, MekikiError
from worker.settings import Settings


@pytest.fixture
def folder(tmp_path):
    inside = tmp_path / "images"
    inside.mkdir()
    (inside / "a.jpg").write_bytes(images.jpeg(1))
    (inside / "b.png").write_bytes(images.png(2))
    (inside / "c.txt").write_bytes(b"no image")
    return inside


def scanned(folder, out, **options):
    told = []
    counts = scan_folder(Settings(), folder, out, options.get("vectors", False), lambda: told.append(1))
    assert len(told) == sum(counts.values())
    return counts


def test_each_file_has_one_line_and_is_counted(folder, tmp_path):
    counts = scanned(folder, tmp_path / "out.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["path"] for line in lines] == ["a.jpg", "b.png", "c.txt"]
    assert sum(counts.values()) == 3
    assert all("vector" not in line for line in lines)


def test_lines_go_to_standard_output_and_hold_vectors_where_asked_for(folder, capsys):
    scanned(folder, Path("-"), vectors=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["vector" in line for line in lines] == [True, True, False]


def test_a_file_that_cannot_be_written_is_named(folder, tmp_path):
    with pytest.raises(ConfigurationError, match=r"missing/out\.jsonl"):
        scanned(folder, tmp_path / "missing" / "out.jsonl")


def test_settings_that_do_not_fit_end_it_before_anything_is_written(folder, tmp_path):
    settings = Settings.model_validate({"model": {"bundle": str(tmp_path / "no-bundle")}})
    with pytest.raises(MekikiError, match="there is no bundle"):
        scan_folder(settings, folder, tmp_path / "out.jsonl", False, lambda: None)
    assert not (tmp_path / "out.jsonl").exists()


def test_copies_in_a_folder_are_paired_and_grouped(folder, tmp_path):
    (folder / "again.jpg").write_bytes((folder / "a.jpg").read_bytes())
    steps = []
    counts = find_duplicates(Settings(), folder, tmp_path / "pairs.jsonl", None, steps.append)
    told = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["paths"] for line in told if line["type"] == "group"] == [["a.jpg", "again.jpg"]]
    assert counts["rejection"] == 1
    assert told[0]["folder"] == str(folder)
    assert steps.count("read") == 4
