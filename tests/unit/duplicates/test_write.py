"""Pairs and groups as lines."""

from schemas.rejection import RejectionReason
from worker.duplicates.find import Pair
from worker.duplicates.local_features import Alignment
from worker.duplicates.read import FolderImages
from worker.duplicates.write import lines
from worker.errors import Rejection

_COPY, _OTHER = Alignment(1.0, 1.0, 100, mirrored=True), Alignment(0.1, 1.0, 20)


def test_lines_tell_the_run_what_was_left_out_pairs_and_groups():
    images = FolderImages(paths=["a", "b", "c", "d"])
    images.repeated["a"].append("e")
    images.rejected.append(("x", Rejection(RejectionReason.SOURCE_EMPTY, "no bytes")))
    pairs = [Pair(0, 1, 0.3, _COPY), Pair(1, 2, 0.1, _OTHER), Pair(2, 3, 0.4, _OTHER)]
    told = list(lines("/f", "bundle-1", 20, images, pairs, near=0.2))
    assert told[0] == {"type": "run", "folder": "/f", "bundle": "bundle-1", "candidates": 20}
    assert told[1]["path"] == "x"
    assert [line["paths"] for line in told if line["type"] == "pair"] == [["a", "e"], ["a", "b"], ["b", "c"]]
    assert [line["verified"] for line in told if line["type"] == "pair"] == [True, True, False]
    assert told[3]["mirrored"]
    assert [line["paths"] for line in told if line["type"] == "group"] == [["a", "b", "e"]]
