"""An index directory written anew: few large segments, and none of what was deleted or replaced."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from worker.index.ngt.copies import common_space
from worker.index.ngt.directory import IndexDirectory, size_of
from worker.index.ngt.live import Batch
from worker.index.ngt.merging import MAX_IMAGES
from worker.index.ngt.segment import Segment
from worker.index.offline.owned import open_newest
from worker.index.offline.segments import StartBuild, build_segments, publish_alone


class Compacted(NamedTuple):
    """Before and after; `dropped` are vectors that counted no more."""

    segments: tuple[int, int]
    bytes: tuple[int, int]
    dropped: int


def compact(directory: Path, start_build: StartBuild, largest: int = MAX_IMAGES) -> Compacted:
    """Merge what `directory` holds into segments of at most `largest` images; blocks for building them.

    Whole large segments stay. Older generations are removed, so that what is deleted is gone from the disk;
    until then, and after a failure, the directory is what it was.

    Raises:
        IndexDirectoryError: there is no generation, or it is of an earlier release.
        Damaged: a file of it is not the one that was written.
        BuildFailed: a child process ended without a segment.

    """
    before, generation = size_of(directory), open_newest(directory)
    copy_space = common_space(segment.copies for segment in generation.segments)
    own = IndexDirectory(directory, generation.manifest.identity, copy_space)
    own.remove_leftovers()
    kept = [each for each in generation.segments if not each.died and len(each) > largest // 2]
    merged = [each for each in generation.segments if each not in kept]
    if len(merged) == 1 and not merged[0].died:
        kept, merged = [*kept, *merged], []
    made = build_segments(own, _batches(merged, largest), start_build)
    publish_alone(own, [*kept, *made], generation.manifest.offsets, generation.manifest.created_at)
    return Compacted(
        segments=(len(generation.segments), len(kept) + len(made)),
        bytes=(before, size_of(directory)),
        dropped=sum(len(segment.died) for segment in generation.segments),
    )


def _batches(segments: Sequence[Segment], largest: int) -> Iterator[Batch]:
    """All that counts in `segments`, in their order, cut after every `largest` images."""
    parts: list[tuple[Segment, list[int]]] = []
    room = largest
    for segment in segments:
        living = [position for position in range(len(segment)) if position not in segment.died]
        while living:
            parts.append((segment, living[:room]))
            room -= len(parts[-1][1])
            living = living[len(parts[-1][1]) :]
            if room == 0:
                yield Batch(tuple(parts), 0)
                parts, room = [], largest
    if parts:
        yield Batch(tuple(parts), 0)
