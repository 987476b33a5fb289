"""Thumbnails: what was judged, by the hardened fetcher and a decoder child, encoded anew, kept for a while.

A browser never asks a seller's server for anything.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable

from schemas.events import ImageModerated, ImageReference
from worker.errors import MekikiError
from worker.model.decode import DecodedImage, ImageLimits
from worker.model.thumbnail import thumbnail

from console.words import FindReference  # isort: skip


class Pictures:
    """Thread-safe; at most `at_once` images are fetched at a time. The cache holds `room` bytes."""

    def __init__(
        self,
        find_reference: FindReference,
        fetch: Callable[[ImageReference], bytes],
        decode: Callable[..., DecodedImage],
        limits: ImageLimits,
        room: int,
        at_once: int = 4,
    ) -> None:
        self._find_reference = find_reference
        self._fetch = fetch
        self._decode = decode
        self._limits = limits
        self._room = room
        self._turn = threading.Semaphore(at_once)
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], bytes | None] = OrderedDict()
        self._bytes = 0

    def of(self, verdict: ImageModerated) -> bytes | None:
        """A JPEG of the image that `verdict` is on; None where that image cannot be seen any more."""
        key = (verdict.image_id, verdict.image_sha256)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self._turn:
            picture = self._made(verdict)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = picture
                self._bytes += _size(picture)
            while self._bytes > self._room and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= _size(dropped)
        return picture

    def forget(self, image_id: str) -> None:
        """The image was deleted."""
        with self._lock:
            for key in [key for key in self._kept if key[0] == image_id]:
                self._bytes -= _size(self._kept.pop(key))

    def _made(self, verdict: ImageModerated) -> bytes | None:
        try:
            reference = self._find_reference(verdict.input)
            if reference is None:
                return None
            data = self._fetch(reference)
            # Another image at the same URL is not what was judged.
            if hashlib.sha256(data).hexdigest() != verdict.image_sha256:
                return None
            return thumbnail(data, self._limits, self._decode, side=384)
        except MekikiError:
            return None


def _size(picture: bytes | None) -> int:
    return 200 + len(picture or b"")
