"""Near-identical images must sit on one side of a split: a copy on the other would be known already."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from export.data import Dataset, Example

_THUMBNAIL = 8
_BLOCK = 1024


def grouped(dataset: Dataset, groups: NDArray[np.int64]) -> Dataset:
    """The images with groups joined wherever two of their images are near-identical.

    A group is called by the first of its own groups, so that the part that it falls in stays.

    Args:
        dataset: images, each in a group of its own (a sender, a shop).
        groups: of near-identical images [n]: see `near_identical`.

    """
    names = [example.group for example in dataset.examples]
    _, own = np.unique(np.array(names, dtype=str), return_inverse=True)
    # A node for each group of senders and for each group of copies; an image joins its two.
    offset = int(own.max()) + 1
    size = offset + int(groups.max()) + 1
    links = coo_array((np.ones(len(own)), (own, offset + groups)), (size, size))
    _, label = connected_components(links, directed=False)
    joined: dict[int, str] = {}
    for name, node in sorted(zip(names, label[own].tolist(), strict=True)):
        joined.setdefault(node, name)
    return Dataset(
        tuple(
            Example(example.path, example.name, example.label, joined[node])
            for example, node in zip(dataset.examples, label[own].tolist(), strict=True)
        ),
        dataset.skipped,
    )


def near_identical(*spaces: tuple[NDArray[np.float32], float]) -> NDArray[np.int64]:
    """Groups [n] of images that hang together by pairs that are near in every space.

    One space alone would join photos that it has no eye for, and chains of such pairs whole shops.

    Args:
        spaces: float32 [n, dim] of length 1, and the cosine distance up to which two images are near.

    """
    vectors, ones, others = spaces[0][0], [], []
    for at in range(0, len(vectors), _BLOCK):
        near = [own[at : at + _BLOCK] @ own.T >= 1 - distance for own, distance in spaces]
        one, other = np.nonzero(np.logical_and.reduce(near))
        ones.append(one + at)
        others.append(other)
    one, other = np.concatenate(ones), np.concatenate(others)
    links = coo_array((np.ones(len(one)), (one, other)), (len(vectors),) * 2)
    label: NDArray[np.int64] = connected_components(links, directed=False)[1].astype(np.int64)
    return label


def thumbnails(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Luminance of uint8 [n, side, side, 3] at 8 x 8, without its mean, of length 1: float32 [n, 64].

    For images without an embedding: copies saved anew, brighter or smaller lie within 0.01.
    """
    side = images.shape[1] // _THUMBNAIL * _THUMBNAIL
    light = images[:, :side, :side].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    cells = light.reshape(len(images), _THUMBNAIL, side // _THUMBNAIL, _THUMBNAIL, -1).mean(axis=(2, 4))
    flat = cells.reshape(len(images), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    # A flat image has no pattern to be told by: it stands apart from all.
    found: NDArray[np.float32] = np.where(length > 1, flat / np.maximum(length, 1e-6), 0).astype(np.float32)
    return found
