"""An image store on loopback that fails by host name when it is told to, and serves again when mended."""

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.loopback_server import AnsweringHandler, LoopbackServer
from tests.network_guard import HOST

FAULTS = ("503", "busy", "silent", "refused")


class FlakyStore(LoopbackServer):
    """Serves one image at every path; use as a context manager.

    | fault   | what a host does                              |
    |---------|-----------------------------------------------|
    | 503     | answers with this status                      |
    | busy    | 429 with `Retry-After: retry_after`           |
    | silent  | reads the request and does not answer         |
    | refused | hangs up without an answer                    |

    `requests` counts by host.
    """

    def __init__(self, image: bytes, retry_after: int = 3) -> None:
        self.image = image
        self.retry_after = retry_after
        self.requests: Counter[str] = Counter()
        self._faults: dict[str, str] = {}
        self._mended = threading.Event()
        super().__init__(HOST)

    def url(self, host: str, name: str) -> str:
        """The URL of an image of `host`."""
        return f"http://{host}:{self.port}/{name}"

    def fail(self, host: str, fault: str) -> None:
        """Let `host` fail from now on."""
        self._mended.clear()
        self._faults[host] = fault

    def mend(self, host: str) -> None:
        """Let `host` serve again."""
        self._faults.pop(host, None)
        self._mended.set()

    def handler(self, request: Any, address: Any, server: Any) -> BaseHTTPRequestHandler:
        return _Handler(self, request, address, server)

    def fault(self, host: str) -> str | None:
        """What `host` does."""
        self.requests[host] += 1
        return self._faults.get(host)

    def wait(self) -> None:
        """Until something is mended, or all is over."""
        while not self.stopping.is_set() and not self._mended.wait(0.05):
            pass


class _Handler(AnsweringHandler):
    def __init__(self, store: FlakyStore, request: Any, address: Any, server: Any) -> None:
        self._store = store
        super().__init__(request, address, server)

    def do_GET(self) -> None:  # noqa: N802 - the base class finds it by this name
        fault = self._store.fault((self.headers.get("Host") or "").partition(":")[0])
        if fault == "503":
            self.answer(503, b"no")
        elif fault == "busy":
            self.answer(429, b"no", {"Retry-After": str(self._store.retry_after)})
        elif fault == "silent":
            self._store.wait()
            self.close_connection = True
        elif fault == "refused":
            self.close_connection = True
        else:
            self.answer(200, self._store.image)
