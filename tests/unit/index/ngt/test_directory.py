"""Which generations a directory holds, keeps and goes on from."""

import pytest

from tests.unit.index.indexing import filled, open_directory, snapshot

HOUR = 3600.0


def names(path):
    return sorted(entry.name for entry in path.iterdir())


@pytest.fixture
def two(tmp_path):
    """A directory with two generations: of 5 images, then of 4."""
    directory = open_directory(tmp_path)
    live, _ = filled(5)
    snapshot(live, directory)
    live.delete("i0")
    snapshot(live, directory)
    return directory


def test_the_newest_is_gone_on_from(two):
    assert len(two.load_newest(HOUR)) == 4


def test_an_empty_directory_has_none(tmp_path):
    assert open_directory(tmp_path).load_newest(HOUR) is None


def test_numbers_go_on_and_are_never_given_again(two, tmp_path):
    assert two.next_number() == 3
    assert two.next_number() == 4
    (tmp_path / "damaged-00000007").mkdir()
    assert open_directory(tmp_path).next_number() == 8


def test_what_is_called_otherwise_is_no_generation(tmp_path):
    for name in ("generation-1", "generation-00000001.old", "lost+found"):
        (tmp_path / name).mkdir()
    directory = open_directory(tmp_path)
    assert directory.load_newest(HOUR) is None
    directory.prune(0)
    assert names(tmp_path) == ["generation-00000001.old", "generation-1", "lost+found"]


def test_pruning_keeps_the_newest_and_one_damaged(two, tmp_path):
    for number in (7, 8):
        (tmp_path / f"damaged-{number:08d}").mkdir()
    two.prune(1)
    assert names(tmp_path) == ["damaged-00000008", "generation-00000002"]


def test_discarding_leaves_what_is_kept_to_be_looked_at(two, tmp_path):
    (tmp_path / "damaged-00000007").mkdir()
    two.discard_generations()
    assert names(tmp_path) == ["damaged-00000007"]
    assert open_directory(tmp_path).load_newest(HOUR) is None


def test_publishing_is_one_rename(tmp_path):
    directory = open_directory(tmp_path)
    work = directory.start_work()
    (work / "generation").mkdir()
    (work / "generation" / "manifest.json").write_text("{}")
    published = directory.publish(work / "generation", 3)
    assert published == tmp_path / "generation-00000003"
    assert (published / "manifest.json").read_text() == "{}"
    assert list(work.iterdir()) == []


def test_two_builds_never_share_a_work_directory(tmp_path):
    directory = open_directory(tmp_path)
    assert directory.start_work() != directory.start_work()
