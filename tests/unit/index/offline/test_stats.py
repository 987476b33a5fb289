import shutil

import pytest

from tests.unit.index.indexing import IDENTITY
from worker.index.ngt.checksums import Damaged
from worker.index.offline.stats import stats


def test_sums_are_those_of_the_newest_generation(index_directory):
    path, vectors = index_directory
    (path / "building-x").mkdir()
    (path / "building-x" / "half").write_bytes(b"123")
    told = stats(path)
    assert told.identity == IDENTITY
    assert (told.vectors, told.deleted) == (len(vectors), 20)
    assert [(s.images, s.searchable, s.distinct_vectors) for s in told.segments] == [
        (60, 40, 60),
        (12, 12, 11),
    ]
    assert [(s.has_graph, s.has_attributes) for s in told.segments] == [(True, True), (False, True)]
    assert [g.offsets for g in told.generations] == [{0: 60, 1: 7}, {0: 60}]
    assert told.unused == ["building-x", "generation-00000001"]
    assert told.unused_bytes > 3
    assert told.bytes == sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) + sum(
        folder.stat().st_size for folder in path.rglob("*") if folder.is_dir()
    )


def test_an_older_generation_may_be_damaged_the_newest_may_not(index_directory):
    path, _ = index_directory
    (path / "generation-00000001" / "manifest.json").write_text("{}")
    assert "checksum" in stats(path).generations[1].fault
    shutil.rmtree(path / "segment-00000001")
    with pytest.raises(Damaged, match="segment-00000001"):
        stats(path)
