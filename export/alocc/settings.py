"""What a training of ALOCC is asked: data, models, schedule. All of it goes into `config.json`."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from export.alocc.model import ModelSettings
from export.alocc.step import StepSettings

Space = Literal["pixel", "feature", "verdict", "encoder"]

PIXEL_MODEL = ModelSettings()
# The deepest block that still has 7 x 7 places at 224 px: the earlier the block, the more cartons
# with print on them are restored like notices.
FEATURE_MODEL = ModelSettings(
    side=224,
    trunk="mobilenet_v2",
    trunk_blocks=15,
    widths=(96,),
    strides=(1,),
    code="local",
    code_size=32,
    restored="anywhere",
    discriminator_widths=(32,),
    discriminator_strides=(2,),
)
# The starter bundle's own space: 32 numbers an image.
VERDICT_MODEL = ModelSettings(
    side=128,
    trunk="starter",
    widths=(64,),
    strides=(1,),
    code="dense",
    code_size=4,
    restored="within_class",
    error="mean_square",
    discriminator_widths=(32,),
    discriminator_strides=(1,),
)

# An encoder's own vectors (`mekiki train embedding`); `encoder` is filled in.
ENCODER_MODEL = ModelSettings(
    trunk="encoder",
    widths=(128,),
    strides=(1,),
    code="dense",
    code_size=16,
    restored="within_class",
    error="mean_square",
    discriminator_widths=(32,),
    discriminator_strides=(1,),
)


class DataSettings(BaseModel):
    """Where images come from; sources as `export.data.parse_source` reads them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    positive: Annotated[list[str], Field(min_length=1)]
    product: Annotated[list[str], Field(min_length=1)]
    test_positive: list[str] = []
    test_product: list[str] = []
    path_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None
    encoding: str | None = None
    copies: list[str] = []
    max_broken: Annotated[float, Field(ge=0, le=1)] = 0.1


class SpaceSettings(BaseModel):
    """One model and how it is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: ModelSettings
    step: StepSettings
    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=2)] = 64


class AloccSettings(BaseModel):
    """A training of one target class in one or two spaces, over several seeds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: DataSettings
    spaces: dict[Space, SpaceSettings]
    seeds: Annotated[list[int], Field(min_length=1)]
    weights: str = "none"
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] = "novelty"
    description: str = ""
    false_positive_rate: Annotated[float, Field(gt=0, lt=1)] = 0.003

    @model_validator(mode="after")
    def _seeds_differ(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"a seed stands twice in {self.seeds}")
        return self
