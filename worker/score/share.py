"""Share: which images a trial sees, by their id alone: the same on every worker and after every restart."""

import hashlib

_ALL = 1 << 64

CANARY = "canary"
SHADOW = "shadow"


def in_share(image_id: str, share: float, trial: str) -> bool:
    """Whether `image_id` is of the `share`, 0 to 1, of images that `trial` sees.

    A larger share holds the images of a smaller one. Two trials see shares that have nothing to do with each
    other.
    """
    digest = hashlib.blake2b(image_id.encode(), digest_size=8, person=trial.encode()[:16]).digest()
    return int.from_bytes(digest, "big") < share * _ALL
