"""What a search by example finds: recall, normalised discounted cumulative gain, mean average precision."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import JsonValue


def retrieval(
    queries: NDArray[np.float32],
    wanted: NDArray[np.str_],
    items: NDArray[np.float32],
    labels: NDArray[np.str_],
    excluded: NDArray[np.bool_] | None = None,
    k: int = 5,
) -> dict[str, JsonValue]:
    """R@1, R@k, nDCG@k and mAP by cosine, over the queries that some item has the label of.

    A gain is 1 for an item of the query's label (Jarvelin and Kekalainen, ACM TOIS 20(4), 2002).

    Args:
        queries: float32 [n, d], of length 1.
        wanted: the label of each query [n].
        items: float32 [m, d], of length 1.
        labels: the label of each item [m].
        excluded: bool [n, m], what a query may not find: itself, or its own sender's.
        k: how many are looked at.

    """
    similar = queries @ items.T
    allowed = np.ones(similar.shape, bool) if excluded is None else ~excluded
    order = np.argsort(np.where(allowed, -similar, np.inf), axis=1, kind="stable")
    right = (labels[order] == wanted[:, None]) & np.take_along_axis(allowed, order, axis=1)
    right = right[right.any(axis=1)].astype(np.float64)
    if not len(right):
        return {"queries": 0}
    there = right.sum(axis=1)
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.array([discount[: min(k, int(count))].sum() for count in there])
    precision = np.cumsum(right, axis=1) / np.arange(1, right.shape[1] + 1)
    figures = {
        "R@1": right[:, 0].mean(),
        f"R@{k}": right[:, :k].any(axis=1).mean(),
        f"nDCG@{k}": ((right[:, :k] * discount[: right.shape[1]]).sum(axis=1) / ideal).mean(),
        "mAP": ((right * precision).sum(axis=1) / there).mean(),
    }
    return {"queries": len(right), **{name: round(float(value), 4) for name, value in figures.items()}}


def colour_histogram(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Square roots of the shares of 128 colours (8 hues, 4 saturations, 4 values): float32 [n, 128]."""
    rows = []
    for image in images:
        hue, saturation, value = np.moveaxis(
            np.asarray(Image.fromarray(image).convert("HSV")).astype(int), -1, 0
        )
        bins = (hue >> 5) * 16 + (saturation >> 6) * 4 + (value >> 6)
        rows.append(np.sqrt(np.bincount(bins.ravel(), minlength=128) / bins.size))
    return np.array(rows, np.float32)
