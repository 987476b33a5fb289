"""What `make bench-gpu` measures on a card runs to its end on a CPU."""

import json
import subprocess
import sys
from pathlib import Path


def test_a_dry_run_on_the_cpu_measures_all_three_ways_and_every_shape(tmp_path):
    out = tmp_path / "gpu.json"
    counts = ("--provider", "cpu", "--batch-size", "8", "--events", "600", "--runs", "1", "--side", "300")
    command = [sys.executable, "-m", "benchmarks.gpu", *counts, "--out", str(out)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(out.read_text())
    assert all(said["images_per_second"][way] > 0 for way in ("decode", "model", "worker"))
    assert said["of_the_smaller"] >= said["of_the_larger"] > 0
    assert list(said["first_use_pause_milliseconds"]) == ["1", "2", "4", "8"]
    assert "first use of a batch size" in done.stdout
