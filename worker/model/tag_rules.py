"""Tag rules: what an operator lets through of a tag set, by the shop category of the listing."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.policy import TagLimits, TagRules

logger = logging.getLogger(__name__)

NEVER = 2.0  # a probability that no tag reaches
_SHOWN = 10


@dataclass(frozen=True)
class CompiledRules:
    """Of a tag set: for each category that has limits of its own, and for the others in row 0.

    `asked` float32 [categories, tags] is the probability from which a tag is published, `most` [categories]
    how many tags an image may have.
    """

    rules: TagRules
    rows: dict[str, int]
    asked: NDArray[np.float32]
    most: list[int]

    def row_of(self, category: str | None) -> int:
        """Where a listing of this category is looked up."""
        return self.rows.get(category or "", 0)


def compile_rules(rules: TagRules, names: Sequence[str], own: NDArray[np.float32]) -> CompiledRules:
    """The rules for tags `names`, whose own thresholds are `own` float32 [tags]."""
    place = {name: at for at, name in enumerate(names)}
    if unknown := sorted(rules.names() - set(place)):
        logger.warning(
            "the policy names %d tags that the set does not have: %s", len(unknown), unknown[:_SHOWN]
        )
    each = [rules, *(rules.for_category(category) for category in rules.categories)]
    return CompiledRules(
        rules,
        {category: row for row, category in enumerate(rules.categories, start=1)},
        np.stack([_asked(limits, place, own) for limits in each]),
        [limits.most if limits.most is not None else len(names) for limits in each],
    )


def _asked(limits: TagLimits, place: dict[str, int], own: NDArray[np.float32]) -> NDArray[np.float32]:
    asked = own.astype(np.float32).copy()
    if limits.minimum is not None:
        asked = np.maximum(asked, np.float32(limits.minimum))
    for name, threshold in limits.thresholds.items():
        if name in place:
            asked[place[name]] = threshold
    if limits.allowed is not None:
        allowed = [place[name] for name in limits.allowed if name in place]
        kept = asked[allowed]
        asked[:] = NEVER
        asked[allowed] = kept
    asked[[place[name] for name in limits.denied if name in place]] = NEVER
    return asked
