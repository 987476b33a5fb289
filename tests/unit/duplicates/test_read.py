"""Files to vectors and pictures: each digest once, and what is no image stops no other."""

from pathlib import Path

import pytest

from tests import images
from worker.duplicates.local_features import LocalFeatures
from worker.duplicates.picture_store import PictureStore
from worker.duplicates.read import Reader, read_images
from worker.errors import ConfigurationError
from worker.model.bundle import Bundle, load_bundle
from worker.model.decode import ImageLimits, decode_inputs
from worker.settings import ModelSettings


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(ModelSettings(threads=1))


def test_files_are_read_once_a_digest(bundle, tmp_path):
    files = {"a.jpg": images.jpeg(1), "b.jpg": images.jpeg(2), "c.jpg": images.jpeg(1), "d.txt": b"no image"}
    reader, store = Reader(bundle, ImageLimits(), decode_inputs, LocalFeatures()), PictureStore(tmp_path, 4)
    told = []
    found = read_images(list(files), files.__getitem__, reader, store, lambda: told.append(1))
    assert found.paths == ["a.jpg", "b.jpg"]
    assert found.vectors.shape == (2, bundle.manifest.embedding.dim)
    assert dict(found.repeated) == {"a.jpg": ["c.jpg"]}
    assert [path for path, _ in found.rejected] == ["d.txt"]
    assert len(told) == 4
    assert store.get(1).small.shape == (120, 160)


def test_a_bundle_without_vectors_is_refused(bundle):
    heads = [head for head in bundle.manifest.heads if head.kind != "embedding"]
    manifest = bundle.manifest.model_copy(update={"heads": heads})
    with pytest.raises(ConfigurationError, match="no vectors"):
        Reader(Bundle("x", manifest, bundle.model, None), ImageLimits(), decode_inputs, LocalFeatures())


def test_an_empty_folder_gives_nothing(bundle, tmp_path):
    reader = Reader(bundle, ImageLimits(), decode_inputs, LocalFeatures())
    found = read_images([], Path.read_bytes, reader, PictureStore(tmp_path, 0))
    assert found.paths == []
    assert len(found.vectors) == 0
