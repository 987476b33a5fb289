"""Shadow process: the worker's side of a child that runs a second bundle."""

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any, Literal

from worker.errors import BundleError, MekikiError, StageError
from worker.model.infer import ImageBatch
from worker.model.shadow_child import Start, receive_message, send_message

LOAD = "worker.model.shadow_child:load"

_START_SECONDS = 120.0

# None of the worker's secrets; what finds a GPU.
_INHERITED = ("PATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "TMPDIR", "LANG")

Cause = Literal["late", "crashed"]


class ShadowEnded(MekikiError):
    """The child ended, or was ended because it did not answer in time."""

    def __init__(self, cause: Cause, text: str) -> None:
        super().__init__(text)
        self.cause: Cause = cause


class ShadowProcess:
    """A child that has loaded the bundle `bundle_id`; used by one thread, but for `end`."""

    def __init__(self, start: Start, timeout: float, function: str = LOAD) -> None:
        """Start it, and wait until it is warm; one batch may take `timeout` seconds.

        Raises:
            BundleError: it refuses the bundle.
            ShadowEnded: it ended, or did not get warm in time.

        """
        self._timeout = timeout
        self._ending = threading.Lock()
        self._socket, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-c", "from worker.model.shadow_child import main; main()", function,
                    str(theirs.fileno()),
                ],
                env=environment, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL,
            )  # fmt: skip
        told = self._ask(pickle.dumps(start), _START_SECONDS)
        if "refused" in told:
            self.end()
            raise BundleError(str(told["refused"]))
        self.bundle_id = str(told["bundle_id"])

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def infer(self, batch: ImageBatch) -> dict[str, list[float]]:
        """The scores of a batch by name.

        Raises:
            StageError: the graphs failed; the child serves on.
            ShadowEnded: there is no answer, and the child is no more.

        """
        told = self._ask(pickle.dumps((list(batch.pixels), dict(batch.measured)), protocol=5), self._timeout)
        if "failed" in told:
            raise StageError(str(told["failed"]))
        scores: dict[str, list[float]] = told["scores"]
        return scores

    def end(self) -> int:
        """End the process, whatever it does; returns its exit status. Safe from any thread."""
        with self._ending:
            if self._process.returncode is None:
                self._process.kill()
                self._process.wait()
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
            return self._process.returncode

    def _ask(self, body: bytes, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        answer = None
        with suppress(OSError):  # TimeoutError is one
            send_message(self._socket, body, deadline)
            answer = receive_message(self._socket, deadline)
        with suppress(ValueError):
            if answer is not None:
                said: dict[str, Any] = json.loads(answer)
                return said
        if time.monotonic() >= deadline:
            self.end()
            raise ShadowEnded("late", f"the shadow has not answered for {seconds:g} s and was ended")
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)  # its own status tells more than our signal
        raise ShadowEnded("crashed", f"the shadow's process ended with {_name(self.end())}")


def _name(status: int) -> str:
    with suppress(ValueError):
        return signal.Signals(-status).name
    return f"exit status {status}"
