"""Cores are those of the container, not of the node."""

import os

import pytest

from worker.cores import cores

HERE = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", HERE),
        ("50000 100000", 1),
        ("100000 100000", 1),
        (f"{100 * HERE}00000 100000", HERE),
        ("", HERE),
        ("a quota", HERE),
    ],
)
def test_a_quota_bounds_what_the_process_may_run_on(tmp_path, quota, expected):
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert cores(file) == expected


def test_a_part_of_a_core_counts_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    file = tmp_path / "cpu.max"
    file.write_text("250000 100000\n")
    assert cores(file) == 3


def test_without_control_groups_it_is_what_the_process_may_run_on(tmp_path):
    assert cores(tmp_path / "none") == HERE
