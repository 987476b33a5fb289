"""The console on a real Kafka, with a real browser: `make test-console`, no part of `make test`."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from console.reader import Reader
from tests.integration.conftest import kafka, workplace, workplaces
from tests.integration.running import http_json
from tests.kafka.client import wait_until
from tests.network_guard import NetworkGuard
from tests.workplace import Workplace
from worker.fetch.fetch import build_fetcher
from worker.run_console import compose_console
from worker.settings import Settings

__all__ = ["kafka", "workplace", "workplaces"]

# Everything is in review, but what a category blocks.
BAND: dict[str, Any] = {
    "thresholds": {"text": {"block": 2.0, "review": -1.0}},
    "categories": {"blocked": {"text": {"block": -1.0}}},
}


class RunningConsole:
    """A console in threads of the test's own process."""

    def __init__(self, settings: Settings, guard: NetworkGuard) -> None:
        self.settings = settings
        self._guard = guard
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._reader: Reader | None = None
        self.url = ""
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)
        self._thread.start()
        assert self._started.wait(60), "the console did not start within 60 s"
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        try:
            build = lambda settings: build_fetcher(settings, self._guard.resolve, self._guard.connect)  # noqa: E731
            with compose_console(self.settings, build) as (reader, port):
                self._reader, self.url = reader, f"http://127.0.0.1:{port}"
                self._started.set()
                reader.run()
        except BaseException as error:  # noqa: BLE001 - raised in the test's thread
            self._failure = error
            self._started.set()

    def wait_until_ready(self) -> None:
        wait_until(lambda: http_json(f"{self.url}/readyz")[0] == 200, "the console to be ready")

    def stop(self) -> None:
        if self._reader is not None:
            self._reader.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self._failure:
            raise self._failure


OpenConsole = Callable[..., RunningConsole]


@contextmanager
def console_of(place: Workplace, folder: Path, **console: Any) -> Iterator[RunningConsole]:
    """A console over a workplace's topics, with a database in `folder`."""
    values = {"port": 0, "database": f"sqlite:///{folder}/console.db", **console}
    running = RunningConsole(place.changed(console=values), place.guard)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop()


@pytest.fixture
def band(workplace: Workplace) -> Workplace:
    """A workplace where every image is in review."""
    settings = workplace.changed(model={"policy": BAND})
    return Workplace(workplace.broker, settings, workplace.guard, workplace.folder)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium. Skips, with the reason, where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    binary = os.environ.get("MEKIKI_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if binary is None:
        pytest.skip("no Chromium is installed: apt install chromium, or set MEKIKI_CHROMIUM")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=binary, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()
