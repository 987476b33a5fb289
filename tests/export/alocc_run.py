"""A small ALOCC training on random maps: used by tests in one process, and under torchrun in two."""

import sys
from pathlib import Path

import torch

from export.alocc.networks import Discriminator, MapShape, Reinforcer, dense_code
from export.alocc.step import AdversarialStep, StepSettings
from export.loop import Schedule, fit
from export.processes import Processes, join_processes
from export.run import RunFolder, open_run

SHAPE = MapShape(2, 8, 8)
# 26 images in batches of 8: the last batch has 2 images, one a process.
COUNT, SCHEDULE = 26, Schedule(epochs=3, batch_size=8, seed=5)


def new_step(processes: Processes, settings: StepSettings | None = None) -> AdversarialStep:
    """The same untrained networks and data each time."""
    torch.manual_seed(3)
    maps = torch.randn(COUNT, 2, 8, 8)
    widths, strides = (8, 8), (2, 2)
    code = dense_code(SHAPE.after(widths, strides), 4)
    reinforcer = Reinforcer(SHAPE, widths, strides, code, torch.nn.Identity())
    discriminator = Discriminator(SHAPE, widths, strides)
    chosen = settings or StepSettings(corrupted_share=0.5)
    return AdversarialStep(reinforcer, discriminator, lambda indices: maps[indices], chosen, processes)


def train(path: Path, processes: Processes, schedule: Schedule = SCHEDULE) -> RunFolder:
    """Train into a run folder, or go on with the one there."""
    if processes.is_first:
        open_run(path, {}, "d", resume=True)
    processes.wait_for_all()
    run = RunFolder(path)
    step = new_step(processes)
    fit(step, phase="p", count=COUNT, schedule=schedule, run=run, processes=processes)
    return run


if __name__ == "__main__":
    torch.set_num_threads(1)
    with join_processes("cpu") as joined:
        if joined.count != 2:
            sys.exit(f"{joined.count} processes")
        train(Path(sys.argv[1]), joined)
