"""An index process that is killed at any moment, damage to its directory, and what must hold after both.

The log is drawn from a seed: upserts, replacements, deletions and equal vectors over a few thousand ids.
`python -m tests.index_crashes DIRECTORY SEED` applies it from the index's own offsets on.
"""

import random
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from schemas.bundle import CopyHead
from schemas.search import SearchFilter
from tests.unit.index.indexing import DIM, IDENTITY, unit_rows
from worker.index.attributes import Attributes
from worker.index.backend import Change
from worker.index.ngt.index import open_ngt_index
from worker.metrics import Metrics
from worker.settings import IndexSettings

COPIES = CopyHead(output="copy", dim=DIM, space="copies", near_duplicate_distance=0.01)
RECORDS = 9000
_POLL = 100
_REPLACEMENTS = 0.3
_DELETIONS = 0.15
_LONGEST_TAIL = 2500


def drawn_log(seed):
    """Changes by offset; what filters ask for follows from the vector."""
    chance, rows = random.Random(seed), unit_rows(np.random.default_rng(seed), RECORDS)
    log = []
    for offset in range(RECORDS):
        dice = chance.random()
        number = chance.randrange(offset + 1) if dice < _REPLACEMENTS + _DELETIONS else offset
        row = rows[chance.randrange(50)] if chance.random() < 0.05 else rows[offset]
        gone = dice < _DELETIONS
        log.append(Change(f"i{number}", None) if gone else Change(f"i{number}", row, known(row)))
    return log


def known(vector):
    """Attributes that tell of which vector they are; a quarter have no copy vector."""
    return Attributes(
        category=f"c{int(abs(vector[0]) * 1e6) % 40}",
        tags=(f"t{int(vector[1] > 0)}",),
        copy_vector=vector[::-1] if int(abs(vector[2]) * 1e6) % 4 else None,
    )


def state_of(log):
    """Image id -> vector, after all of `log`."""
    state = {}
    for image_id, vector, _ in log:
        if vector is None:
            state.pop(image_id, None)
        else:
            state[image_id] = vector
    return state


def opened(place):
    settings = IndexSettings(directory=place, snapshot_records=1100)
    return open_ngt_index(settings, IDENTITY, Metrics(CollectorRegistry()), COPIES)


def apply(index, log, tell=False):
    """Apply `log` from the index's own offset on; `tell` each generation."""
    last = index.snapshot()
    for start in range(index.offsets().get(0, 0), len(log), _POLL):
        index.change_each(log[start : start + _POLL], 10, 0.01, COPIES.near_duplicate_distance)
        index.advance(0, min(len(log), start + _POLL))
        index.turn()
        while index.is_building() and index.size().tail > _LONGEST_TAIL:  # for several generations
            index.turn()
            time.sleep(0.002)
        if tell and index.snapshot() != last:
            last = index.snapshot()
            print(last.name, flush=True)


