"""An event that kills every process that judges it, on a real Kafka: it alone suffers for it."""

from pathlib import Path

import pytest

from tests.integration.conftest import workplaces
from tests.kafka.client import Broker
from tests.poisoning import poison, poison_settings
from tests.results import place_of_dead_letter, places
from worker.stream import dead_letter

# Half a minute, and several on a busy machine; tests/chaos/test_poison.py has all faults.
pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize(("fault", "mode"), [("model:abort", "exactly_once")])
def test_it_is_dead_lettered_after_three_ends_and_nothing_else_is(
    kafka: Broker, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, fault: str, mode: str
) -> None:
    with workplaces(tmp_path_factory) as open_workplace:
        workplace = open_workplace(kafka, 4)
        settings = poison_settings(workplace, mode)
        found = poison(kafka, settings, tmp_path, fault, 100, timeout=300)
    assert len(found.ends) == 3, found.ends
    assert found.results.outcomes() == dict.fromkeys(places(found.sent), 1)
    (dead,) = found.results.dead
    assert place_of_dead_letter(dead) == found.poison
    assert dead.header(dead_letter.REASON) == b"worker.crashed"
