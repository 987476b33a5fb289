"""ngtpy, whose threads sleep while they have nothing to do.

GNU's OpenMP has them spin after each search, on the core that the next step needs: where another process had
that core, a batch of four searches took 8 ms in place of 0.1.
"""

import os

_POLICY = "OMP_WAIT_POLICY"

_before = os.environ.get(_POLICY)
os.environ[_POLICY] = _before or "passive"  # read once, as the library is loaded
import ngtpy  # noqa: E402

if _before is None:  # libraries that are loaded later have their own ways
    del os.environ[_POLICY]

__all__ = ["ngtpy"]
