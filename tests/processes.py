"""Processes that tests start: they end with the test run, however that ends, and leave a log."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# util-linux: the kernel ends the process when the one that started it dies, `kill -9` included.
_DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()


class Process:
    """A running command; both of its output streams go to the end of `log`."""

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*_DIES_WITH_US, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """`kill -9`, and wait for the end."""
        if self.returncode is None:
            self._process.kill()
        self._process.wait(10)

    def send_sigterm(self) -> None:
        """Ask the process to end."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float) -> int:
        """Wait for the end; after `timeout` seconds SIGKILL. Returns the exit code."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.wait(10)

    def terminate(self, timeout: float) -> int:
        """SIGTERM; after `timeout` seconds SIGKILL. Returns the exit code."""
        if self.returncode is None:
            self.send_sigterm()
        return self.wait(timeout)

    def freeze(self) -> None:
        """SIGSTOP: the process stands still, its connections stay open."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def tail(self, lines: int = 40, without: str | None = None) -> str:
        """The last lines of the log; lines that hold `without` are left out."""
        log = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join([line for line in log if without is None or without not in line][-lines:])

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        """Wait for `condition`.

        Raises:
            AssertionError: the process ended, or time is up; with the end of its log.

        """
        deadline = time.monotonic() + timeout
        while not condition():
            if self.returncode is not None:
                raise AssertionError(f"ended with {self.returncode} before {what}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"not {what} within {timeout:g} s:\n{self.tail()}")
            time.sleep(0.05)
