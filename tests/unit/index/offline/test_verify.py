import hashlib
import json

import numpy as np
import pytest

from worker.index.ngt.checksums import digest_of, list_files
from worker.index.ngt.segment import IDS_FILE, MANIFEST_FILE, SegmentManifest, read_ids, write_manifest
from worker.index.offline.verify import verify


def faults(path):
    return {found.subject: found.faults for found in verify(path) if found.faults}


def test_a_whole_directory_has_no_faults_and_every_part_is_named(index_directory):
    path, _ = index_directory
    before = sorted(file.name for file in path.rglob("*"))
    assert [found.subject for found in verify(path)] == [
        *("segment-00000001", "segment-00000002", "generation-00000002", "generation-00000001")
    ]
    assert faults(path) == {}
    assert sorted(file.name for file in path.rglob("*")) == before


@pytest.mark.parametrize("name", ["vectors.npy", "ids.json", "members.npy", "ngt/grp", "manifest.json"])
def test_a_changed_file_is_named_and_so_is_each_generation_that_needs_it(index_directory, name):
    path, _ = index_directory
    file = path / "segment-00000001" / name
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    found = faults(path)
    assert set(found) == {"segment-00000001", "generation-00000001", "generation-00000002"}
    assert any(name in fault for fault in found["segment-00000001"])


def test_a_changed_generation_is_named(index_directory):
    path, _ = index_directory
    (path / "generation-00000002" / "manifest.json").write_text("{}")
    assert list(faults(path)) == ["generation-00000002"]


def rewrite(path, change):
    """`change` the files of the first segment, and say everywhere that they are right."""
    segment = path / "segment-00000001"
    change(segment)
    manifest = SegmentManifest.model_validate_json((segment / MANIFEST_FILE).read_bytes())
    (segment / MANIFEST_FILE).unlink()
    write_manifest(segment, manifest.model_copy(update={"files": list_files(segment)}))
    for generation in path.glob("generation-*"):
        told = json.loads((generation / "manifest.json").read_bytes())
        told["segments"][0]["digest"] = digest_of((segment / MANIFEST_FILE).read_bytes())
        raw = json.dumps(told).encode()
        (generation / "manifest.json").write_bytes(raw)
        (generation / "manifest.json.sha256").write_text(hashlib.sha256(raw).hexdigest())


def swap_objects(segment):
    objects = np.load(segment / "objects.npy")
    objects[[0, 1]] = objects[[1, 0]]
    np.save(segment / "objects.npy", objects)


def lengthen(segment):
    vectors = np.load(segment / "vectors.npy")
    vectors[3] *= 2
    np.save(segment / "vectors.npy", vectors)


def repeat_an_id(segment):
    ids = json.loads((segment / IDS_FILE).read_text())
    (segment / IDS_FILE).write_text(json.dumps([ids[1], *ids[1:]]))


def cut_members(segment):
    np.save(segment / "members.npy", np.load(segment / "members.npy")[:-1])


def change_attributes(name, change):
    """A change of one array of the attributes."""

    def changed(segment):
        file = segment / "attributes" / f"{name}.npy"
        np.save(file, change(np.load(file)))

    return changed


def unsort_names(segment):
    file = segment / "attributes" / "names.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"tag": ["b", "a"]}))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (swap_objects, "is not vector 0, which it stands for"),
        (lengthen, "vector 3 has length 2"),
        (repeat_an_id, "an image id stands twice"),
        (cut_members, "members.npy"),
        (change_attributes("category", lambda codes: codes + 7), "category.npy has codes without a name"),
        (change_attributes("uploaded", lambda times: times[:-1]), "not every image has a category"),
        (change_attributes("uploaded", lambda times: times[:-1]), "are of 59 images, 60 ids"),
        (change_attributes("tag_starts", lambda starts: starts + 1), "tag_starts.npy does not give"),
        (unsort_names, "the names of tag are not in order"),
    ],
)
def test_files_that_are_right_and_do_not_fit_each_other_are_faults(index_directory, change, says):
    path, _ = index_directory
    rewrite(path, change)
    found = faults(path)["segment-00000001"]
    assert any(says in fault for fault in found), found


def test_an_image_that_counts_twice_is_a_fault_of_the_generation(index_directory):
    path, _ = index_directory
    replaced = read_ids(path / "segment-00000001").index("i10")
    newest = path / "generation-00000002"
    told = json.loads((newest / "manifest.json").read_bytes())
    told["segments"][0]["dead"].remove(replaced)
    raw = json.dumps(told).encode()
    (newest / "manifest.json").write_bytes(raw)
    (newest / "manifest.json.sha256").write_text(hashlib.sha256(raw).hexdigest())
    assert faults(path) == {"generation-00000002": ["'i10' counts in 2 segments"]}
