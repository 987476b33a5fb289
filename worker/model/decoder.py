"""A decoder child: it takes bytes and gives pixels.

It holds no Kafka client and no model, and once it is ready it can open neither a file nor a socket: all
that it has is the socket to its parent, and the memory that both share, by their file descriptors. A
message is a pickled `Request` to the child and JSON from it, so that what a broken decoder says is never
run. It may die at any time: `worker.model.decoders` starts another.
"""

import ctypes
import gc
import importlib
import io
import json
import math
import os
import pickle
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from typing import Any, get_args

import numpy as np
import PIL.TiffImagePlugin  # noqa: F401 - reads EXIF; loaded before files can no longer be opened
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image

from worker.errors import Rejection
from worker.model.decode import FORMATS, DecodedImage, ImageLimits
from worker.model.decode import decode as decode_image
from worker.model.optional_formats import OptionalFormat, load_format, pillow_name
from worker.model.pixel_budget import PixelBudget

# Messages go over a SOCK_SEQPACKET socket, one a packet.
MAX_MESSAGE = 1 << 16

_GRACE_SECONDS = 1.0

# <linux/prctl.h>: no other process of this user reads the child's memory, and it dumps no core.
_PR_SET_DUMPABLE = 4


@dataclass(frozen=True)
class Request:
    """One image: so many bytes at the start of the shared memory, and what to call `decode` with.

    `cpu_seconds` is the image's share of CPU, `wall_seconds` of time; `memory` what its pixels may hold in
    bytes, as was granted.
    """

    size: int
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    cpu_seconds: int
    wall_seconds: float
    memory: int


class RoomAskedFor(BaseException):
    """The image needs `size` bytes for its pixels, which were not granted. Never an error of the image."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class GrantedRoom(PixelBudget):
    """Room that the parent keeps the books of: more than was granted ends the decoding at once."""

    def __init__(self, granted: int) -> None:
        super().__init__(granted)

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Hold room for `size` bytes, or raise `RoomAskedFor`."""
        if size > self._size:
            raise RoomAskedFor(size)
        yield


def serve(decode: Callable[..., DecodedImage], parent: socket.socket, memory: int) -> None:
    """Answer requests until the parent closes its end."""
    while (body := received(parent)) is not None:
        request: Request = pickle.loads(body)  # noqa: S301 - of our own parent
        _limit_cpu(request.cpu_seconds)
        # The parent ends what is late; this ends it where the parent was killed meanwhile.
        signal.setitimer(signal.ITIMER_REAL, request.wall_seconds + _GRACE_SECONDS)
        answer = json.dumps(_answer(decode, request, memory)).encode()
        signal.setitimer(signal.ITIMER_REAL, 0)
        parent.send(answer)


def _answer(decode: Callable[..., DecodedImage], request: Request, memory: int) -> dict[str, Any]:
    try:
        data = os.pread(memory, request.size, 0)
        room = GrantedRoom(request.memory)
        decoded = decode(data, *request.arguments, room=room, **request.named)
    except RoomAskedFor as asked:
        return {"room": asked.size}
    except Rejection as rejection:
        return {"rejection": rejection.reason, "detail": rejection.detail[:1000]}
    except MemoryError:
        return {"memory": True}
    except Exception as error:  # noqa: BLE001 - the parent says whose fault it is
        return {"error": f"{type(error).__name__}: {error}"[:1000]}
    return {"decoded": _written(decoded, memory)}


def _written(decoded: DecodedImage, memory: int) -> dict[str, Any]:
    """The fields of `decoded`; arrays are written to `memory` one after the other, and their shapes said."""
    said: dict[str, Any] = {}
    at = 0
    for field in fields(decoded):
        value = getattr(decoded, field.name)
        arrays = value if isinstance(value, tuple) else (value,)
        if isinstance(arrays[0], np.ndarray):
            for array in arrays:
                at += os.pwrite(memory, np.ascontiguousarray(array).data, at)
            shapes = [array.shape for array in arrays]
            value = {"shapes": shapes} if isinstance(value, tuple) else {"shape": shapes[0]}
        said[field.name] = value
    return said


def read_decoded(said: dict[str, Any], memory: int) -> DecodedImage:
    """What `_written` wrote.

    Raises:
        ValueError, TypeError, OSError: not such a thing.

    """
    found: dict[str, Any] = {}
    at = 0
    for name, value in said.items():
        shapes: list[Any] = value.get("shapes", [value.get("shape")]) if isinstance(value, dict) else [None]
        if shapes == [None]:
            found[name] = value
            continue
        arrays = []
        for shape in shapes:
            arrays.append(_read_array(shape, memory, at))
            at += arrays[-1].nbytes
        found[name] = tuple(arrays) if "shapes" in value else arrays[0]
    return DecodedImage(**found)


def _read_array(said: list[int], memory: int, at: int) -> NDArray[np.uint8]:
    shape = tuple(int(side) for side in said)
    if not all(0 < side <= 65_536 for side in shape) or math.prod(shape) > 1 << 28:
        raise ValueError(f"an array of shape {shape}")
    array = np.empty(shape, np.uint8)
    if os.preadv(memory, [array.data], at) != array.nbytes:
        raise ValueError(f"an array of shape {shape} that is not all there")
    return array


def received(peer: socket.socket) -> bytes | None:
    """The next message; None once the peer is gone.

    Raises:
        TimeoutError: none came in the socket's time.

    """
    try:
        return peer.recv(MAX_MESSAGE) or None
    except BlockingIOError:
        raise TimeoutError from None
    except ConnectionResetError:
        return None


def _limit_cpu(seconds: int) -> None:
    """Let the process have so many seconds of CPU more; past them SIGXCPU ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def _confine(address_space: int, formats: Sequence[OptionalFormat]) -> None:
    """Bound memory, and take the means to open files and sockets away."""
    _load_all(formats)
    with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - no path is at hand once confined
        held = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + address_space, held + address_space))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    gc.freeze()  # what is loaded stays, and need not be looked through
    # Descriptors from here on cannot be had; those below are open.
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, lowest))
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _load_all(formats: Sequence[OptionalFormat]) -> None:
    """Load what Pillow loads at first use: it could not be once files cannot be opened."""
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # an image has one child, not all cores
    for optional in formats:
        load_format(optional)
    for name in (*FORMATS, *(pillow_name(optional) for optional in formats)):
        packed = io.BytesIO()
        Image.new("RGB", (16, 16)).save(packed, name)
        decode_image(packed.getvalue(), 16, 16, ImageLimits(formats=tuple(formats)))


def main() -> None:
    """The child's program: arguments are the function, socket, memory, bytes of address space and formats."""
    name, descriptor, memory, address_space = sys.argv[1], *map(int, sys.argv[2:5])
    # Ctrl-C, or the end of a unit, reaches a whole group: the parent says when a child is to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    module, _, function = name.partition(":")
    decode = getattr(importlib.import_module(module), function)
    parent = socket.socket(fileno=descriptor)
    _confine(address_space, [name for name in get_args(OptionalFormat) if name in sys.argv[5].split(",")])
    parent.send(b"{}")
    with suppress(BrokenPipeError):
        serve(decode, parent, memory)
