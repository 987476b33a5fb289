"""What the starter's vectors find among photos of senders and shops that were not trained on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from export.embedding.duplicates import distance_between, nearest_other
from export.retrieval import colour_histogram, retrieval
from export.starter.photos import Photo
from export.starter.recipe import Sources
from export.starter.seeds import Trained
from export.starter.vector_heads import Vectors, copy_figures, vectors_of

_FALSE_SHARE = 0.01
_UNLABELLED = "unlabelled"  # a photo that no query asks for


@dataclass(frozen=True)
class HeldCopies:
    """Of a split's photos of clothing: their vectors [n, d], those of their edits, and senders [n]."""

    own: Vectors
    edits: list[Vectors]
    senders: NDArray[np.str_]


def held_copies(trained: Trained, sources: Sources, split: str) -> HeldCopies:
    """The vectors of a split's photos and of their edits, of both heads at once."""
    photos = sources.photos[f"clothing-{split}"]
    return HeldCopies(
        vectors_of(trained.trunk, trained.vectors, sources.pixels[f"clothing-{split}"].exact),
        [vectors_of(trained.trunk, trained.vectors, edited) for edited in sources.held_edits[split]],
        np.array([photo.sender or photo.path.name for photo in photos]),
    )


def near_duplicates(
    calibration: HeldCopies, test: HeldCopies, head: Callable[[Vectors], NDArray[np.float32]]
) -> tuple[float, dict[str, JsonValue]]:
    """A head's distance, from calibration photos, and what it finds among test photos.

    At the distance at most one photo in a hundred has a false neighbour of another sender.
    """
    distance = distance_between(
        _apart(calibration, head).ravel(), _nearest(head(calibration.own), calibration.senders), _FALSE_SHARE
    )
    own = head(test.own)
    copies = np.stack([head(vectors) for vectors in test.edits])
    at = copy_figures(own, copies, test.senders.tolist())
    everyone = copy_figures(own, copies, [str(i) for i in range(len(own))])
    return distance, {
        "distance": distance,
        "copies within the distance, %": _percent(_apart(test, head) <= distance),
        "photos with a false neighbour of another sender, %": _percent(
            _nearest(own, test.senders) <= distance
        ),
        "photos with a neighbour of the same sender, %": _percent(nearest_other(own) <= distance),
        "copies found at one false pair in 10,000 of other senders": {
            name: round(share, 4) for name, share in at.items()
        },
        "the same, of all pairs": round(everyone["mean"], 4),
    }


def _apart(held: HeldCopies, head: Callable[[Vectors], NDArray[np.float32]]) -> NDArray[np.float32]:
    """Cosine distances of edits to their photos [EDITS, n]."""
    own = head(held.own)
    return np.stack([1 - (head(vectors) * own).sum(axis=1) for vectors in held.edits])


def _nearest(vectors: NDArray[np.float32], senders: NDArray[np.str_]) -> NDArray[np.float32]:
    """Cosine distance of each row to the nearest of another sender."""
    similar = vectors @ vectors.T
    similar[senders[:, None] == senders[None, :]] = -1
    distances: NDArray[np.float32] = 1 - similar.max(axis=1)
    return distances


def retrieval_figures(trained: Trained, sources: Sources) -> dict[str, JsonValue]:
    """Similar items on held photos, beside a histogram of colours of 128 bins."""
    rows: dict[str, JsonValue] = {}
    embedded = {
        key: vectors_of(trained.trunk, trained.vectors, pixels.exact).embedding
        for key, pixels in sources.pixels.items()
        if key.startswith(("clothing", "grocery"))
    }
    histograms = {key: colour_histogram(sources.pixels[key].exact) for key in embedded}
    for name, vectors in (("embedding", embedded), ("histogram of colours", histograms)):
        rows |= {f"{task}, {name}": found for task, found in _tasks(vectors, sources).items()}
    return {"retrieval on held photos": rows}


def _tasks(vectors: Mapping[str, NDArray[np.float32]], sources: Sources) -> dict[str, JsonValue]:
    photos = sources.photos
    held, test = _labels(photos["grocery-test"]), vectors["grocery-test"]
    others = np.concatenate([vectors["grocery-train"], vectors["grocery-calibration"]])
    known = np.concatenate([_labels(photos["grocery-train"]), _labels(photos["grocery-calibration"])])
    clothing = [i for i, photo in enumerate(photos["clothing-test"]) if photo.tags]
    garments = [photos["clothing-test"][i] for i in clothing]
    senders = np.array([photo.sender or photo.path.name for photo in garments])
    own, labels = vectors["clothing-test"][clothing], _labels(garments)
    return {
        "grocery, leave one out": retrieval(test, held, test, held, np.eye(len(test), dtype=bool)),
        "grocery, held against others": retrieval(test, held, others, known),
        "clothing, other senders": retrieval(own, labels, own, labels, senders[:, None] == senders[None, :]),
    }


def _labels(photos: list[Photo]) -> NDArray[np.str_]:
    return np.array([photo.tags[0] if photo.tags else _UNLABELLED for photo in photos])


def _percent(hits: NDArray[np.bool_]) -> float:
    return round(100 * float(hits.mean()), 2)
