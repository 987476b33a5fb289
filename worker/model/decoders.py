"""Decoders: a pool of children that decode, any of which may die without harm to another image."""

import json
import logging
import os
import pickle
import queue
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from schemas.rejection import RejectionReason
from worker.cores import cores
from worker.errors import MekikiError, Rejection, StageError
from worker.model.decode import DecodedImage, ImageLimits
from worker.model.decoder import Request, read_decoded, received
from worker.model.optional_formats import OptionalFormat, require
from worker.model.pixel_budget import MAX_PIXEL_BYTES, PixelBudget
from worker.settings import DecodeSettings

logger = logging.getLogger(__name__)

# Past this the shared memory is given back after an image.
_KEPT_BYTES = 4 << 20
_START_SECONDS = 60
# What an image's pixels may hold without asking: a WebP of 8 Mpx, or a PNG of 16.
_UNASKED_BYTES = 128 << 20


@dataclass(frozen=True)
class DecoderLimits:
    """What one image may cost a child; `room` is what all images together may hold in pixels, in bytes.

    A child's address space grows by no more than `address_space` bytes. `formats` are the optional ones.
    """

    cpu_seconds: int = 4
    wall_seconds: float = 20
    room: int = 800_000_000
    address_space: int = 1_500_000_000
    formats: tuple[OptionalFormat, ...] = ()


class DecoderDied(MekikiError):
    """The child ended, or was ended, with an image in its hands."""

    def __init__(self, late: bool, status: int) -> None:
        super().__init__(status)
        self.late = late
        self.status = status

    @property
    def cause(self) -> str:
        """`late`, `cpu` or `crashed`."""
        if self.late:
            return "late"
        return "cpu" if self.status == -signal.SIGXCPU else "crashed"


