"""Photo quality: a head trained on versions of photos, and how often it ranks those of others right."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from export.data import Dataset
from export.errors import DatasetError
from export.loop import cosine
from export.preference.head import PreferenceHead, train_preference
from export.preference.ladder import QUALITY_DEGRADATIONS
from export.preference.versions import ELSEWHERE, Ladders, Versions, ladders

_LEVEL_NAMES = ("mild", "medium", "heavy")
_TILT_OF_RESAMPLED = "tilt of a resampled photo"
_RESAMPLED_SHARE = 0.15
_FEWEST = 2
EPOCHS = 45
# Both chosen on photos that no seed of `mekiki evaluate quality` holds (docs/models.md).
_HIDDEN = 256
_WEIGHT_OF_ORIGINAL = 3.0


def versions_of_split(versions: Versions, split: Mapping[str, Dataset]) -> tuple[Versions, Versions]:
    """Those to learn from, and those held.

    Raises:
        DatasetError: of a set fewer than two photos decode.

    """
    parts = {name: versions.of(split[name]) for name in ("train", "test")}
    for name, part in parts.items():
        if len(part.names) < _FEWEST:
            raise DatasetError(f"of the set {name!r} {len(part.names)} photos decode; give more images")
    return parts["train"], parts["test"]


def train_quality_head(versions: Versions, seed: int, epochs: int | None = None) -> PreferenceHead:
    """RankNet over the versions that training may see; `epochs` are usually EPOCHS."""
    seen = ladders(versions, np.random.default_rng(seed), QUALITY_DEGRADATIONS, _RESAMPLED_SHARE)
    return train_preference(seen.quality, seed, epochs or EPOCHS, _HIDDEN, _rate, _WEIGHT_OF_ORIGINAL)


def held_ladders(versions: Versions, seed: int) -> Ladders:
    """Ladders to measure with; beside those of training, tilts by renderers that it never sees.

    And tilts below an original that was resampled as finely: what is known of the tilt itself.
    """
    rng = np.random.default_rng(seed)
    usual = ladders(versions, rng, (*QUALITY_DEGRADATIONS, *ELSEWHERE), 0.0)
    resampled = ladders(versions, rng, ("tilt",), 1.0)
    return Ladders(
        np.concatenate([usual.quality, resampled.quality]),
        np.concatenate([usual.kinds, np.full(len(resampled.kinds), _TILT_OF_RESAMPLED)]),
    )


@torch.no_grad()
def ranked_right(head: PreferenceHead, held: Ladders) -> NDArray[np.bool_]:
    """Whether each version is ranked below its original: [n, LEVELS]."""
    utility = head.margin(torch.from_numpy(held.quality).flatten(0, 1)).view(len(held.kinds), -1)
    found: NDArray[np.bool_] = (utility[:, :1] > utility[:, 1:]).numpy()
    return found


def pairs_right_by_kind(head: PreferenceHead, held: Ladders) -> dict[str, float]:
    """Share of versions that are ranked below their original, by kind and level; of usual kinds the mean."""
    right = ranked_right(head, held)
    by_kind = {kind: right[held.kinds == kind].mean(axis=0) for kind in sorted(set(held.kinds.tolist()))}
    usual = np.stack([by_kind[kind] for kind in by_kind if kind in QUALITY_DEGRADATIONS])
    found = {}
    for kind, shares in {"all": usual.mean(axis=0), **by_kind}.items():
        found[kind] = round(float(shares.mean()), 4)
        found |= {
            f"{kind}, {level}": round(float(share), 4)
            for level, share in zip(_LEVEL_NAMES, shares, strict=True)
        }
    return found


def _rate(progress: float) -> float:
    return 4e-3 * cosine(progress)
