"""The Part of an embedding as other heads see it: its vectors of images, and its graphs to build on."""

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.bundle.take import MANIFEST_FILE, parts_of_bundle
from export.errors import PartError
from export.parts import PART_FILE, PARTS_FOLDER, PartFolder, read_part, run_part
from schemas.bundle import EmbeddingHead, Graph, ImageInput
from worker.model.infer import Model
from worker.model.session import Execution


@dataclass(frozen=True)
class Encoder:
    """An embedding that a head is trained on."""

    part: PartFolder
    head: EmbeddingHead
    image: ImageInput

    def vectors(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The embedding of uint8 images [n, height, width, 3]: float32 [n, dim], as the worker gives it."""
        return run_part(self.part, [images], model=self._model)

    @cached_property
    def _model(self) -> Model:
        return Model(self.part.part.manifest(), self.part.path, Execution())

    def copy_graphs(self, folder: Path) -> list[Graph]:
        """Copy its files to the folder of another head's Part; gives its graphs."""
        for graph in self.part.part.graphs:
            shutil.copyfile(self.part.path / graph.file, folder / graph.file)
        return list(self.part.part.graphs)


def read_encoder(path: Path) -> Encoder:
    """The embedding in the run folder of `mekiki train embedding`, in the folder of its Part, or in a bundle.

    Raises:
        PartError: there is none, or it takes more than one size of pixels.

    """
    if (path / MANIFEST_FILE).is_file():
        part = parts_of_bundle(path, ["embedding"])[0]
    else:
        part = read_part(path if (path / PART_FILE).is_file() else path / PARTS_FOLDER / "embedding")
    inputs = part.part.manifest().image_inputs()
    if not isinstance(part.part.head, EmbeddingHead) or len(inputs) != 1:
        raise PartError(
            f"{path} is no embedding of one size of pixels: name the --out of a `train embedding`"
        )
    return Encoder(part, part.part.head, inputs[0])
