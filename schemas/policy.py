"""The decision policy: thresholds that an operator reads and changes without retraining."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Decision = Literal["accept", "review", "block"]


class Threshold(BaseModel):
    """What a score must reach for an image to be blocked, or shown to a person first.

    A missing level never applies, so the default has no `review` band.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    block: float | None = None
    review: float | None = None

    @model_validator(mode="after")
    def _review_comes_first(self) -> Self:
        if self.block is not None and self.review is not None and self.review > self.block:
            raise ValueError(f"review ({self.review}) must not be above block ({self.block})")
        return self


class Policy(BaseModel):
    """Thresholds by score name, with overrides by the shop category of the listing.

    A category's entry replaces the default threshold of that score alone; a score that no
    entry names decides nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    thresholds: dict[str, Threshold] = Field(default_factory=dict)
    categories: dict[str, dict[str, Threshold]] = Field(default_factory=dict)

    def for_category(self, category: str | None) -> dict[str, Threshold]:
        """Thresholds by score name that hold for a listing of this category."""
        return {**self.thresholds, **self.categories.get(category or "", {})}

    def score_names(self) -> set[str]:
        """Every score that some threshold is set on."""
        return set(self.thresholds).union(*self.categories.values())


class Reason(BaseModel):
    """Why an image was blocked or sent to review: which score reached which threshold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    score: str
    value: float
    threshold: float
    effect: Annotated[Decision, Field(description="the decision that this threshold asks for")]
