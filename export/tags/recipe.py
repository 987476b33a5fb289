"""Recipe: what every tag of a set is trained with, also those that are added later."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class TagRecipe(BaseModel):
    """How one tag is trained; the same for all of a set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: Annotated[int, Field(ge=1, le=1000)] = 6
    rounds: Annotated[int, Field(ge=0, le=1000, description="of boosting, at most")] = 50
    eta: Annotated[float, Field(gt=0, le=1)] = 0.05
    rounds_tried: list[int] = Field(
        [0, 5, 10, 20, 50], description="numbers of rounds that held-back senders choose from; 0: no trees"
    )
    trees_from: Annotated[
        int, Field(ge=1, description="images with the tag under which it gets no trees")
    ] = 200
    subsample: Annotated[float, Field(gt=0, le=1)] = 0.8
    colsample: Annotated[float, Field(gt=0, le=1)] = 0.3
    l2: Annotated[float, Field(ge=0)] = 5.0
    most_bins: Annotated[int, Field(ge=2, le=256, description="that a split of a code chooses from")] = 64
    least_child_weight: Annotated[float, Field(ge=0)] = 1.0
    linear: Annotated[bool, Field(description="a logistic regression under the trees")] = True
    penalty: Annotated[float, Field(gt=0, description="C of the logistic regression")] = 1.0
    most_rows: Annotated[int, Field(ge=100, description="images that one tag is trained on")] = 5000
    hard_share: Annotated[
        float, Field(ge=0, le=1, description="of the others: those most like the tag; the rest at random")
    ] = 0.5
    folds: Annotated[int, Field(ge=2, le=20, description="of senders, each held back once")] = 3
    calibration: Literal["platt", "isotonic"] = "platt"
    seed: int = 0


# As published (PixivTagPredictor): deep trees, many rounds, nothing under them. Too deep to be served: its
# figures are measured, `mekiki evaluate tags`.
PUBLISHED = TagRecipe(
    depth=1000, rounds=300, eta=0.025, rounds_tried=[300], trees_from=1, subsample=1, colsample=1, l2=1,
    linear=False, most_bins=256,
)  # fmt: skip
