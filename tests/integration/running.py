"""Roles that run in threads of the test's own process, joined by the same composition root."""

import json
import threading
import urllib.error
import urllib.request
from typing import Any

from tests.kafka.client import wait_until
from tests.network_guard import NetworkGuard
from worker.compose import Process, compose
from worker.fetch.fetch import Fetcher, build_fetcher
from worker.roles import run_until_stopped
from worker.settings import FetchSettings, Settings
from worker.watchdog import Watchdog


class Running:
    """A process's roles, started on construction.

    Raises:
        MekikiError: they do not start.

    """

    def __init__(self, settings: Settings, roles: tuple[str, ...], guard: NetworkGuard) -> None:
        self._settings = settings
        self._roles = roles
        self._guard = guard
        self._process: Process | None = None
        self._failure: BaseException | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="roles", daemon=True)
        self._thread.start()
        assert self._started.wait(60), "the roles did not start within 60 s"
        if self._process is None:
            self._raise_failure()

    def stop(self) -> None:
        """Ask every role to stop, and wait until all have."""
        if self._process is not None:
            for role in self._process.roles.values():
                role.stop()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the roles did not stop within 60 s"

    def close(self) -> None:
        """Stop; raise what made a role fail."""
        self.stop()
        self._raise_failure()

    def failure(self, timeout: float) -> BaseException:
        """What a role failed with, waited for; `close` will not raise it again."""
        self._thread.join(timeout)
        failure, self._failure = self._failure, None
        assert failure is not None, f"no role failed within {timeout:g} s"
        return failure

    def get(self, path: str) -> tuple[int, Any]:
        """GET from the process's HTTP server: the status and the JSON answer."""
        return http_json(f"{self.url}{path}")

    def open_metrics(self) -> str:
        """The metrics, as Prometheus asks for them."""
        headers = {"Accept": "application/openmetrics-text;version=1.0.0"}
        request = urllib.request.Request(f"{self.url}/metrics", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())

    def post(self, path: str, body: object) -> tuple[int, Any]:
        """POST a JSON body."""
        return http_json(f"{self.url}{path}", body)

    @property
    def url(self) -> str:
        assert self._process is not None
        return f"http://127.0.0.1:{self._process.port}"

    def wait_until_ready(self) -> None:
        wait_until(lambda: self.get("/readyz")[0] == 200, "/readyz to be 200")

    def _run(self) -> None:
        try:
            # A watchdog that is not entered: it would end the tests' process.
            with compose(self._settings, self._roles, self._build_fetch, Watchdog()) as process:
                self._process = process
                self._started.set()
                run_until_stopped(process.roles)
        except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
            self._failure = error
        finally:
            self._started.set()

    def _build_fetch(self, settings: FetchSettings) -> Fetcher:
        return build_fetcher(settings, self._guard.resolve, self._guard.connect)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def http_json(url: str, body: object = None) -> tuple[int, Any]:
    """Ask a loopback URL; a JSON body makes it a POST. The status and the JSON (else text) answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, _parsed(response.read())
    except urllib.error.HTTPError as error:
        return error.code, _parsed(error.read())


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")
