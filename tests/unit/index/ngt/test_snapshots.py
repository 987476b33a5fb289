from concurrent.futures import Future
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry

from tests.unit.index.indexing import IDENTITY, axis, build_here, filled, open_directory, snapshot
from worker.index.ngt.generation import open_generation, read_manifest, write_manifest
from worker.index.ngt.live import LiveIndex
from worker.index.ngt.snapshots import Snapshots
from worker.metrics import Metrics
from worker.settings import IndexSettings

SETTINGS = IndexSettings(snapshot_records=10, snapshot_interval=60)


class BuildByHand:
    """A build that ends when the test says so; a success is a real generation."""

    def __init__(self, directory, frozen, afresh):
        self.outcome = Future()
        self.afresh = afresh
        self.cancelled = False
        self._directory = directory
        self._frozen = frozen

    def succeed(self):
        self.outcome.set_result(build_here(self._directory, self._frozen, self.afresh))

    def cancel(self):
        self.cancelled = True


class Bench:
    """Snapshots of `live` with a clock and builds in the test's hand."""

    def __init__(self, path, live):
        self.now = 1000.0
        self.builds = []
        self.registry = CollectorRegistry()
        directory = open_directory(path)

        def start(frozen, *, afresh):
            self.builds.append(BuildByHand(directory, frozen, afresh))
            return self.builds[-1]

        self.snapshots = Snapshots(live, directory, start, SETTINGS, Metrics(self.registry), lambda: self.now)

    def turn(self, seconds=0.0):
        self.now += seconds
        self.snapshots.turn()

    def counted(self, result):
        name = "mekiki_index_build_duration_seconds_count"
        return self.registry.get_sample_value(name, {"result": result})


def test_enough_changes_start_a_build_and_the_role_goes_on_from_it(tmp_path):
    live, vectors = filled(10)
    bench = Bench(tmp_path, live)
    bench.turn()
    live.upsert("meanwhile", axis(0))
    bench.turn()
    assert live.generation is None
    bench.builds[0].succeed()
    bench.turn()
    assert live.generation.name == "generation-00000001"
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


def test_a_generation_is_renewed_before_its_age_makes_it_useless(tmp_path):
    live, vectors = filled(3)
    path = snapshot(live, open_directory(tmp_path)).path
    then = datetime.now(UTC) - timedelta(seconds=SETTINGS.generation_max_age * 0.6)
    write_manifest(path, read_manifest(path).model_copy(update={"created_at": then}))
    live = LiveIndex(IDENTITY, open_generation(path, IDENTITY))
    live.upsert("from the log", axis(0))
    assert live.freeze().frozen_at == then, "no newer than its start until the log is read to its end"
    live = LiveIndex(IDENTITY, open_generation(path, IDENTITY))
    live.catch_up()
    bench = Bench(tmp_path, live)
    bench.turn()
    bench.builds[0].succeed()
    bench.turn()
    assert live.generation.name == "generation-00000002"
    assert live.generation.age() < 60
    assert live.size().vectors == len(vectors)


def test_failed_builds_are_counted_and_tried_again_later_and_afresh(tmp_path):
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
    assert [build.afresh for build in bench.builds] == [False, True, True, True]
    bench.builds[-1].succeed()
    bench.turn()
    assert len(live.generation) == len(vectors)
    assert live.size().vectors == len(vectors) + 1
    assert live.search(axis(0), 1)[0].image_id == "later"


def test_building_takes_a_share_of_the_time_at_most(tmp_path):
    live, _ = filled(10)
    bench = Bench(tmp_path, live)
    bench.turn()
    bench.builds[0].succeed()
    bench.turn(8)
    for number in range(20):
        live.upsert(f"more{number}", axis(number % 16))
    bench.turn(23)
    assert len(bench.builds) == 1
    bench.turn(2)
    assert len(bench.builds) == 2


def test_old_generations_are_pruned(tmp_path):
    live, vectors = filled(10)
    bench = Bench(tmp_path, live)
    for round_ in range(4):
        for image_id, vector in vectors.items():
            live.upsert(image_id, vector)
        bench.turn(1000)
        bench.builds[round_].succeed()
        bench.turn()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["generation-00000003", "generation-00000004"]


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
    assert live.generation.name == "generation-00000001"
    assert "cannot be removed" in caplog.text
    assert bench.counted("success") == 1


def test_stop_ends_a_running_build(tmp_path):
    live, _ = filled(10)
    bench = Bench(tmp_path, live)
    bench.turn()
    bench.snapshots.stop()
    assert bench.builds[0].cancelled
