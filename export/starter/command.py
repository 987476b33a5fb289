"""`mekiki bundle starter`: train, measure and write the starter bundle."""

import argparse
import logging
import time
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

import numpy as np
import torch
from pydantic import JsonValue

from export.bundle.assemble import assemble
from export.bundle.calibrate import spread
from export.embedding.trunk import Trunk
from export.errors import ExportError, ParityError
from export.graphs import largest_difference, run_onnx
from export.parts import Examples
from export.preference.head import PreferenceHead, pair_accuracy
from export.processes import Processes
from export.starter.card import model_card
from export.starter.graph import OUTPUTS, Scorer, export_scorer, scorer_mega_flops
from export.starter.held_groups import held_groups
from export.starter.parts import GRAPH_FILE, MAX_BYTES, TAGS_FILE, Trait, write_parts
from export.starter.recipe import (
    Recipe,
    Sources,
    ladder_quality,
    load_sources,
    preference_ladders,
    training_images,
)
from export.starter.seeds import Trained, measure_seed, train_seed
from export.starter.tags import train_starter_tags
from export.starter.vector_figures import held_copies, near_duplicates, retrieval_figures

PARITY = 1e-4
MINIMUM_TAG_SCORE = 0.0  # each tag has a threshold of its own
_log = logging.getLogger(__name__)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mekiki bundle starter", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with clothing/ and grocery/")
    parser.add_argument("--out", type=Path, help="bundle folder to write, from the first of --seeds")
    parser.add_argument("--run", type=Path, default=Path("runs/starter"), help="a run folder for each seed")
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/starter-cache"), help="decoded and rendered pixels"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--resume", action="store_true", help="go on with the run folders in --run")
    parser.add_argument("--version", default="0.1.0")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Train and measure every seed, and write the first one's bundle.

    Raises:
        ExportError: what was asked cannot be done, or the graph disagrees with the network.

    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for chatty in ("onnxscript", "onnx_ir"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    arguments = _arguments(argv)
    # One thread: convolutions this small wait for each other longer than they compute.
    torch.set_num_threads(1)
    recipe = Recipe()
    sources = load_sources(arguments.data, arguments.cache, recipe)
    processes = Processes(torch.device("cpu"))
    data, groups = (
        training_images(sources, recipe.photo_repeats),
        held_groups(arguments.data, arguments.cache),
    )
    trained, figures = {}, {}
    for seed in arguments.seeds:
        began = time.monotonic()
        folder = arguments.run / f"seed{seed}"
        trained[seed] = train_seed(sources, data, recipe, seed, folder, processes, resume=arguments.resume)
        _log.info("seed %d trained after %.1f minutes", seed, (time.monotonic() - began) / 60)
        figures[str(seed)] = measure_seed(trained[seed], groups, sources, recipe)
        _log.info("seed %d: %s", seed, figures[str(seed)])
    if arguments.out is not None:
        first = arguments.seeds[0]
        _write_bundle(trained[first], first, {"seeds": figures}, sources, recipe, arguments)
    return 0


def _write_bundle(
    trained: Trained,
    seed: int,
    figures: dict[str, JsonValue],
    sources: Sources,
    recipe: Recipe,
    arguments: argparse.Namespace,
) -> None:
    scorer, trunk, run = trained.scorer(), trained.trunk, trained.run.path
    export_scorer(scorer, run / GRAPH_FILE)
    figures["seed"] = seed
    figures["mega_flops"] = round(scorer_mega_flops(scorer), 1)
    figures["parity"] = dict(_parity(scorer, run / GRAPH_FILE, sources))
    space = f"starter-{arguments.version}"
    own: dict[str, dict[str, JsonValue]] = {
        "tags": train_starter_tags(
            trunk,
            trained.vectors,
            sources,
            recipe.tags.model_copy(update={"seed": seed}),
            space,
            run / TAGS_FILE,
        ),
        "preference": _preference_figures(trunk, trained.preference, sources, seed),
    }
    distances = {}
    calibration, test = (held_copies(trained, sources, split) for split in ("calibration", "test"))
    for head in ("embedding", "copy"):
        distances[head], own[head] = near_duplicates(calibration, test, attrgetter(head))
    own["embedding"] |= retrieval_figures(trained, sources)
    trait = Trait(space, distances["embedding"], distances["copy"], MINIMUM_TAG_SCORE)
    examples = _examples(scorer, sources)
    parts = write_parts(run, trait, examples, seed, trained.run.config()["data_digest"], own)
    card = model_card(arguments.version, {**figures, **own}, recipe)
    manifest = assemble(
        parts,
        "starter",
        arguments.version,
        arguments.out,
        card=card,
        figures=figures,
        reference=_reference(run / GRAPH_FILE, sources),
        replace=True,
    )
    if (total := sum(file.bytes for file in manifest.files)) > MAX_BYTES:
        raise ExportError(
            f"the bundle has {total} bytes, more than {MAX_BYTES}: fewer tag rounds make it smaller"
        )
    _log.info("%s: %s", arguments.out, manifest.figures)


def _reference(graph: Path, sources: Sources) -> dict[str, list[float]]:
    """How the scores of product photos are spread that no weight was fitted to."""
    groups = ("clothing-calibration", "grocery-calibration")
    scores = run_onnx(graph, np.concatenate([sources.pixels[group].exact for group in groups]))
    return {name: spread(scores[name].astype(np.float64)) for name in ("text", "qr", "preference")}


@torch.no_grad()
def _examples(scorer: Scorer, sources: Sources) -> dict[str, Examples]:
    """A few calibration photos, and what the network gives of them."""
    images = sources.pixels["clothing-calibration"].exact[:8]
    given = (tensor.numpy() for tensor in scorer(torch.from_numpy(images)))
    return {name: Examples([images], values) for name, values in zip(OUTPUTS, given, strict=True)}


def _preference_figures(
    trunk: Trunk, preference: PreferenceHead, sources: Sources, seed: int
) -> dict[str, JsonValue]:
    """How often the less degraded of two versions of a held photo is ranked first."""
    ladders = preference_ladders(sources.products("test"), 300, seed + 1)
    return {"preference_pairs_right": round(pair_accuracy(preference, ladder_quality(trunk, ladders)), 4)}


def _parity(scorer: Scorer, graph: Path, sources: Sources) -> dict[str, float]:
    images = sources.pixels["clothing-calibration"].exact[:64]
    differences = largest_difference(scorer, graph, images)
    if max(differences.values()) > PARITY:
        raise ParityError(f"torch and ONNX differ by more than {PARITY}: {differences}")
    return differences
