"""The decision policy: thresholds that an operator reads and changes without retraining."""

from collections.abc import Iterable
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Decision = Literal["accept", "review", "block"]

# The score that the codes stage gives, beside those of the bundle; absent where no code was read.
CODE_AREA: Final = "code_area"
# Scores of what the codes say, 0 or 1: given where codes were read and the policy names them.
CODE_FOREIGN: Final = "code_foreign"
CODE_DENIED: Final = "code_denied"
CODE_PAYMENT: Final = "code_payment"
CODE_MESSENGER: Final = "code_messenger"
CODE_SCORES: Final = frozenset({CODE_AREA, CODE_FOREIGN, CODE_DENIED, CODE_PAYMENT, CODE_MESSENGER})

Host = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]


def _is_none(value: object) -> bool:
    return value is None


class Exemption(BaseModel):
    """While this score is under `below`, a threshold has no effect. An absent score exempts from nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    score: str
    below: float


class Threshold(BaseModel):
    """What a score must reach for an image to be blocked, or shown to a person first.

    A missing level never applies, so the default has no `review` band. Where `unless` holds, reaching a
    level has no effect.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    block: float | None = None
    review: float | None = None
    # Left out when unset, so that the digest of a policy without one stays what it was.
    unless: Exemption | None = Field(None, exclude_if=_is_none)

    @model_validator(mode="after")
    def _levels_fit(self) -> Self:
        if self.block is not None and self.review is not None and self.review > self.block:
            raise ValueError(f"review ({self.review}) must not be above block ({self.block})")
        if self.unless is not None and self.block is None and self.review is None:
            raise ValueError("unless exempts from nothing: set block or review as well")
        return self


class CodeRules(BaseModel):
    """Hosts that codes may or must not lead to; a host stands for those below it too.

    `code_foreign` is 0 where every code leads to an allowed host, else 1; `code_denied` is 1 where one leads
    to a denied host.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    allowed_hosts: list[Host] = Field(default_factory=list)
    denied_hosts: list[Host] = Field(default_factory=list)


Probability = Annotated[float, Field(ge=0, le=1)]
# An enriched event of so many tags is about 3 kB.
MOST_TAGS: Final = 32


class TagLimits(BaseModel):
    """Which tags are published. `minimum` raises the threshold that each has, `thresholds` replace it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    most: Annotated[int, Field(ge=0, description="tags of an image, the likeliest")] | None = None
    minimum: Annotated[Probability, Field(description="tags under it are not published")] | None = None
    thresholds: dict[str, Probability] = Field(
        default_factory=dict, description="by tag: published from there"
    )
    allowed: Annotated[list[str], Field(description="if set, no others")] | None = None
    denied: list[str] = Field(default_factory=list, description="never published")


class TagRules(TagLimits):
    """Limits of all listings, and by shop category what differs there.

    A category's `most`, `minimum` and `allowed` take the place of the default ones; its `thresholds` and
    `denied` are added to them.
    """

    most: Annotated[int, Field(ge=0, description="tags of an image, the likeliest")] | None = MOST_TAGS
    categories: dict[str, TagLimits] = Field(default_factory=dict)

    def for_category(self, category: str | None) -> TagLimits:
        """What holds for a listing of this category."""
        own = self.categories.get(category or "")
        if own is None:
            return self
        return TagLimits(
            most=self.most if own.most is None else own.most,
            minimum=self.minimum if own.minimum is None else own.minimum,
            thresholds={**self.thresholds, **own.thresholds},
            allowed=self.allowed if own.allowed is None else own.allowed,
            denied=[*self.denied, *own.denied],
        )

    def names(self) -> set[str]:
        """Every tag that some limit names."""
        every = (self, *self.categories.values())
        return {
            name for limits in every for name in (*limits.thresholds, *(limits.allowed or ()), *limits.denied)
        }


class Policy(BaseModel):
    """Thresholds by score name, with overrides by the shop category of the listing.

    A category's entry replaces the default threshold of that score alone; a score that no
    entry names decides nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    thresholds: dict[str, Threshold] = Field(default_factory=dict)
    categories: dict[str, dict[str, Threshold]] = Field(default_factory=dict)
    # Left out when unset, so that the digest of a policy without them stays what it was.
    codes: CodeRules | None = Field(None, exclude_if=_is_none)
    tags: TagRules | None = Field(None, exclude_if=_is_none)

    def for_category(self, category: str | None) -> dict[str, Threshold]:
        """Thresholds by score name that hold for a listing of this category."""
        return {**self.thresholds, **self.categories.get(category or "", {})}

    def score_names(self) -> set[str]:
        """Every score that some threshold is set on, or that exempts from one."""
        tables = (self.thresholds, *self.categories.values())
        exempting = {
            threshold.unless.score
            for thresholds in tables
            for threshold in thresholds.values()
            if threshold.unless is not None
        }
        return exempting.union(*tables)


class Exempted(BaseModel):
    """The exemption that held: the score's value, which is under `below`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    score: str
    value: float
    below: float


class Reason(BaseModel):
    """A score that reached a threshold, and what came of it: why an image was blocked or sent to review.

    With `exempted_by` the threshold was reached without effect.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    score: str
    value: float
    threshold: float
    effect: Annotated[
        Decision, Field(description="the decision that this threshold asks for; accept where it is exempted")
    ]
    exempted_by: Exempted | None = Field(None, exclude_if=_is_none)


Direction = Literal["stricter", "laxer"]

# How strict each decision is.
STRICTNESS: dict[Decision, int] = {"accept": 0, "review": 1, "block": 2}


def disagreements(served: Iterable[Reason], tried: Iterable[Reason]) -> list[tuple[str, Direction]]:
    """Each score that leads elsewhere in what is tried, and where to; a score that leads nowhere accepts."""
    before, after = _effects(served), _effects(tried)
    found: list[tuple[str, Direction]] = []
    for score in sorted(before.keys() | after.keys()):
        change = after.get(score, 0) - before.get(score, 0)
        if change:
            found.append((score, "stricter" if change > 0 else "laxer"))
    return found


def _effects(reasons: Iterable[Reason]) -> dict[str, int]:
    return {reason.score: STRICTNESS[reason.effect] for reason in reasons}
