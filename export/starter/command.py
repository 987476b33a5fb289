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
from export.starter.graph import OUTPUTS, Scorer, export_onnx, largest_difference, mega_flops, run_onnx
from export.starter.images import rendered_pixels
from export.starter.measure import copy_distances, near_duplicate_distance, policy_thresholds, share_blocked
from export.starter.preference import pair_accuracy
from export.starter.recipe import (
    SEED_HELD,
    Recipe,
    Sources,
    ladder_quality,
    load_sources,
    preference_ladders,
    train_preference_head,
    training_images,
)
from export.starter.tags import predict_tags, save_tags, tag_figures, tag_matrix, train_tags
from export.starter.training import TrunkSettings, features_of, train_trunk
from export.starter.trunk import Trunk

PARITY = 1e-4
HELD_RENDERS = 200
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
    parser.add_argument("--epochs", type=int, default=TrunkSettings.epochs)
    parser.add_argument(
        "--renders", type=int, default=Recipe.notices, help="notices, and as many of each other kind"
    )
    parser.add_argument("--trunk", type=Path, help="a trained trunk (.pt) to go on from; saved there if new")
    return parser.parse_args(argv)


def _trunk(sources: Sources, recipe: Recipe, seed: int, saved: Path | None) -> Trunk:
    if saved is not None and saved.exists():
        trunk = Trunk()
        trunk.load_state_dict(torch.load(saved, weights_only=True))
        return trunk.eval()
    trunk = train_trunk(training_images(sources), seed, recipe.trunk)
    if saved is not None:
        saved.parent.mkdir(parents=True, exist_ok=True)
        torch.save(trunk.state_dict(), saved)
    return trunk


def _filter_figures(graph: Path, sources: Sources, cache: Path) -> dict[str, JsonValue]:
    """What the default policy blocks, of held photos and of renders with other seeds."""
    figures: dict[str, JsonValue] = {}
    for key in (
        "clothing-train",
        "clothing-calibration",
        "clothing-test",
        "grocery-calibration",
        "grocery-test",
    ):
        figures[f"blocked_{key.replace('-', '_')}"] = share_blocked(
            run_onnx(graph, sources.pixels[key].exact)
        ).as_figure()
    grounds = [photo.path for photo in sources.photos["clothing-calibration"]]
    for number, kind in enumerate(("notice", "qr_poster", "qr_photo", "product")):
        held = rendered_pixels(cache, kind, SEED_HELD + number, HELD_RENDERS, grounds)
        figures[f"blocked_rendered_{kind}"] = share_blocked(run_onnx(graph, held.exact)).as_figure()
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Train and write a bundle; 0 when it is there and its graph agrees with the network."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("onnxscript").setLevel(logging.WARNING)
    logging.getLogger("onnx_ir").setLevel(logging.WARNING)
    arguments = _arguments(argv)
    began = time.monotonic()
    torch.set_num_threads(1)
    half = arguments.renders // 2
    recipe = Recipe(
        notices=arguments.renders, products=arguments.renders, qr_posters=half, qr_photos=half,
        trunk=TrunkSettings(epochs=arguments.epochs),
    )  # fmt: skip
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
    figures |= _filter_figures(graph, sources, arguments.cache)
    ladders = preference_ladders(sources.products("test"), 300, arguments.seed + 1)
    figures["preference_pair_accuracy"] = round(pair_accuracy(preference, ladder_quality(trunk, ladders)), 4)
    held = sources.photos["clothing-calibration"]
    copies, others = copy_distances(trunk, held, sources.pixels["clothing-calibration"].exact, 5)
    distance = near_duplicate_distance(copies, others)
    figures["near_duplicate"] = {
        "distance": distance,
        "copies_found_percent": round(100 * float((copies <= distance).mean()), 2),
        "false_neighbours_percent": round(100 * float((others <= distance).mean()), 2),
    }
    figures["training_minutes"] = round((time.monotonic() - began) / 60, 1)
    (arguments.out / CARD_FILE).write_text(model_card(arguments.version, figures, recipe), encoding="utf-8")
    write_manifest(arguments.out, arguments.version, policy_thresholds(distance, 0.3), sources.names, figures)
    _log.info("%s: %s", arguments.out, figures)
    return 0


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


__all__ = ["OUTPUTS", "main"]
