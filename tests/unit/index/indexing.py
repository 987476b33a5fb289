"""Vectors, records and generations as the index tests make them."""

import json
import uuid
from concurrent.futures import Future
from itertools import count as counting

import numpy as np
from prometheus_client import CollectorRegistry

from schemas.vector import Vector
from tests.unit.records import record
from worker.index.backend import IndexIdentity
from worker.index.candidates import nearest_among
from worker.index.ngt.build import BUILT, BuildRequest, build, write_request
from worker.index.ngt.directory import IndexDirectory
from worker.index.ngt.generation import GenerationManifest, SegmentEntry
from worker.index.ngt.index import NgtIndex
from worker.index.ngt.live import LiveIndex
from worker.index.ngt.segment import open_segment
from worker.index.ngt.snapshots import Snapshots
from worker.index.owner import OwnerLock
from worker.metrics import Metrics
from worker.settings import IndexSettings

DIM = 16
SPACE = "test-space"
IDENTITY = IndexIdentity(space=SPACE, dim=DIM, topic="embedded")


def unit_rows(generator, count):
    """Random vectors of unit norm, float32 [count, DIM]."""
    rows = generator.normal(size=(count, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def axis(number):
    """The unit vector along axis `number`."""
    return np.eye(DIM, dtype=np.float32)[number]


def turned(vector, towards, angle):
    """`vector` turned by `angle` radians towards the orthogonal unit vector `towards`."""
    return (np.cos(angle) * vector + np.sin(angle) * towards).astype(np.float32)


def embedded(image_id, array, **changes):
    """An ImageEmbedded event as JSON bytes."""
    event = {
        "type": "listing.image.embedded.v1",
        "event_id": str(uuid.uuid5(uuid.NAMESPACE_OID, image_id)),
        "image_id": image_id,
        "listing_id": None,
        "bundle_id": "starter-1-abc",
        "image_sha256": "0" * 64,
        "input": {"event_id": "e-1", "topic": "uploads", "partition": 0, "offset": 0},
        "uploaded_at": "2026-01-01T00:00:00Z",
        "decided_at": "2026-01-01T00:00:01Z",
        "space": SPACE,
        "vector": Vector.from_array(array).model_dump(),
    }
    return json.dumps(event | changes).encode()


def embedded_record(image_id, vector, image_sha256="0" * 64, **position):
    """An embedded record; no vector is a tombstone."""
    value = None if vector is None else embedded(image_id, vector, image_sha256=image_sha256)
    return record(value, topic=IDENTITY.topic, key=image_id.encode(), **position)


def open_directory(path):
    """An IndexDirectory of the tests' identity."""
    path.mkdir(exist_ok=True)
    return IndexDirectory(path, IDENTITY)


def build_here(directory, batch):
    """Build and check in this process: what SegmentBuild does with a child."""
    if not batch.ids():
        return None
    work = directory.start_work()
    request = BuildRequest(identity=IDENTITY, ids=batch.ids(), threads=1, copy_space=directory.copy_space)
    write_request(work, request, batch.vectors(), batch.attributes())
    build(work)
    return open_segment(work / BUILT, IDENTITY)


def searched(part, query, count, *moment, **among):
    """The `count` nearest to `query` in a Segment or a Tail alone; the rest is as its `look` has it."""
    queries = query[None]
    return nearest_among([part.look(queries, count, *moment, **among)], queries, count)[0]


def snapshot(live, directory):
    """Make a generation of everything in `live`, and search in it. Gives the new segment."""
    frozen = live.freeze()
    segment = build_here(directory, frozen.batch)
    if segment is not None:
        segment.path = directory.publish_segment(segment.path)
    segments = [*live.segments, *([] if segment is None else [segment])]
    manifest = manifest_of(directory, segments, frozen.batch.change, frozen.offsets, frozen.frozen_at)
    directory.publish(manifest)
    live.swap(segment, manifest)
    return segment


def manifest_of(directory, segments, change, offsets, created_at):
    """The manifest of a generation of `segments` as of `change`."""
    entries = [SegmentEntry(name=s.name, digest=s.digest, dead=s.dead(change)) for s in segments]
    return GenerationManifest(
        number=directory.next_number(),
        identity=IDENTITY,
        created_at=created_at,
        offsets=offsets,
        segments=entries,
    )


def filled(count, generation=None):
    """A LiveIndex with images i0, i1, ... in its tail, and their vectors by id."""
    live = LiveIndex(IDENTITY, generation)
    rows = unit_rows(np.random.default_rng(7), count)
    for number, row in enumerate(rows):
        live.upsert(f"i{number}", row)
    live.advance(0, count)
    return live, {f"i{number}": row for number, row in enumerate(rows)}


def open_index(path, build=build_here, identity=IDENTITY):
    """An NgtIndex in `path` that builds in this process whenever there is a change and it is asked to turn.

    `build` makes the generation; what it raises is the build's failure.
    """
    lock = OwnerLock(path)
    directory = open_directory(path)
    live = LiveIndex(identity, directory.load_newest(60))
    hours = counting()

    def start(batch):
        return Built(build, directory, batch)

    settings = IndexSettings(snapshot_records=1)
    metrics = Metrics(CollectorRegistry())
    snapshots = Snapshots(live, directory, start, settings, metrics, lambda: 3600.0 * next(hours))
    return NgtIndex(live, snapshots, directory, lock)


def start_here(directory, batch):
    """A StartBuild of worker.index.offline: builds in this process."""
    return Built(build_here, directory, batch)


def holds(generation):
    """Image id -> vector, of all that counts in `generation`."""
    return {
        image_id: segment.vector(position)
        for segment in generation.segments
        for position, image_id in enumerate(segment.ids)
        if position not in segment.died
    }


def assert_holds(generation, vectors):
    """`generation` holds exactly `vectors`, bit by bit."""
    held = holds(generation)
    assert sorted(held) == sorted(vectors)
    assert all(np.array_equal(held[image_id], vector) for image_id, vector in vectors.items())


class Built:
    """A build that has ended when it starts."""

    def __init__(self, build, directory, batch):
        self.outcome = Future()
        try:
            self.outcome.set_result(build(directory, batch))
        except OSError as error:
            self.outcome.set_exception(error)

    def cancel(self):
        """Nothing runs any more."""
