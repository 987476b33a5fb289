"""One seed of the starter: trunk and filter, trained in a run folder, measured on held images."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import JsonValue

from export.processes import Processes
from export.run import RunFolder, open_run, write_text
from export.starter.filtering import Filter, train_filter
from export.starter.graph import Scorer, export_onnx
from export.starter.preference import PreferenceHead
from export.starter.reach import notice_groups, product_groups, reach
from export.starter.recipe import Recipe, Sources, train_preference_head, training_images
from export.starter.sides import side_by_side
from export.starter.training import TrainingImages, train_trunk
from export.starter.trunk import Trunk

FIGURES_FILE, GRAPH_FILE, TRUNK_CHECKPOINT = "figures.json", "scorer.onnx", "trunk-model"


@dataclass(frozen=True)
class Trained:
    """What one seed gave."""

    trunk: Trunk
    filter: Filter
    preference: PreferenceHead
    run: RunFolder

    def scorer(self) -> Scorer:
        """The graph that serves, as a network."""
        return Scorer(self.trunk, self.filter.text, self.filter.qr, self.preference).eval()


def train_seed(
    sources: Sources, recipe: Recipe, seed: int, folder: Path, processes: Processes, *, resume: bool
) -> Trained:
    """Train trunk, filter and preference, or go on from the run folder's checkpoints.

    Raises:
        RunFolderError: the folder holds a run and `resume` is not asked, or one of other settings or data.
        LossNotFinite: a loss became NaN or infinite.

    """
    data = training_images(sources)
    run = open_run(folder, {"seed": seed, "recipe": asdict(recipe)}, digest(data), resume=resume)
    trunk = train_trunk(data, seed, recipe.trunk, run, processes)
    run.save_checkpoint(TRUNK_CHECKPOINT, trunk.state_dict())
    found = train_filter(trunk, sources.pixels, seed, recipe.filter, run, processes)
    return Trained(trunk, found, train_preference_head(trunk, sources, recipe, seed), run)


def measure_seed(trained: Trained, data: Path, cache: Path, recipe: Recipe, sources: Sources) -> JsonValue:
    """What the default policy blocks of every held group, and the filter's parts side by side."""
    graph = trained.run.path / GRAPH_FILE
    export_onnx(trained.scorer(), graph)
    products = product_groups(data, cache)
    parts = side_by_side(
        trained.filter,
        notice_groups(data, cache),
        np.concatenate([sources.pixels[f"{group}-calibration"].exact for group in ("clothing", "grocery")]),
        np.concatenate([products["clothing-test"], products["grocery-test"]]),
        recipe.filter.false_positive_share,
    )
    figures: JsonValue = {"blocked": reach(graph, data, cache), "parts": parts}
    write_text(trained.run.path / FIGURES_FILE, json.dumps(figures, indent=2) + "\n")
    return figures


def digest(data: TrainingImages) -> str:
    """SHA-256 of all that is trained on: pixels, types, labels."""
    whole = hashlib.sha256()
    for part in (data.pixels.exact, data.pixels.wide, data.types, data.labels):
        whole.update(np.ascontiguousarray(part).data)
    return whole.hexdigest()


def one_thread() -> None:
    """Keep torch to one thread: convolutions this small wait for each other longer than they compute."""
    torch.set_num_threads(1)
