"""Deep, shallow and deep + shallow vectors over a trained net, drawn together by labels.

Wang et al., "Learning fine-grained image similarity with deep ranking" (CVPR 2014): a triplet hinge on
squared distances, semi-hard or hard triplets (by pytorch-metric-learning); or a supervised contrast beside
it. Both parts start as what they are without training, the net's own vector and a histogram of colours:
random ones ended far below. Each is trained on its own; their join has a fixed share of each.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.distances import LpDistance
from torch import Tensor, nn
from torch.nn import functional as F

from export.embedding.heads import Shallow, principal_directions
from export.embedding.ranking_views import Views, shrunk
from export.embedding.trunk import to_input
from export.progress import told

Architecture = Literal["deep", "shallow", "deep + shallow"]
Loss = Literal["triplet", "contrast"]
Mining = Literal["hard", "semihard", "all"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)
VECTORS, IMAGES = "vector", "images"
_DEEP_DIM, _SHALLOW_DIM = 192, 64
_LEVELS_A_CHANNEL, _SHARPNESS = 6, 60.0
_BATCH = 64
# Of the joined vector's length, chosen on calibration photos.
DEEP_SHARE = 0.7


@dataclass(frozen=True)
class RankingSettings:
    """How both parts are trained; fixed before any test."""

    loss: Loss = "triplet"
    mining: Mining = "semihard"
    margin: float = 0.2  # of squared distances, as published
    temperature: float = 0.1  # of the contrast
    scale: float = 16.0  # of the cosines to the classes' means
    steps: int = 400
    classes: int = 32  # of a batch
    each: int = 4  # images of a class in it
    learning_rate: float = 2e-3
    blocks_learning_rate: float = 5e-4
    weight_decay: float = 0.02
    kept: float = 0.3  # of the net's own weights in what is served


class Deep(nn.Module):
    """A net's vector [n, width] to [n, dim] of length 1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.1)
        self.project = nn.Linear(width, min(_DEEP_DIM, width), bias=False)

    @torch.no_grad()
    def start_from(self, vectors: Tensor) -> None:
        """Make it the directions in which `vectors` [n, width] are largest: nearly themselves."""
        self.project.weight.copy_(principal_directions(vectors, len(self.project.weight)))

    def forward(self, vectors: Tensor) -> Tensor:
        """See the class."""
        return F.normalize(self.project(self.dropout(vectors)), dim=1)


class RankingHead(nn.Module):
    """Of a net's vector [n, width] and the pixels, or one of them: [n, dim] of length 1."""

    def __init__(self, deep: Deep | None, shallow: Shallow | None) -> None:
        super().__init__()
        self.deep, self.shallow = deep, shallow

    def inputs(self) -> list[str]:
        """The inputs of `forward`, in order."""
        return [VECTORS] * (self.deep is not None) + [IMAGES] * (self.shallow is not None)

    def join(self, vectors: Tensor | None, small: Tensor | None) -> Tensor:
        """Of vectors [n, width] and averaged images [n, 3, side, side] in [-1, 1], those that it takes."""
        parts = []
        if self.deep is not None:
            parts.append(self.deep(vectors))
        if self.shallow is not None:
            parts.append(self.shallow(small))
        if len(parts) == 2:
            parts = [parts[0] * DEEP_SHARE**0.5, parts[1] * (1 - DEEP_SHARE) ** 0.5]
        return torch.cat(parts, dim=1)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Of `inputs`: vectors float32 [n, width], images uint8 [n, height, width, 3]."""
        given = dict(zip(self.inputs(), inputs, strict=True))
        return self.join(given.get(VECTORS), shrunk(to_input(given[IMAGES])) if IMAGES in given else None)


def train_ranking_heads(
    blocks: nn.Module, views: Views, labels: NDArray[np.str_], settings: RankingSettings, seed: int
) -> dict[Architecture, RankingHead]:
    """Images of one label together, others apart, by either part. Same seed, same heads.

    Args:
        blocks: what the views hold, float32 [n, ...], to the net's vectors [n, width]; trained too, in place.
        views: of the images.
        labels: [n], two or more; those of one image alone still part others.
        settings: loss, mining and length.
        seed: of weights and batches.

    """
    torch.manual_seed(seed)
    _, own = np.unique(labels, return_inverse=True)
    truth = torch.from_numpy(own)
    vectors, small = vectors_of(blocks, views.seen[0]), _pixels(views.small[0])
    deep, shallow = Deep(vectors.shape[1]), Shallow(_SHALLOW_DIM, _LEVELS_A_CHANNEL, _SHARPNESS)
    deep.start_from(vectors)
    shallow.start_from(small)
    shallow.bins.requires_grad_(False)  # half of a step's time, for nothing that shows
    tuned = nn.ModuleList([blocks, deep])
    before = deepcopy(tuned.state_dict())
    apart = [_Apart(part, truth, settings) for part in (deep(vectors), shallow(small))]
    optimiser = _optimiser(blocks, [deep, shallow, *apart], settings)
    rates = [group["lr"] for group in optimiser.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, settings.steps + 1, pct_start=0.15)
    for _ in told(settings.steps, "deep and shallow"):
        rows = _drawn(truth, settings)
        taken = torch.randint(len(views.seen), rows.shape).numpy(), rows.numpy()
        seen, small = torch.from_numpy(views.seen[taken]).float(), _pixels(views.small[taken])
        value = apart[0](deep(blocks(seen)), truth[rows]) + apart[1](shallow(small), truth[rows])
        optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(list(blocks.parameters()), 2.0)
        optimiser.step()
        schedule.step()
    _average(tuned, before, settings.kept)
    deep, shallow = deep.eval(), shallow.eval()
    return {
        "deep": RankingHead(deep, None),
        "shallow": RankingHead(None, shallow),
        "deep + shallow": RankingHead(deep, shallow),
    }


@torch.no_grad()
def vectors_of(blocks: nn.Module, seen: NDArray[np.floating]) -> Tensor:
    """The net's vectors, float32 [n, width], of what views hold [n, ...]."""
    rows = range(0, len(seen), _BATCH)
    return torch.cat([blocks(torch.from_numpy(seen[at : at + _BATCH]).float()) for at in rows])


