"""fp16 and int8 variants of a bundle's graph, with what they cost in quality and give in speed.

`python -m export.bundle.variants --bundle worker/bundles/starter --images DIR --out runs/variants`
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from pydantic import JsonValue

from export.errors import DatasetError, ExportError
from schemas.bundle import BundleManifest, ImageInput
from worker.errors import Rejection
from worker.model.bundle import read_manifest
from worker.model.decode import ImageLimits, decode_inputs

Outputs = dict[str, NDArray[np.float32]]
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Feeds images to the quantiser in batches of 32."""

    def __init__(self, images: NDArray[np.uint8], name: str) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = iter(
            [images[start : start + 32] for start in range(0, len(images), 32)]
        )
        self._name = name

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """The next batch, or None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {self._name: batch}


def to_fp16(source: Path, target: Path) -> None:
    """Weights and arithmetic in half precision; inputs and outputs keep their types."""
    model = convert_float_to_float16(onnx.load(str(source)), keep_io_types=True)
    onnx.save(model, str(target))


def to_int8(source: Path, target: Path, images: NDArray[np.uint8]) -> None:
    """Convolutions in int8, quantised per channel on `images` uint8 [n, height, width, 3].

    The first stays in fp32: its rounding moves the starter's vectors as far as that of all others together.
    So do the dense layers of the heads: they cost nothing, and the restoration error does not bear it.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        graph = onnx.load(str(prepared)).graph
        first = next(node.name for node in graph.node if node.op_type == "Conv")
        quantize_static(
            str(prepared), str(target), _Calibration(images, graph.input[0].name),
            quant_format=QuantFormat.QDQ, per_channel=True, nodes_to_exclude=[first],
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=["Conv"],
        )  # fmt: skip


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def outputs_of(path: Path, images: NDArray[np.uint8], batch_size: int = 64) -> Outputs:
    """All outputs of the graph at `path` for uint8 [n, height, width, 3], on one CPU thread."""
    session = _session(path, 1)
    names = [output.name for output in session.get_outputs()]
    feed = session.get_inputs()[0].name
    parts = [
        session.run(names, {feed: images[start : start + batch_size]})
        for start in range(0, len(images), batch_size)
    ]
    return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(names)}


def images_a_second(path: Path, images: NDArray[np.uint8], batch_size: int = 32, rounds: int = 10) -> float:
    """Best of `rounds` on one thread, by CPU time: other work on the machine does not count."""
    session = _session(path, 1)
    feed = {session.get_inputs()[0].name: images[:batch_size]}
    session.run(None, feed)
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        session.run(None, feed)
        best = min(best, time.process_time() - began)
    return round(batch_size / best, 1)


@dataclass(frozen=True)
class Cost:
    """A variant against fp32 on the same images.

    `moved` is by output of vectors the distance (L2) to those of fp32 that 99 in 100 images stay within.
    """

    megabytes: float
    images_a_second: float
    least_cosine: float
    moved: dict[str, float]
    score_differences: dict[str, float]
    decisions_changed: int
    images: int

    def figures(self) -> dict[str, JsonValue]:
        """For a model card or a manifest."""
        return dict(vars(self))


def cost_of(variant: Path, reference: Path, images: NDArray[np.uint8], thresholds: dict[str, float]) -> Cost:
    """Compare; `thresholds` are the block thresholds by score name."""
    ours, theirs = outputs_of(variant, images), outputs_of(reference, images)
    vectors = [name for name, values in ours.items() if values.ndim == 2 and values.shape[1] > 1]
    scores = [name for name in ours if name not in vectors]
    changed = np.zeros(len(images), dtype=bool)
    for name, threshold in thresholds.items():
        changed |= (ours[name] >= threshold) != (theirs[name] >= threshold)
    return Cost(
        megabytes=round(variant.stat().st_size / 1e6, 2),
        images_a_second=images_a_second(variant, images),
        least_cosine=round(min(float(_cosines(ours[name], theirs[name]).min()) for name in vectors), 6),
        moved={
            name: round(float(np.quantile(np.linalg.norm(ours[name] - theirs[name], axis=1), 0.99)), 5)
            for name in vectors
        },
        score_differences={name: round(float(np.abs(ours[name] - theirs[name]).max()), 5) for name in scores},
        decisions_changed=int(changed.sum()),
        images=len(images),
    )


def _cosines(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return np.asarray((ours * theirs).sum(axis=1) / lengths, np.float32)


def read_images(folder: Path, size: ImageInput, most: int) -> NDArray[np.uint8]:
    """Up to `most` images under `folder`, spread evenly over it; what does not decode is left out.

    Raises:
        DatasetError: nothing under `folder` decodes.

    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    found = []
    for path in files[:: max(1, len(files) // most)][:most]:
        try:
            found.append(decode_inputs(path.read_bytes(), [size], ImageLimits()).pixels)
        except Rejection:
            continue
    if not found:
        raise DatasetError(f"no image under {folder} decodes: name a folder with photos")
    return np.stack(found)


def graph_of(bundle: Path) -> tuple[BundleManifest, str]:
    """The manifest of a bundle of one graph, and that graph's file.

    Raises:
        ExportError: it has several, of which each wants a variant of its own.

    """
    manifest, _ = read_manifest(bundle)
    if len(manifest.graphs) != 1 or len(manifest.image_inputs()) != 1:
        raise ExportError(f"{bundle} has {len(manifest.graphs)} graphs: variants are made of a bundle of one")
    return manifest, manifest.graphs[0].file


def write_variants(bundle: Path, images: NDArray[np.uint8], out: Path) -> dict[str, Cost]:
    """Write scorer.fp16.onnx and scorer.int8.onnx to `out` and measure them beside fp32."""
    manifest, name = graph_of(bundle)
    source, thresholds = bundle / name, manifest.block_thresholds()
    out.mkdir(parents=True, exist_ok=True)
    half, eight = out / "scorer.fp16.onnx", out / "scorer.int8.onnx"
    to_fp16(source, half)
    to_int8(source, eight, images[::2])
    paths = {"fp32": source, "fp16": half, "int8": eight}
    return {name: cost_of(path, source, images, thresholds) for name, path in paths.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Write the variants and `costs.json` beside them."""
    parser = argparse.ArgumentParser(prog="python -m export.bundle.variants", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument(
        "--images", type=Path, required=True, help="photos and notices to quantise and compare on"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int, default=512)
    arguments = parser.parse_args(argv)
    (size,) = graph_of(arguments.bundle)[0].image_inputs()
    images = read_images(arguments.images, size, arguments.most)
    costs = {
        name: vars(cost) for name, cost in write_variants(arguments.bundle, images, arguments.out).items()
    }
    text = json.dumps(costs, indent=2)
    (arguments.out / "costs.json").write_text(text + "\n", encoding="utf-8")
    print(text)  # noqa: T201 - the command's result
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
