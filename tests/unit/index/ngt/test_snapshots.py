from concurrent.futures import Future
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry

from tests.unit.index.indexing import IDENTITY, axis, build_here, filled, open_directory, snapshot
from worker.index.attributes import Attributes
from worker.index.backend import IndexSize
from worker.index.ngt.directory import Generation
from worker.index.ngt.live import LiveIndex
from worker.index.ngt.snapshots import Snapshots
from worker.metrics import Metrics
from worker.settings import IndexSettings

SETTINGS = IndexSettings(snapshot_records=10, snapshot_interval=60)


class BuildByHand:
    """A build that ends when the test says so; a success is a real segment."""

    def __init__(self, directory, batch):
        self.outcome = Future()
        self.cancelled = False
        self._directory = directory
        self._batch = batch

    def succeed(self):
        self.outcome.set_result(build_here(self._directory, self._batch))

    def cancel(self):
        self.cancelled = True


class Bench:
    """Snapshots of `live` with a clock and builds in the test's hand."""

    def __init__(self, path, live):
        self.now = 1000.0
        self.builds = []
        self.registry = CollectorRegistry()
        self.directory = open_directory(path)

        def start(batch):
            self.builds.append(BuildByHand(self.directory, batch))
            return self.builds[-1]

        metrics = Metrics(self.registry)
        self.snapshots = Snapshots(live, self.directory, start, SETTINGS, metrics, lambda: self.now)

    def turn(self, seconds=0.0):
        self.now += seconds
        self.snapshots.turn()

    def counted(self, result):
        name = "mekiki_index_build_duration_seconds_count"
        return self.registry.get_sample_value(name, {"result": result})


def test_what_vectors_and_copy_vectors_take_is_told(tmp_path):
    live, _ = filled(10)
    live.upsert("copy", axis(0), Attributes(copy_vector=axis(1)))
    bench = Bench(tmp_path, live)
    snapshot(live, bench.directory)
    bench.turn()

    def told(what, kind):
        return bench.registry.get_sample_value(f"mekiki_index_{what}_bytes", {"kind": kind})

    (segment,) = live.segments
    copies = (segment.path / "attributes" / "copy_vector.npy").stat().st_size
    assert told("disk", "copy") == copies
    assert told("memory", "copy") == copies + live.view.tails[0][0].bytes["copy"]
    files = (file.stat().st_size for file in segment.path.rglob("*") if file.is_file())
    manifest = (segment.path / "manifest.json").stat().st_size
    assert told("disk", "embedding") == sum(files) - manifest - copies
    assert told("memory", "embedding") > told("disk", "embedding")


def test_enough_changes_start_a_build_and_the_role_goes_on_from_it(tmp_path):
    live, vectors = filled(10)
    bench = Bench(tmp_path, live)
    bench.turn()
    live.upsert("meanwhile", axis(0))
    bench.turn()
    assert live.manifest is None
    bench.builds[0].succeed()
    bench.turn()
    assert live.manifest.name == "generation-00000001"
    assert live.size().tail == 1
    assert live.size().vectors == len(vectors) + 1
    assert bench.counted("success") == 1
    bench.turn()
    assert len(bench.builds) == 1


def test_few_changes_wait_for_the_interval(tmp_path):
    live, _ = filled(3)
    bench = Bench(tmp_path, live)
    bench.turn()
    bench.turn(59)
    assert bench.builds == []
    bench.turn(2)
    assert len(bench.builds) == 1


def test_nothing_changed_builds_nothing(tmp_path):
    bench = Bench(tmp_path, LiveIndex(IDENTITY, None))
    bench.turn(100_000)
    assert bench.builds == []


def test_what_is_deleted_is_written_anew_once_and_only_when_a_generation_holds_the_deletions(tmp_path):
    live, _ = filled(10)
    bench = Bench(tmp_path, live)
    snapshot(live, bench.directory)
    for number in range(6):
        live.delete(f"i{number}")
    bench.turn()
    assert bench.builds == [], "it would be as dead as before"
    bench.turn(61)  # the deletions are published
    bench.builds.pop().succeed()
    bench.turn()
    bench.builds.pop().succeed()
    bench.turn(61)
    assert [(len(segment), segment.living) for segment in live.segments] == [(4, 4)]
    assert bench.builds == []


def test_a_generation_is_renewed_before_its_age_makes_it_useless(tmp_path):
    live, vectors = filled(3)
    segment = snapshot(live, open_directory(tmp_path))
    then = datetime.now(UTC) - timedelta(seconds=SETTINGS.generation_max_age * 0.6)
    old = Generation(live.manifest.model_copy(update={"created_at": then}), (segment,))
    live = LiveIndex(IDENTITY, old)
    live.upsert("from the log", axis(0))
    assert live.freeze().frozen_at == then, "no newer than its start until the log is read to its end"
    live = LiveIndex(IDENTITY, old)
    live.catch_up()
    bench = Bench(tmp_path, live)
    bench.turn()
    bench.builds[0].succeed()
    bench.turn()
    assert live.manifest.name == "generation-00000002"
    assert live.manifest.age() < 60
    assert live.size().vectors == len(vectors)
    assert live.segments == (segment,), "nothing is built for it"


