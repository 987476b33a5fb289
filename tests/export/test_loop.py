import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from export.errors import DeviceUnavailable, LossNotFinite
from export.loop import Batch, Schedule, batches, fit
from export.processes import Processes, choose_device
from export.run import RunFolder, open_run
from tests.export.alocc_run import COUNT, SCHEDULE, new_step, train

CPU = Processes(torch.device("cpu"))
ROOT = Path(__file__).parents[2]


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    state = run.load_checkpoint("p", torch.device("cpu"))
    assert state is not None
    found = {}
    for network in ("reinforcer", "discriminator"):
        found.update({f"{network}.{name}": value for name, value in state["step"][network].items()})
    return found


def losses(run: RunFolder) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if name not in ("seconds", "phase")}
        for row in run.metrics()
    ]


def test_an_interrupted_training_goes_on_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(tmp_path / "whole", CPU)

    class Killed(Exception):
        pass

    from export.alocc.step import AdversarialStep

    call, calls = AdversarialStep.__call__, []

    def dies(self: AdversarialStep, batch: Batch) -> dict[str, torch.Tensor]:
        calls.append(batch)
        if len(calls) == 6:  # in the middle of the second epoch
            raise Killed
        return call(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(AdversarialStep, "__call__", dies)
        with pytest.raises(Killed):
            train(tmp_path / "killed", CPU)
    resumed = train(tmp_path / "killed", CPU)
    assert losses(resumed) == losses(whole)
    expected = weights(whole)
    assert expected
    for name, value in weights(resumed).items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.timeout(300)
def test_two_processes_follow_the_curve_of_one(tmp_path: Path) -> None:
    one = train(tmp_path / "one", CPU)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    script = str(ROOT / "tests/export/alocc_run.py")
    done = subprocess.run(
        [*launch, "--nproc-per-node=2", script, str(tmp_path / "two")],
        env=environment, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    two = RunFolder(tmp_path / "two")
    assert len(losses(two)) == SCHEDULE.epochs
    for left, right in zip(losses(one), losses(two), strict=True):
        assert left == pytest.approx(right, rel=1e-4)


def test_slices_of_the_processes_make_up_the_batch() -> None:
    schedule = Schedule(epochs=1, batch_size=7, seed=1)
    whole = list(batches(24, schedule, 0, CPU))
    parts = [list(batches(24, schedule, 0, Processes(CPU.device, rank, 3))) for rank in range(3)]
    assert [batch.global_size for batch in whole] == [7, 7, 7, 3]
    for number, batch in enumerate(whole):
        sliced = [part[number] for part in parts]
        assert torch.equal(torch.cat([part.indices for part in sliced]), batch.indices)
        noise = [part.normal((2,)) for part in sliced]
        assert torch.equal(torch.cat(noise), batch.normal((2,)))
    seen = torch.cat([batch.indices for batch in whole]).sort().values
    assert torch.equal(seen, torch.arange(24))
    assert not torch.equal(whole[0].indices, next(batches(24, schedule, 1, CPU)).indices)


def test_a_loss_that_is_not_finite_stops_with_the_step_and_advice(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", {}, "d", resume=False)
    step = new_step(CPU)
    call = step.__call__

    class TurnsNan:
        calls = 0
        state_dict, load_state_dict = step.state_dict, step.load_state_dict

        def __call__(self, batch: Batch) -> dict[str, torch.Tensor]:
            self.calls += 1
            terms = call(batch)
            return {**terms, "reconstruction": torch.tensor(float("nan"))} if self.calls == 6 else terms

    with pytest.raises(LossNotFinite) as caught:
        fit(TurnsNan(), phase="p", count=COUNT, schedule=SCHEDULE, run=run, processes=CPU)
    assert (caught.value.term, caught.value.epoch, caught.value.step) == ("reconstruction", 1, 1)
    assert "lower --learning-rate" in str(caught.value)
    assert "checkpoint after epoch 0 is kept" in str(caught.value)
    state = run.load_checkpoint("p", CPU.device)
    assert state is not None
    assert state["epochs_done"] == 1


def test_training_can_stop_at_a_loss_and_stays_stopped(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", {}, "d", resume=False)
    asked = []

    def stop(means: dict[str, float]) -> bool:
        asked.append(means)
        return len(asked) == 2

    for _ in range(2):
        fit(new_step(CPU), phase="p", count=COUNT, schedule=SCHEDULE, run=run, processes=CPU, stop=stop)
    assert [row["epoch"] for row in run.metrics()] == [0, 1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_each_epoch_is_told_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "run", CPU)
    told = [line for line in capsys.readouterr().err.splitlines() if ": epoch " in line]
    assert len(told) == SCHEDULE.epochs
    assert f"epoch {SCHEDULE.epochs} of {SCHEDULE.epochs}, " in told[-1]


def test_cuda_that_is_not_there_is_an_error() -> None:
    with pytest.raises(DeviceUnavailable, match="--device cuda: torch"):
        choose_device("cuda")


def test_unknown_device() -> None:
    with pytest.raises(DeviceUnavailable, match="cpu or cuda, not 'tpu'"):
        choose_device("tpu")
