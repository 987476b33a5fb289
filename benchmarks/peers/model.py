"""What one writes first to run an ONNX model on photos: Pillow's draft decode, fp32, ONNX Runtime's defaults.

Of mekiki it has the graph alone. No tags, no limits, no dead letters: less work than the worker does.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True)
class Place:
    """Where to read and write, as the benchmark tells it on the command line."""

    bootstrap: str
    group: str
    uploaded: str
    moderated: str
    folder: Path
    bundle: Path

    @classmethod
    def told(cls) -> "Place":
        told = json.loads(sys.argv[1])
        return cls(**{**told, "folder": Path(told["folder"]), "bundle": Path(told["bundle"])})


class Model:
    """Scores and vectors of photos below `folder`. Thread-safe."""

    def __init__(self, place: Place) -> None:
        graph = json.loads((place.bundle / "manifest.json").read_text(encoding="utf-8"))["graphs"][0]
        (self._input, size), *_ = graph["inputs"].items()
        self._size = (size["width"], size["height"])
        self._outputs = graph["outputs"]
        self._folder = place.folder
        self._session = onnxruntime.InferenceSession(str(place.bundle / graph["file"]))

    def pixels(self, name: str) -> NDArray[np.uint8]:
        """uint8 [height, width, 3]."""
        with Image.open(self._folder / name) as image:
            image.draft("RGB", (self._size[0] * 2, self._size[1] * 2))
            return np.asarray(image.convert("RGB").resize(self._size, Image.Resampling.BILINEAR))

    def judged(self, batch: NDArray[np.uint8]) -> list[dict[str, Any]]:
        """A verdict for each row of uint8 [n, height, width, 3]."""
        values = self._session.run(list(self._outputs.values()), {self._input: batch})
        return [
            {name: value[row].ravel().tolist() for name, value in zip(self._outputs, values, strict=True)}
            for row in range(len(batch))
        ]
