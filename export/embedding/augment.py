"""What training does to a batch of images so that no shop's light or phone is learnt by heart."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def _per_image(n: int, low: float, high: float) -> Tensor:
    return torch.empty(n, 1, 1, 1).uniform_(low, high)


def warp(images: Tensor, scale: float, turn: float, flip: Tensor) -> Tensor:
    """Zoom, turn, shift and mirror each image on its own.

    Args:
        images: float32 [n, 3, h, w] in [-1, 1].
        scale: zoom is drawn from 1 - scale to 1 + scale / 3; under 1 crops.
        turn: at most this many degrees, either way.
        flip: bool [n], which images are mirrored.

    """
    n = len(images)
    angle = torch.empty(n).uniform_(-turn, turn) * math.pi / 180
    zoom = torch.empty(n).uniform_(1 - scale, 1 + scale / 3)
    stretch = torch.empty(n).uniform_(0.9, 1.1)
    room = (1 - zoom).clamp_min(0.02)
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0] = zoom * stretch * torch.cos(angle) * torch.where(flip, -1.0, 1.0)
    matrix[:, 0, 1] = -zoom * torch.sin(angle)
    matrix[:, 1, 0] = zoom * torch.sin(angle)
    matrix[:, 1, 1] = zoom / stretch * torch.cos(angle)
    matrix[:, :, 2] = torch.empty(n, 2).uniform_(-1, 1) * room[:, None]
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _some(n: int, share: float) -> Tensor:
    """The indices of about `share` of n images."""
    return torch.nonzero(torch.rand(n) < share).flatten()


def colour(images: Tensor) -> Tensor:
    """Exposure, contrast, white balance, saturation and, for one in ten, grey; [n, 3, h, w] in [-1, 1].

    All but the exposure curve is linear in the channels, so it is one 3 x 3 product an image.
    """
    n = len(images)
    x = images * 0.5 + 0.5
    curved = _some(n, 0.4)
    x[curved] = x[curved].clamp_min(1e-3) ** _per_image(len(curved), 0.65, 1.5)
    keep = torch.where(
        torch.rand(n, 1, 1) < 0.1, torch.zeros(n, 1, 1), torch.empty(n, 1, 1).uniform_(0.5, 1.4)
    )
    gains = torch.empty(n, 1, 1).uniform_(0.7, 1.2) * torch.empty(n, 3, 1).uniform_(0.9, 1.1)
    contrast = torch.empty(n, 1, 1).uniform_(0.7, 1.25)
    mixing = (keep * torch.eye(3) + (1 - keep) / 3) * gains * contrast
    middle = images[:, :, ::8, ::8].mean(dim=(1, 2, 3)).view(n, 1, 1) * 0.5 + 0.5
    x = torch.baddbmm((1 - contrast) * middle, mixing, x.flatten(2)).view_as(images)
    return x.clamp_(0, 1).mul_(2).sub_(1)


def spoil(images: Tensor) -> Tensor:
    """Blur some, add noise to some, hide a rectangle of some; [n, 3, h, w]. Works in place."""
    n, _, height, width = images.shape
    soft = _some(n, 0.2)
    if len(soft):
        blurred = F.avg_pool2d(F.pad(images[soft], (1, 1, 1, 1), mode="reflect"), 3, 1)
        images[soft] = torch.lerp(images[soft], blurred, _per_image(len(soft), 0.3, 1.0))
    grainy = _some(n, 0.2)
    if len(grainy):
        noise = torch.randn_like(images[grainy]) * _per_image(len(grainy), 0.0, 0.12)
        images[grainy] = (images[grainy] + noise).clamp_(-1, 1)
    for i in _some(n, 0.15).tolist():
        side = int(torch.randint(12, 44, ()))
        y, x = int(torch.randint(0, height - side, ())), int(torch.randint(0, width - side, ()))
        images[i, :, y : y + side, x : x + side] = torch.empty(3, 1, 1).uniform_(-1, 1)
    return images


def random_crop(wide: Tensor, side: int) -> Tensor:
    """Each image's own window: uint8 [n, W, W, 3] to [n, side, side, 3]."""
    room = wide.shape[1] - side
    offsets = torch.randint(0, room + 1, (len(wide), 2)).tolist()
    return torch.stack(
        [image[y : y + side, x : x + side] for image, (y, x) in zip(wide, offsets, strict=True)]
    )


def augment(images: Tensor, mirrored: Tensor, strong: bool = False) -> Tensor:
    """A view to train on: float32 [n, 3, h, w] in [-1, 1]; `mirrored` bool [n] says what may be mirrored."""
    flip = mirrored & (torch.rand(len(images)) < 0.5)
    moved = warp(images, 0.35 if strong else 0.25, 14 if strong else 8, flip)
    still = (torch.rand(len(images)) < (0.0 if strong else 0.35)) & ~flip
    moved = torch.where(still[:, None, None, None], images, moved)
    return spoil(colour(moved))
