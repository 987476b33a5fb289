"""Bundles of a shadow that go wrong: loaded as they are, and at their second batch this happens."""

import os
import time
from collections.abc import Callable

import numpy as np

from worker.errors import StageError
from worker.model.infer import ImageBatch
from worker.model.shadow_child import InferScores, Start, load


def _at_second_batch(start: Start, fault: Callable[[], object]) -> tuple[str, InferScores]:
    identifier, infer = load(start)
    batches = 0

    def scores(batch: ImageBatch):  # type: ignore[no-untyped-def]
        nonlocal batches
        batches += 1
        if batches == 2:
            fault()
        return infer(batch)

    return identifier, scores


def aborts(start: Start) -> tuple[str, InferScores]:
    return _at_second_batch(start, os.abort)


def hangs(start: Start) -> tuple[str, InferScores]:
    return _at_second_batch(start, lambda: time.sleep(3600))


def allocates(start: Start) -> tuple[str, InferScores]:
    return _at_second_batch(start, lambda: np.ones(2 * start.memory, np.uint8))


def fails(start: Start) -> tuple[str, InferScores]:
    def fail() -> None:
        raise StageError("scores that are not finite")

    return _at_second_batch(start, fail)