class _Child:
    """One process, used by one thread at a time."""

    def __init__(self, decode: str, limits: DecoderLimits) -> None:
        self._limits = limits
        self._memory = _memory()
        self._grown = False
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # None of the parent's secrets; and freed memory given back, but for what an ordinary image takes.
            environment = {
                "PATH": os.environ.get("PATH", ""),
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                "MALLOC_ARENA_MAX": "1",
                "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
                "MALLOC_TRIM_THRESHOLD_": str(32 << 20),
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
            }
            self._process = subprocess.Popen(
                [
                    sys.executable, "-c", "from worker.model.decoder import main; main()", decode,
                    str(theirs.fileno()), str(self._memory), str(limits.address_space),
                    ",".join(limits.formats),
                ],
                env=environment, pass_fds=(theirs.fileno(), self._memory), stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def wait_until_ready(self) -> None:
        """Wait for the first message.

        Raises:
            StageError: none came.

        """
        _set_timeout(self._socket, _START_SECONDS)
        try:
            ready = received(self._socket) is not None
        except TimeoutError:
            ready = False
        if not ready:
            self.end()
            raise StageError(f"a decoder process did not start, it ended with {self._process.returncode}")
        _set_timeout(self._socket, self._limits.wall_seconds)

    def ask(self, data: bytes, request: Request) -> dict[str, Any]:
        """The child's answer about `data`.

        Raises:
            DecoderDied: there is none.

        """
        deadline = time.monotonic() + self._limits.wall_seconds
        try:
            self._grown = len(data) > _KEPT_BYTES
            os.pwrite(self._memory, data, 0)
            self._socket.send(pickle.dumps(request))
            answer = received(self._socket)
            if answer is not None:
                said: dict[str, Any] = json.loads(answer)
                return said
        except (OSError, ValueError):
            pass
        late = time.monotonic() >= deadline
        raise DecoderDied(late, self.end())

    def decoded(self, said: dict[str, Any]) -> DecodedImage:
        """The pixels that an answer tells of."""
        try:
            return read_decoded(said, self._memory)
        finally:
            if self._grown:
                os.ftruncate(self._memory, 0)

    def end(self) -> int:
        """End the process; returns its exit status."""
        with suppress(subprocess.TimeoutExpired):
            self._socket.close()
            self._process.wait(0.2)  # it may be ending by itself, which tells more than our signal
        self._process.kill()
        status = self._process.wait()
        with suppress(OSError):
            os.close(self._memory)
        return status


class DecoderPool:
    """`processes` children; use as a context manager. Its `decode` takes the place of `decode_inputs`.

    `function` names what they run, as "module:function".
    """

    def __init__(
        self,
        processes: int,
        limits: DecoderLimits,
        function: str = "worker.model.decode:decode_inputs",
        note_death: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.processes = processes
        # Images that hold much memory get at most half of the children.
        self.costly = max(1, processes // 2)
        self._limits = limits
        self._function = function
        self._note_death = note_death
        self._room = PixelBudget(limits.room)
        # Half of the room is theirs who need not ask.
        self._unasked = min(_UNASKED_BYTES, limits.room // (2 * processes))
        self._idle: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        self._costly = threading.Semaphore(self.costly)
        self._closed = False

    def __enter__(self) -> Self:
        children = [_Child(self._function, self._limits) for _ in range(self.processes)]
        try:
            for child in children:
                child.wait_until_ready()
        except BaseException:
            for child in children:
                child.end()
            raise
        for child in children:
            self._idle.put(child)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the children that are idle at once, and those at work when they are given back."""
        self._closed = True
        idle: list[_Child | None] = []
        with suppress(queue.Empty):
            while True:
                idle.append(self._idle.get_nowait())
        for child in idle:
            if child is not None:
                child.end()
            self._idle.put(None)  # so that who waits for one learns that there is none

    def decode(self, data: bytes, *arguments: Any, **named: Any) -> DecodedImage:
        """What `decode_inputs` gives of the same arguments but `room`, which the pool has.

        Blocks until a child is idle. Called from many threads at once.

        Raises:
            Rejection: by the decoder, or because it died of this image twice, or took too long.
            StageError: the decoder failed by our own fault.

        """
        room = 0
        for _ in range(3):
            said = self.try_decode(data, *arguments, room=room, **named)
            if isinstance(said, DecodedImage):
                return said
            room = said
        raise StageError("a decoder asks for room again and again")

    def try_decode(self, data: bytes, *arguments: Any, room: int = 0, **named: Any) -> DecodedImage | int:
        """As `decode`, but an image that needs much room gives how many bytes: ask again with that `room`.

        Only with `room` it blocks until others that hold much are done: few threads should ask for that.
        """
        return self._said(data, arguments, named, room)

    def _said(
        self, data: bytes, arguments: tuple[Any, ...], named: dict[str, Any], granted: int
    ) -> DecodedImage | int:
        """The image, or the bytes of room that it needs."""
        limits = self._limits
        request = Request(
            len(data), arguments, named, limits.cpu_seconds, limits.wall_seconds, max(granted, self._unasked)
        )
        if not granted:
            return self._asked(data, request)
        with self._costly, self._room.taken(granted):
            return self._asked(data, request)

    def _asked(self, data: bytes, request: Request) -> DecodedImage | int:
        try:
            return self._asked_once(data, request)
        except DecoderDied as death:
            if death.cause != "crashed":
                raise self._too_costly(data, death) from None
            logger.warning("a decoder ended with %d over an image; it is tried once more", death.status)
        try:
            return self._asked_once(data, request)
        except DecoderDied as death:
            if death.cause != "crashed":
                raise self._too_costly(data, death) from None
            raise Rejection(
                RejectionReason.IMAGE_DECODER_CRASHED,
                f"two decoders ended over {len(data)} bytes, the last with {_name(death.status)}",
            ) from None

    def _too_costly(self, data: bytes, death: DecoderDied) -> Rejection:
        limit = (
            f"{self._limits.wall_seconds} seconds" if death.late else f"{self._limits.cpu_seconds} s of CPU"
        )
        return Rejection(
            RejectionReason.IMAGE_TOO_COSTLY, f"{len(data)} bytes take more than {limit} to decode"
        )

    def _asked_once(self, data: bytes, request: Request) -> DecodedImage | int:
        with self._child() as child:
            said = child.ask(data, request)
            if "decoded" in said:
                return child.decoded(said["decoded"])
        if "room" in said:
            return int(said["room"])
        if "rejection" in said:
            raise Rejection(RejectionReason(said["rejection"]), str(said["detail"]))
        if "memory" in said:
            raise Rejection(
                RejectionReason.IMAGE_TOO_COSTLY, f"{len(data)} bytes take more memory to decode than one may"
            )
        raise StageError(f"decoding failed by our own fault: {said.get('error')}")

    @contextmanager
    def _child(self) -> Iterator[_Child]:
        """An idle child, or a new one in place of one that ended."""
        child = self._idle.get()
        try:
            if self._closed:
                raise StageError("the decoders are closed")
            if child is None:
                child = _Child(self._function, self._limits)
                child.wait_until_ready()
            yield child
        except DecoderDied as death:
            self._note_death(death.cause)
            child = None
            raise
        except BaseException:
            if child is not None:
                child.end()
            child = None
            raise
        finally:
            if self._closed and child is not None:
                child.end()
                child = None
            self._idle.put(child)


def image_limits(settings: DecodeSettings) -> ImageLimits:
    """What an image may be."""
    return ImageLimits(settings.max_pixels, settings.max_frames, settings.min_side, tuple(settings.formats))


def create_decoders(
    settings: DecodeSettings,
    processes: int | None = None,
    note_death: Callable[[str], object] = lambda _: None,
) -> DecoderPool:
    """The children that decode, of which the settings say how many unless `processes` does.

    `note_death` is told of each child that ended over an image: `late`, `cpu`, or `crashed`.

    Raises:
        ConfigurationError: a format is asked for whose decoder is not installed.

    """
    require(settings.formats)
    return DecoderPool(
        processes or settings.processes or cores(),
        DecoderLimits(
            cpu_seconds=settings.cpu_seconds,
            wall_seconds=settings.timeout,
            room=settings.max_pixels * MAX_PIXEL_BYTES,
            address_space=settings.max_pixels * MAX_PIXEL_BYTES * 2,
            formats=tuple(settings.formats),
        ),
        note_death=note_death,
    )


def _set_timeout(waiting: socket.socket, seconds: float) -> None:
    """Let the kernel end a wait: socket.settimeout() would cost a system call more for each."""
    whole = int(seconds)
    waiting.setsockopt(
        socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", whole, int((seconds - whole) * 1e6))
    )


def _memory() -> int:
    """The descriptor of memory that two processes share and that no path names."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("pixels", os.MFD_CLOEXEC)
    descriptor, path = tempfile.mkstemp()
    Path(path).unlink()
    return descriptor


def _name(status: int) -> str:
    """An exit status as a person knows it."""
    with suppress(ValueError):
        return signal.Signals(-status).name
    return f"exit status {status}"
