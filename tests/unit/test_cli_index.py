"""`mekiki index ...`: what is said, and the status."""

import json

import pytest

from tests.unit.index.indexing import axis, filled, open_directory, snapshot
from worker import cli
from worker.index.owner import OwnerLock


@pytest.fixture
def directory(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: None)
    opened = open_directory(tmp_path / "index")
    live, _ = filled(5)
    live.upsert("a", axis(0))
    snapshot(live, opened)
    return opened.path


def test_stats_as_json(directory, capsys):
    assert cli.main(["index", "stats", "--directory", str(directory), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["vectors"] == 6


def test_the_settings_name_the_directory_before_and_behind_the_command(directory, capsys):
    given = f"index.directory={directory}"
    assert cli.main(["index", "--set", given, "stats", "--set", "log.level=ERROR"]) == 0
    assert cli.main(["index", "stats", "--set", given]) == 0
    assert capsys.readouterr().out.count("6 searchable vectors") == 2


def test_verify_gives_status_1_for_a_fault_and_says_which(directory, capsys):
    assert cli.main(["index", "verify", "--directory", str(directory)]) == 0
    (directory / "segment-00000001" / "ids.json").write_text("[]")
    assert cli.main(["index", "verify", "--directory", str(directory)]) == 1
    told = capsys.readouterr().out
    assert "FAIL segment-00000001" in told
    assert "ids.json: not" in told


def test_export_import_and_compact(directory, tmp_path, capsys):
    out, moved = tmp_path / "out.parquet", tmp_path / "moved"
    assert cli.main(["index", "export", "--directory", str(directory), "--out", str(out)]) == 0
    given = ["--directory", str(moved), "--set", "topics.embedded=embedded"]
    assert cli.main(["index", "import", str(out), *given]) == 0
    assert cli.main(["index", "compact", "--directory", str(moved)]) == 0
    told = "".join(capsys.readouterr().err.split())
    assert "6images" in told
    assert "1segmentsto1,0vectorsdropped" in told


def test_a_directory_that_is_owned_or_missing_is_refused(directory, tmp_path, capsys):
    with OwnerLock(directory):
        assert cli.main(["index", "compact", "--directory", str(directory)]) == 1
    assert cli.main(["index", "stats", "--directory", str(tmp_path / "none")]) == 1
    assert "owned by process" in capsys.readouterr().err
