"""The Part of an embedding with attributes: an encoder, what is joined to it, a vector a value."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.alocc.trunks import Preprocess
from export.attributes.fit import attribute_vectors, fit_sub_space, write_join
from export.attributes.levels import LevelEncoder, level_encoder, write_level_encoder
from export.embedding.duplicates import copy_distances, distance_between, nearest_other
from export.embedding.part import Encoder
from export.graphs import run_onnx
from export.parts import Part, PartFolder, describe_file
from schemas.bundle import EmbeddingHead, Graph, ImageInput, OutputInput
from schemas.vector import Vector

ENCODER_FILE, JOIN_FILE = "encoder.onnx", "attributes.onnx"
_FALSE_SHARE = 0.01
_BATCH = 32


@dataclass(frozen=True)
class Base:
    """What attributes are joined to: graphs whose files lie in a folder, and two outputs of theirs."""

    graphs: tuple[Graph, ...]
    image: ImageInput
    vector: str
    levels: str


def level_base(weights: str, preprocess: str, folder: Path) -> Base:
    """MobileNetV2 of these weights, written to `folder`.

    Raises:
        WeightsError: the weights are missing or of another network.

    """
    asked: Preprocess = "torchvision" if preprocess == "torchvision" else "tensorflow"
    return network_base(level_encoder(weights, asked), folder)


def network_base(network: LevelEncoder, folder: Path) -> Base:
    """This MobileNetV2, written to `folder`."""
    image = write_level_encoder(network, folder / ENCODER_FILE)
    outputs = {"vector": "vector", "levels": "levels"}
    return Base((Graph(file=ENCODER_FILE, inputs={"images": image}, outputs=outputs),), image, *outputs)


def encoder_base(encoder: Encoder, folder: Path) -> Base:
    """An encoder of one's own, copied to `folder`; its vector is read for attributes as well."""
    output = encoder.head.output
    return Base(tuple(encoder.copy_graphs(folder)), encoder.image, output, output)


def build_part(
    base: Base, folder: Path, images: NDArray[np.uint8], labels: NDArray[np.str_], name: str
) -> PartFolder:
    """Fit on uint8 images [n, height, width, 3] and their labels, write the graph; gives the Part.

    Its near-duplicate distance is 0 until `with_distance` sets it.
    """
    own = base_vectors(base, folder, images)
    space = fit_sub_space(own[base.vector], own[base.levels], labels)
    dims = own[base.vector].shape[1], own[base.levels].shape[1]
    write_join(folder / JOIN_FILE, space, *dims)
    joined = space.join(own[base.vector], own[base.levels])
    files = [describe_file(folder / file) for file in (*(graph.file for graph in base.graphs), JOIN_FILE)]
    head = EmbeddingHead(
        output="attributes.embedding",
        dim=joined.shape[1],
        space=f"{name}-{files[0].sha256[:8]}-{files[-1].sha256[:8]}",
        near_duplicate_distance=0,
        attributes={
            value: Vector.from_array(vector) for value, vector in attribute_vectors(joined, labels).items()
        },
    )
    inputs = {"vector": OutputInput(output=base.vector), "levels": OutputInput(output=base.levels)}
    join = Graph(file=JOIN_FILE, inputs=inputs, outputs={head.output: "embedding"})
    return PartFolder(folder, Part(head=head, graphs=[*base.graphs, join], files=files), str(folder))


def base_vectors(base: Base, folder: Path, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Both outputs of a base for uint8 images [n, height, width, 3], by name."""
    outputs: dict[str, NDArray[np.float32]] = {}
    for graph in base.graphs:
        (source,) = graph.inputs.values()
        given = outputs[source.output] if isinstance(source, OutputInput) else images
        found = run_onnx(folder / graph.file, given, _BATCH)
        outputs |= {known: found[own] for known, own in graph.outputs.items()}
    return {name: outputs[name] for name in (base.vector, base.levels)}


def with_distance(found: PartFolder, paths: Sequence[Path], own: NDArray[np.float32]) -> PartFolder:
    """The Part with the distance up to which images are near-duplicates, set on photos and edits of them.

    Args:
        found: a Part of `build_part`.
        paths: files of the photos.
        own: their vectors, float32 [n, dim].

    """
    distance = distance_between(copy_distances(found, paths, own), nearest_other(own), _FALSE_SHARE)
    head = found.part.head.model_copy(update={"near_duplicate_distance": distance})
    return PartFolder(found.path, found.part.model_copy(update={"head": head}), found.origin)
