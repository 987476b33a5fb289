"""Tag: embeddings to tags with probabilities, by the bundle's XGBoost forest."""

from pathlib import Path

import numpy as np
import xgboost
from numpy.typing import NDArray

from schemas.bundle import TagHead
from schemas.events import Tag
from worker.errors import BundleError, StageError


class Tagger:
    """The tag forest of a bundle."""

    def __init__(self, head: TagHead, directory: Path, threads: int) -> None:
        """Load the forest.

        Raises:
            BundleError: it does not load, or gives another number of tags than the manifest names.

        """
        self._head = head
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

    def __call__(self, embeddings: NDArray[np.float32]) -> list[list[Tag]]:
        """For each row of `embeddings` [n, dim], the tags over the minimum score, the best first.

        Raises:
            StageError: the forest failed.

        """
        probabilities = self._probabilities(embeddings).reshape(len(embeddings), -1)
        return [self._tags_of(row) for row in probabilities]

    def _probabilities(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            return np.asarray(self._booster.inplace_predict(embeddings), np.float32)
        except (xgboost.core.XGBoostError, ValueError) as error:
            raise StageError(f"{self._head.file} failed: {error}") from error

    def _tags_of(self, row: NDArray[np.float32]) -> list[Tag]:
        chosen = np.flatnonzero(row >= self._head.minimum_score)
        order = chosen[np.argsort(-row[chosen], kind="stable")]
        return [Tag(name=self._head.names[i], score=round(float(row[i]), 4)) for i in order]
