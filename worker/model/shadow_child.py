"""A shadow's child: it runs the graphs of a second bundle in a process of its own, which may die or hang.

It has no Kafka client, no credentials and less of a claim to the CPU and to memory than the worker. A message
is a length and so many bytes: pickled from the worker, JSON from the child.
"""

import ctypes
import importlib
import json
import os
import pickle
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.errors import MekikiError, StageError
from worker.model.bundle import read_manifest
from worker.model.infer import ImageBatch, Model
from worker.model.session import Execution

# What the child does with a batch: scores, float32 [n], by name.
InferScores = Callable[[ImageBatch], Mapping[str, NDArray[np.float32]]]

_LENGTH = struct.Struct("!Q")

# <linux/prctl.h>: a signal to this process once the thread that started it is gone.
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Start:
    """What a child is to load, and what it may take: `memory` bytes beside what it holds once it is warm."""

    bundle: Path
    provider: str
    threads: int
    nice: int
    memory: int
    parent: int
    signature_key: Path | None = None


def load(start: Start) -> tuple[str, InferScores]:
    """The id of the bundle, and its graphs, warm.

    Raises:
        BundleError: it is missing, damaged or does not run.
        ProviderError: it does not run on the provider that was asked for.

    """
    manifest, identifier = read_manifest(start.bundle, start.signature_key)
    model = Model(manifest, start.bundle, Execution(start.provider, start.threads))
    return identifier, lambda batch: model.infer(batch).scores


def send_message(peer: socket.socket, body: bytes, deadline: float | None = None) -> None:
    """Send a message whole; a `deadline` is of the monotonic clock.

    Raises:
        TimeoutError: it could not be sent in time.
        OSError: the peer is gone.

    """
    for part in (_LENGTH.pack(len(body)), body):
        _set_deadline(peer, deadline)
        peer.sendall(part)


def receive_message(peer: socket.socket, deadline: float | None = None) -> bytes | None:
    """The next message; None once the peer is gone.

    Raises:
        TimeoutError: it was not there in time.
        OSError: the peer is gone amid a message.

    """
    head = _received(peer, _LENGTH.size, deadline)
    return None if head is None else _received(peer, _LENGTH.unpack(head)[0], deadline)


def _received(peer: socket.socket, size: int, deadline: float | None) -> bytes | None:
    body = bytearray(size)
    view, at = memoryview(body), 0
    while at < size:
        _set_deadline(peer, deadline)
        count = peer.recv_into(view[at:])
        if count == 0:
            return None
        at += count
    return bytes(body)


def _set_deadline(peer: socket.socket, deadline: float | None) -> None:
    if deadline is not None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        peer.settimeout(left)


def _answer(infer: InferScores, body: bytes) -> dict[str, object]:
    pixels, measured = pickle.loads(body)  # noqa: S301 - of our own parent
    try:
        scores = infer(ImageBatch(pixels, measured))
    except StageError as error:
        return {"failed": str(error)}
    except MemoryError:
        return {"failed": "no memory is left of model.shadow.memory"}
    return {"scores": {name: np.asarray(values, float).tolist() for name, values in scores.items()}}


def _stand_back(start: Start) -> None:
    """Let the worker go first, whatever there is too little of; and end with it."""
    os.nice(start.nice)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != start.parent:  # it was gone before it could be asked for the signal
        os._exit(0)


def _bound_memory(start: Start) -> None:
    if start.provider != "cpu":  # a GPU's driver reserves far more addresses than it uses
        return
    held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + start.memory, held + start.memory))


def _loaded(name: str, start: Start) -> tuple[dict[str, object], InferScores | None]:
    module, _, function = name.partition(":")
    try:
        loader: Callable[[Start], tuple[str, InferScores]] = getattr(
            importlib.import_module(module), function
        )
        identifier, infer = loader(start)
    except MekikiError as error:
        return {"refused": str(error)}, None
    return {"bundle_id": identifier}, infer


def serve(peer: socket.socket, infer: InferScores) -> None:
    """Answer batches until the parent closes its end."""
    while (body := receive_message(peer)) is not None:
        send_message(peer, json.dumps(_answer(infer, body)).encode())


def main() -> None:
    """The child's program: arguments are what loads, as "module:function", and the socket."""
    name, descriptor = sys.argv[1], int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    peer = socket.socket(fileno=descriptor)
    body = receive_message(peer)
    if body is None:
        return
    start: Start = pickle.loads(body)  # noqa: S301 - of our own parent
    _stand_back(start)
    told, infer = _loaded(name, start)
    with suppress(OSError):  # the parent went away
        if infer is not None:
            _bound_memory(start)
        send_message(peer, json.dumps(told).encode())
        if infer is not None:
            serve(peer, infer)
