"""Part: what a trained head leaves in its run folder, and all that a bundle needs of it.

RUN/parts/NAME/
    part.json       this model
    *.onnx, *.ubj   its graphs and tables, those that it shares with other heads among them
    examples.npz    pixels of a few images, and what the head's network gave of them

A Part is whole: it holds every graph that its head hangs on, so that it runs alone. Where Parts go into
one bundle, files of one digest are one file, and a trunk that heads share runs once.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from export.errors import PartError
from schemas.bundle import MEASURES, BundleFile, BundleManifest, Graph, Head, Measure, head_name
from schemas.policy import Policy, Threshold
from worker.model.infer import ImageBatch, Model
from worker.model.session import Execution

PARTS_FOLDER, PART_FILE, EXAMPLES_FILE = "parts", "part.json", "examples.npz"
Pixels = Sequence[NDArray[np.uint8]]


class DataSource(BaseModel):
    """Images that a head was trained, cut or measured on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    licence: str = "the owner's"
    use: str = ""


class Part(BaseModel):
    """`part.json`. `figures` are by the group of images that they were measured on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    head: Head
    graphs: list[Graph] = Field(min_length=1)
    files: list[BundleFile]
    threshold: Threshold | None = None
    category_thresholds: dict[str, Threshold] = Field(default_factory=dict)
    threshold_rule: str = Field("", description="how the threshold was set, and on which images")
    figures: dict[str, JsonValue] = Field(default_factory=dict)
    seeds: list[int] = Field(default_factory=list)
    data_sha256: str = ""
    sources: list[DataSource] = Field(default_factory=list)
    command: str = ""
    created_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    @property
    def name(self) -> str:
        """What its head is called."""
        return head_name(self.head)

    def policy(self) -> Policy:
        """What its thresholds ask for."""
        return Policy(
            thresholds={} if self.threshold is None else {self.name: self.threshold},
            categories={category: {self.name: own} for category, own in self.category_thresholds.items()},
        )

    def manifest(self) -> BundleManifest:
        """The manifest of a bundle of this head alone."""
        return BundleManifest(
            name="part", version="0", created_at=self.created_at, graphs=self.graphs, heads=[self.head],
            policy=Policy(), files=self.files,
        )  # fmt: skip


@dataclass(frozen=True)
class PartFolder:
    """A Part and the folder that its files lie in; `origin` is what a person called it."""

    path: Path
    part: Part
    origin: str


@dataclass(frozen=True)
class Examples:
    """Images of each input, uint8 [n, height, width, 3], and what the head gave, float32 [n] or [n, dim]."""

    pixels: Pixels
    outputs: NDArray[np.float32]


def describe_file(path: Path) -> BundleFile:
    """Name, size and digest of a file."""
    data = path.read_bytes()
    return BundleFile(name=path.name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def write_part(folder: Path, part: Part, examples: Examples | None = None) -> PartFolder:
    """Write `part.json`, and the examples that later checks run: the files of the Part lie in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    if examples is not None:
        named = {f"pixels{i}": pixels for i, pixels in enumerate(examples.pixels)}
        np.savez_compressed(folder / EXAMPLES_FILE, outputs=examples.outputs, **named)  # type: ignore[arg-type]
    (folder / PART_FILE).write_text(part.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return PartFolder(folder, part, str(folder))


def read_part(folder: Path, origin: str | None = None) -> PartFolder:
    """The Part in `folder`; every file's digest is checked.

    Raises:
        PartError: it is missing, damaged, or of another shape.

    """
    path = folder / PART_FILE
    try:
        part = Part.model_validate_json(path.read_bytes())
    except OSError as error:
        raise PartError(f"there is no Part in {folder}: {error}") from None
    except ValidationError as error:
        raise PartError(f"{path} does not fit: {error}") from None
    for file in part.files:
        if not (folder / file.name).is_file():
            raise PartError(f"{folder} lacks {file.name}: train the head again, or copy the whole folder")
        if describe_file(folder / file.name) != file:
            raise PartError(f"{folder / file.name} is damaged: its sha256 is not the one in {PART_FILE}")
    return PartFolder(folder, part, origin or str(folder))


def read_examples(folder: Path) -> Examples | None:
    """The examples of a Part, or None where it has none (a head taken out of a bundle)."""
    if not (folder / EXAMPLES_FILE).is_file():
        return None
    with np.load(folder / EXAMPLES_FILE) as held:
        count = sum(name.startswith("pixels") for name in held.files)
        return Examples([held[f"pixels{i}"] for i in range(count)], held["outputs"])


def run_part(
    found: PartFolder,
    pixels: Pixels,
    measured: Mapping[Measure, NDArray[np.float32]] | None = None,
    batch_size: int = 32,
    model: Model | None = None,
) -> NDArray[np.float32]:
    """What a Part's head gives of images, as the worker would run it: float32 [n] or [n, dim].

    Of a head of tags these are the vectors that its forest takes.

    Args:
        found: the Part.
        pixels: uint8 [n, height, width, 3] for each of its manifest's `image_inputs`.
        measured: float32 [n] by measure; ones where a graph asks and none are given.
        batch_size: rows at a time.
        model: its graphs, where they are loaded already.

    Raises:
        BundleError: a graph does not load or run.
        StageError: a graph gave values that are not finite.

    """
    manifest = found.part.manifest()
    model = model or Model(manifest, found.path, Execution())
    return np.concatenate([
        output_of(model, manifest, [part[start : start + batch_size] for part in pixels], measured)
        for start in range(0, len(pixels[0]), batch_size)
    ])  # fmt: skip


def output_of(
    model: Model,
    manifest: BundleManifest,
    pixels: Pixels,
    measured: Mapping[Measure, NDArray[np.float32]] | None = None,
    name: str | None = None,
) -> NDArray[np.float32]:
    """What one batch gives of the head called `name`, or of the only one."""
    given = measured or {measure: np.ones(len(pixels[0]), np.float32) for measure in MEASURES}
    found = model.infer(ImageBatch(pixels, given))
    head = manifest.heads[0] if name is None else next(h for h in manifest.heads if head_name(h) == name)
    kinds = {"embedding": found.embeddings, "copy": found.copies, "tags": found.tag_vectors}
    values = kinds.get(head.kind)
    output = found.scores[head_name(head)] if values is None else values
    return np.asarray(output, np.float32)
