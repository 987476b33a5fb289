from pathlib import Path

import pytest
import torch

from export.errors import RunFolderError
from export.run import RunFolder, open_run

SETTINGS = {"seeds": (0, 1), "epochs": 3}


def test_a_run_says_what_it_was_asked(tmp_path: Path) -> None:
    config = open_run(tmp_path / "run", SETTINGS, "d1", resume=False).config()
    assert config["settings"] == {"seeds": [0, 1], "epochs": 3}
    assert config["data_digest"] == "d1"
    assert config["command"].startswith("mekiki")
    assert config["versions"]["torch"] == torch.__version__


def test_a_run_is_resumed_only_as_it_was_asked(tmp_path: Path) -> None:
    path = tmp_path / "run"
    open_run(path, SETTINGS, "d1", resume=True)  # nothing there yet: begins
    assert open_run(path, SETTINGS, "d1", resume=True).path == path
    with pytest.raises(RunFolderError, match="go on with --resume"):
        open_run(path, SETTINGS, "d1", resume=False)
    with pytest.raises(RunFolderError, match="other settings: epochs was 3, is 4"):
        open_run(path, {**SETTINGS, "epochs": 4}, "d1", resume=True)
    with pytest.raises(RunFolderError, match="the data changed"):
        open_run(path, SETTINGS, "d2", resume=True)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(RunFolderError, match="not empty and holds no run"):
        open_run(tmp_path, SETTINGS, "d1", resume=True)
    assert [item.name for item in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(RunFolderError, match="is no run folder"):
        RunFolder(tmp_path).config()


def test_a_crash_while_saving_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(tmp_path / "run", SETTINGS, "d1", resume=False)
    run.save_checkpoint("x", {"epochs_done": 1})

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("export.run.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        run.save_checkpoint("x", {"epochs_done": 2})
    assert run.load_checkpoint("x", torch.device("cpu")) == {"epochs_done": 1}


def test_a_damaged_checkpoint_says_what_to_do(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", SETTINGS, "d1", resume=False)
    run.save_checkpoint("x", {"weights": torch.zeros(100)})
    path = run.checkpoint_path("x")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RunFolderError, match="delete it to train from the start"):
        run.load_checkpoint("x", torch.device("cpu"))
    assert run.load_checkpoint("none", torch.device("cpu")) is None


def test_metrics_of_epochs_that_are_done_again_are_dropped(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", SETTINGS, "d1", resume=False)
    for phase in ("a", "b"):
        for epoch in range(3):
            run.log(phase=phase, epoch=epoch, loss=0.5)
    run.forget_metrics("a", 1)
    assert [(row["phase"], row["epoch"]) for row in run.metrics()] == [("a", 0), ("b", 0), ("b", 1), ("b", 2)]
