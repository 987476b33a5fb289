"""Cores: how much of the machine this process may use."""

import math
import os
from contextlib import suppress
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def cores(quota_file: Path = _QUOTA) -> int:
    """How many cores this process may use: of those it may run on, what its control group lets it have."""
    allowed = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):
        quota, period = quota_file.read_text(encoding="ascii").split()
        allowed = min(allowed, max(1, math.ceil(int(quota) / int(period))))  # "max" is no number
    return allowed
