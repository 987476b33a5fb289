"""The training loop that every model shares: batches, finite losses, metrics, checkpoints, resume.

A model brings a `TrainingStep`. All that is random in a step comes from the batch, whose numbers
hang on (seed, epoch, step) alone: a resumed run repeats the uninterrupted one bit by bit, and
several processes draw what one would.
"""

import hashlib
import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from tqdm import tqdm

from export.errors import LossNotFinite
from export.processes import Processes
from export.run import RunFolder


@dataclass(frozen=True)
class Batch:
    """This process's slice of one global batch.

    `indices` [n] int64 on the CPU; `progress` is the share of the whole training done, in [0, 1).
    """

    indices: torch.Tensor
    global_size: int
    progress: float
    part: slice
    generator: torch.Generator
    device: torch.device

    def normal(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Standard normal numbers [n, *shape]; of the global batch's, those of this slice."""
        drawn = torch.randn((self.global_size, *shape), generator=self.generator)
        return drawn[self.part].to(self.device)

    def uniform(self, shape: tuple[int, ...] = ()) -> torch.Tensor:
        """Numbers in [0, 1) of shape [n, *shape], as `normal`."""
        drawn = torch.rand((self.global_size, *shape), generator=self.generator)
        return drawn[self.part].to(self.device)

    def mean(self, losses: torch.Tensor) -> torch.Tensor:
        """This slice's part of the global batch's mean of losses [n]: the parts add up to it."""
        return losses.sum() / self.global_size


class TrainingStep(Protocol):
    """One step of optimisation on one batch."""

    def __call__(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Update the weights; return the loss terms, each this slice's part of the batch's mean."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        ...


class CheckpointedStep(ABC):
    """Keeps the state of a step's parts by name: its networks, optimisers, averages."""

    @abstractmethod
    def parts(self) -> dict[str, Any]:
        """Everything that the next step depends on; each has `state_dict` and `load_state_dict`."""

    def state_dict(self) -> dict[str, Any]:
        """The state of every part."""
        return {name: part.state_dict() for name, part in self.parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        for name, part in self.parts().items():
            part.load_state_dict(state[name])


@dataclass(frozen=True)
class Schedule:
    """How long and in what batches."""

    epochs: int
    batch_size: int
    seed: int

    def step_count(self, count: int) -> int:
        """Steps in one epoch over `count` images."""
        return -(-count // self.batch_size)


Stop = Callable[[dict[str, float]], bool]


def fit(
    step: TrainingStep,
    *,
    phase: str,
    count: int,
    schedule: Schedule,
    run: RunFolder,
    processes: Processes,
    stop: Stop | None = None,
) -> None:
    """Train over `count` images, or go on from the run's checkpoint `phase`.

    `stop` ends the training early when it says so of an epoch's mean losses (on the training data).

    Raises:
        LossNotFinite: a loss became NaN or infinite; the last checkpoint is of the epoch before.

    """
    state = run.load_checkpoint(phase, processes.device)
    first = 0
    if state is not None:
        step.load_state_dict(state["step"])
        first = int(state["epochs_done"])
    if processes.is_first:
        run.forget_metrics(phase, first)
    total = schedule.step_count(count) * schedule.epochs
    quiet = None if processes.is_first else True
    with tqdm(total=total, initial=total // schedule.epochs * first, desc=phase, disable=quiet) as bar:
        for epoch in range(first, schedule.epochs):
            began = time.monotonic()
            means = _epoch(step, epoch, count, schedule, processes, bar)
            done = stop is not None and stop(means)
            if processes.is_first:
                seconds = round(time.monotonic() - began, 3)
                run.log(phase=phase, epoch=epoch, seconds=seconds, **means)
                done_count = schedule.epochs if done else epoch + 1
                run.save_checkpoint(phase, {"step": step.state_dict(), "epochs_done": done_count})
                if bar.disable:  # no terminal: a log shall tell, too, that it goes on
                    print(_told(phase, epoch, schedule, seconds, means), file=sys.stderr)  # noqa: T201
            processes.wait_for_all()
            if done:
                break


def _told(phase: str, epoch: int, schedule: Schedule, seconds: float, means: Mapping[str, float]) -> str:
    losses = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
    return f"{phase}: epoch {epoch + 1} of {schedule.epochs}, {seconds:.0f} s, {losses}"


def batches(count: int, schedule: Schedule, epoch: int, processes: Processes) -> Iterator[Batch]:
    """This process's slices of an epoch's batches, in an order that hangs on seed and epoch."""
    order = torch.randperm(count, generator=_generator(schedule.seed, epoch, -1))
    steps = schedule.step_count(count)
    for number in range(steps):
        chosen = order[number * schedule.batch_size : (number + 1) * schedule.batch_size]
        if len(chosen) < processes.count:
            return  # a rest that does not give every process an image
        part = processes.slice_of(len(chosen))
        yield Batch(
            indices=chosen[part],
            global_size=len(chosen),
            progress=(epoch * steps + number) / (steps * schedule.epochs),
            part=part,
            generator=_generator(schedule.seed, epoch, number),
            device=processes.device,
        )


def cosine(progress: float, final: float = 0.02) -> float:
    """Factor of the learning rate at this share of the training: from 1 down to `final`."""
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


def _epoch(
    step: TrainingStep, epoch: int, count: int, schedule: Schedule, processes: Processes, bar: "tqdm[Any]"
) -> dict[str, float]:
    sums: dict[str, float] = {}
    seen = 0
    for number, batch in enumerate(batches(count, schedule, epoch, processes)):
        terms = step(batch)
        names = sorted(terms)
        values = processes.sum(torch.stack([terms[name].detach().double() for name in names])).tolist()
        for name, value in zip(names, values, strict=True):
            if not math.isfinite(value):
                raise LossNotFinite(name, value, epoch, number, _advice(epoch, schedule))
            sums[name] = sums.get(name, 0.0) + value * batch.global_size
        seen += batch.global_size
        bar.update()
        bar.set_postfix(
            {name: f"{value:.3g}" for name, value in zip(names, values, strict=True)}, refresh=False
        )
    return {name: total / seen for name, total in sums.items()}


def _advice(epoch: int, schedule: Schedule) -> str:
    kept = f"the checkpoint after epoch {epoch - 1} is kept" if epoch else "no epoch was finished"
    return (
        f"try a lower --learning-rate (a tenth), a larger --batch-size than {schedule.batch_size}, "
        f"or another --seeds than {schedule.seed}; {kept}"
    )


def _generator(seed: int, epoch: int, step: int) -> torch.Generator:
    digest = hashlib.sha256(f"{seed} {epoch} {step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
