"""When the tail becomes a segment, when segments are merged, and what happens after a failure."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Protocol

from worker.index.ngt.directory import IndexDirectory
from worker.index.ngt.generation import GenerationManifest, SegmentEntry
from worker.index.ngt.live import Batch, LiveIndex
from worker.index.ngt.merging import plan
from worker.index.ngt.segment import Segment
from worker.index.tail import COPY, EMBEDDING
from worker.metrics import Metrics
from worker.settings import IndexSettings

logger = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS = 1.0
_LAST_RETRY_SECONDS = 300.0


class Build(Protocol):
    """A running build: SegmentBuild, in the program."""

    outcome: Future[Segment | None]

    def cancel(self) -> None:
        """End it and leave nothing behind."""


class StartBuild(Protocol):
    """Starts a build of a batch."""

    def __call__(self, batch: Batch) -> Build:
        """See the class."""


class _Line:
    """One kind of build, at most one at a time; after failures it waits longer each time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.began = clock()
        self.running: Build | None = None
        self._not_before = clock()
        self._failures = 0

    def is_free(self) -> bool:
        return self.running is None and self._clock() >= self._not_before

    def start(self, build: Build) -> None:
        self.began = self._clock()
        self.running = build

    def ended(self) -> Build | None:
        """The build that has ended, which is forgotten."""
        build = self.running
        if build is None or not build.outcome.done():
            return None
        self.running = None
        return build

    def succeed(self) -> None:
        self._failures = 0

    def fail(self) -> float:
        """Seconds until it is tried again."""
        wait: float = min(_FIRST_RETRY_SECONDS * 2**self._failures, _LAST_RETRY_SECONDS)
        self._failures += 1
        self._not_before = self._clock() + wait
        return wait

    def stop(self) -> None:
        if self.running is not None:
            self.running.cancel()
            self.running = None


class Snapshots:
    """Makes generations of `live` beside the loop that calls `turn`; blocks it for a manifest alone.

    A failed build is tried again, later each time; searches go on with the parts that there are, and
    nothing is lost, since the log has it all.
    """

    def __init__(
        self,
        live: LiveIndex,
        directory: IndexDirectory,
        start_build: StartBuild,
        settings: IndexSettings,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._live = live
        self._directory = directory
        self._start_build = start_build
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._tails = _Line(clock)
        self._merges = _Line(clock)
        self._merging: Batch | None = None

    def turn(self) -> None:
        """Start builds that are due, or take in ended ones. Every change so far is acknowledged."""
        if (build := self._tails.ended()) is not None:
            self._finish(self._tails, build, self._take_in_tail)
        elif self._tails.is_free() and self._is_due():
            self._tails.start(self._start_build(self._live.freeze().batch))
        if (build := self._merges.ended()) is not None:
            self._finish(self._merges, build, self._take_in_merged)
        elif self._merges.is_free():
            self._merge()
        self._measure()

    def is_building(self) -> bool:
        """Whether a build runs."""
        return self._tails.running is not None or self._merges.running is not None

    def stop(self) -> None:
        """End running builds."""
        self._tails.stop()
        self._merges.stop()

    def _measure(self) -> None:
        view = self._live.view
        for kind in (EMBEDDING, COPY):
            files = sum(segment.bytes[kind] for segment in view.segments)
            self._metrics.index_disk_bytes.labels(kind).set(files)
            tails = sum(tail.bytes[kind] for tail, _ in view.tails)
            self._metrics.index_memory_bytes.labels(kind).set(files + tails)

    def _is_due(self) -> bool:
        manifest = self._live.manifest
        # A generation must not reach its maximal age on a quiet topic: then it would be of no use any more.
        aged = manifest is not None and manifest.age() > self._settings.generation_max_age / 2
        tail = self._live.size().tail
        waited = self._clock() - self._tails.began > self._settings.snapshot_interval
        long = max(tail, self._live.tail_rows) >= self._settings.snapshot_records
        return long or (tail > 0 and waited) or aged

    def _merge(self) -> None:
        segments, manifest = self._live.segments, self._live.manifest
        if manifest is None:
            return
        # As of the generation: what died since is carried over, and would have it written again and again.
        sizes = [
            (len(segment) - len(entry.dead), len(segment))
            for segment, entry in zip(segments, manifest.segments, strict=True)
        ]
        chosen = plan(sizes)
        if chosen is not None:
            self._merging = self._live.batch_of([segments[place] for place in chosen])
            self._merges.start(self._start_build(self._merging))

    def _finish(self, line: _Line, build: Build, take_in: Callable[[Segment | None], None]) -> None:
        took = self._clock() - line.began
        try:
            segment = build.outcome.result()
            if segment is not None:
                segment.path = self._directory.publish_segment(segment.path)
            take_in(segment)
        except Exception as error:
            wait = line.fail()
            self._metrics.index_build_seconds.labels("failure").observe(took)
            logger.error("a segment could not be built, again in %.0f s: %s", wait, error, exc_info=error)
            return
        line.succeed()
        self._metrics.index_build_seconds.labels("success").observe(took)
        if segment is not None:
            logger.info("%s is in use: %d images, built in %.1f s", segment.name, len(segment), took)
        self._prune()

    def _take_in_tail(self, segment: Segment | None) -> None:
        frozen = self._live.freeze()
        added = () if segment is None else (segment,)
        segments = (*self._live.segments, *added)
        manifest = self._manifest(segments, frozen.batch.change, frozen.offsets, frozen.frozen_at)
        self._directory.publish(manifest)
        self._live.swap(segment, manifest)

    def _take_in_merged(self, segment: Segment | None) -> None:
        assert self._merging is not None
        previous = self._live.manifest
        assert previous is not None
        segments = self._live.merged(self._merging, segment)
        manifest = self._manifest(segments, self._live.published, previous.offsets, previous.created_at)
        self._directory.publish(manifest)
        self._live.replace(segments, manifest)
        self._merging = None

    def _manifest(
        self, segments: Sequence[Segment], change: int, offsets: dict[int, int], created_at: datetime
    ) -> GenerationManifest:
        return GenerationManifest(
            number=self._directory.next_number(),
            identity=self._live.identity,
            created_at=created_at,
            offsets=offsets,
            segments=[
                SegmentEntry(name=segment.name, digest=segment.digest, dead=segment.dead(change))
                for segment in segments
            ],
        )

    def _prune(self) -> None:
        in_use = [segment.name for segment in self._live.segments]
        try:
            self._directory.prune(self._settings.keep_generations, in_use)
        except OSError as error:  # the next generation's turn; searches and the log have no need of it
            logger.error("old generations of %s cannot be removed: %s", self._directory.path, error)
