"""ONNX graphs: written from a network, run, and compared with it."""

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

OPSET = 18


def export_onnx(
    network: nn.Module, example: Tensor, path: Path, outputs: Sequence[str], input_name: str = "images"
) -> None:
    """Write the fp32 graph of a network of one input, with a dynamic batch, in one file.

    Args:
        network: Tensor -> Tensor, or a tuple of them, one an output.
        example: an input of two or more rows; its shape but for the batch is the graph's.
        path: the file to write.
        outputs: names, in the order in which `network` gives them.
        input_name: the name of the input.

    """
    export_graph(network, {input_name: example}, path, outputs)


def export_graph(
    network: nn.Module, examples: Mapping[str, Tensor], path: Path, outputs: Sequence[str]
) -> None:
    """Write the fp32 graph of a network of several inputs; see `export_onnx`.

    `examples` are by the name of the input, in the order in which `network` takes them.
    """
    network = network.eval().to(memory_format=torch.contiguous_format)
    batch = torch.export.Dim("batch", min=1, max=4096)
    shapes: tuple[object, ...] = tuple({0: batch} for _ in examples)
    if any(taken.kind is taken.VAR_POSITIONAL for taken in signature(network.forward).parameters.values()):
        shapes = (shapes,)  # of one argument that holds them all
    program = torch.onnx.export(
        network, tuple(examples.values()), dynamo=True, input_names=list(examples),
        output_names=list(outputs), dynamic_shapes=shapes,
        opset_version=OPSET, external_data=False, verbose=False,
    )  # fmt: skip
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    program.save(str(path), external_data=False)
    onnx.checker.check_model(str(path))


def run_onnx(path: Path, rows: NDArray[np.generic], batch_size: int = 64) -> dict[str, NDArray[np.float32]]:
    """All outputs of a graph of one input for `rows` [n, ...], on the CPU."""
    return run_model(str(path), rows, batch_size)


def run_model(
    model: str | bytes, rows: NDArray[np.generic], batch_size: int = 64
) -> dict[str, NDArray[np.float32]]:
    """As `run_onnx`, of a graph's path or of its bytes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names, feed = [output.name for output in session.get_outputs()], session.get_inputs()[0].name
    parts = [
        session.run(names, {feed: rows[start : start + batch_size]})
        for start in range(0, len(rows), batch_size)
    ]
    return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(names)}


def largest_difference(network: nn.Module, path: Path, rows: NDArray[np.generic]) -> dict[str, float]:
    """Per output, the largest absolute difference between torch and ONNX Runtime."""
    with torch.no_grad():
        given = network(torch.from_numpy(rows))
    ours = (given,) if isinstance(given, Tensor) else given
    theirs = run_onnx(path, rows, len(rows))
    return {
        name: float(np.abs(tensor.numpy() - theirs[name]).max())
        for name, tensor in zip(theirs, ours, strict=True)
    }


def mega_flops(network: nn.Module, example: Tensor) -> float:
    """Floating-point operations for the one row of `example` in millions, a multiply-add counted as two."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(example)
    return float(counter.get_total_flops()) / 1e6
