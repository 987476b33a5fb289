"""One seed of the starter: trunk and filter, trained in a run folder, measured on held images."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import JsonValue

from export.embedding.training import TrainingImages, train_trunk
from export.embedding.trunk import Trunk
from export.preference.head import PreferenceHead
from export.processes import Processes
from export.run import RunFolder, open_run, write_text
from export.starter.filtering import Filter, train_filter
from export.starter.graph import Scorer, export_scorer
from export.starter.held_groups import Images, shares_blocked
from export.starter.recipe import Recipe, Sources, train_heads, train_preference_head
from export.starter.score_comparison import side_by_side
from export.starter.vector_heads import VectorHeads

FIGURES_FILE, GRAPH_FILE, TRUNK_CHECKPOINT = "figures.json", "scorer.onnx", "trunk-model"


@dataclass(frozen=True)
class Trained:
    """What one seed gave."""

    trunk: Trunk
    filter: Filter
    preference: PreferenceHead
    vectors: VectorHeads
    run: RunFolder

    def scorer(self) -> Scorer:
        """The graph that serves, as a network."""
        return Scorer(self.trunk, self.filter.text, self.filter.qr, self.preference, self.vectors).eval()


def train_seed(
    sources: Sources,
    data: TrainingImages,
    recipe: Recipe,
    seed: int,
    folder: Path,
    processes: Processes,
    *,
    resume: bool,
) -> Trained:
    """Train trunk, filter and preference, or go on from the run folder's checkpoints.

    Raises:
        RunFolderError: the folder holds a run and `resume` is not asked, or one of other settings or data.
        LossNotFinite: a loss became NaN or infinite.

    """
    run = open_run(folder, {"seed": seed, "recipe": _asked(recipe)}, digest(data), resume=resume)
    trunk = train_trunk(data, seed, recipe.trunk, run, processes)
    run.save_checkpoint(TRUNK_CHECKPOINT, trunk.state_dict())
    vectors = train_heads(trunk.to(processes.device), sources, recipe, seed)
    # Networks on 32 numbers gain nothing from another device.
    on_cpu = Processes(torch.device("cpu"))
    found = train_filter(trunk.cpu(), sources.pixels, seed, recipe.filter, run, on_cpu)
    preference = train_preference_head(trunk, sources, recipe, seed)
    return Trained(trunk, found, preference, vectors, run)


def measure_seed(
    trained: Trained, groups: Mapping[str, Images], sources: Sources, recipe: Recipe
) -> JsonValue:
    """What the default policy blocks of every held group, and the filter's parts side by side."""
    graph = trained.run.path / GRAPH_FILE
    export_scorer(trained.scorer(), graph)
    parts = side_by_side(
        trained.filter,
        groups,
        np.concatenate([sources.pixels[f"{group}-calibration"].exact for group in ("clothing", "grocery")]),
        np.concatenate([groups["clothing-test"], groups["grocery-test"]]),
        recipe.filter.false_positive_share,
    )
    figures: JsonValue = {"blocked": shares_blocked(graph, groups), "parts": parts}
    write_text(trained.run.path / FIGURES_FILE, json.dumps(figures, indent=2) + "\n")
    return figures


def _asked(recipe: Recipe) -> dict[str, Any]:
    return {**asdict(recipe), "tags": recipe.tags.model_dump()}


def digest(data: TrainingImages) -> str:
    """SHA-256 of all that is trained on: pixels, types, labels."""
    whole = hashlib.sha256()
    for part in (data.pixels.exact, data.pixels.wide, data.types, data.labels):
        whole.update(np.ascontiguousarray(part).data)
    return whole.hexdigest()
