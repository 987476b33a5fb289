"""What reading codes costs an image, and what it reads.

    python -m benchmarks.codes cost [--images DIR ...] [--side 1200] [--rounds 5]
    python -m benchmarks.codes scenes [--images DIR]
    python -m benchmarks.codes rates DIR [--label qr]
    python -m benchmarks.codes worst

cost: milliseconds of CPU an image of decode and model, and what the stage adds at each `codes.max_side`;
all take turns on the same images, so that what else the machine does meets all alike. Medians of rounds.
scenes: how many codes are read by the share of a product photo's area that they cover, drawn into photos.
rates: in how many files of a folder a code is read; `--label` takes those of that label in its labels.csv.
worst: milliseconds over images made to keep the search busy.
"""

import argparse
import csv
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import zxingcpp
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks.workload import write_photos
from worker.demo.run import ASSETS
from worker.errors import Rejection
from worker.model.bundle import Bundle, load_bundle
from worker.model.decode import FORMATS, ImageLimits, decode
from worker.model.infer import ImageBatch
from worker.score.codes import CodeReader
from worker.settings import CodeSettings, Settings

LIMITS = ImageLimits()
SIDES = (480, 640, 960)
_BATCH = 32
_MOST_IMAGES = 96
_SHARES = (0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    cost = commands.add_parser("cost")
    cost.add_argument("--images", type=Path, action="append", help="folders to take images of, as they are")
    cost.add_argument(
        "--side", type=int, default=1200, help="the demo's images are enlarged to it, in pixels"
    )
    cost.add_argument("--rounds", type=int, default=5)
    cost.set_defaults(run=lambda given: print_costs(given.images, given.side, given.rounds))
    scenes = commands.add_parser("scenes")
    scenes.add_argument("--images", type=Path, help="photos without codes; the demo's by default")
    scenes.set_defaults(run=lambda given: print_scenes(given.images))
    rates = commands.add_parser("rates")
    rates.add_argument("folder", type=Path)
    rates.add_argument("--label")
    rates.set_defaults(run=lambda given: print_rates(given.folder, given.label))
    commands.add_parser("worst").set_defaults(run=lambda _: print_worst())
    options = parser.parse_args()
    options.run(options)


def readers() -> dict[int, CodeReader]:
    """A reader for each side."""
    return {side: CodeReader(CodeSettings(enabled=True, max_side=side)) for side in SIDES}


def print_costs(folders: list[Path] | None, side: int, rounds: int) -> None:
    """CPU time of decode and model without the stage, and with it at each side."""
    model = Settings().model.model_copy(update={"threads": 1})
    bundle = load_bundle(model)
    with tempfile.TemporaryDirectory(prefix="mekiki-bench-") as scratch:
        for name, paths in image_sets(folders, side, Path(scratch)).items():
            data = [path.read_bytes() for path in paths]
            size = statistics.mean(map(len, data)) / 1000
            print(f"{name}: {len(data)} images of {size:.0f} kB, {rounds} rounds", flush=True)
            print_cost_rows(measure_costs(bundle, data, rounds))


def image_sets(folders: list[Path] | None, side: int, scratch: Path) -> dict[str, list[Path]]:
    """Files by the name of their set."""
    if folders is not None:
        return {folder.name: images_under(folder)[:_MOST_IMAGES] for folder in folders}
    sets = {}
    for name in ("photos", "qr"):
        (scratch / name).mkdir()
        sets[name] = write_photos(scratch / name, side, ASSETS / name)[:_MOST_IMAGES]
    return sets


def measure_costs(bundle: Bundle, data: list[bytes], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of CPU an image, by way and round."""
    ways: dict[str, Callable[[], None]] = {"off": lambda: judge(bundle, data, None)}
    for side, reader in readers().items():
        ways[str(side)] = lambda reader=reader: judge(bundle, data, reader)  # type: ignore[misc]
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            began = time.process_time()
            way()
            if number:  # the first warms up
                found[name].append((time.process_time() - began) / len(data) * 1000)
    return found


def judge(bundle: Bundle, data: list[bytes], reader: CodeReader | None) -> None:
    """Decode, read codes if there is a reader, infer in batches."""
    (size,) = bundle.manifest.image_inputs()
    side = reader.max_side if reader else None
    for begin in range(0, len(data), _BATCH):
        batch = []
        for image in data[begin : begin + _BATCH]:
            decoded = decode(image, size.height, size.width, LIMITS, None, side)
            if reader and decoded.luminance is not None:
                reader(decoded.luminance)
            batch.append(decoded.pixels)
        bundle.model.infer(ImageBatch([np.stack(batch)], {}))


def print_cost_rows(found: dict[str, list[float]]) -> None:
    """Medians over the rounds; differences and ratios are taken within a round."""
    print(f"  {'codes.max_side':>14} {'ms an image':>12} {'added':>7} {'ratio':>6}")
    for name, costs in found.items():
        pairs = list(zip(costs, found["off"], strict=True))
        added = statistics.median(cost - off for cost, off in pairs)
        ratio = statistics.median(cost / off for cost, off in pairs)
        print(f"  {name:>14} {statistics.median(costs):12.1f} {added:7.1f} {ratio:6.2f}", flush=True)


def print_scenes(folder: Path | None) -> None:
    """The share of codes that is read, by the share of the area that they cover and by side."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="mekiki-bench-") as scratch:
        photos = images_under(folder) if folder else write_photos(Path(scratch), 1200)
        photos = photos[:_MOST_IMAGES]
        print(f"a code of 33 x 33 modules in {len(photos)} photos: read at codes.max_side")
        print(f"  {'area share':>10} " + " ".join(f"{side:>6}" for side in SIDES))
        for share in _SHARES:
            data = [with_code(photo, share, random) for photo in photos]
            cells = []
            for side, reader in readers().items():
                read = [reader(luminance_of(image, side)) for image in data]
                cells.append(f"{sum(map(bool, read)) / len(data):6.0%}")
            print(f"  {share:>10.2%} " + " ".join(cells), flush=True)


def with_code(photo: Path, share: float, random: np.random.Generator) -> bytes:
    """A JPEG of `photo` with a turned code on a white label that covers `share` of its area."""
    text = "https://example.com/" + "".join(random.choice(list("abcdefghijkmnpqrstuvwxyz"), 38))
    barcode = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level="M")
    modules = Image.fromarray(barcode.to_image(scale=1)).convert("L")
    with Image.open(photo) as opened:
        scene = opened.convert("RGB")
    # The label has a quiet zone of 4 modules on each side, the code proper has not.
    width = round((share * scene.width * scene.height) ** 0.5 * modules.width / (modules.width - 8))
    label = modules.resize((8 * modules.width,) * 2, Image.Resampling.NEAREST)
    label = label.resize(
        (width, width), Image.Resampling.BOX if width < label.width else Image.Resampling.NEAREST
    )
    angle = float(random.uniform(-25, 25))
    mask = Image.new("L", label.size, 255).rotate(angle, Image.Resampling.BICUBIC, expand=True)
    label = Image.eval(label, lambda value: 40 + value * 3 // 4).rotate(
        angle, Image.Resampling.BICUBIC, expand=True
    )
    left = int(random.integers(0, max(1, scene.width - label.width)))
    top = int(random.integers(0, max(1, scene.height - label.height)))
    scene.paste(label.convert("RGB"), (left, top), mask)
    with tempfile.SpooledTemporaryFile() as packed:
        scene.filter(ImageFilter.GaussianBlur(1)).save(packed, "JPEG", quality=80)
        packed.seek(0)
        return packed.read()


def print_rates(folder: Path, label: str | None) -> None:
    """In how many images a code is read, and how large the codes are."""
    paths = images_under(folder) if label is None else labelled(folder, label)
    for side, reader in readers().items():
        codes, spent, judged = [], [], 0
        for path in paths:
            try:
                luminance = luminance_of(path.read_bytes(), side)
            except Rejection:
                continue
            judged += 1
            began = time.perf_counter()
            codes += reader(luminance)[:1]
            spent.append((time.perf_counter() - began) * 1000)
        areas = [code.area_share for code in codes]
        shares = f", area shares {min(areas):.3f} to {max(areas):.3f}" if areas else ""
        print(
            f"{side}: a code in {len(codes)} of {judged} images ({len(codes) / max(judged, 1):.2%}){shares}; "
            f"{statistics.median(spent):.2f} ms, {max(spent):.1f} at most",
            flush=True,
        )


def luminance_of(data: bytes, side: int) -> NDArray[np.uint8]:
    """As the worker decodes it, beside pixels for a graph of 128 x 128."""
    luminance = decode(data, 128, 128, LIMITS, None, side).luminance
    assert luminance is not None
    return luminance


def images_under(folder: Path) -> list[Path]:
    """Every image file below a folder, by its ending."""
    endings = {f".{name.lower()}" for name in FORMATS} | {".jpg"}
    return [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in endings]


def labelled(folder: Path, label: str) -> list[Path]:
    """The files of `label` in labels.csv (columns path and label)."""
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as rows:
        return [folder / row["path"] for row in csv.DictReader(rows) if row["label"] == label]


def print_worst() -> None:
    """The slowest of some images made to be slow, for each side."""
    for side, reader in readers().items():
        times = {}
        for name, pixels in hostile(side):
            began = time.perf_counter()
            reader(pixels)
            times[name] = (time.perf_counter() - began) * 1000
        slowest = sorted(times, key=lambda name: -times[name])[:4]
        print(f"{side}: " + ", ".join(f"{name} {times[name]:.0f} ms" for name in slowest), flush=True)


def hostile(side: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Square images: noise, and everything that looks like the corners of many codes."""
    random = np.random.default_rng(0)
    yield "noise", random.integers(0, 256, (side, side), dtype=np.uint8)
    for module in (1, 2, 3, 4, 8):
        cells = random.integers(0, 2, (-(-side // module),) * 2, dtype=np.uint8) * 255
        yield f"black and white noise x{module}", enlarged(cells, module, side)
        for gap in (0, 1, 3, 7):
            tile = np.full((len(finder()) + gap,) * 2, 255, np.uint8)
            tile[: len(finder()), : len(finder())] = finder()
            count = -(-side // (len(tile) * module))
            yield (
                f"finder patterns x{module}, {gap} apart",
                enlarged(np.tile(tile, (count, count)), module, side),
            )
    for length in (1, 100, 1000, 2900):
        barcode = zxingcpp.create_barcode("x" * length, zxingcpp.BarcodeFormat.QRCode, ec_level="L")
        code = np.array(barcode.to_image(scale=1))
        damaged = np.where(random.random(code.shape) < 0.3, 255 - code, code).astype(np.uint8)
        damaged[: len(code) // 3], damaged[:, : len(code) // 3] = (
            code[: len(code) // 3],
            code[:, : len(code) // 3],
        )
        for kind, cells in (("whole", code), ("damaged", damaged)):
            count = -(-side // (2 * len(cells)))
            yield f"{kind} codes of {length} bytes", enlarged(np.tile(cells, (count, count)), 2, side)


def finder() -> NDArray[np.uint8]:
    """A finder pattern of QR codes (ISO/IEC 18004, 6.3.3) with a light border, 9 x 9 modules."""
    rings = np.abs(np.indices((9, 9)) - 4).max(axis=0)
    return np.where((rings == 2) | (rings == 4), 255, 0).astype(np.uint8)


def enlarged(cells: NDArray[np.uint8], module: int, side: int) -> NDArray[np.uint8]:
    """`cells` with `module` pixels each, cut to side x side."""
    return np.ascontiguousarray(cells.repeat(module, axis=0).repeat(module, axis=1)[:side, :side])


if __name__ == "__main__":
    main()
