"""Write: pairs and groups as JSON lines.

The first line (`"type": "run"`) says which folder and bundle; then come `rejection` (a file that is no
image), `pair` and `group`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from worker.duplicates.find import Pair
from worker.duplicates.groups import Groups
from worker.duplicates.read import FolderImages


def lines(
    folder: str, bundle: str, candidates: int, images: FolderImages, pairs: Sequence[Pair], near: float
) -> Iterator[dict[str, Any]]:
    """One dictionary a line. Pairs that are not verified are told up to the distance `near`."""
    yield {"type": "run", "folder": folder, "bundle": bundle, "candidates": candidates}
    for path, rejection in images.rejected:
        yield {"type": "rejection", "path": path, "reason": rejection.reason, "detail": rejection.detail}
    groups: Groups[str] = Groups()
    for path, others in images.repeated.items():
        for other in others:
            groups.join(path, other)
            yield {
                "type": "pair",
                "paths": [path, other],
                "distance": 0.0,
                "verified": True,
                "identical": True,
            }
    for pair in pairs:
        if pair.verified:
            groups.join(images.paths[pair.one], images.paths[pair.other])
        if pair.verified or pair.distance <= near:
            yield _line(images, pair)
    for members in sorted(sorted(group) for group in groups.members()):
        yield {"type": "group", "paths": members}


def _line(images: FolderImages, pair: Pair) -> dict[str, Any]:
    found = pair.alignment
    return {
        "type": "pair",
        "paths": [images.paths[pair.one], images.paths[pair.other]],
        "distance": round(pair.distance, 6),
        "verified": pair.verified,
        "identical": False,
        "mirrored": found.mirrored,
        "inliers": found.inliers,
        "agreement": round(found.agreement, 4),
        "overlap": round(found.overlap, 4),
    }
