"""`mekiki run` in a process of its own, and its HTTP side: health, metrics, search."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpcore2

from schemas.search import IndexState, SearchResponse, SearchResult
from worker.errors import StageError
from worker.settings import Settings

_HOST = "127.0.0.1"
_STOP_SECONDS = 15.0
_UNANSWERED = (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError)
_LOG_LINES = 15

# util-linux: the kernel ends the program when the demo dies, however it dies.
_DIES_WITH_US = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()


class Program:
    """`mekiki run`, or another `command`, with `settings`, listening on a free port; log lines go to `log`.

    Use as a context manager: on leaving, the program drains and ends.
    """

    def __init__(self, settings: Settings, log: Path, command: str = "run") -> None:
        self._log = log
        self._command = command
        self._port = _free_port()
        here = {"host": _HOST, "port": self._port}
        section = "console" if command == "console" else "http"
        mine = settings.model_copy(update={section: getattr(settings, section).model_copy(update=here)})
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*_DIES_WITH_US, sys.executable, "-m", "worker.cli", command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(mine),
                start_new_session=True,  # Ctrl-C is for the demo, which then ends the program
            )
        self._pool = httpcore2.ConnectionPool()

    @property
    def pid(self) -> int:
        """The id of the program's process."""
        return self._process.pid

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{_HOST}:{self._port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.close()
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def raise_if_ended(self) -> None:
        """Raises a StageError with the end of the log if the program has ended."""
        if (status := self._process.poll()) is not None:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
            raise StageError(f"`mekiki {self._command}` ended with status {status}:\n" + "\n".join(lines))

    def wait_until_ready(self, seconds: float) -> None:
        """Return once /readyz says so.

        Raises:
            StageError: the program ended, or is not ready within `seconds`.

        """
        deadline = time.monotonic() + seconds
        detail = "it does not listen"
        while time.monotonic() < deadline:
            self.raise_if_ended()
            try:
                status, body = self._request("GET", "/readyz")
            except _UNANSWERED:
                time.sleep(0.1)
                continue
            if status == 200:
                return
            detail = json.dumps(json.loads(body)["missing"])
            time.sleep(0.1)
        raise StageError(f"`mekiki {self._command}` was not ready within {seconds:g} s: {detail}")

    def metrics(self) -> str:
        """What /metrics says."""
        return self._get("/metrics").decode()

    def index_state(self) -> IndexState:
        """What /index says."""
        return IndexState.model_validate_json(self._get("/index"))

    def neighbours(self, image_id: str, count: int) -> list[SearchResult] | None:
        """The images nearest to an indexed one, by POST /search; None if the index does not know it."""
        status, answer = self._answer("POST", "/search", {"image_id": image_id, "k": count})
        if status == 404:
            return None
        return SearchResponse.model_validate_json(_unless_failed("POST /search", status, answer)).results

    def _get(self, path: str) -> bytes:
        return _unless_failed(f"GET {path}", *self._answer("GET", path))

    def _answer(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
        try:
            return self._request(method, path, body)
        except _UNANSWERED as error:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1)  # if it died just now, that is the better thing to tell
            self.raise_if_ended()
            raise StageError(
                f"`mekiki {self._command}` does not answer {method} {path}: {error!r}"
            ) from error

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
        response = self._pool.request(
            method,
            f"{self.url}{path}",
            headers={"Content-Type": "application/json"},
            content=None if body is None else json.dumps(body).encode(),
            extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), 10.0)},
        )
        return response.status, response.content


def _unless_failed(what: str, status: int, answer: bytes) -> bytes:
    if status != 200:
        raise StageError(f"{what} was answered with {status}: {answer[:500].decode(errors='replace')}")
    return answer


def _environment(settings: Settings) -> dict[str, str]:
    """This process's environment with `settings`, one variable a section, in place of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MEKIKI_")}
    sections = {
        f"MEKIKI_{name.upper()}": getattr(settings, name).model_dump_json(exclude_none=True)
        for name in type(settings).model_fields
    }
    return {**inherited, **sections}


def _free_port() -> int:
    with socket.create_server((_HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
