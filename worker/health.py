"""Liveness and readiness: the loop moved; the role can take work."""

import threading
import time


class Health:
    """What /healthz and /readyz answer. Thread-safe.

    Alive: `beat` was called within `timeout` seconds. Ready: every condition named in `conditions`
    was set and nothing has withdrawn it.
    """

    def __init__(self, timeout: float, conditions: tuple[str, ...]) -> None:
        self._timeout = timeout
        self._lock = threading.Lock()
        self._beat = time.monotonic()
        self._missing = dict.fromkeys(conditions, "not yet")

    def beat(self) -> None:
        """The loop has turned once more."""
        self._beat = time.monotonic()

    def satisfy(self, condition: str) -> None:
        """`condition` holds from now on."""
        with self._lock:
            self._missing.pop(condition, None)

    def withdraw(self, condition: str, why: str) -> None:
        """`condition` does not hold any more, or there is a new one that does not."""
        with self._lock:
            self._missing[condition] = why

    def alive(self) -> tuple[bool, str]:
        """Whether the loop moved lately, and a sentence."""
        idle = time.monotonic() - self._beat
        return idle < self._timeout, f"the loop turned {idle:.1f} s ago"

    def ready(self) -> tuple[bool, dict[str, str]]:
        """Whether all conditions hold, and why those that do not are missing."""
        with self._lock:
            return not self._missing, dict(self._missing)
