"""A bundle that is replaced while the worker runs: taken between two batches, or refused."""

from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from worker.errors import BundleError
from worker.metrics import Metrics
from worker.score.served import Attribution, Served
from worker.score.watched_bundle import WatchedBundle


def load(directory):
    name = (directory / "manifest.json").read_text(encoding="utf-8")
    if name == "damaged":
        raise BundleError("it is damaged")
    bundle = SimpleNamespace(id=name)
    return Served(bundle, None, Attribution(name, None, "a" * 64, ()), ())


def put(directory, name):
    """A bundle of its own, by a link."""
    folder = directory.with_name(f"bundle-{name}")
    folder.mkdir()
    (folder / "manifest.json").write_text(name, encoding="utf-8")
    link = directory.with_name("link")
    link.symlink_to(folder)
    link.replace(directory)


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def directory(tmp_path):
    put(tmp_path / "bundle", "first")
    return tmp_path / "bundle"


@pytest.fixture
def told():
    return []


@pytest.fixture
def watched(directory, registry, told):
    return WatchedBundle(load(directory), directory, load, 0.01, Metrics(registry), told.append)


def counted(registry):
    return {
        result: registry.get_sample_value("mekiki_infer_bundles_total", {"result": result})
        for result in ("taken", "refused")
    }


def serving(watched):
    return watched.current().attribution.bundle_id


def test_the_first_serves_until_there_is_another(watched, directory, registry, told):
    watched.look()
    assert serving(watched) == "first"
    put(directory, "second")
    assert serving(watched) == "first"  # nobody has looked yet
    watched.look()
    assert serving(watched) == "second"
    assert [bundle.id for bundle in told] == ["second"]
    assert counted(registry) == {"taken": 1, "refused": 0}


def test_one_that_is_refused_is_counted_once_and_the_first_serves_on(watched, directory, registry):
    put(directory, "damaged")
    for _ in range(3):
        watched.look()
    assert serving(watched) == "first"
    assert counted(registry) == {"taken": 0, "refused": 1}
    put(directory, "third")
    watched.look()
    assert serving(watched) == "third"


def test_one_that_is_still_being_copied_is_looked_at_again(watched, directory, registry):
    put(directory, "damaged")
    watched.look()
    (directory / "manifest.json").write_text("whole", encoding="utf-8")
    watched.look()
    assert serving(watched) == "whole"
    assert counted(registry) == {"taken": 1, "refused": 1}


def test_what_goes_and_comes_again_stays(watched, directory):
    away = directory.with_name("away")
    directory.rename(away)
    watched.look()
    assert serving(watched) == "first"
    away.rename(directory)
    watched.look()
    assert serving(watched) == "first"


def test_of_two_before_a_batch_the_later_is_taken_and_one_that_is_taken_back_none(watched, directory, told):
    for name in ("second", "third"):
        put(directory, name)
        watched.look()
    assert serving(watched) == "third"
    put(directory, "fourth")
    watched.look()
    (directory / "manifest.json").write_text("third", encoding="utf-8")
    watched.look()
    assert serving(watched) == "third"
    assert [bundle.id for bundle in told] == ["third"]


def test_a_bug_while_looking_is_not_the_end(directory, registry):
    looks = []

    def fails_once(path):
        looks.append(path)
        if len(looks) == 1:
            raise MemoryError
        return load(path)

    watched = WatchedBundle(load(directory), directory, fails_once, 0.001, Metrics(registry))
    with watched:
        put(directory, "second")
        while serving(watched) != "second":
            pass
    assert len(looks) == 2
