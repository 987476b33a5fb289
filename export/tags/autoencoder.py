"""`mekiki train autoencoder`: the space that tags were first published over, as an embedding's Part.

As in the write-up of PixivTagPredictor (an autoencoder in Keras): images are squeezed to a code of 196
numbers (here 14 x 14 of one channel) and drawn again from it, by the squared error alone. No label is read.
The encoder becomes an ONNX file, and from there on it is one like any other (`mekiki train embedding`).
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.data import Dataset
from export.embedding.command import train_embedding
from export.errors import LossNotFinite
from export.graphs import export_onnx
from export.pixels import decode_dataset
from export.run import write_text
from export.training_split import read_split
from schemas.bundle import ImageInput

SIDE, CODE_SIDE = 112, 14
CODE = CODE_SIDE**2
IMAGE = ImageInput(height=SIDE, width=SIDE)


class Autoencoder(nn.Module):
    """[n, 3, 112, 112] in -1 to 1 -> code [n, 196] -> [n, 3, 112, 112]."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1), nn.ReLU(),  # 56
            nn.Conv2d(width, 2 * width, 4, 2, 1), nn.ReLU(),  # 28
            nn.Conv2d(2 * width, 4 * width, 4, 2, 1), nn.ReLU(),  # 14
            nn.Conv2d(4 * width, 1, 3, 1, 1), nn.Flatten(),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Unflatten(1, (1, CODE_SIDE, CODE_SIDE)),
            nn.Conv2d(1, 4 * width, 3, 1, 1), nn.ReLU(),
            nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """Images as they are drawn again."""
        drawn: Tensor = self.decoder(self.encoder(images))
        return drawn


def train_autoencoder(
    images: NDArray[np.uint8], epochs: int, batch_size: int, learning_rate: float, seed: int, width: int = 16
) -> tuple[Autoencoder, list[float]]:
    """Train on uint8 images [n, 112, 112, 3]; gives the network and the mean squared error of each epoch.

    Raises:
        LossNotFinite: the error became NaN or infinite.

    """
    torch.manual_seed(seed)
    network = Autoencoder(width).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), learning_rate)
    random, losses = np.random.default_rng(seed), []
    for epoch in range(epochs):
        order, total = random.permutation(len(images)), 0.0
        for start in range(0, len(order), batch_size):
            batch = _batch(images[np.sort(order[start : start + batch_size])])
            loss = nn.functional.mse_loss(network(batch), batch)
            if not torch.isfinite(loss):
                raise LossNotFinite("error", float(loss), epoch, start // batch_size, "lower --learning-rate")
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            total += float(loss.detach()) * len(batch)
        losses.append(total / len(images))
        print(f"epoch {epoch + 1}: squared error {losses[-1]:.5f}", flush=True)  # noqa: T201
    return network.eval(), losses


def _batch(images: NDArray[np.uint8]) -> Tensor:
    planes = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    return planes.float().div_(127.5).sub_(1).to(memory_format=torch.channels_last)


@torch.no_grad()
def codes_of(network: Autoencoder, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Codes float32 [n, 196]."""
    parts = [network.encoder(_batch(images[i : i + 64])).numpy() for i in range(0, len(images), 64)]
    return np.concatenate(parts)


def nearest_is_alike(codes: NDArray[np.float32], dataset: Dataset, by: str) -> float:
    """How often the nearest image of another sender has the same label, by `cosine` or `Euclid`."""
    labels = np.array([example.label for example in dataset.examples])
    groups = np.array([example.group for example in dataset.examples])
    if by == "cosine":
        codes = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    squared = (codes**2).sum(axis=1)
    distance = squared[:, None] + squared[None] - 2 * codes @ codes.T
    distance[groups[:, None] == groups[None]] = np.inf
    nearest = distance.argmin(axis=1)
    return float((labels[nearest] == labels).mean())


def train_autoencoder_command(arguments: argparse.Namespace) -> int:
    """Train, write the Part, and measure the code as a similarity space; 0 when done.

    Raises:
        DatasetError: the images cannot be used.
        LossNotFinite: see `train_autoencoder`.

    """
    split = read_split(arguments.images, arguments)
    with tempfile.TemporaryDirectory(prefix="mekiki-autoencoder-") as scratch:
        decoded = {
            name: decode_dataset(
                held, IMAGE, storage=Path(scratch, f"{name}.npy"), max_broken_share=arguments.max_broken
            )
            for name, held in split.items()
        }
        network, losses = train_autoencoder(
            decoded["train"].images, arguments.epochs, arguments.batch_size, arguments.learning_rate,
            arguments.seed,
        )  # fmt: skip
        encoder = Path(scratch, "code.onnx")
        export_onnx(network.encoder, torch.zeros(2, 3, SIDE, SIDE), encoder, ["embedding"], "pixels")
        asked = {
            **vars(arguments), "encoder": str(encoder), "preset": "tensorflow", "size": SIDE,
            "name": "autoencoder", "resize": None, "filter": None, "crop_share": None, "mean": None,
            "deviation": None, "output": None, "pool": "mean", "dim": None, "weights": None,
        }  # fmt: skip
        train_embedding(argparse.Namespace(**asked))
        held = decoded["test"]
        codes = codes_of(network, held.images)
        figures = {
            "squared error by epoch": losses,
            **{
                f"nearest of another sender has the label, {by}": nearest_is_alike(codes, held.dataset, by)
                for by in ("Euclid", "cosine")
            },
        }
    write_text(Path(arguments.out) / "autoencoder.json", json.dumps(figures, indent=1) + "\n")
    print(figures)  # noqa: T201
    return 0
