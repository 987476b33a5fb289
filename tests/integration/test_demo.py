"""The demo as a whole, small: its own broker, the real program, the report, and nothing left behind."""

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.kafka.client import wait_until
from tests.unit.demo.pictures import drawn_assets
from worker.demo import run
from worker.demo.observe import Observer
from worker.errors import StageError
from worker.settings import Settings
from worker.stream.kafka import InputRecord

PHOTOS = 20


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Temporary files go to a folder of the test; afterwards it is empty, and no process is left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []
    assert [process.cmdline() for process in psutil.Process().children() if _is_ours(process)] == []


def _is_ours(process: psutil.Process) -> bool:
    try:
        return any(name in process.cmdline() for name in ("worker.demo.broker", "worker.cli"))
    except psutil.ZombieProcess:  # ended, and not waited for yet
        return False


def _settings() -> Settings:
    return Settings.model_validate({"model": {"threads": 1}})


def _counts(report: Path) -> dict[str, int]:
    """The figures on the report's tiles, by their names."""
    tiles = re.findall(r'class="tile"><b[^>]*>(\d+)</b><span>([^<]*)<', report.read_text(encoding="utf-8"))
    return {name: int(figure) for figure, name in tiles}


def test_a_small_demo_gives_every_event_its_outcome_and_a_report(tmp_path: Path) -> None:
    assets = drawn_assets(tmp_path / "assets", PHOTOS)
    status = run.run_demo(_settings(), images=None, out=tmp_path / "out", assets=assets, seconds=2.0)
    assert status == 0
    report = tmp_path / "out" / "report.html"
    counts = _counts(report)
    assert (counts["rejected as broken"], counts["deletions"]) == (21, 4)
    # photos, five copies of fifteen of them, three notices and two QR codes
    assert counts.get("accepted", 0) + counts.get("blocked", 0) == PHOTOS + 75 + 3 + 2
    assert counts["searchable images"] <= counts["accepted"]
    assert "Every one of" in report.read_text(encoding="utf-8")


def test_a_lost_outcome_is_told_and_fails_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fault is put where the demo reads: one verdict is overlooked."""
    overlooked: list[InputRecord] = []
    read = Observer._verdict

    def overlook_one(observer: Observer, record: InputRecord) -> None:
        if overlooked:
            read(observer, record)
        else:
            overlooked.append(record)

    monkeypatch.setattr(Observer, "_verdict", overlook_one)
    monkeypatch.setattr(run, "_PATIENCE_SECONDS", 1.5)
    assets = drawn_assets(tmp_path / "assets", 2)
    status = run.run_demo(_settings(), images=None, out=tmp_path / "out", assets=assets, seconds=1.0)
    assert status == 1
    assert overlooked[0].key is not None
    assert f"{overlooked[0].key.decode()}: no outcome" in capsys.readouterr().out
    assert "1 of the promised outcomes are missing" in (tmp_path / "out" / "report.html").read_text(
        encoding="utf-8"
    )


def test_a_program_that_does_not_start_is_told_with_what_it_said(tmp_path: Path) -> None:
    assets = drawn_assets(tmp_path / "assets", 2)
    settings = Settings.model_validate({"model": {"provider": "tensorrt"}})
    with pytest.raises(StageError, match=r"(?s)`mekiki run` ended with status 1.*tensorrt"):
        run.run_demo(settings, images=None, out=tmp_path / "out", assets=assets, seconds=1.0)


def test_a_program_that_dies_meanwhile_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(observer: Observer, record: InputRecord) -> None:
        for process in filter(_is_ours, psutil.Process().children()):
            if "worker.cli" in process.cmdline():
                process.kill()

    monkeypatch.setattr(Observer, "_verdict", kill)
    assets = drawn_assets(tmp_path / "assets", 2)
    with pytest.raises(StageError, match="`mekiki run` ended with status -9"):
        run.run_demo(_settings(), images=None, out=tmp_path / "out", assets=assets, seconds=1.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_demo_and_all_that_it_started(
    number: signal.Signals, tmp_path: Path, nothing_is_left: Path
) -> None:
    """As from a terminal: Ctrl-C reaches the whole process group."""
    demo = psutil.Popen(
        [sys.executable, "-m", "worker.cli", "demo", "--out", str(tmp_path / "out")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        # A shell's background jobs, such as a CI run may be, ignore Ctrl-C, and so would their children.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.default_int_handler),
    )
    try:
        wait_until(lambda: len(demo.children()) == 2, "the broker and the program to start", 60)
        children = demo.children()
        time.sleep(2)
        demo.send_signal(number)
        assert demo.wait(30) == 130
        assert psutil.wait_procs(children, 1)[1] == []
    finally:
        if demo.is_running():
            demo.kill()
            demo.wait()
