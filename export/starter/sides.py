"""The parts of the filter side by side: D(X), D(R(X)), restoration, margin, and what is served."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from export.starter.filtering import Filter
from export.starter.graph import NoveltyScore
from export.starter.measure import auroc
from export.starter.reach import notice_groups, product_groups
from export.starter.training import Features, features_of
from export.starter.trunk import Trunk

HELD = {"text": "notice-browser", "qr": "qr-zxing"}


@torch.no_grad()
def part_values(score: NoveltyScore, features: Features) -> dict[str, NDArray[np.float32]]:
    """Every part's value for each row [n]; higher should mean of the class."""
    evidence, types = torch.from_numpy(features.evidence), torch.from_numpy(features.types)
    plain, through = score.alocc.discriminate(evidence)
    restoration, margin = score.parts(evidence, types).T
    found = {
        "D(X)": plain,
        "D(R(X))": through,
        "restoration": restoration,
        "margin": margin,
        "served": score.fused(evidence, types),
    }
    return {name: value.numpy() for name, value in found.items()}


def side_by_side(trunk: Trunk, filters: Filter, data: Path, cache: Path) -> dict[str, JsonValue]:
    """AUROC of every part: the held source of each class against held product photos."""
    products = product_groups(data, cache)
    photos = features_of(trunk, np.concatenate([products["clothing-test"], products["grocery-test"]]))
    notices = notice_groups(data, cache)
    figures: dict[str, JsonValue] = {}
    for name, score in (("text", filters.text), ("qr", filters.qr)):
        inside = part_values(score, features_of(trunk, notices[HELD[name]]))
        outside = part_values(score, photos)
        figures[f"AUROC of {name}, {HELD[name]} against held products"] = {
            part: auroc(inside[part], outside[part]) for part in inside
        }
    return figures
