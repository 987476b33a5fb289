"""Liveness and readiness: the loop moved; the role can take work."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class HealthReport(Protocol):
    """What the HTTP side asks."""

    def alive(self) -> tuple[bool, str]:
        """Whether the loop moved lately, and a sentence."""

    def ready(self) -> tuple[bool, dict[str, str]]:
        """Whether work can be taken, and why not."""


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


@dataclass(frozen=True)
class CombinedHealth:
    """Several roles in one process: alive and ready when each of them is."""

    roles: Mapping[str, HealthReport]

    def alive(self) -> tuple[bool, str]:
        """See HealthReport."""
        reports = {name: health.alive() for name, health in self.roles.items()}
        return all(ok for ok, _ in reports.values()), "; ".join(
            f"{n}: {why}" for n, (_, why) in reports.items()
        )

    def ready(self) -> tuple[bool, dict[str, str]]:
        """See HealthReport."""
        missing = {
            f"{name}: {condition}": why
            for name, health in self.roles.items()
            for condition, why in health.ready()[1].items()
        }
        return not missing, missing
