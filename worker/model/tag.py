"""Tag: vectors to tags with probabilities, by the bundle's forest or by one booster of XGBoost."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.bundle import TagHead
from schemas.events import Tag
from schemas.policy import TagRules
from worker.cores import cores
from worker.errors import BundleError, StageError
from worker.model.forest.calibrate import least_margins, probabilities
from worker.model.forest.evaluate import Evaluator
from worker.model.forest.file import ForestFile, open_forest
from worker.model.forest.kernels import choose_kernel
from worker.model.tag_rules import CompiledRules, compile_rules

_DEFAULT_RULES = TagRules()


class Tagger(Protocol):
    """What gives tags. Owned by one thread."""

    @property
    def version(self) -> str:
        """Of the tag set: equal versions are equal bytes."""

    @property
    def dim(self) -> int:
        """Of the vectors that it takes."""

    @property
    def names(self) -> Sequence[str]:
        """Every tag that it knows."""

    def __call__(
        self,
        vectors: NDArray[np.float32],
        categories: Sequence[str | None] | None = None,
        rules: TagRules | None = None,
    ) -> list[list[Tag]]:
        """For each row of `vectors` [n, dim], the tags that are published, the best first.

        Args:
            vectors: float32 [n, dim].
            categories: the shop category of each listing.
            rules: what an operator lets through; the default ones limit the number alone.

        Raises:
            StageError: the forest failed.

        """

    def close(self) -> None:
        """Give back what it holds; it is asked nothing more."""


def load_tagger(head: TagHead, directory: Path, threads: int) -> Tagger:
    """The tags of a bundle.

    Raises:
        BundleError: they do not load, or are not what the manifest says.

    """
    if head.format == "forest":
        return ForestTagger(open_forest(directory / head.file), head.minimum_score, threads)
    return BoosterTagger(head, directory, threads)


class ForestTagger:
    """A forest: every tag has its own trees, threshold and calibration."""

    def __init__(self, forest: ForestFile, minimum_score: float, threads: int) -> None:
        self.forest, self.version = forest, forest.version
        self.dim, self.names = forest.header.dim, forest.names
        self._evaluator = Evaluator(forest, choose_kernel(len(forest.trees)), threads)
        self._own = np.maximum(forest.tags["threshold"], np.float32(minimum_score))
        self._rules: CompiledRules | None = None
        self._least = np.empty((0, 0), np.float32)
        # So that what is compiled or mapped late is there before the first batch.
        self(np.zeros((1, self.dim), np.float32))

    def close(self) -> None:
        """See `Tagger.close`."""
        self._evaluator.close()

    def __call__(
        self,
        vectors: NDArray[np.float32],
        categories: Sequence[str | None] | None = None,
        rules: TagRules | None = None,
    ) -> list[list[Tag]]:
        """See `Tagger`."""
        if vectors.shape[1] != self.dim:
            raise StageError(
                f"tags {self.version} take vectors of {self.dim} numbers, not {vectors.shape[1]}"
            )
        compiled = self._compiled(rules or _DEFAULT_RULES)
        row_of = np.array(
            [compiled.row_of(category) for category in categories or [None] * len(vectors)], int
        )
        hits = self._evaluator.hits(vectors, self._least.min(axis=0))
        published = hits.margins >= self._least[row_of[hits.images], hits.tags]
        tags, images = hits.tags[published], hits.images[published]
        scores = probabilities(self.forest, tags, hits.margins[published])
        rows: list[list[Tag]] = [[] for _ in vectors]
        for place in np.lexsort((tags, -scores)):
            image = images[place]
            if len(rows[image]) < compiled.most[row_of[image]]:
                score = round(float(scores[place]), 4)
                rows[image].append(Tag(name=self.names[tags[place]], score=score))
        return rows

    def _compiled(self, rules: TagRules) -> CompiledRules:
        if self._rules is None or self._rules.rules is not rules:
            self._rules = compile_rules(rules, self.names, self._own)
            self._least = np.stack([least_margins(self.forest, asked) for asked in self._rules.asked])
        return self._rules


class BoosterTagger:
    """One booster of XGBoost, which gives a probability a name."""

    def __init__(self, head: TagHead, directory: Path, threads: int) -> None:
        """Load the booster.

        Raises:
            BundleError: it does not load, or gives another number of tags than the manifest names.

        """
        try:
            import xgboost  # noqa: PLC0415 - a forest needs none
        except ModuleNotFoundError as error:
            raise BundleError(f"{head.file} is a booster, which needs XGBoost: {error}") from error
        self._head = head
        self._failures: tuple[type[Exception], ...] = (xgboost.core.XGBoostError, ValueError)
        self._booster = xgboost.Booster()
        try:  # what quotes a damaged file in its message is no UTF-8, which is a ValueError
            self._booster.load_model(str(directory / head.file))
            self._booster.set_param({"nthread": threads or cores()})
            dim = self._booster.num_features()
            given = np.atleast_2d(self._probabilities(np.zeros((1, dim), np.float32))).shape[1]
        except (*self._failures, StageError) as error:
            raise BundleError(f"{head.file} does not load: {error}") from error
        if given != len(head.names):
            raise BundleError(f"{head.file} gives {given} tags, the manifest names {len(head.names)}")
        digest = hashlib.sha256((directory / head.file).read_bytes()).hexdigest()
        self.version, self.dim, self.names = f"booster-{digest[:12]}", dim, head.names
        self._own = np.full(given, head.minimum_score, np.float32)
        self._rules: CompiledRules | None = None

    def close(self) -> None:
        """See `Tagger.close`."""

    def __call__(
        self,
        vectors: NDArray[np.float32],
        categories: Sequence[str | None] | None = None,
        rules: TagRules | None = None,
    ) -> list[list[Tag]]:
        """See `Tagger`."""
        rules = rules or _DEFAULT_RULES
        if self._rules is None or self._rules.rules is not rules:
            self._rules = compile_rules(rules, self.names, self._own)
        scores = self._probabilities(vectors).reshape(len(vectors), -1)
        rows = [self._rules.row_of(category) for category in categories or [None] * len(vectors)]
        return [self._tags_of(row, self._rules, own) for row, own in zip(scores, rows, strict=True)]

    def _probabilities(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            return np.asarray(self._booster.inplace_predict(vectors), np.float32)
        except self._failures as error:
            raise StageError(f"{self._head.file} failed: {error}") from error

    def _tags_of(self, scores: NDArray[np.float32], rules: CompiledRules, row: int) -> list[Tag]:
        chosen = np.flatnonzero(scores >= rules.asked[row])
        order = chosen[np.argsort(-scores[chosen], kind="stable")][: rules.most[row]]
        return [Tag(name=self.names[i], score=round(float(scores[i]), 4)) for i in order]
