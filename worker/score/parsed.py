"""What a record is parsed to: an upload, a deletion, perhaps one, nothing to do, or several of these."""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.events import ImageDeleted, ImageReviewed, ImageUploaded
from worker.score.outcome import PassedOver, Several


@dataclass(frozen=True)
class PerhapsDeleted:
    """A version of an object is gone; only its store knows whether another one is there to be shown.

    `header` is where the store says which version it serves, and `version` the one that is gone.
    `gone_if_unnamed` is what holds where the answer names no version.
    """

    deleted: ImageDeleted
    url: str
    header: str
    version: str
    gone_if_unnamed: bool

    def is_gone(self, answer: Mapping[str, str]) -> bool:
        """Whether the image is deleted although its URL answers (with this header): from a cache, then."""
        served = answer.get(self.header)
        return self.gone_if_unnamed if served is None else served == self.version


Parsed = ImageUploaded | ImageDeleted | ImageReviewed | PerhapsDeleted | PassedOver | Several
