"""What training does to a batch of images so that no shop's light or phone is learnt by heart."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def _per_image(n: int, low: float, high: float, like: Tensor) -> Tensor:
    return torch.empty(n, 1, 1, 1, device=like.device).uniform_(low, high)


def warp(images: Tensor, scale: float, turn: float, flip: Tensor) -> Tensor:
    """Zoom, turn, shift and mirror each image on its own.

    Args:
        images: float32 [n, 3, h, w] in [-1, 1].
        scale: zoom is drawn from 1 - scale to 1 + scale / 3; under 1 crops.
        turn: at most this many degrees, either way.
        flip: bool [n], which images are mirrored.

    """
    zoom = torch.empty(len(images), device=images.device).uniform_(1 - scale, 1 + scale / 3)
    grid = _grid(images, zoom, turn, flip)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def lay(images: Tensor, turn: float, smallest: float) -> Tensor:
    """Each image whole, turned, on a plain ground: white, black, or any colour.

    What is turned and laid on white may be a product or a notice: the ground must tell nothing.

    Args:
        images: float32 [n, 3, h, w] in [-1, 1].
        turn: at most this many degrees, either way.
        smallest: the image's sides are from `smallest` to 1.05 of the ground's.

    """
    n = len(images)
    zoom = 1 / torch.empty(n, device=images.device).uniform_(smallest, 1.05)
    grid = _grid(images, zoom, turn, torch.zeros(n, dtype=torch.bool, device=images.device))
    inside = torch.ones_like(images[:, :1])
    moved, covered = (
        F.grid_sample(what, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        for what in (images, inside)
    )
    ground = torch.empty(n, 3, 1, 1, device=images.device).uniform_(-1, 1)
    kind = torch.rand(n, 1, 1, 1, device=images.device)
    ground = torch.where(kind < 0.5, torch.ones_like(ground), ground)
    ground = torch.where(kind > 0.85, -torch.ones_like(ground), ground)
    return moved + (1 - covered) * ground


def _grid(images: Tensor, zoom: Tensor, turn: float, flip: Tensor) -> Tensor:
    """Where to sample each image [n, h, w, 2]: `zoom` [n] under 1 crops, over 1 shows what is beside it."""
    n, device = len(images), images.device
    angle = torch.empty(n, device=device).uniform_(-turn, turn) * math.pi / 180
    stretch = torch.empty(n, device=device).uniform_(0.9, 1.1)
    matrix = torch.zeros(n, 2, 3, device=device)
    matrix[:, 0, 0] = zoom * stretch * torch.cos(angle) * torch.where(flip, -1.0, 1.0)
    matrix[:, 0, 1] = -zoom * torch.sin(angle)
    matrix[:, 1, 0] = zoom * torch.sin(angle)
    matrix[:, 1, 1] = zoom / stretch * torch.cos(angle)
    room = (1 - zoom).abs().clamp_min(0.02)
    matrix[:, :, 2] = torch.empty(n, 2, device=device).uniform_(-1, 1) * room[:, None]
    return F.affine_grid(matrix, list(images.shape), align_corners=False)


def _some(n: int, share: float, like: Tensor) -> Tensor:
    """The indices of about `share` of n images."""
    return torch.nonzero(torch.rand(n, device=like.device) < share).flatten()


def colour(images: Tensor) -> Tensor:
    """Exposure, contrast, white balance, saturation and, for one in ten, grey; [n, 3, h, w] in [-1, 1].

    All but the exposure curve is linear in the channels, so it is one 3 x 3 product an image.
    """
    n, device = len(images), images.device

    def drawn(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.empty(n, channels, 1, device=device).uniform_(low, high)

    x = images * 0.5 + 0.5
    curved = _some(n, 0.4, images)
    x[curved] = x[curved].clamp_min(1e-3) ** _per_image(len(curved), 0.65, 1.5, images)
    keep = torch.where(drawn(0, 1) < 0.1, torch.zeros(n, 1, 1, device=device), drawn(0.5, 1.4))
    dark = torch.where(drawn(0, 1) < 0.08, drawn(0.35, 0.7), drawn(0.7, 1.2))
    gains = dark * drawn(0.9, 1.1, 3)
    contrast = drawn(0.7, 1.25)
    mixing = (keep * torch.eye(3, device=device) + (1 - keep) / 3) * gains * contrast
    middle = images[:, :, ::8, ::8].mean(dim=(1, 2, 3)).view(n, 1, 1) * 0.5 + 0.5
    x = torch.baddbmm((1 - contrast) * middle, mixing, x.flatten(2)).view_as(images)
    return x.clamp_(0, 1).mul_(2).sub_(1)


def mild(images: Tensor) -> Tensor:
    """A little of another exposure, white balance and contrast: colours stay; [n, 3, h, w] in [-1, 1]."""
    n, device = len(images), images.device

    def drawn(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.empty(n, channels, 1, 1, device=device).uniform_(low, high)

    light = images * 0.5 + 0.5
    middle = light.mean(dim=(1, 2, 3), keepdim=True)
    light = ((light - middle) * drawn(0.8, 1.2) + middle) * drawn(0.88, 1.12) * drawn(0.95, 1.05, 3)
    return light.clamp(0, 1) * 2 - 1


def spoil(images: Tensor) -> Tensor:
    """Blur some, add noise to some, hide a rectangle of some; [n, 3, h, w]. Works in place."""
    n, _, height, width = images.shape
    soft = _some(n, 0.2, images)
    if len(soft):
        blurred = F.avg_pool2d(F.pad(images[soft], (1, 1, 1, 1), mode="reflect"), 3, 1)
        images[soft] = torch.lerp(images[soft], blurred, _per_image(len(soft), 0.3, 1.0, images))
    grainy = _some(n, 0.2, images)
    if len(grainy):
        noise = torch.randn_like(images[grainy]) * _per_image(len(grainy), 0.0, 0.12, images)
        images[grainy] = (images[grainy] + noise).clamp_(-1, 1)
    for i in _some(n, 0.15, images).tolist():
        side = int(torch.randint(12, 44, ()))
        y, x = int(torch.randint(0, height - side, ())), int(torch.randint(0, width - side, ()))
        images[i, :, y : y + side, x : x + side] = torch.empty(3, 1, 1, device=images.device).uniform_(-1, 1)
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
    chance = torch.rand(2, len(images), device=images.device)
    flip = mirrored & (chance[0] < 0.5)
    moved = warp(images, 0.35 if strong else 0.25, 14 if strong else 8, flip)
    still = (chance[1] < (0.0 if strong else 0.35)) & ~flip
    moved = torch.where(still[:, None, None, None], images, moved)
    laid = _some(len(images), 0.2, images)
    if len(laid):
        moved[laid] = lay(images[laid], 25, 0.55)
    return spoil(colour(moved))


def view(images: Tensor, number: int) -> Tensor:
    """View `number` of images [n, 3, h, w] in [-1, 1], in which their colours move little.

    Every second one is spoilt, every fourth laid on a ground.
    """
    images = warp(images, 0.3, 10, torch.rand(len(images), device=images.device) < 0.5)
    if number % 4 == 3:
        images = lay(images, 10, 0.6)
    images = mild(images)
    return spoil(images) if number % 2 else images
