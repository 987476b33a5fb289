"""The index after kills and damage; `make test-chaos-index` is the long form."""

from tests.index_crashes import damage_at_random, drawn_log, fill, kill_at_random


def test_after_kills_and_damage_the_index_equals_the_log(tmp_path):
    log = drawn_log(1)
    reached = kill_at_random(tmp_path / "killed", log, 1, 3)
    assert max(reached) > 0
    fill(tmp_path / "whole", log)
    damaged, _ = damage_at_random(tmp_path / "whole", tmp_path / "damaged", log, 2, 3)
    assert len(damaged) == 3
