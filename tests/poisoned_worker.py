"""A worker that one event ends, in the step that $POISON names: `step:fault`, such as `model:abort`.

The event is the one whose image id begins with "poison".
"""

import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import worker.score.judge
import worker.score.prepare
from tests.guarded_worker import run

POISON = "POISON"

_MEMORY_BEYOND = 2_000_000_000


def _allocate() -> None:
    held = bytearray(3_000_000_000)
    held[::4096] = b"x" * len(held[::4096])


def _raise() -> None:
    raise RuntimeError("a bug that this event meets")


FAULTS = {
    "abort": os.abort,
    "raise": _raise,
    "hang": lambda: time.sleep(3600),
    "allocate": _allocate,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),  # as the kernel does that is out of memory
}


def _limit_memory() -> None:
    """Let 3 GB be more than there is."""
    with open("/proc/self/statm") as statm:  # noqa: PTH123
        taken = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + _MEMORY_BEYOND, resource.RLIM_INFINITY))


def _poison(step: str, fault: str) -> None:
    if step == "model":
        judge = worker.score.judge.Judge.__call__

        def judged(self: Any, batch: Sequence[Any]) -> Any:
            if any(image.event.image_id.startswith("poison") for image in batch):
                if fault == "allocate":
                    _limit_memory()
                FAULTS[fault]()
            return judge(self, batch)

        worker.score.judge.Judge.__call__ = judged  # type: ignore[method-assign]
    else:
        prepare = worker.score.prepare.Preparer.begin

        def prepared(self: Any, read: Any) -> Any:
            event = read()
            if getattr(event, "image_id", "").startswith("poison"):
                FAULTS[fault]()
            return prepare(self, lambda: event)

        worker.score.prepare.Preparer.begin = prepared  # type: ignore[method-assign]


if __name__ == "__main__":
    _poison(*os.environ[POISON].split(":"))
    sys.exit(run())
