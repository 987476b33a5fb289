"""`mekiki evaluate mnist`: the one-class benchmark of the ALOCC paper (Sabokrou et al., CVPR 2018, 4.2).

Each digit in turn is the target class; the test set is its test images and, drawn from the other
digits', outliers that make up 10 to 50 % of the whole. The inliers are the positive class of F1.
The paper does not say how its threshold is set; two are measured:

validated    the best F1 on validation images with the same share of outliers (drawn from training
             images), as Pidhorskyi et al. (NeurIPS 2018) repeat the protocol
one-class    95 % of the validation inliers pass: no outlier is needed to set it
"""

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.alocc.mnist_report import write_mnist_report
from export.alocc.model import (
    FUSED,
    AloccModel,
    Images,
    ModelSettings,
    Scores,
    TrunkMaps,
    new_trunk,
    score_images,
)
from export.alocc.step import AdversarialStep, StepSettings
from export.alocc.training import new_model, training_maps
from export.errors import DatasetError
from export.loop import Schedule, fit
from export.metrics import Fusion, best_f1_threshold, f1, measure, threshold_at_recall
from export.processes import Processes, join_processes
from export.run import RunFolder, open_run

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
MODEL = ModelSettings(
    side=28,
    trunk="grey",
    widths=(16, 32),
    strides=(2, 2),
    code="dense",
    code_size=16,
    discriminator_widths=(16, 32),
    discriminator_strides=(2, 2),
)
_BATCH = 128
_VALIDATION = 0.1


@dataclass(frozen=True)
class Mnist:
    """The digits: uint8 [n, 28, 28, 3] and their labels [n], for training and for the test."""

    train: Images
    train_labels: NDArray[np.int64]
    test: Images
    test_labels: NDArray[np.int64]


def evaluate_mnist(arguments: argparse.Namespace) -> int:
    """Train on each digit with each seed, measure at each outlier share, report.

    Raises:
        ExportError: the file is not MNIST, or the run folder is of another run.

    """
    torch.set_num_threads(arguments.threads)
    path = Path(arguments.data)
    data = read_mnist(path)
    step = StepSettings(
        discriminator_learning_rate=1e-3,
        reconstruction_weight=0.02,
        corrupted_share=arguments.corrupted_share,
    )
    settings = {
        "digits": arguments.digits,
        "seeds": arguments.seeds,
        "epochs": arguments.epochs,
        "step": vars(step),
        "model": MODEL.model_dump(mode="json"),
    }
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    run = open_run(Path(arguments.out), settings, digest, resume=arguments.resume)
    schedules = [Schedule(arguments.epochs, _BATCH, seed) for seed in arguments.seeds]
    with join_processes(arguments.device) as processes:
        for digit in arguments.digits:
            for schedule in schedules:
                _one_training(digit, schedule, data, step, run, processes)
    report = write_mnist_report(run)
    print(f"report: {report}")  # noqa: T201 - what the command answers
    return 0


def read_mnist(path: Path) -> Mnist:
    """The four arrays of `mnist.npz`.

    Raises:
        DatasetError: no such file, or not these arrays.

    """
    try:
        with np.load(path) as held:
            train, test = held["x_train"], held["x_test"]
            labels = held["y_train"].astype(np.int64), held["y_test"].astype(np.int64)
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(
            f"{path} is no mnist.npz with x_train, y_train, x_test, y_test: {error}"
        ) from error
    if train.ndim != 3 or train.shape[1:] != (28, 28) or train.dtype != np.uint8:
        raise DatasetError(f"{path}: x_train is {train.dtype} {train.shape}, not uint8 [n, 28, 28]")
    return Mnist(_as_rgb(train), labels[0], _as_rgb(test), labels[1])


def _as_rgb(grey: NDArray[np.uint8]) -> Images:
    return np.repeat(grey[..., None], 3, axis=3)


def _one_training(
    digit: int, schedule: Schedule, data: Mnist, settings: StepSettings, run: RunFolder, processes: Processes
) -> None:
    """Train on one digit with one seed and log its figures, unless the run holds them."""
    phase = f"digit{digit}-seed{schedule.seed}"
    if any(row["phase"] == "evaluation" and row["training"] == phase for row in run.metrics()):
        return
    own = data.train[data.train_labels == digit]
    held = max(1, int(_VALIDATION * len(own)))
    train, validation = own[:-held], own[-held:]
    model = new_model(MODEL, new_trunk(MODEL), schedule.seed).to(processes.device)
    maps = TrunkMaps(model.trunk, train, processes.device)
    model.standardise(maps)
    step = AdversarialStep(
        model.reinforcer, model.discriminator, training_maps(model, maps), settings, processes
    )
    fit(step, phase=phase, count=len(train), schedule=schedule, run=run, processes=processes)
    if processes.is_first:
        run.save_checkpoint(f"{phase}-model", model.state_dict())
        for row in measure_digit(model, digit, validation, data, schedule.seed):
            run.log(phase="evaluation", training=phase, epoch=0, digit=digit, seed=schedule.seed, **row)
    processes.wait_for_all()


def measure_digit(
    model: AloccModel, digit: int, validation: Images, data: Mnist, seed: int
) -> list[dict[str, Any]]:
    """AUROC and F1 by outlier share and score of a model trained on one digit."""
    rng = np.random.default_rng([digit, seed])
    others = rng.permutation(np.flatnonzero(data.train_labels != digit))
    target = score_images([model], validation)[0]
    fusion = Fusion.fit(target)

    def scores(images: Images) -> Scores:
        found = score_images([model], images)[0]
        return {**found, FUSED: fusion(found)}

    target = {**target, FUSED: fusion(target)}
    inliers = scores(data.test[data.test_labels == digit])
    outliers = scores(rng.permutation(data.test[data.test_labels != digit])[: len(inliers[FUSED])])
    strangers = scores(data.train[np.sort(others[: len(validation)])])
    rows = []
    for share in SHARES:
        for name in inliers:
            count = _outlier_count(len(inliers[name]), share)
            known = _outlier_count(len(target[name]), share)
            validated = best_f1_threshold(target[name], strangers[name][:known])
            one_class = threshold_at_recall(target[name], 0.95)
            drawn = outliers[name][:count]
            rows.append(
                {
                    "share": share,
                    "score": name,
                    "auroc": measure(inliers[name], drawn, one_class).auroc,
                    "f1": f1(inliers[name], drawn, validated),
                    "f1_one_class": f1(inliers[name], drawn, one_class),
                }
            )
    return rows


def _outlier_count(inliers: int, share: float) -> int:
    """Outliers that make up this share of all."""
    return round(inliers * share / (1 - share))
