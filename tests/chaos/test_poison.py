"""Every way in which one event can end a process, in the model and before it, on a real Kafka.

In the model an event is found by the third process that it ends, before it by the fourth: see
worker/score/trace.py.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import own_server, workplaces
from tests.kafka.client import Broker
from tests.poisoning import poison, poison_settings
from tests.results import place_of_dead_letter, places
from worker.stream import dead_letter

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

# How many processes it ends.
FAULTS = {
    "model:abort": 3,
    "model:hang": 3,
    "model:allocate": 3,
    "model:kill": 3,
    "prepare:abort": 4,
    "prepare:kill": 4,
    "prepare:hang": 12,  # the thread outlives its partition, and ends more processes
    "model:raise": 3,
    "prepare:raise": 4,
}
# What raises is tried again in the process, and ends none where others get on meanwhile.
RAISES = {"model:raise", "prepare:raise", "model:allocate"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with own_server(tmp_path_factory.mktemp("kafka")) as server:
        yield Broker(server.bootstrap)


@pytest.mark.parametrize("mode", ["exactly_once", "at_least_once"])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_event_is_dead_lettered_and_nothing_else_suffers(
    broker: Broker, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, fault: str, mode: str
) -> None:
    with workplaces(tmp_path_factory) as open_workplace:
        workplace = open_workplace(broker, 4)
        found = poison(broker, poison_settings(workplace, mode), tmp_path, fault, 300, 240)
    assert len(found.ends) <= FAULTS[fault], found.ends
    counts = found.results.outcomes()
    assert counts.keys() == places(found.sent)
    assert mode == "at_least_once" or set(counts.values()) == {1}
    assert {place_of_dead_letter(dead) for dead in found.results.dead} == {found.poison}
    reasons = {dead.header(dead_letter.REASON) for dead in found.results.dead}
    assert reasons == {b"worker.crashed"} or (fault in RAISES and reasons == {b"worker.failed"})
    print(f"\n{fault}, {mode}: {len(found.sent)} events, {len(found.ends)} processes ended, {reasons}")
