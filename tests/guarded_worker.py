"""`mekiki` as a process of its own on the tests' network: `python -m tests.guarded_worker score ...`.

The same `main` as the command's, with one part replaced: the fetcher connects to one loopback address
alone. The settings come from the environment. What it refused is appended to $GUARD_LOG.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpcore2

import worker.fetch.fetch
from tests.inputs import NAMES
from tests.kafka.server import free_ports
from tests.network_guard import NetworkGuard
from tests.processes import Process
from worker.cli import main
from worker.fetch.addresses import IPAddress
from worker.fetch.fetch import Fetcher, build_fetcher
from worker.settings import FetchSettings, Settings

GUARD_LOG = "GUARD_LOG"


class _LoggingGuard(NetworkGuard):
    def connect(self, address: IPAddress, port: int, timeout: float) -> httpcore2.NetworkStream:
        try:
            return super().connect(address, port, timeout)
        finally:
            if self.refused:
                with Path(os.environ[GUARD_LOG]).open("a", encoding="utf-8") as log:
                    log.write(f"{address}:{port}\n")


def guarded_fetcher(settings: FetchSettings) -> Fetcher:
    """What `mekiki` fetches with, on the tests' network."""
    guard = _LoggingGuard(NAMES)
    return build_fetcher(settings, guard.resolve, guard.connect)


def environment(settings: Settings, guard_log: Path) -> dict[str, str]:
    """The environment that gives a process these settings, and nothing of ours besides."""
    sections = {
        f"MEKIKI_{name.upper()}": getattr(settings, name).model_dump_json(exclude_none=True)
        for name in Settings.model_fields
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MEKIKI_")}
    return {**inherited, **sections, GUARD_LOG: str(guard_log)}


class GuardedWorker(Process):
    """A running `mekiki ROLE`; its HTTP server is at `url`."""

    def __init__(
        self,
        arguments: Sequence[str],
        settings: Settings,
        log: Path,
        module: str = "tests.guarded_worker",
        more: Mapping[str, str] | None = None,
    ) -> None:
        """Start it; `module` is one that runs `main` of here, and `more` goes into its environment."""
        (self.port,) = free_ports(1)
        http = settings.http.model_copy(update={"port": self.port})
        self.settings = settings.model_copy(update={"http": http})
        self.guard_log = log.with_suffix(".refused")
        super().__init__(
            [sys.executable, "-m", module, *arguments],
            log,
            {**environment(self.settings, self.guard_log), **(more or {})},
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def refused(self) -> list[str]:
        """Every forbidden address that it tried to connect to."""
        return self.guard_log.read_text(encoding="utf-8").split() if self.guard_log.exists() else []


def run() -> int:
    """Run the command."""
    worker.fetch.fetch.build_fetcher = guarded_fetcher
    return main()


if __name__ == "__main__":
    sys.exit(run())
