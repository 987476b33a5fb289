"""Outliers made from the target class itself, to show D more than R's own restorations.

Late in training R(X) is nearly X, and D learns nothing but the faint traces of R: published D is
near chance, or the wrong way round. A part of what it must refuse is therefore the class's own
images with their layout broken: turned, halves swapped, one half mirrored. No other image is needed.
(The idea of self-made outliers: Zaheer et al., "Old is Gold", CVPR 2020; Golan and El-Yaniv, NeurIPS 2018.)
"""

import torch
from torch import Tensor

_KINDS = 6


def corrupt(maps: Tensor, chance: Tensor) -> Tensor:
    """Break the layout of square maps [n, c, h, h], each in the way that `chance` [n] in [0, 1) picks."""
    half = maps.shape[-1] // 2
    mirrored = maps.clone()
    mirrored[:, :, :half] = mirrored[:, :, :half].flip(3)
    kinds = (
        maps.rot90(1, (2, 3)),
        maps.rot90(2, (2, 3)),
        maps.rot90(3, (2, 3)),
        maps.roll(half, 2),
        maps.roll(half, 3),
        mirrored,
    )
    picked = (chance * _KINDS).long()
    return torch.stack([kinds[kind][row] for row, kind in enumerate(picked.tolist())])
