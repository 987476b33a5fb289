"""`mekiki train preference`: what was asked, and which training answers it."""

import argparse
import re

from export.errors import DatasetError
from export.preference.learned import train_learned
from export.preference.quality_command import train_quality


def train_preference_command(arguments: argparse.Namespace) -> int:
    """Train on ratings, on clicks, or on degraded photos; 0 when done.

    Raises:
        DatasetError: what was asked cannot be done, or the data cannot be used.
        PartError: --encoder is no embedding.

    """
    learned = arguments.ratings or arguments.clicks
    arguments.name = arguments.name or ("clicks" if arguments.clicks else "preference")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", arguments.name):
        raise DatasetError(f"--name {arguments.name!r} may hold small letters, digits and _, a letter first")
    if not 0 < arguments.clip <= 1:
        raise DatasetError(f"--clip {arguments.clip} is no propensity: it lies over 0 and is at most 1")
    if learned:
        return train_learned(arguments)
    if not arguments.images or not arguments.encoder:
        raise DatasetError(
            "photo quality needs --images and --encoder; --ratings or --clicks learn what people like"
        )
    return train_quality(arguments)
