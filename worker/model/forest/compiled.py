"""The compiled kernel: C for AVX-512, AVX2 or plain 128 bits, whichever this machine has.

`make kernel`, or building the wheel, leaves the library beside the sources (build_kernel.py).
"""

import ctypes
import hashlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from worker.errors import BundleError
from worker.model.forest.answers import MOST_IMAGES, Hits
from worker.model.forest.file import ForestFile

HERE: Final = Path(__file__).parent
LIBRARY: Final = HERE / "libforest.so.1"
SOURCES: Final = ("kernel.h", "kernel.c", "lanes.c")
WIDTHS: Final = {16: "plain", 32: "avx2", 64: "avx512"}
_ROOM_A_TAG = 4


class _Block(ctypes.Structure):
    """`block` of kernel.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("rows", "trees", "tags", "linear", "vectors", "least")),
        *((name, ctypes.c_void_p) for name in ("margins", "hit_tags", "hit_images", "hit_margins")),
        ("room", ctypes.c_int64),
        *((name, ctypes.c_uint32) for name in ("dim", "images", "stride", "begin", "end")),
    ]


def source_digest() -> str:
    """Sha256 in hex of the sources, which the library says it was compiled from."""
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update((HERE / name).read_bytes())
    return digest.hexdigest()


class CompiledKernel:
    """The library, at one width of registers. Owned by one thread; blocks may be asked from many."""

    def __init__(self, width: int | None = None, library: Path = LIBRARY) -> None:
        """Load it.

        Raises:
            BundleError: there is none, it is of other sources, or the machine has no such registers.

        """
        try:
            self._library = ctypes.CDLL(str(library))
            self._library.mekiki_forest_source.restype = ctypes.c_char_p
            source = self._library.mekiki_forest_source().decode()
            widest = int(self._library.mekiki_forest_widest())
        except (OSError, AttributeError) as error:
            raise BundleError(
                f"there is no compiled kernel at {library} ({error}): run `make kernel`"
            ) from error
        if source != source_digest():
            raise BundleError(f"{library} was compiled from other sources: run `make kernel`")
        if width is not None and (width not in WIDTHS or width > widest):
            raise BundleError(f"this machine has no registers of {width} bytes that the kernel uses")
        self._widest = width or widest
        self.name = WIDTHS[self._widest]
        self._answer = {}
        for each in WIDTHS:
            if each <= self._widest:
                function = getattr(self._library, f"mekiki_forest_{each}")
                function.restype = ctypes.c_int64
                self._answer[each] = function
        self._rows, self._columns = _aligned(0, np.uint8), _aligned(0, np.float32)

    def block(self, forest: ForestFile, vectors: NDArray[np.float32]) -> "CompiledBlock":
        """See `Kernel.block`."""
        vectors = np.ascontiguousarray(vectors, np.float32)
        count, dim = vectors.shape
        book = forest.codebook
        # Few images leave no room in wide registers; narrow rows stay nearer to the core.
        stride = next(width for width in WIDTHS if 8 * width >= count)
        width = min(stride, self._widest)
        if self._rows.size < len(book.cuts) * stride:
            self._rows = _aligned(len(book.cuts) * stride, np.uint8)
        if self._columns.size < dim * 8 * stride:
            self._columns = _aligned(dim * 8 * stride, np.float32)
        columns = self._columns[: dim * 8 * stride].reshape(dim, 8 * stride)
        columns[:, :count] = vectors.T
        columns[:, count:] = 0
        codes = np.empty((count, dim), np.uint8)
        self._library.mekiki_forest_codes(
            _at(vectors), count, dim, _at(book.cuts), _at(book.first), _at(codes)
        )
        self._library.mekiki_forest_rows(
            _at(codes), count, dim, _at(book.first), width, stride, _at(self._rows)
        )
        return CompiledBlock(self._answer[width], forest, self._rows, columns, count, stride)


class CompiledBlock:
    """See `Block`."""

    def __init__(
        self,
        answer: Any,
        forest: ForestFile,
        rows: NDArray[np.uint8],
        columns: NDArray[np.float32],
        images: int,
        stride: int,
    ) -> None:
        self._answer, self._forest, self._images, self._stride = answer, forest, images, stride
        self._rows, self._columns = rows, columns

    def hits(self, least: NDArray[np.float32], begin: int, end: int) -> Hits:
        """See `Block.hits`."""
        room = _ROOM_A_TAG * (end - begin) + self._images
        while True:
            found = Hits(np.empty(room, np.uint32), np.empty(room, np.uint32), np.empty(room, np.float32))
            asked = self._asked(begin, end)
            asked.least, asked.room = _at(least), room
            asked.hit_tags, asked.hit_images = _at(found.tags), _at(found.images)
            asked.hit_margins = _at(found.margins)
            count = self._answer(ctypes.byref(asked))
            if count <= room:
                return Hits(found.tags[:count], found.images[:count], found.margins[:count])
            room = count

    def margins(self, begin: int, end: int) -> NDArray[np.float32]:
        """See `Block.margins`."""
        margins = np.empty((end - begin, self._images), np.float32)
        never = np.full(end, np.inf, np.float32)
        asked = self._asked(begin, end)
        asked.least, asked.margins = _at(never), _at(margins)
        self._answer(ctypes.byref(asked))
        return margins

    def _asked(self, begin: int, end: int) -> _Block:
        forest = self._forest
        return _Block(
            rows=_at(self._rows), trees=_at(forest.trees), tags=_at(forest.tags), linear=_at(forest.linear),
            vectors=_at(self._columns), dim=forest.header.dim, images=self._images, stride=self._stride,
            begin=begin, end=end,
        )  # fmt: skip


def _at(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _aligned(count: int, dtype: Any) -> NDArray[Any]:
    """Zeros that begin at a multiple of 64 bytes."""
    size = count * np.dtype(dtype).itemsize
    whole = np.zeros(size + 64, np.uint8)
    start = -whole.ctypes.data % 64
    return whole[start : start + size].view(dtype)


assert 8 * max(WIDTHS) == MOST_IMAGES
