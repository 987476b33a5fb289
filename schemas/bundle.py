"""The manifest of a model bundle: what the files are, what they give, how good they are.

A bundle is a directory: `manifest.json` (this model), ONNX graphs with preprocessing inside
(uint8 pixels in), the tag forest, and a model card.
"""

import hashlib
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, model_validator

from schemas.policy import CODE_AREA, Policy

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="a file name, no path")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BundleFile(_Model):
    """One file of the bundle, held by its digest."""

    name: FileName
    bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256


class ImageInput(_Model):
    """The pixels that every graph takes: uint8 RGB, [batch, height, width, 3].

    `stretch` resizes the whole image to height x width without keeping its aspect ratio.
    """

    name: str = "images"
    height: Annotated[int, Field(ge=16, le=1024)]
    width: Annotated[int, Field(ge=16, le=1024)]
    resize: Literal["stretch"] = "stretch"


class Graph(_Model):
    """One ONNX file; `outputs` lists the graph outputs that heads below refer to."""

    file: FileName
    outputs: Annotated[list[str], Field(min_length=1)]


class EmbeddingHead(_Model):
    """The graph output [batch, dim] float32, L2-normalised, that search and tags use.

    Vectors of different `space` never meet in one index.
    """

    output: str
    dim: Annotated[int, Field(gt=0)]
    space: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]
    near_duplicate_distance: Annotated[
        float, Field(ge=0, le=2, description="cosine distance up to which two images are near-duplicates")
    ]


class ScoreHead(_Model):
    """A graph output [batch] float32, one score an image in [0, 1]."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    output: str
    kind: Literal["novelty", "preference"]
    description: str


class TagHead(_Model):
    """An XGBoost booster over the embedding: one probability a name, in this order."""

    file: FileName
    names: Annotated[list[str], Field(min_length=1)]
    minimum_score: Annotated[float, Field(ge=0, le=1, description="tags under it are not published")]


class BundleManifest(_Model):
    """`manifest.json` of a bundle."""

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+$")]
    created_at: AwareDatetime
    input: ImageInput
    graphs: Annotated[list[Graph], Field(min_length=1)]
    embedding: EmbeddingHead
    scores: list[ScoreHead]
    tags: TagHead | None = None
    policy: Policy
    files: list[BundleFile]
    figures: dict[str, JsonValue] = Field(default_factory=dict, description="as in the model card")

    @model_validator(mode="after")
    def _refers_to_what_it_holds(self) -> Self:
        held = {file.name for file in self.files}
        needed = {graph.file for graph in self.graphs} | ({self.tags.file} if self.tags else set())
        if missing := needed - held:
            raise ValueError(f"files lacks an entry for {sorted(missing)}")
        outputs = [name for graph in self.graphs for name in graph.outputs]
        if len(outputs) != len(set(outputs)):
            raise ValueError(f"an output name stands twice in graphs: {sorted(outputs)}")
        asked = {self.embedding.output, *(score.output for score in self.scores)}
        if missing := asked - set(outputs):
            raise ValueError(f"no graph has the output {sorted(missing)}")
        given = {score.name for score in self.scores}
        if CODE_AREA in given:
            raise ValueError(f"a score cannot be called {CODE_AREA}: the worker's codes stage gives that one")
        # Whether the codes stage is on is the worker's to say, at start-up.
        if unknown := self.policy.score_names() - given - {CODE_AREA}:
            raise ValueError(f"policy names scores that the bundle does not give: {sorted(unknown)}")
        return self


def bundle_id(manifest: BundleManifest, manifest_bytes: bytes) -> str:
    """`name-version-digest`: the id that stands on every result, unique to the bytes of the manifest."""
    return f"{manifest.name}-{manifest.version}-{hashlib.sha256(manifest_bytes).hexdigest()[:12]}"
