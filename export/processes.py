"""Devices and processes: one process, or several that `torchrun` started, on CPU (gloo) or CUDA (nccl).

The parameters are equal in every process. A global batch is the same whatever the number of
processes: each takes its slice of it, and gradients are summed (`sum_gradients`) after each process has
divided its losses by the size of the *global* batch. So one process and eight follow the same curve,
up to the rounding of sums. Layers must not mix the images of a batch, or the slices would see
other statistics than the whole: the networks use group normalisation, also because SyncBatchNorm
exists on CUDA alone.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed

from export.errors import DeviceUnavailable


@dataclass(frozen=True)
class Processes:
    """This process among those of the training."""

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run folder and shows progress."""
        return self.rank == 0

    def slice_of(self, batch_size: int) -> slice:
        """This process's part of a global batch; parts differ by one image at most."""
        return slice(self.rank * batch_size // self.count, (self.rank + 1) * batch_size // self.count)

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace each gradient by its sum over the processes, in one exchange."""
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        torch.distributed.all_reduce(flat)
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The values summed over the processes."""
        if self.count > 1:
            torch.distributed.all_reduce(values)
        return values

    def wait_for_all(self) -> None:
        """Return when every process is here."""
        if self.count > 1:
            torch.distributed.barrier()


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """The device asked for: `cpu` or `cuda`.

    Raises:
        DeviceUnavailable: there is no such device; the CPU is never taken in its place.

    """
    if name == "cpu":
        return torch.device("cpu")
    if name != "cuda":
        raise DeviceUnavailable(f"--device is cpu or cuda, not {name!r}")
    if not torch.cuda.is_available():
        built = torch.version.cuda
        reason = f"torch {torch.__version__} is built without CUDA" if built is None else "torch finds no GPU"
        raise DeviceUnavailable(f"--device cuda: {reason}; see nvidia-smi, or use --device cpu")
    if local_rank >= torch.cuda.device_count():
        raise DeviceUnavailable(
            f"process {local_rank} of this host has no GPU: there are {torch.cuda.device_count()}; "
            "start torchrun with --nproc-per-node of at most that"
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


@contextmanager
def join_processes(device_name: str) -> Iterator[Processes]:
    """This process alone or, under `torchrun`, one of its group.

    Raises:
        DeviceUnavailable: see `choose_device`.

    """
    device = choose_device(device_name, int(os.environ.get("LOCAL_RANK", "0")))
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        yield Processes(device)
        return
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(device, torch.distributed.get_rank(), torch.distributed.get_world_size())
    finally:
        torch.distributed.destroy_process_group()