def test_failed_builds_are_counted_and_tried_again_later(tmp_path):
    live, vectors = filled(10)
    bench = Bench(tmp_path, live)
    for wait in (1, 2, 4):
        bench.turn(wait - 0.5)
        bench.turn(0.6)
        bench.builds[-1].outcome.set_exception(OSError("the disk is full"))
        bench.turn()
        count = len(bench.builds)
        bench.turn()
        assert len(bench.builds) == count, "it waits before it tries again"
    assert bench.counted("failure") == 3
    assert len(live.search(axis(0), 20)) == len(vectors)
    live.upsert("later", axis(0))
    bench.turn(8)
    bench.builds[-1].succeed()
    bench.turn()
    assert len(live.segments[0]) == len(vectors)
    assert live.size().vectors == len(vectors) + 1
    assert live.search(axis(0), 1)[0].image_id == "later"


def four_segments(tmp_path):
    """A live index of 4 segments of 10 images, in 4 generations."""
    live, vectors = filled(10)
    bench = Bench(tmp_path, live)
    for round_ in range(4):
        for image_id, vector in vectors.items():
            live.upsert(f"{image_id}/{round_}" if round_ else image_id, vector)
        bench.turn()
        bench.builds[-1].succeed()
        bench.turn()
    return bench, live


def test_segments_of_a_size_are_merged_beside_tails(tmp_path):
    bench, live = four_segments(tmp_path)
    assert len(live.segments) == 4
    bench.turn()
    merge = bench.builds[-1]
    live.delete("i3")
    for number in range(10):
        live.upsert(f"late{number}", axis(number))
    bench.turn()
    bench.builds[-1].succeed()
    bench.turn()
    assert len(live.segments) == 5
    merge.succeed()
    bench.turn()
    assert len(live.segments) == 2
    assert live.size() == IndexSize(49, 0)
    assert live.vector("i3") is None
    loaded = bench.directory.load_newest(3600)
    assert sum(segment.living for segment in loaded.segments) == 49


def test_a_merge_is_of_what_its_offsets_say(tmp_path):
    bench, live = four_segments(tmp_path)
    live.delete("i3")
    live.advance(0, 99)
    bench.turn()
    bench.builds[-1].succeed()
    bench.turn()
    assert len(live.segments) == 1
    loaded = bench.directory.load_newest(3600)
    assert loaded.manifest.offsets == {0: 10}
    assert sum(segment.living for segment in loaded.segments) == 40, "the deletion comes again from the log"
    assert live.size().vectors == 39


def test_a_manifest_that_cannot_be_written_is_a_failed_build(tmp_path, monkeypatch):
    live, vectors = filled(10)
    bench = Bench(tmp_path, live)
    bench.turn()
    bench.builds[0].succeed()

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(bench.directory, "publish", full)
        bench.turn()
    assert bench.counted("failure") == 1
    assert live.manifest is None
    assert len(live.search(axis(0), 20)) == len(vectors)
    bench.turn(2)
    bench.builds[1].succeed()
    bench.turn()
    assert live.manifest is not None
    assert len(live.search(axis(0), 20)) == len(vectors)
    assert len(list(tmp_path.glob("segment-*"))) == 1


def test_old_generations_and_their_segments_are_pruned(tmp_path):
    bench, live = four_segments(tmp_path)
    bench.turn()
    for _ in range(2):
        bench.builds[-1].succeed()
        bench.turn()
        live.upsert("more", axis(0))
        bench.turn(100)
    names = sorted(path.name for path in tmp_path.iterdir())
    kept = [name for name in names if name.startswith("generation")]
    assert len(kept) == SETTINGS.keep_generations
    assert [name for name in names if name.startswith("segment")] == ["segment-00000005", "segment-00000006"]


def test_a_generation_that_cannot_be_removed_ends_nothing(tmp_path, caplog):
    live, _ = filled(10)
    bench = Bench(tmp_path, live)
    bench.turn()
    for number in (8, 9):  # newer by their numbers, so that the first is to be removed
        (tmp_path / f"generation-{number:08d}").mkdir()
    blocked = tmp_path / "discarded-generation-00000001"
    bench.builds[0].succeed()
    blocked.mkdir()
    (blocked / "not-empty").touch()  # so that the rename fails, also for root
    bench.turn()
    assert live.manifest.name == "generation-00000001"
    assert "cannot be removed" in caplog.text
    assert bench.counted("success") == 1


def test_stop_ends_a_running_build(tmp_path):
    live, _ = filled(10)
    bench = Bench(tmp_path, live)
    bench.turn()
    bench.snapshots.stop()
    assert bench.builds[0].cancelled