def assert_equals_log(index, log):
    """The searchable ids and their vectors are those of the log up to the index's offset, and no others."""
    state = state_of(log[: index.offsets().get(0, 0)])
    assert index.size().vectors == len(state)
    for number in range(len(log)):
        found, expected = index.vector(f"i{number}"), state.get(f"i{number}")
        assert (found is None) == (expected is None), number
        assert found is None or np.array_equal(found, expected), number
    if not state:
        return
    ids = sorted(state)
    rows = np.stack([state[image_id] for image_id in ids])
    for query in unit_rows(np.random.default_rng(len(state)), 5):
        nearest = index.search(query, 5)
        assert {near.image_id for near in nearest} <= set(ids)
        assert all(abs(near.distance - (1 - state[near.image_id] @ query)) < 1e-5 for near in nearest)
        assert nearest[0].distance <= np.sort(1 - rows @ query)[4] + 1e-6
    assert {near.image_id for near in index.search(rows[0], len(ids))} == set(ids)
    for place in range(0, len(ids), max(1, len(ids) // 5)):
        wanted = known(rows[place])
        where = SearchFilter(categories=[wanted.category], tags=list(wanted.tags))
        alike = {image_id for image_id in ids if known(state[image_id]) == wanted}
        assert {near.image_id for near in index.search(rows[place], len(ids), None, where)} == alike
    assert_copies(index, state)


def assert_copies(index, state):
    """Copies are those of the log, found by their copy vectors alone; adds images to the index."""
    copies = {image_id: known(vector).copy_vector for image_id, vector in state.items()}
    held = index.attributes_of([*copies])
    assert all(
        np.array_equal(each.copy_vector, copy) if copy is not None else each.copy_vector is None
        for each, copy in zip(held, copies.values(), strict=True)
    )
    asked = [copy for copy in copies.values() if copy is not None][:: len(copies) // 7 or 1]
    probes = [
        Change(f"probe{n}", unit_rows(np.random.default_rng(n), 1)[0], Attributes(copy_vector=copy))
        for n, copy in enumerate(asked)
    ]
    for change in probes:
        (found,) = index.change_each([change], len(copies), 0.0, COPIES.near_duplicate_distance)
        index.delete(change.image_id)
        near = {
            image_id
            for image_id, copy in copies.items()
            if copy is not None and 1 - copy @ change.attributes.copy_vector <= COPIES.near_duplicate_distance
        }
        assert {each.image_id for each in found.copies} == near


def kill_at_random(place, log, seed, kills):
    """Run the process again and again, each time killed after a while; check what it left each time."""
    chance, killed, reached = random.Random(seed), 0, []
    while killed < kills:
        command = [sys.executable, "-m", "tests.index_crashes", str(place), str(seed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            for _ in range(chance.randrange(1, 8)):
                assert child.stdout.readline()
            time.sleep(chance.random() * 0.5)
            child.kill()
        killed += 1
        with closing(opened(place)) as index:
            assert_equals_log(index, log)
            reached.append(index.offsets().get(0, 0))
        if reached[-1] >= len(log) - _LONGEST_TAIL:  # nothing would be built any more
            shutil.rmtree(place)
    return reached


def damage(place, chance):
    """Do one thing to one file, and say which."""
    files = sorted(file for file in place.rglob("*") if file.is_file() and file.stat().st_size > 0)
    files = [file for file in files if file.name != "owner.lock"]
    file, how = chance.choice(files), chance.choice(["flipped", "truncated", "missing", "swapped"])
    raw = bytearray(file.read_bytes())
    if how == "flipped":
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        file.write_bytes(raw)
    elif how == "truncated":
        file.write_bytes(raw[: chance.randrange(len(raw))])
    elif how == "missing":
        file.unlink()
    else:
        other = chance.choice(files)
        theirs = other.read_bytes()
        other.write_bytes(raw)
        file.write_bytes(theirs)
    return f"{file.relative_to(place)} {how}"


def damage_at_random(place, work, log, seed, times):
    """Damage copies of the filled directory `place`; each opens to what the log says, and goes on.

    Returns what was damaged, and how many copies had to read the log again for it.
    """
    chance = random.Random(seed)
    damaged, read_again = [], 0
    for _ in range(times):
        shutil.copytree(place, work)
        what = damage(work, chance)
        damaged.append(what)
        with closing(opened(work)) as index:
            read_again += index.offsets() != {0: len(log)}
            assert_equals_log(index, log)
            apply(index, log)
            assert index.offsets() == {0: len(log)}, what
            assert_equals_log(index, log)
        shutil.rmtree(work)
    return damaged, read_again


def fill(place, log):
    """A directory that holds all of `log`, in several generations."""
    with closing(opened(place)) as index:
        apply(index, log)
        while index.is_building() or index.size().tail >= 1100:
            index.turn()
            time.sleep(0.01)


if __name__ == "__main__":
    own_log = drawn_log(int(sys.argv[2]))
    with closing(opened(Path(sys.argv[1]))) as own:
        print("open", flush=True)
        apply(own, own_log, tell=True)
        while True:  # until killed, so that builds and merges go on
            own.turn()
            time.sleep(0.1)
            print("turned", flush=True)
