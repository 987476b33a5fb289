"""Segments made in a directory that no role owns: each in a child process, then named by one generation."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial

from worker.index.ngt.builder import SegmentBuild
from worker.index.ngt.directory import IndexDirectory
from worker.index.ngt.generation import GenerationManifest, SegmentEntry
from worker.index.ngt.live import Batch
from worker.index.ngt.segment import Segment
from worker.index.ngt.snapshots import Build

StartBuild = Callable[[IndexDirectory, Batch], Build]


def child_builds(threads: int) -> StartBuild:
    """Builds in child processes of so many threads."""
    return partial(SegmentBuild, threads=threads)


def build_segments(
    directory: IndexDirectory, batches: Iterable[Batch], start_build: StartBuild
) -> list[Segment]:
    """A published segment of each batch, one build after another; blocks for all of them.

    After a failure none of them is left.

    Raises:
        BuildFailed: a child process ended without a segment.
        Damaged: what it wrote does not come back.

    """
    built: list[Segment] = []
    try:
        for batch in batches:
            segment = _built(start_build(directory, batch))
            segment.path = directory.publish_segment(segment.path)
            built.append(segment)
    except BaseException:
        discard(built)
        raise
    return built


def discard(segments: Iterable[Segment]) -> None:
    """Remove segments that no generation names."""
    for segment in segments:
        shutil.rmtree(segment.path, ignore_errors=True)


def _built(build: Build) -> Segment:
    try:
        segment = build.outcome.result()
    except BaseException:  # an interruption too: the child must not go on
        build.cancel()
        raise
    assert segment is not None, "a batch without images"
    return segment


def publish_alone(
    directory: IndexDirectory, segments: Sequence[Segment], offsets: dict[int, int], created_at: datetime
) -> GenerationManifest:
    """Make a generation of `segments`, and remove every other one: what is deleted is gone from the disk."""
    manifest = GenerationManifest(
        number=directory.next_number(),
        identity=directory.identity,
        created_at=created_at,
        offsets=offsets,
        segments=[
            SegmentEntry(name=segment.name, digest=segment.digest, dead=sorted(segment.died))
            for segment in segments
        ],
    )
    directory.publish(manifest)
    directory.prune(1)
    return manifest
