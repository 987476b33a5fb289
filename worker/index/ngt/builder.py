"""One generation's build, seen from the role: a child process, then checks, then the rename."""

import logging
import shutil
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from worker.errors import MekikiError
from worker.index.ngt.build import BUILT, BuildRequest, write_request
from worker.index.ngt.directory import IndexDirectory
from worker.index.ngt.generation import Generation, open_generation
from worker.index.ngt.live import Frozen

logger = logging.getLogger(__name__)

_LOG_FILE = "build.log"
_LOG_TAIL_CHARACTERS = 2000


class BuildFailed(MekikiError):
    """The child process ended without a generation; the index goes on with what it has."""


def request_for(directory: IndexDirectory, frozen: Frozen, *, threads: int, afresh: bool) -> BuildRequest:
    """What the building process is asked for: the next generation of `directory`, from `frozen`."""
    return BuildRequest(
        base=None if frozen.base is None else frozen.base.path.absolute(),
        graph="afresh" if afresh else "extend",
        number=directory.next_number(),
        identity=directory.identity,
        created_at=frozen.frozen_at,
        offsets=frozen.offsets,
        upserts=list(frozen.tail.ids),
        deletes=sorted(frozen.tail.deleted),
        threads=threads,
    )


class GenerationBuild:
    """A running build of `frozen` into the next generation.

    All that takes time runs in a thread of its own: handing the vectors over, waiting for the child,
    reading the checksums. The kernel closes the child's standard input with this process, which ends it.
    """

    def __init__(self, directory: IndexDirectory, frozen: Frozen, *, threads: int, afresh: bool) -> None:
        self._directory = directory
        self._frozen = frozen
        self._request = request_for(directory, frozen, threads=threads, afresh=afresh)
        self._lock = threading.Lock()
        self._cancelled = False
        self._child: subprocess.Popen[bytes] | None = None
        executor = ThreadPoolExecutor(1, "index-build")
        self.outcome: Future[Generation] = executor.submit(self._run)
        executor.shutdown(wait=False)  # the thread ends with the build

    def cancel(self) -> None:
        """End the child and leave nothing behind; blocks until both are done."""
        with self._lock:
            self._cancelled = True
            if self._child is not None:
                self._child.kill()
        wait([self.outcome])

    def _run(self) -> Generation:
        work = self._directory.start_work()
        try:
            write_request(work, self._request, self._frozen.tail.vectors)
            self._run_child(work)
            generation = open_generation(work / BUILT, self._directory.identity)
            with self._lock:
                if self._cancelled:
                    raise BuildFailed("the build was cancelled")
                generation.path = self._directory.publish(work / BUILT, self._request.number)
            return generation
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _run_child(self, work: Path) -> None:
        command = [sys.executable, "-m", "worker.index.ngt.build", str(work.absolute())]
        with (work / _LOG_FILE).open("wb") as log:
            with self._lock:
                if self._cancelled:
                    raise BuildFailed("the build was cancelled")
                self._child = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log
                )
            try:
                status = self._child.wait()
            finally:
                assert self._child.stdin is not None
                self._child.stdin.close()
        if status != 0:
            said = (work / _LOG_FILE).read_text(encoding="utf-8", errors="replace")
            # On a full disk it cannot say so: its words would go there too.
            free = shutil.disk_usage(work).free
            raise BuildFailed(
                f"the building process ended with status {status}, with {free:,} bytes free on its disk: "
                f"{said[-_LOG_TAIL_CHARACTERS:] or 'it could say nothing'}"
            )
