"""A Vald cluster in this process, to the letter of what worker.index.vald.cluster says of one."""

from concurrent.futures import Future

import numpy as np
from prometheus_client import CollectorRegistry

from tests.unit.index.indexing import IDENTITY
from worker.errors import IndexUnavailable
from worker.index.owner import OwnerLock
from worker.index.vald.cluster import ClusterState
from worker.index.vald.commits import Commits
from worker.index.vald.images import Images
from worker.index.vald.index import ValdIndex
from worker.index.vald.stored import Stored
from worker.metrics import Metrics
from worker.settings import IndexSettings


class StandIn:
    """What is written is found after `make_searchable`; what is removed is found until then."""

    def __init__(self):
        self.objects = {}
        self.waiting = {}  # name -> vector, or None: it goes
        self.calls = []
        self.failures = 0

    def search(self, queries, size, seconds):
        self.fail_now_and_then("search")
        names = list(self.objects)
        rows = np.stack(list(self.objects.values())) if names else np.empty((0, queries.shape[1]))
        order = np.argsort(1 - queries @ rows.T, axis=1)[:, :size]
        return [[names[place] for place in row] for row in order]

    def insert(self, objects):
        self.fail_now_and_then("insert")
        new = [each for each in objects if not self.has(each.name)]
        self.waiting.update({each.name: each.vector for each in new})
        return len(new)

    def remove(self, names):
        self.fail_now_and_then("remove")
        there = [name for name in names if self.has(name)]
        self.waiting.update(dict.fromkeys(there))
        return len(there)

    def missing(self, names):
        return sum(not self.has(name) for name in names)

    def make_searchable(self):
        self.fail_now_and_then("build")
        for name, vector in self.waiting.items():
            if vector is None:
                self.objects.pop(name, None)
            else:
                self.objects[name] = vector
        self.waiting = {}
        return self.state()

    def state(self):
        return ClusterState(len(self.objects), len(self.waiting), 0, 1)

    def has(self, name):
        return self.waiting.get(name, self.objects.get(name)) is not None

    def fail_now_and_then(self, call):
        self.calls.append(call)
        if self.failures and call != "search":
            self.failures -= 1
            raise IndexUnavailable("no answer")


def at_once(work):
    """A Start of ValdIndex: what it starts has ended."""
    ended = Future()
    try:
        ended.set_result(work())
    except IndexUnavailable as error:
        ended.set_exception(error)
    return ended


def open_index(place, cluster, start=at_once, step=3600.0):
    """A ValdIndex in `place` that writes whenever there is a change and it is asked to turn."""
    lock = OwnerLock(place)
    images, metrics = Images(place, IDENTITY), Metrics(CollectorRegistry())
    times = iter(np.arange(1e6) * step)

    def close_parts():
        images.close()
        lock.release()

    return ValdIndex(
        IDENTITY,
        images,
        Stored(images, cluster),
        Commits(images, cluster, metrics),
        IndexSettings(snapshot_records=1),
        metrics,
        start,
        close_parts,
        lambda: float(next(times)),
    )
