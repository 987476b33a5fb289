"""The run folder: what a training was asked, on what data, how it went, and where it can go on.

config.json        what was asked: settings, command line, git revision, seeds, data digest, versions
metrics.jsonl      one line an epoch and phase
checkpoints/       NAME.pt, each replaced by an atomic rename
report.html        written by the evaluation
"""

import json
import os
import platform
import shlex
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from export.errors import RunFolderError


@dataclass(frozen=True)
class RunFolder:
    """A run folder on disk. One process writes to it."""

    path: Path

    @property
    def config_path(self) -> Path:
        """The file that says what was asked."""
        return self.path / "config.json"

    @property
    def metrics_path(self) -> Path:
        """The file of measured values."""
        return self.path / "metrics.jsonl"

    def config(self) -> dict[str, Any]:
        """What the run was asked.

        Raises:
            RunFolderError: there is no readable `config.json`.

        """
        try:
            config: dict[str, Any] = json.loads(self.config_path.read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise RunFolderError(f"{self.path} is no run folder: {error}") from None
        return config

    def log(self, **values: Any) -> None:
        """Append one line to `metrics.jsonl`."""
        with self.metrics_path.open("a") as file:
            file.write(json.dumps(values) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """All lines of `metrics.jsonl`."""
        if not self.metrics_path.exists():
            return []
        return [json.loads(line) for line in self.metrics_path.read_text().splitlines()]

    def forget_metrics(self, phase: str, from_epoch: int) -> None:
        """Drop the lines of a phase from this epoch on: a resumed training writes them again."""
        kept = [row for row in self.metrics() if row.get("phase") != phase or row["epoch"] < from_epoch]
        write_text(self.metrics_path, "".join(json.dumps(row) + "\n" for row in kept))

    def checkpoint_path(self, name: str) -> Path:
        """Where the checkpoint of this name lies."""
        return self.path / "checkpoints" / f"{name}.pt"

    def save_checkpoint(self, name: str, state: dict[str, Any]) -> None:
        """Write a checkpoint; a crash leaves the one before it or this one, never half of one."""
        path = self.checkpoint_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def load_checkpoint(self, name: str, device: torch.device) -> dict[str, Any] | None:
        """The checkpoint of this name, or None where there is none yet.

        Raises:
            RunFolderError: the file does not load.

        """
        path = self.checkpoint_path(name)
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        except Exception as error:
            raise RunFolderError(
                f"{path} does not load ({error}); delete it to train from the start"
            ) from error
        return state


def open_run(path: Path, settings: dict[str, Any], data_digest: str, *, resume: bool) -> RunFolder:
    """A new run folder, or with `resume` the one of the same settings and data that is there.

    Raises:
        RunFolderError: it exists and `resume` was not asked; or it is of other settings or data.

    """
    run = RunFolder(path)
    asked = json.loads(json.dumps(settings))
    if run.config_path.exists():
        if not resume:
            raise RunFolderError(f"{path} holds a run already: name another --out, or go on with --resume")
        _require_same(run, asked, data_digest)
        return run
    if path.exists() and any(path.iterdir()):
        raise RunFolderError(f"{path} is not empty and holds no run: name another --out")
    path.mkdir(parents=True, exist_ok=True)
    config = {"settings": asked, "data_digest": data_digest, **_circumstances()}
    write_text(run.config_path, json.dumps(config, indent=2) + "\n")
    return run


def write_text(path: Path, text: str) -> None:
    """Write a file by an atomic rename."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    temporary.replace(path)


def _require_same(run: RunFolder, asked: dict[str, Any], data_digest: str) -> None:
    held = run.config()
    then = held["settings"]
    other = sorted(name for name in {*then, *asked} if then.get(name) != asked.get(name))
    if other:
        shown = "; ".join(f"{name} was {then.get(name)!r}, is {asked.get(name)!r}" for name in other)
        raise RunFolderError(f"{run.path} cannot be resumed with other settings: {shown}")
    if held["data_digest"] != data_digest:
        raise RunFolderError(
            f"{run.path} cannot be resumed: the data changed since it began "
            f"(digest {held['data_digest'][:12]}, now {data_digest[:12]})"
        )


def _circumstances() -> dict[str, Any]:
    return {
        "command": shlex.join(["mekiki", *sys.argv[1:]]),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_revision": _git("rev-parse", "HEAD"),
        "git_changed_files": len((_git("status", "--porcelain") or "").splitlines()),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }


def _git(*arguments: str) -> str | None:
    here = Path(__file__).parent
    try:
        done = subprocess.run(["git", "-C", here, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None  # installed from a wheel
    return done.stdout.strip()
