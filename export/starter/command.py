"""`python -m export.starter`: train, measure and write the starter bundle."""

import argparse
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import JsonValue

from export.starter.bundle import CARD_FILE, GRAPH_FILE, TAGS_FILE, write_manifest
from export.starter.card import model_card
from export.starter.filtering import train_filter
from export.starter.graph import Scorer, export_onnx, largest_difference, mega_flops
from export.starter.measure import copy_distances, near_duplicate_distance, policy_thresholds
from export.starter.preference import PreferenceHead, pair_accuracy
from export.starter.reach import reach
from export.starter.recipe import (
    Recipe,
    Sources,
    ladder_quality,
    load_sources,
    preference_ladders,
    train_preference_head,
    training_images,
)
from export.starter.sides import side_by_side
from export.starter.tags import predict_tags, save_tags, tag_figures, tag_matrix, train_tags
from export.starter.training import features_of, train_trunk
from export.starter.trunk import Trunk

PARITY = 1e-4
MINIMUM_TAG_SCORE = 0.3
_log = logging.getLogger(__name__)


class ParityError(RuntimeError):
    """The ONNX graph gives other numbers than the network that it was made from."""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m export.starter", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with clothing/ and grocery/")
    parser.add_argument("--out", type=Path, required=True, help="bundle folder to write")
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/starter-cache"), help="decoded and rendered pixels"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--trunk", type=Path, help="a trained trunk (.pt) to go on from; saved there if new")
    return parser.parse_args(argv)


def _trunk(sources: Sources, recipe: Recipe, seed: int, saved: Path | None) -> Trunk:
    if saved is not None and saved.exists():
        trunk = Trunk()
        trunk.load_state_dict(torch.load(saved, weights_only=True))
        return trunk.eval()
    trunk = train_trunk([training_images(sources, share) for share in recipe.shares], seed, recipe.trunk)
    if saved is not None:
        saved.parent.mkdir(parents=True, exist_ok=True)
        torch.save(trunk.state_dict(), saved)
    return trunk


def main(argv: Sequence[str] | None = None) -> int:
    """Train and write a bundle; 0 when it is there and its graph agrees with the network."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for chatty in ("onnxscript", "onnx_ir"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    arguments = _arguments(argv)
    # One thread: convolutions this small wait for each other longer than they compute.
    torch.set_num_threads(1)
    began = time.monotonic()
    recipe = Recipe()
    sources = load_sources(arguments.data, arguments.cache, recipe)
    trunk = _trunk(sources, recipe, arguments.seed, arguments.trunk)
    found = train_filter(trunk, sources, arguments.cache, recipe, arguments.seed)
    preference = train_preference_head(trunk, sources, recipe, arguments.seed)
    scorer = Scorer(trunk, found.text, found.qr, preference).eval()
    arguments.out.mkdir(parents=True, exist_ok=True)
    graph = arguments.out / GRAPH_FILE
    export_onnx(scorer, graph)
    figures: dict[str, JsonValue] = {"seed": arguments.seed, "mega_flops": round(mega_flops(scorer), 1)}
    figures["parity"] = dict(_parity(scorer, graph, sources))
    figures |= _tags(trunk, sources, recipe, arguments.seed, arguments.out)
    _log.info("trained after %.1f minutes", (time.monotonic() - began) / 60)
    figures |= reach(graph, arguments.data, arguments.cache)
    figures |= side_by_side(trunk, found, arguments.data, arguments.cache)
    figures |= _preference_figures(trunk, preference, sources, arguments.seed)
    distance, copies = _copies(trunk, sources)
    figures["near_duplicate"] = copies
    (arguments.out / CARD_FILE).write_text(model_card(arguments.version, figures, recipe), encoding="utf-8")
    thresholds = policy_thresholds(distance, MINIMUM_TAG_SCORE)
    write_manifest(arguments.out, arguments.version, thresholds, sources.names, figures)
    _log.info("%s: %s", arguments.out, figures)
    return 0


def _preference_figures(
    trunk: Trunk, preference: PreferenceHead, sources: Sources, seed: int
) -> dict[str, JsonValue]:
    """How often the less degraded of two versions of a held photo is ranked first."""
    ladders = preference_ladders(sources.products("test"), 300, seed + 1)
    return {"preference_pairs_right": round(pair_accuracy(preference, ladder_quality(trunk, ladders)), 4)}


def _copies(trunk: Trunk, sources: Sources) -> tuple[float, dict[str, JsonValue]]:
    """The near-duplicate distance from calibration photos, and what it finds among test photos."""
    found = {
        split: copy_distances(
            trunk, sources.photos[f"clothing-{split}"], sources.pixels[f"clothing-{split}"].exact, seed
        )
        for seed, split in enumerate(("calibration", "test"))
    }
    distance = near_duplicate_distance(*found["calibration"])
    copies, others = found["test"]
    return distance, {
        "distance": distance,
        "copies_found_percent": round(100 * float((copies <= distance).mean()), 2),
        "false_neighbours_percent": round(100 * float((others <= distance).mean()), 2),
    }


def _parity(scorer: Scorer, graph: Path, sources: Sources) -> dict[str, float]:
    images = sources.pixels["clothing-calibration"].exact[:64]
    differences = largest_difference(scorer, graph, images)
    if max(differences.values()) > PARITY:
        raise ParityError(f"torch and ONNX differ by more than {PARITY}: {differences}")
    return differences


def _tags(trunk: Trunk, sources: Sources, recipe: Recipe, seed: int, out: Path) -> dict[str, JsonValue]:
    """Train the tags on photos of the training split, and measure them on held ones."""
    embedding, labels = {}, {}
    for split in ("train", "test"):
        keys = (f"clothing-{split}", f"grocery-{split}")
        embedding[split] = np.concatenate(
            [features_of(trunk, sources.pixels[k].exact).embedding for k in keys]
        )
        labels[split] = tag_matrix([photo.tags for photo in sources.products(split)], sources.names)
    known = labels["train"].sum(axis=1) > 0
    booster = train_tags(embedding["train"][known], labels["train"][known], seed, recipe.tag_rounds)
    save_tags(booster, out / TAGS_FILE)
    measured = tag_figures(predict_tags(booster, embedding["test"]), labels["test"])
    return {"tags": dict(measured)}
