"""A decoder that fails in one way for one input each, and decodes all others."""

import os
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

from worker.model.decode import DecodedImage
from worker.model.decode import decode_inputs as sound

ABORT, HANG, SPIN, ALLOCATE, KILL, EXIT = b"abort", b"hang", b"spin", b"allocate", b"kill", b"exit"
BUG, OPEN, CONNECT, TALK = b"bug", b"open", b"connect", b"talk"


def _spin(_: bytes) -> None:
    while True:
        pass


def _allocate(_: bytes) -> None:
    held = bytearray(3_000_000_000)
    held[::4096] = b"x" * len(held[::4096])


def _bug(_: bytes) -> None:
    raise ZeroDivisionError("a bug")


def _talk(_: bytes) -> None:
    """Say to whoever listens what is no answer."""
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"\xff" * 64)
        except OSError:
            continue
    os._exit(0)


_FAULTS = {
    ABORT: lambda _: os.abort(),
    HANG: lambda _: time.sleep(600),
    SPIN: _spin,
    ALLOCATE: _allocate,
    KILL: lambda _: os.kill(os.getpid(), signal.SIGKILL),
    EXIT: lambda _: os._exit(3),
    BUG: _bug,
    OPEN: lambda _: Path("/etc/hostname").read_bytes(),
    CONNECT: lambda data: socket.create_connection(("127.0.0.1", int(data.split()[-1]))),
    TALK: _talk,
}


def decode(data: bytes, *arguments: object, **named: object) -> DecodedImage:
    """`worker.model.decode.decode_inputs`, but for inputs that begin with a fault's name."""
    fault = _FAULTS.get(data[:20].split(b" ")[0])
    if fault is not None:
        fault(data)
    return sound(data, *arguments, **named)  # type: ignore[arg-type]


def environment(data: bytes, *arguments: object, **named: object) -> DecodedImage:
    """An image whose format is the names in the process's environment."""
    decoded = sound(data, *arguments, **named)  # type: ignore[arg-type]
    return replace(decoded, format=" ".join(os.environ))
