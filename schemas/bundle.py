"""The manifest of a model bundle: what the files are, what they give, how good they are.

A bundle is a directory: `manifest.json` (this model), ONNX graphs with preprocessing inside
(uint8 pixels in), the tag forest, and a model card.
"""

import hashlib
import itertools
import operator
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, model_validator

from schemas.policy import CODE_SCORES, Policy
from schemas.vector import Vector

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="a file name, no path")]
OutputName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
Measure = Literal[
    "width", "height", "bytes", "sharpness", "noise", "blockiness",
    "axis_difference_1", "axis_difference_2", "axis_difference_3", "axis_difference_4",
    "diagonal_difference_1", "diagonal_difference_2", "mixed_difference",
    "direction_cosine_1", "direction_cosine_2", "direction_cosine_4",
    "direction_sine_1", "direction_sine_2", "direction_sine_4",
]  # fmt: skip
MEASURES: tuple[Measure, ...] = get_args(Measure)
# Those that take a decoding of their own.
DETAIL_MEASURES: frozenset[Measure] = frozenset(MEASURES) - {"width", "height", "bytes"}


# Bins of a reference.
BINS = 10


def _is_empty(value: dict[str, list[float]]) -> bool:
    return not value


def score_bin(value: float) -> int:
    """Which of the BINS bins of 0 to 1 a score falls into."""
    return min(BINS - 1, max(0, int(value * BINS)))


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BundleFile(_Model):
    """One file of the bundle, held by its digest."""

    name: FileName
    bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256


class ImageInput(_Model):
    """Pixels that a graph takes: uint8 RGB, [batch, height, width, 3].

    `stretch` resizes the whole image to height x width without keeping its aspect ratio. `crop` keeps the
    middle: the image is made so small that height x width is `crop_share` of its shorter side. `letterbox`
    keeps the whole image and its aspect ratio, in the middle of a `fill` grey.
    """

    kind: Literal["pixels"] = "pixels"
    height: Annotated[int, Field(ge=16, le=1024)]
    width: Annotated[int, Field(ge=16, le=1024)]
    resize: Literal["stretch", "crop", "letterbox"] = "stretch"
    filter: Literal["bilinear", "bicubic"] = "bilinear"
    crop_share: Annotated[float, Field(gt=0, le=1, description="of `crop`: 224 of 256 is 0.875")] = 1.0
    fill: Annotated[int, Field(ge=0, le=255, description="of `letterbox`: the grey beside the image")] = 255


class OutputInput(_Model):
    """What another graph gives: float32 [batch, ...]. So a trunk runs once for all heads."""

    kind: Literal["output"] = "output"
    output: OutputName


class MeasuredInput(_Model):
    """Numbers that the decoder measures, float32 [batch, measures]: sides in pixels, size of the file.

    And of the full-size luminance sharpness, noise and blockiness, as `worker.model.detail` defines them, and
    differences and directions, as `worker.model.direction` does.
    """

    kind: Literal["measured"] = "measured"
    measures: Annotated[list[Measure], Field(min_length=1)]


GraphInput = Annotated[ImageInput | OutputInput | MeasuredInput, Field(discriminator="kind")]


class Graph(_Model):
    """One ONNX file.

    `inputs` says where each input of the file comes from. `outputs` gives each name that the bundle knows
    an output by, and the file's own name of it.
    """

    file: FileName
    inputs: Annotated[dict[str, GraphInput], Field(min_length=1)]
    outputs: Annotated[dict[OutputName, str], Field(min_length=1)]


class EmbeddingHead(_Model):
    """The graph output [batch, dim] float32, L2-normalised, that search uses.

    Vectors of different `space` never meet in one index.
    """

    kind: Literal["embedding"] = "embedding"
    output: OutputName
    dim: Annotated[int, Field(gt=0)]
    space: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]
    near_duplicate_distance: Annotated[
        float, Field(ge=0, le=2, description="cosine distance up to which two images are near-duplicates")
    ]
    # Left out where there are none, so that such a manifest is what it was before there were attributes.
    attributes: Annotated[
        dict[str, Vector],
        Field(
            description="vectors of the space that a search may add or take off, by name",
            exclude_if=operator.not_,
        ),
    ] = {}

    @model_validator(mode="after")
    def _attributes_lie_in_the_space(self) -> Self:
        for name, vector in self.attributes.items():
            if vector.dim != self.dim:
                raise ValueError(f"the attribute {name!r} has {vector.dim} numbers, the space {self.dim}")
            if not np.isfinite(vector.to_array()).all():
                raise ValueError(f"the attribute {name!r} has values that are not finite")
        return self


