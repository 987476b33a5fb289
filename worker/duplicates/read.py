"""Read: the files of a folder to vectors and pictures, each digest once."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from schemas.bundle import BundleManifest
from worker.duplicates.local_features import SIDE, LocalFeatures, Picture
from worker.duplicates.picture_store import PictureStore
from worker.errors import ConfigurationError, Rejection
from worker.model.bundle import Bundle
from worker.model.decode import DecodedImage, ImageLimits
from worker.model.infer import ImageBatch

# An embedding is trained to find what is alike, not what is the same: the photo may come later in its list.
CANDIDATES = 20


@dataclass(frozen=True)
class Reader:
    """Makes what is compared of a file's bytes. `decode` is `decode_inputs`, or what takes its place."""

    bundle: Bundle
    limits: ImageLimits
    decode: Callable[..., DecodedImage]
    features: LocalFeatures
    threads: int = 1

    def __post_init__(self) -> None:
        if self.bundle.manifest.embedding is None:
            raise ConfigurationError(
                f"the bundle {self.bundle.id} has no vectors to find candidates by: set model.bundle to a "
                "bundle with an embedding"
            )

    def picture(self, data: bytes) -> tuple[DecodedImage, Picture]:
        """Pixels for the graphs, and the picture.

        Raises:
            Rejection: not an image of a known format, damaged, or beyond the limits.

        """
        manifest = self.bundle.manifest
        decoded = self.decode(
            data,
            manifest.image_inputs(),
            self.limits,
            luminance_side=SIDE,
            measures=manifest.detail_measures(),
        )
        assert decoded.luminance is not None
        return decoded, self.features.describe(decoded.luminance)

    def vectors(self, decoded: Sequence[DecodedImage]) -> NDArray[np.float32]:
        """The vectors by which candidates are found: float32 [n, dim] of unit length."""
        embeddings = self.bundle.model.infer(_batch(self.bundle.manifest, decoded)).embeddings
        assert embeddings is not None
        return embeddings


@dataclass
class FolderImages:
    """The distinct images of a folder by their places, and the files that are no image or a repeated one."""

    paths: list[str] = field(default_factory=list)
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 1), np.float32))
    repeated: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    rejected: list[tuple[str, Rejection]] = field(default_factory=list)


def read_images(
    paths: Sequence[str],
    read: Callable[[str], bytes],
    reader: Reader,
    store: PictureStore,
    progress: Callable[[], object] = lambda: None,
) -> FolderImages:
    """Read, decode and describe every file; what is no image is told, and stops no other.

    Args:
        paths: of the files.
        read: the bytes of a path; raises a Rejection where there are none to be had.
        reader: makes vectors and pictures of bytes.
        store: takes the picture of each place.
        progress: called after each file.

    Raises:
        StageError: the disk or the model failed.

    """
    found = FolderImages()
    places: dict[str, str] = {}
    vectors: list[NDArray[np.float32]] = []

    def prepared(path: str) -> tuple[str, tuple[DecodedImage, Picture]] | Rejection:
        try:
            data = read(path)
            return hashlib.sha256(data).hexdigest(), reader.picture(data)
        except Rejection as rejection:
            return rejection

    with ThreadPoolExecutor(reader.threads) as pool:
        for batch in _batches(paths):
            decoded = []
            for path, made in zip(batch, pool.map(prepared, batch), strict=True):
                progress()
                if isinstance(made, Rejection):
                    found.rejected.append((path, made))
                    continue
                digest, (image, picture) = made
                if digest in places:
                    found.repeated[places[digest]].append(path)
                    continue
                places[digest] = path
                store.put(len(found.paths), picture)
                found.paths.append(path)
                decoded.append(image)
            if decoded:
                vectors.append(reader.vectors(decoded))
    if vectors:
        found.vectors = np.concatenate(vectors)
    return found


def _batch(manifest: BundleManifest, decoded: Sequence[DecodedImage]) -> ImageBatch:
    sizes = range(len(manifest.image_inputs()))
    return ImageBatch(
        [np.stack([image.sizes[i] for image in decoded]) for i in sizes],
        {
            name: np.array([image.measured[name] for image in decoded], np.float32)
            for name in decoded[0].measured
        },
    )


def _batches(paths: Sequence[str], size: int = 32) -> Iterator[list[str]]:
    left = iter(paths)
    while batch := list(islice(left, size)):
        yield batch
