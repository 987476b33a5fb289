"""A directory as a role leaves it: several segments, with images that were replaced and deleted."""

import numpy as np
import pytest

from tests.unit.index.indexing import axis, filled, open_directory, snapshot, unit_rows
from worker.index.attributes import Attributes
from worker.index.ngt import build as build_module

ATTRIBUTES = Attributes("hats", "l-1", ("red", "目"), 1_500_000, {"quality": 0.5})


@pytest.fixture
def index_directory(tmp_path, monkeypatch):
    """The directory and what it holds: image id -> vector."""
    monkeypatch.setattr(build_module, "EXACT_UP_TO", 40)
    directory = open_directory(tmp_path / "index")
    live, vectors = filled(60)
    snapshot(live, directory)
    for number in range(10):
        live.delete(f"i{number}")
        del vectors[f"i{number}"]
    for number in range(10, 20):
        vectors[f"i{number}"] = unit_rows(np.random.default_rng(number), 1)[0]
        live.upsert(f"i{number}", vectors[f"i{number}"], ATTRIBUTES)
    for image_id in ("copy 1", "copy 2"):
        live.upsert(image_id, axis(3))
        vectors[image_id] = axis(3)
    live.advance(1, 7)
    snapshot(live, directory)
    return directory.path, vectors
