"""Tag: vectors to tags with probabilities, by the bundle's forest or by one booster of XGBoost."""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.bundle import TagHead
from schemas.events import Tag
from worker.errors import BundleError, StageError
from worker.model.forest.calibrate import least_margins, probabilities
from worker.model.forest.evaluate import Evaluator
from worker.model.forest.file import ForestFile, open_forest
from worker.model.forest.kernels import choose_kernel


class Tagger(Protocol):
    """What gives tags. Owned by one thread."""

    @property
    def version(self) -> str | None:
        """Of the tag set; None where the bundle's id is all there is."""

    def __call__(self, vectors: NDArray[np.float32]) -> list[list[Tag]]:
        """For each row of `vectors` [n, dim], the tags over the minimum score, the best first.

        Raises:
            StageError: the forest failed.

        """


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
        self._evaluator = Evaluator(forest, choose_kernel(len(forest.trees)), threads)
        asked = np.maximum(forest.tags["threshold"], np.float32(minimum_score))
        self._least = least_margins(forest, asked)

    def __call__(self, vectors: NDArray[np.float32]) -> list[list[Tag]]:
        """See `Tagger`."""
        if vectors.shape[1] != self.forest.header.dim:
            raise StageError(
                f"tags {self.version} take vectors of {self.forest.header.dim} numbers, "
                f"not {vectors.shape[1]}"
            )
        hits = self._evaluator.hits(vectors, self._least)
        scores = probabilities(self.forest, hits.tags, hits.margins)
        rows: list[list[Tag]] = [[] for _ in vectors]
        for place in np.lexsort((hits.tags, -scores)):
            score = round(float(scores[place]), 4)
            rows[hits.images[place]].append(Tag(name=self.forest.names[hits.tags[place]], score=score))
        return rows


class BoosterTagger:
    """One booster of XGBoost, which gives a probability a name."""

    version = None

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
        try:
            self._booster.load_model(str(directory / head.file))
        except xgboost.core.XGBoostError as error:
            raise BundleError(f"{head.file} does not load: {error}") from error
        self._booster.set_param({"nthread": threads})
        dim = self._booster.num_features()
        given = np.atleast_2d(self._probabilities(np.zeros((1, dim), np.float32))).shape[1]
        if given != len(head.names):
            raise BundleError(f"{head.file} gives {given} tags, the manifest names {len(head.names)}")

    def __call__(self, vectors: NDArray[np.float32]) -> list[list[Tag]]:
        """See `Tagger`."""
        scores = self._probabilities(vectors).reshape(len(vectors), -1)
        return [self._tags_of(row) for row in scores]

    def _probabilities(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            return np.asarray(self._booster.inplace_predict(vectors), np.float32)
        except self._failures as error:
            raise StageError(f"{self._head.file} failed: {error}") from error

    def _tags_of(self, row: NDArray[np.float32]) -> list[Tag]:
        chosen = np.flatnonzero(row >= self._head.minimum_score)
        order = chosen[np.argsort(-row[chosen], kind="stable")]
        return [Tag(name=self._head.names[i], score=round(float(row[i]), 4)) for i in order]
