"""The words of people that stand, from the verdicts of the moderated topic."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from schemas.events import ImageModerated, StandingReview

_TEST_SHARE = 0.3


@dataclass(frozen=True)
class Label:
    """What a person said about an image, with the verdict that says so."""

    verdict: ImageModerated

    @property
    def seller(self) -> str:
        """What a split keeps together, unless a pattern tells better: the listing, else the image."""
        return self.verdict.listing_id or self.verdict.image_id


class StandingWords:
    """The latest word on each image, as long as nobody takes it back. Memory grows with reviews alone."""

    def __init__(self) -> None:
        self._labels: dict[str, ImageModerated] = {}

    def add(self, values: Iterable[bytes | None]) -> None:
        """Verdicts, in the order of the log."""
        for value in values:
            try:
                body: dict[str, Any] = json.loads(value or b"")
                image_id = body["image_id"]
                if body.get("review") is None and image_id not in self._labels:
                    continue
                verdict = ImageModerated.read(value)
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
            if verdict.review is not None:
                self._labels[image_id] = verdict
            elif self._labels[image_id].image_sha256 == verdict.image_sha256:
                del self._labels[image_id]  # undone: the policy decides about the very same image again

    def keep(self, reviews: Iterable[bytes]) -> None:
        """Keep what stands on the topic of reviews alone: an image that its owner deleted is no label."""
        standing = {StandingReview.model_validate_json(value).event_id for value in reviews}
        self._labels = {
            image_id: verdict
            for image_id, verdict in self._labels.items()
            if verdict.review is not None and verdict.review.event_id in standing
        }

    def labels(self) -> Iterator[Label]:
        """One for each image by its bytes: of several ids with the same ones, the latest word."""
        by_bytes: dict[str, ImageModerated] = {}
        for verdict in self._labels.values():
            before = by_bytes.get(verdict.image_sha256)
            if before is None or before.decided_at < verdict.decided_at:
                by_bytes[verdict.image_sha256] = verdict
        return (Label(verdict) for _, verdict in sorted(by_bytes.items()))


def seller_of(label: Label, pattern: re.Pattern[str] | None) -> str:
    """The first group of `pattern` in the image id, else the listing, else the image id."""
    found = pattern.search(label.verdict.image_id) if pattern else None
    return found[1] if found else label.seller


def split_of(seller: str) -> str:
    """Train or test: a seller's images are on one side, always the same one."""
    position = int.from_bytes(hashlib.sha256(f"labels|{seller}".encode()).digest()[:8], "big") / 2**64
    return "test" if position < _TEST_SHARE else "train"