class CopyHead(_Model):
    """The graph output [batch, dim] float32, L2-normalised, by which edited copies of one image are known.

    Two photos of one thing lie further from each other than in the embedding, the same photo cropped, framed
    or captioned nearer.
    """

    kind: Literal["copy"] = "copy"
    output: OutputName
    dim: Annotated[int, Field(gt=0)]
    space: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]
    near_duplicate_distance: Annotated[
        float, Field(ge=0, le=2, description="cosine distance up to which two images are copies")
    ]


class ScoreHead(_Model):
    """A graph output [batch] float32, one score an image in [0, 1]."""

    kind: Literal["novelty", "preference"]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    output: OutputName
    description: str


def _is_booster(value: str) -> bool:
    return value == "booster"


class TagHead(_Model):
    """Tags over a graph output [batch, dim] float32.

    A forest (schemas/forest.py) has names, thresholds and a version of its own. A booster is one of XGBoost,
    which gives one probability a name, in order.
    """

    kind: Literal["tags"] = "tags"
    output: OutputName
    file: FileName
    # Left out of a booster's manifest, which is then what it was before there were forests.
    format: Literal["booster", "forest"] = Field("booster", exclude_if=_is_booster)
    names: Annotated[list[str], Field(description="of a booster; a forest holds its own")] = []
    minimum_score: Annotated[float, Field(ge=0, le=1, description="tags under it are not published")]

    @model_validator(mode="after")
    def _has_names_once(self) -> Self:
        if (self.format == "booster") != bool(self.names):
            raise ValueError("names belong to a booster, which has some; a forest holds its own")
        return self


AnyHead = EmbeddingHead | CopyHead | ScoreHead | TagHead
Head = Annotated[AnyHead, Field(discriminator="kind")]


def head_name(head: AnyHead) -> str:
    """What a head is called: a score by its name, others by their kind."""
    return head.name if isinstance(head, ScoreHead) else head.kind


