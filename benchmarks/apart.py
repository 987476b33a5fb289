"""An index in a process of its own, and what that process and its children take."""

import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import psutil

from benchmarks.place import ROOT
from benchmarks.streaming import Took

SAMPLE_SECONDS = 0.5


class Footprint:
    """Memory and CPU of a process and its children, and the files in `folder`, watched until stopped."""

    def __init__(self, process: int, folder: Path) -> None:
        self._process = psutil.Process(process)
        self._folder = folder
        self._peak = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopping.set()
        self._thread.join()

    def taken(self) -> dict[str, float]:
        """`memory`, the most that was resident since the last call, `disk`, both in MB; `cpu` seconds."""
        peak, self._peak = max(self._peak, self._resident()), 0.0
        return {"memory": peak, "disk": self._disk(), "cpu": self._cpu()}

    def _cpu(self) -> float:
        """Of children that have ended as well."""
        own = self._process.cpu_times()
        return float(sum(own[:4]) + sum(sum(times[:2]) for times in self._children("cpu_times")))

    def _disk(self) -> float:
        sizes = 0
        for path in self._folder.rglob("*"):
            with suppress(FileNotFoundError):  # a segment that was merged away meanwhile
                sizes += path.stat().st_size if path.is_file() else 0
        return sizes / 1e6

    def _watch(self) -> None:
        while not self._stopping.wait(SAMPLE_SECONDS):
            self._peak = max(self._peak, self._resident())

    def _resident(self) -> float:
        own = self._process.memory_info().rss
        return float(own + sum(memory.rss for memory in self._children("memory_info"))) / 1e6

    def _children(self, what: str) -> list[Any]:
        found = []
        for child in self._process.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                found.append(getattr(child, what)())
        return found


class Apart:
    """The index that `command`, given a descriptor more, serves; its files lie in `folder`."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            descriptor = theirs.fileno()
            self._process = subprocess.Popen([*command, str(descriptor)], pass_fds=[descriptor], cwd=ROOT)
        self.footprint = Footprint(self._process.pid, folder)

    def call(self, name: str, *arguments: object) -> Took:
        """Call a method of the index."""
        self._connection.send((name, arguments))
        took: Took = self._connection.recv()
        return took

    def close(self) -> None:
        """End the process."""
        self.footprint.stop()
        self._connection.close()
        self._process.wait(60)
