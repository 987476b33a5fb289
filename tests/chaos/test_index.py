"""`make test-chaos-index`: 200 kills and 50 damaged files; MEKIKI_CHAOS_SEED repeats a run."""

import os

import pytest

from tests.index_crashes import damage_at_random, drawn_log, fill, kill_at_random

SEED = int(os.environ.get("MEKIKI_CHAOS_SEED", "1"))
KILLS = int(os.environ.get("MEKIKI_CHAOS_KILLS", "200"))

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]


def test_after_any_kill_the_index_equals_the_log(tmp_path):
    reached = kill_at_random(tmp_path / "index", drawn_log(SEED), SEED, KILLS)
    print(f"{KILLS} kills; offsets kept from {min(reached)} to {max(reached)}, {len(set(reached))} different")
    assert len(set(reached)) > KILLS // 20


def test_no_damaged_file_is_ever_answered_from(tmp_path):
    log = drawn_log(SEED)
    fill(tmp_path / "whole", log)
    damaged, read_again = damage_at_random(tmp_path / "whole", tmp_path / "damaged", log, SEED, 50)
    print(f"{read_again} of {len(damaged)} damaged directories read the log again, or a part of it")
    assert len(damaged) == 50
    assert read_again > 0
