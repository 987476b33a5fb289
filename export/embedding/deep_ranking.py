"""Deep, shallow and deep + shallow heads over a frozen trained encoder, drawn together by labels.

Wang et al., "Learning fine-grained image similarity with deep ranking" (CVPR 2014): a triplet hinge on
squared distances, semi-hard or hard triplets (by pytorch-metric-learning); or a supervised contrast beside
it. The deep part starts as the encoder's own vector: a random one ended far below it.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.distances import LpDistance
from torch import Tensor, nn
from torch.nn import functional as F

from export.embedding.heads import DEEP_SHARE, Shallow
from export.embedding.trunk import to_input
from export.progress import told

Architecture = Literal["deep", "shallow", "deep + shallow"]
Loss = Literal["triplet", "contrast"]
Mining = Literal["hard", "semihard", "all"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)
VECTORS, IMAGES = "vector", "images"
_DEEP_DIM, _SHALLOW_DIM = 192, 64
_SIDE = 16  # of the averaged image: its colours are all that the shallow part has a soft histogram of


@dataclass(frozen=True)
class RankingSettings:
    """How a head is trained; fixed before any test."""

    loss: Loss = "triplet"
    mining: Mining = "semihard"
    margin: float = 0.2  # of squared distances, as published
    temperature: float = 0.1  # of the contrast
    steps: int = 400
    classes: int = 32  # of a batch
    each: int = 4  # images of a class in it
    learning_rate: float = 1e-3
    weight_decay: float = 0.01


class RankingHead(nn.Module):
    """Of an encoder's vector [n, width] and the pixels, or one of them: [n, dim] of length 1."""

    def __init__(self, architecture: Architecture, width: int) -> None:
        super().__init__()
        self.architecture = architecture
        self.deep = None if architecture == "shallow" else nn.Linear(width, min(_DEEP_DIM, width), bias=False)
        self.shallow = None if architecture == "deep" else Shallow(_SHALLOW_DIM)
        self.dropout = nn.Dropout(0.1)
        # The deep part's share of the joined vector, as a logit.
        self.share = nn.Parameter(torch.tensor(DEEP_SHARE).logit())

    @torch.no_grad()
    def start_from(self, vectors: Tensor) -> None:
        """Make the deep part the directions in which `vectors` [n, width] are largest: nearly themselves."""
        if self.deep is not None:
            _, directions = torch.linalg.eigh(vectors.T @ vectors)
            self.deep.weight.copy_(directions[:, -len(self.deep.weight) :].T)

    def inputs(self) -> list[str]:
        """The inputs of `forward`, in order."""
        return [VECTORS] * (self.deep is not None) + [IMAGES] * (self.shallow is not None)

    def join(self, vectors: Tensor | None, small: Tensor | None) -> Tensor:
        """Of vectors [n, width] and averaged images [n, 3, side, side] in [-1, 1], those that it takes."""
        parts = []
        if self.deep is not None:
            assert vectors is not None
            parts.append(F.normalize(self.deep(self.dropout(vectors)), dim=1))
        if self.shallow is not None:
            assert small is not None
            parts.append(self.shallow(small))
        if len(parts) == 1:
            return parts[0]
        share = self.share.sigmoid()
        return torch.cat([parts[0] * share.sqrt(), parts[1] * (1 - share).sqrt()], dim=1)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Of `inputs`: vectors float32 [n, width], images uint8 [n, height, width, 3]."""
        given = dict(zip(self.inputs(), inputs, strict=True))
        return self.join(given.get(VECTORS), shrunk(given[IMAGES]) if IMAGES in given else None)


def shrunk(images: Tensor) -> Tensor:
    """Averaged images [n, 3, side, side] of uint8 images [n, height, width, 3]."""
    return F.avg_pool2d(to_input(images), images.shape[1] // _SIDE)


def train_ranking_head(
    architecture: Architecture,
    vectors: NDArray[np.float32],
    small: NDArray[np.float32],
    labels: NDArray[np.str_],
    settings: RankingSettings,
    seed: int,
) -> RankingHead:
    """Images of one label together, others apart. Same seed, same head.

    Args:
        architecture: see the module.
        vectors: of the encoder, float32 [n, width].
        small: averaged images, float32 [n, 3, side, side].
        labels: [n], two or more; those of one image alone still part others.
        settings: loss, mining and length.
        seed: of weights and batches.

    """
    torch.manual_seed(seed)
    given = torch.from_numpy(vectors), torch.from_numpy(small)
    head = RankingHead(architecture, vectors.shape[1])
    head.start_from(given[0])
    _, own = np.unique(labels, return_inverse=True)
    truth = torch.from_numpy(own)
    loss = _Loss(settings)
    optimiser = torch.optim.AdamW(
        head.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(settings.steps, 1))
    for _ in told(settings.steps, architecture):
        rows = _drawn(truth, settings)
        value = loss(head.join(given[0][rows], given[1][rows]), truth[rows])
        optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return head.eval()


class _Loss:
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
def ranked(
    head: RankingHead, vectors: NDArray[np.float32], small: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The head's vectors, float32 [n, dim] of length 1."""
    found: NDArray[np.float32] = head.join(torch.from_numpy(vectors), torch.from_numpy(small)).numpy()
    return found
