"""The parts of the filter side by side: D(X), D(R(X)), restoration and fusion, each cut the same way."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from export.alocc.model import FUSED, Scores, score_images
from export.metrics import Fusion, measure, threshold_at_false_positives
from export.starter.filtering import Filter

Images = NDArray[np.uint8]
# Of each score: renders of other seeds that scale the fusion, and the held source that is measured.
HELD = {"text": ("notice-held", "notice-svg"), "qr": ("qr-photo-held", "qr-zxing")}


def side_by_side(
    filters: Filter, groups: Mapping[str, Images], threshold: Images, products: Images, share: float
) -> dict[str, JsonValue]:
    """AUROC, recall and false positives of every part, the cut set on `threshold` at `share`.

    Args:
        filters: the trained scores.
        groups: held notices and codes by name, those of HELD among them.
        threshold: products of calibration senders, uint8 [n, side, side, 3].
        products: held products, measured.
        share: of `threshold` that may pass for the class.

    """
    figures: dict[str, JsonValue] = {}
    for name, score in filters.by_name().items():
        scaling, held = HELD[name]
        parts = {
            key: score_images([score.model], images)[0]
            for key, images in {
                "scaling": groups[scaling],
                "inside": groups[held],
                "threshold": threshold,
                "outside": products,
            }.items()
        }
        figures |= {f"{name} by {part}": value for part, value in _measured(parts, share).items()}
    return figures


def _measured(parts: dict[str, Scores], share: float) -> dict[str, JsonValue]:
    fusion = Fusion.fit(parts["scaling"])
    for scores in parts.values():
        scores[FUSED] = fusion(scores)
    found: dict[str, JsonValue] = {}
    for part in parts["inside"]:
        cut = threshold_at_false_positives(parts["threshold"][part], share)
        measured = measure(parts["inside"][part], parts["outside"][part], cut)
        found[part] = {
            "AUROC": round(measured.auroc, 4),
            "recall %": round(100 * measured.recall, 1),
            "false positives %": round(100 * measured.false_positive_rate, 2),
        }
    return found
