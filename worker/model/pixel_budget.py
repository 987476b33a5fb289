"""The pixel budget: what decoding may hold in memory at once, over all threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

# What the costliest formats, WebP and AVIF, hold for a pixel.
MAX_PIXEL_BYTES = 16


class PixelBudget:
    """Room for `size` bytes of decoded pixels. Large images wait for each other, small ones rarely.

    A file of 200 kB can hold 50 million pixels: without it, a few of them in as many threads take more
    memory than the machine has, and the process that is ended for it meets them again at its next start.
    """

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Hold room for `size` bytes; blocks until there is some. More than there is takes all of it."""
        taken = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= taken)
            self._free -= taken
        try:
            yield
        finally:
            with self._changed:
                self._free += taken
                self._changed.notify_all()
