"""Tags trained over a local Dask cluster of two workers have the bytes of those trained here."""

from collections.abc import Iterator

import pytest

from export.errors import TagsError
from export.tags import workers
from export.tags.tag_set import train_tag_set
from export.tags.workers import train_tags
from tests.export.test_tag_training import RECIPE, images

distributed = pytest.importorskip("distributed", reason="the extra mekiki[dask]")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A scheduler and two workers in processes of their own, on the loopback interface."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


def test_where_a_tag_is_trained_changes_no_byte(address: str) -> None:
    found = train_tag_set(images(600, 0), RECIPE)
    asked = {
        name: own for name, own in images(600, 0).positives.items() if name in {"corner", "linear", "rare"}
    }
    over = [*train_tags(asked, found.data, found.recipe, dask=address)]
    assert {table.name: table.digest() for table in over} == {t.name: t.digest() for t in found.tables}


def test_a_cluster_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_ANSWER_SECONDS", 1)
    found = train_tag_set(images(300, 1), RECIPE)
    with pytest.raises(TagsError, match="no Dask scheduler answers at tcp://127"):
        next(train_tags(images(300, 1).positives, found.data, found.recipe, dask="tcp://127.0.0.1:1"))
