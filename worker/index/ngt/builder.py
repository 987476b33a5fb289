"""A segment's build, seen from the role: a child process, then checks. Publishing it is the taker's."""

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
from worker.index.ngt.live import Batch
from worker.index.ngt.segment import Segment, open_segment

logger = logging.getLogger(__name__)

_LOG_FILE = "build.log"
_LOG_TAIL_CHARACTERS = 2000


class BuildFailed(MekikiError):
    """The child process ended without a segment; the index goes on with what it has."""


class SegmentBuild:
    """A running build of `batch` into a segment; of nothing there is none.

    All that takes time runs in a thread of its own: handing the vectors over, waiting for the child,
    reading the checksums. The kernel closes the child's standard input with this process, which ends it.
    """

    def __init__(self, directory: IndexDirectory, batch: Batch, *, threads: int) -> None:
        self._directory = directory
        self._batch = batch
        self._threads = threads
        self._lock = threading.Lock()
        self._cancelled = False
        self._child: subprocess.Popen[bytes] | None = None
        executor = ThreadPoolExecutor(1, "index-build")
        self.outcome: Future[Segment | None] = executor.submit(self._run)
        executor.shutdown(wait=False)  # the thread ends with the build

    def cancel(self) -> None:
        """End the child and leave nothing behind; blocks until both are done."""
        with self._lock:
            self._cancelled = True
            if self._child is not None:
                self._child.kill()
        wait([self.outcome])
        if self.outcome.exception() is None and (segment := self.outcome.result()) is not None:
            shutil.rmtree(segment.path.parent, ignore_errors=True)

    def _run(self) -> Segment | None:
        ids = self._batch.ids()
        if not ids:
            return None
        request = BuildRequest(
            identity=self._directory.identity,
            ids=ids,
            threads=self._threads,
            copy_space=self._directory.copy_space,
        )
        work = self._directory.start_work()
        try:
            write_request(work, request, self._batch.vectors(), self._batch.attributes())
            self._run_child(work)
            segment = open_segment(work / BUILT, self._directory.identity)
            with self._lock:
                if self._cancelled:
                    raise BuildFailed("the build was cancelled")
            return segment
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise

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