class BundleManifest(_Model):
    """`manifest.json` of a bundle. Any head may be missing; graphs stand in the order in which they run."""

    schema_version: Literal[2] = 2
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+$")]
    created_at: AwareDatetime
    graphs: Annotated[list[Graph], Field(min_length=1)]
    heads: Annotated[list[Head], Field(min_length=1)]
    policy: Policy
    files: list[BundleFile]
    # Left out when there is none, so that a manifest without it stays what it was.
    reference: Annotated[
        dict[str, list[Annotated[float, Field(ge=0, le=1)]]],
        Field(
            description="shares of images by score, in ten equal bins from 0 to 1, of uploads as they should "
            "be: what serving is compared with",
            exclude_if=_is_empty,
        ),
    ] = Field(default_factory=dict)
    figures: dict[str, JsonValue] = Field(default_factory=dict, description="as in the model card")

    @model_validator(mode="before")
    @classmethod
    def _from_version_1(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        version = data.get("schema_version", 1 if "input" in data else 2)
        if version != 1:
            return data
        try:
            return from_version_1(data)
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"it is no manifest of version 1: {error}") from error

    def block_thresholds(self) -> dict[str, float]:
        """From which value on a score blocks by the bundle's own policy, whatever the category."""
        return {name: own.block for name, own in self.policy.thresholds.items() if own.block is not None}

    @property
    def embedding(self) -> EmbeddingHead | None:
        """The head that search uses."""
        return next((head for head in self.heads if isinstance(head, EmbeddingHead)), None)

    @property
    def copies(self) -> CopyHead | None:
        """The head that edited copies are known by."""
        return next((head for head in self.heads if isinstance(head, CopyHead)), None)

    @property
    def scores(self) -> list[ScoreHead]:
        """The scores, in order."""
        return [head for head in self.heads if isinstance(head, ScoreHead)]

    @property
    def tags(self) -> TagHead | None:
        """The tags."""
        return next((head for head in self.heads if isinstance(head, TagHead)), None)

    def image_inputs(self) -> list[ImageInput]:
        """Every kind of pixels that the graphs take, each once, in the order of first use."""
        inputs = [source for graph in self.graphs for source in graph.inputs.values()]
        return list(dict.fromkeys(source for source in inputs if isinstance(source, ImageInput)))

    def detail_measures(self) -> frozenset[Measure]:
        """The numbers of the full-size luminance that graphs take."""
        sources = (source for graph in self.graphs for source in graph.inputs.values())
        asked = (source.measures for source in sources if isinstance(source, MeasuredInput))
        return DETAIL_MEASURES.intersection(itertools.chain.from_iterable(asked))

    @model_validator(mode="after")
    def _refers_to_what_it_holds(self) -> Self:
        held = {file.name for file in self.files}
        needed = {graph.file for graph in self.graphs} | ({self.tags.file} if self.tags else set())
        if missing := needed - held:
            raise ValueError(f"files lacks an entry for {sorted(missing)}")
        given = set(_outputs_in_order(self.graphs))
        if missing := {head.output for head in self.heads} - given:
            raise ValueError(f"no graph has the output {sorted(missing)}")
        if odd := [name for name, shares in self.reference.items() if len(shares) != BINS]:
            raise ValueError(f"reference has {BINS} shares a score; {odd[0]} has others")
        names = [head_name(head) for head in self.heads]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"a head stands twice in heads: {sorted(twice)}")
        scores = {score.name for score in self.scores}
        if taken := CODE_SCORES & scores:
            raise ValueError(
                f"a score cannot be called {min(taken)}: the worker's codes stage gives that one"
            )
        # Whether the codes stage is on is the worker's to say, at start-up.
        if unknown := self.policy.score_names() - scores - CODE_SCORES:
            raise ValueError(f"policy names scores that the bundle does not give: {sorted(unknown)}")
        return self


def _outputs_in_order(graphs: list[Graph]) -> Iterator[str]:
    """Every output; a graph takes outputs of earlier graphs alone."""
    known: set[str] = set()
    for graph in graphs:
        for source in graph.inputs.values():
            if isinstance(source, OutputInput) and source.output not in known:
                raise ValueError(f"{graph.file} takes {source.output!r}, which no graph before it gives")
        if twice := known & set(graph.outputs):
            raise ValueError(f"an output name stands twice in graphs: {sorted(twice)}")
        known |= set(graph.outputs)
        yield from graph.outputs


def from_version_1(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest of version 1 (one size of pixels, heads in fields of their own) as one of version 2."""
    rest = {
        key: value for key, value in manifest.items() if key not in {"input", "embedding", "scores", "tags"}
    }
    pixels, embedding = dict(manifest.get("input") or {}), manifest.get("embedding")
    name = pixels.pop("name", "images")
    heads = [{"kind": "embedding", **embedding}] if isinstance(embedding, dict) else []
    heads += [*(manifest.get("scores") or [])]
    if isinstance(tags := manifest.get("tags"), dict) and isinstance(embedding, dict):
        heads.append({"kind": "tags", "output": embedding.get("output"), **tags})
    graphs = [
        {
            "file": graph.get("file"),
            "inputs": {name: {"kind": "pixels", **pixels}},
            "outputs": {output: output for output in graph.get("outputs") or []},
        }
        for graph in manifest.get("graphs") or []
    ]
    return {**rest, "schema_version": 2, "graphs": graphs, "heads": heads}


def bundle_id(manifest: BundleManifest, manifest_bytes: bytes) -> str:
    """`name-version-digest`: the id that stands on every result, unique to the bytes of the manifest."""
    return f"{manifest.name}-{manifest.version}-{hashlib.sha256(manifest_bytes).hexdigest()[:12]}"