def _pixels(small: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(small).float() / 127.5 - 1


def _optimiser(blocks: nn.Module, heads: list[nn.Module], settings: RankingSettings) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [
        {"params": list(blocks.parameters()), "lr": settings.blocks_learning_rate},
        {"params": [value for head in heads for value in head.parameters()]},
    ]
    given = [group for group in groups if group["params"]]
    return torch.optim.AdamW(given, settings.learning_rate, weight_decay=settings.weight_decay)


@torch.no_grad()
def _average(trained: nn.Module, before: dict[str, Tensor], kept: float) -> None:
    """Draw weights back to those `before`, by the share `kept` (Wortsman et al., "Robust fine-tuning", 2022).

    What a net knew of photos unlike those it was trained on comes back, and little of the rest is lost.
    """
    for name, value in trained.state_dict().items():
        if value.is_floating_point():
            value.lerp_(before[name], kept)


class _Apart(nn.Module):
    """The loss of one part: pairs or triplets of a batch, and the classes, which start as their means."""

    def __init__(self, vectors: Tensor, truth: Tensor, settings: RankingSettings) -> None:
        super().__init__()
        count = int(truth.max()) + 1
        means = torch.zeros(count, vectors.shape[1]).index_add_(0, truth, vectors.detach())
        self.classes = nn.Parameter(F.normalize(means, dim=1))
        self.scale, self.pairs = settings.scale, _Pairs(settings)

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """Of vectors [n, dim] of length 1 and their labels [n]."""
        cosines = vectors @ F.normalize(self.classes, dim=1).T
        told_apart = F.cross_entropy(self.scale * cosines, labels, label_smoothing=0.05)
        return told_apart + self.pairs(vectors, labels)


class _Pairs:
    def __init__(self, settings: RankingSettings) -> None:
        self._mine = None
        if settings.loss == "contrast":
            self._loss = losses.SupConLoss(temperature=settings.temperature)
            return
        distance = LpDistance(power=2)
        self._loss = losses.TripletMarginLoss(margin=settings.margin, distance=distance)
        self._mine = miners.TripletMarginMiner(settings.margin, settings.mining, distance=distance)

    def __call__(self, vectors: Tensor, labels: Tensor) -> Tensor:
        mined = None if self._mine is None else self._mine(vectors, labels)
        value: Tensor = self._loss(vectors, labels, mined)
        return value


def _drawn(truth: Tensor, settings: RankingSettings) -> Tensor:
    """Rows of a batch: some classes, evenly, and as many images of each, with repetition."""
    classes = torch.randperm(int(truth.max()) + 1)[: settings.classes]
    return torch.cat(
        [
            rows[torch.randint(len(rows), (settings.each,))]
            for rows in ((truth == label).nonzero().flatten() for label in classes)
        ]
    )


@torch.no_grad()
def ranked(head: RankingHead, vectors: NDArray[np.float32], small: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The head's vectors, float32 [n, dim] of length 1."""
    rows = range(0, len(small), _BATCH)
    given = ((torch.from_numpy(vectors[at : at + _BATCH]), _pixels(small[at : at + _BATCH])) for at in rows)
    found: NDArray[np.float32] = torch.cat([head.join(*parts) for parts in given]).numpy()
    return found
