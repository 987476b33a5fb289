"""Boosters of synthetic tags, trained once and kept: a thousand take six minutes of one core.

Labels are directions among 196 numbers. A training that was stopped goes on with what is missing.
"""

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import xgboost

DIM, TREES, DEPTH = 196, 50, 6
ASKED = {"objective": "binary:logistic", "max_depth": DEPTH, "eta": 0.3, "max_bin": 64, "nthread": 1}
PRIOR = -4.0
_AT_ONCE = 8  # tags a process, between two looks at the clock


def spread(rng: np.random.Generator, count: int) -> np.ndarray:
    """Vectors float32 [count, 196] of length 1 with the correlations that embeddings have."""
    mixing = np.random.default_rng(99).normal(size=(DIM, DIM)) * np.linspace(2, 0.2, DIM)[:, np.newaxis]
    vectors = rng.normal(size=(count, DIM)) @ mixing
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def positives(codes: np.ndarray, tag: int) -> np.ndarray:
    """Bool [n]: which images have a synthetic tag, 3 % of them."""
    rng = np.random.default_rng([tag, 5])
    direction, other = rng.normal(size=(2, DIM))
    centred = 255 * (codes / codes.max() - 0.5)
    value = centred @ direction + 0.01 * centred[:, 3] * (centred @ other)
    return value > np.quantile(value, 0.97)


def train_one(codes: np.ndarray, tag: int) -> bytes:
    """The booster of one synthetic tag, as UBJSON."""
    labels = positives(codes, tag).astype(np.float32)
    data = xgboost.DMatrix(codes, label=labels, base_margin=np.full(len(labels), PRIOR), nthread=1)
    return bytes(xgboost.train({**ASKED, "seed": tag}, data, TREES).save_raw("ubj"))


@dataclass(frozen=True)
class KeptBoosters:
    """A folder of `<tag>.ubj` and, in `<tag>.json`, the CPU seconds that the training took."""

    folder: Path

    def missing(self, count: int) -> list[int]:
        """Those of the first `count` tags that are still to be trained."""
        return [tag for tag in range(count) if not self._model(tag).is_file()]

    def train(self, codes: np.ndarray, count: int, workers: int, seconds: float) -> None:
        """Train what is missing of the first `count` tags, in so many processes, for about `seconds`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        until, rest = time.monotonic() + seconds, iter(self.missing(count))
        with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (codes,)) as pool:
            while time.monotonic() < until and (some := list(islice(rest, _AT_ONCE * workers))):
                for tag, (model, took) in zip(some, pool.map(_train_here, some), strict=True):
                    self._keep(tag, model, took)

    def models(self, count: int) -> Iterator[bytes]:
        """UBJSON of the first `count`."""
        return (self._model(tag).read_bytes() for tag in range(count))

    def boosters(self, count: int) -> list[xgboost.Booster]:
        """The first `count`."""
        return [xgboost.Booster(model_file=bytearray(model)) for model in self.models(count)]

    def cpu_seconds(self, count: int) -> float:
        """What their training took, all together."""
        return sum(float(json.loads(self._seconds(tag).read_bytes())) for tag in range(count))

    def _keep(self, tag: int, model: bytes, took: float) -> None:
        self._seconds(tag).write_text(json.dumps(took), encoding="utf-8")
        temporary = self._model(tag).with_suffix(".tmp")
        temporary.write_bytes(model)
        temporary.replace(self._model(tag))

    def _model(self, tag: int) -> Path:
        return self.folder / f"{tag:05}.ubj"

    def _seconds(self, tag: int) -> Path:
        return self.folder / f"{tag:05}.json"


_codes: list[np.ndarray] = []


def _begin(codes: np.ndarray) -> None:
    _codes.append(codes)


def _train_here(tag: int) -> tuple[bytes, float]:
    began = time.process_time()
    return train_one(_codes[0], tag), time.process_time() - began


def train_over_dask(codes: np.ndarray, tags: Sequence[int]) -> list[bytes]:
    """The same, by two workers of a local Dask cluster."""
    from distributed import LocalCluster  # noqa: PLC0415 - an extra

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
        cluster.get_client() as client,
    ):
        held = client.scatter(codes, broadcast=True)
        return list(client.gather([client.submit(train_one, held, tag) for tag in tags]))


def leaves_numbered(booster: xgboost.Booster) -> xgboost.Booster:
    """The same trees, each leaf of the value that `predict(pred_leaf=True)` calls it by."""
    model = json.loads(bytes(booster.save_raw("json")))
    for tree in model["learner"]["gradient_booster"]["model"]["trees"]:
        tree["split_conditions"] = [
            float(node) if left == -1 else condition
            for node, (left, condition) in enumerate(
                zip(tree["left_children"], tree["split_conditions"], strict=True)
            )
        ]
    return xgboost.Booster(model_file=bytearray(json.dumps(model).encode()))
