"""`mekiki train`, `mekiki evaluate`, `mekiki bundle`: the arguments, and the function that runs each.

Imports neither torch nor anything that needs it: a serving installation can list these commands, and says
which extra they need when one is run.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from worker.errors import MekikiError
from worker.settings import STARTER_BUNDLE

_TRAINING_PACKAGES = {
    "cv2", "matplotlib", "onnx", "onnxscript", "pyarrow", "pytorch_metric_learning", "resvg_py", "segno",
    "sklearn", "threadpoolctl", "torch", "torchvision", "tqdm", "typst", "xgboost",
}  # fmt: skip


def main(arguments: list[str]) -> int:
    """Run `train`, `evaluate` or `bundle` with its arguments; returns the exit code."""
    if arguments[:2] == ["bundle", "starter"]:  # has a parser of its own
        return _run("export.starter.command:main", arguments[2:])
    parser = argparse.ArgumentParser(prog="mekiki")
    add_commands(parser.add_subparsers(required=True, metavar="COMMAND"))
    options = parser.parse_args(arguments)
    function: Callable[[argparse.Namespace], int] = options.func
    return function(options)


def add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands of training and evaluation; each sets `func`, Namespace -> exit code."""
    train = subparsers.add_parser("train", help="train a model on one's own images")
    models = train.add_subparsers(metavar="MODEL", required=True)
    _add_train_alocc(models)
    _add_train_embedding(models)
    _add_train_tags(models)
    _add_train_autoencoder(models)
    _add_train_preference(models)
    _add_train_attributes(models)
    evaluate = subparsers.add_parser("evaluate", help="measure trained models and write reports")
    kinds = evaluate.add_subparsers(metavar="WHAT", required=True)
    _add_evaluate_alocc(kinds)
    _add_evaluate_mnist(kinds)
    _add_evaluate_tags(kinds)
    _add_evaluate_starter(kinds)
    _add_evaluate_copies(kinds)
    _add_evaluate_quality(kinds)
    _add_evaluate_preference(kinds)
    _add_commands_of_tags(subparsers)
    bundle = subparsers.add_parser("bundle", help="put trained heads together, and look at what was put")
    _add_bundle(bundle.add_subparsers(metavar="WHAT", required=True))


def _add_commands_of_tags(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    tags = subparsers.add_parser("tags", help="add, retrain, remove or list tags, one by one")
    _add_tags(tags.add_subparsers(metavar="WHAT", required=True))


def _add_bundle(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    assemble = kinds.add_parser("assemble", help="a bundle of trained heads, for the worker")
    assemble.add_argument(
        "--part",
        action="append",
        required=True,
        metavar="[NAME=]PATH[:WHAT]",
        help="the run folder of a training, or heads of another bundle (DIR:tags,embedding); once for each",
    )
    assemble.add_argument("--name", required=True, help="letters, digits and -; stands on every result")
    assemble.add_argument("--version", required=True, help="letters, digits, - and .")
    assemble.add_argument("--out", required=True, metavar="DIR", help="bundle folder to write")
    assemble.add_argument(
        "--no-check", action="store_true", help="leave out the checks of parity and of rows in a batch"
    )
    assemble.set_defaults(func=partial(_run, "export.bundle.command:assemble_bundle"))
    pull = kinds.add_parser("pull", help="a bundle from where it is kept into a folder, checked")
    pull.add_argument(
        "url",
        metavar="URL",
        help="s3://bucket/bundle, gs://, az://, https://, file://, oci://registry/repository:tag or "
        "mlflow:/name/version",
    )
    pull.add_argument("folder", metavar="DIR", help="may be there, and be a mount")
    pull.add_argument("--sha256", help="of its manifest.json, which holds the digests of all other files")
    pull.add_argument("--ca-file", type=Path, metavar="FILE", help="PEM of the store's authority")
    pull.add_argument(
        "--signature-key",
        type=Path,
        metavar="FILE",
        help="public keys in PEM, one of which must have signed it",
    )
    pull.set_defaults(func=partial(_run, "export.bundle.command:pull_bundle"))
    show = kinds.add_parser("show", help="heads, graphs, thresholds, files and figures of a bundle")
    show.add_argument("bundle", metavar="DIR")
    show.set_defaults(func=partial(_run, "export.bundle.command:show_bundle"))
    diff = kinds.add_parser("diff", help="what sets two bundles apart; exits 1 if anything does")
    diff.add_argument("first", metavar="A")
    diff.add_argument("second", metavar="B")
    diff.set_defaults(func=partial(_run, "export.bundle.command:diff_bundles"))
    calibrate = kinds.add_parser("calibrate", help="thresholds for a bundle from labelled photos")
    calibrate.add_argument("bundle", metavar="DIR")
    calibrate.add_argument(
        "--labels", required=True, metavar="SOURCE", help="of mekiki labels export, or like it: accept, block"
    )
    calibrate.add_argument(
        "--mistakes", type=float, default=0.01, help="share of accepted images that may be blocked (0.01)"
    )
    calibrate.add_argument(
        "--reference", metavar="SOURCE", help="ordinary uploads, to tell drift by (the labels)"
    )
    calibrate.add_argument("--out", metavar="FILE", help="TOML to write")
    calibrate.add_argument("--write", metavar="DIR", help="the bundle anew, with thresholds and reference")
    calibrate.add_argument("--version", metavar="VERSION", help="of the bundle that is written (calibrated)")
    calibrate.set_defaults(func=partial(_run, "export.bundle.command:calibrate_bundle"))
    quantize = kinds.add_parser("quantize", help="a bundle's convolutions in int8, for CPUs")
    quantize.add_argument("bundle", metavar="DIR")
    quantize.add_argument("--images", required=True, metavar="DIR", help="2,000 or more like those you judge")
    quantize.add_argument("--out", required=True, metavar="DIR", help="bundle folder to write")
    quantize.add_argument("--version", default="int8", help="of the bundle that is written (int8)")
    quantize.add_argument("--changed", type=float, default=0.001, help="share of decisions that may change")
    quantize.add_argument("--most", type=int, default=4000, help="images that are read at most (4000)")
    quantize.set_defaults(func=partial(_run, "export.bundle.quantize:quantize_bundle"))
    starter = kinds.add_parser("starter", help="train and assemble the starter bundle", add_help=False)
    starter.set_defaults(func=lambda _: _run("export.starter.command:main", []))


def _add_train_alocc(models: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = models.add_parser(
        "alocc",
        help="a one-class filter (ALOCC): notices, QR codes, ...",
        description="Train a filter on images of one class alone; product photos set its threshold. "
        "A source is a folder, a CSV, JSONL or Parquet table, or TABLE:column=value,... for some rows. "
        "Several GPUs or hosts: torchrun -m worker.cli train alocc ...",
    )
    parser.add_argument("--positive", nargs="+", metavar="SOURCE", help="images of the class to filter out")
    parser.add_argument("--product", nargs="+", metavar="SOURCE", help="images that must get through")
    parser.add_argument(
        "--test-positive", nargs="+", default=[], metavar="SOURCE", help="default: held-back tenth"
    )
    parser.add_argument(
        "--test-product", nargs="+", default=[], metavar="SOURCE", help="default: held-back part"
    )
    parser.add_argument("--out", required=True, metavar="RUN", help="run folder to write")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument(
        "--spaces",
        nargs="+",
        choices=["pixel", "feature", "verdict", "encoder"],
        help="pixels, a mobilenet_v2's features, the starter's verdict space, an encoder's vectors; default: "
        "encoder with --encoder, feature with --weights, else verdict, with the trunk of the starter bundle",
    )
    parser.add_argument("--encoder", metavar="RUN", help="the --out of mekiki train embedding")
    parser.add_argument("--name", help="of the score; default: that of the first --positive folder")
    parser.add_argument("--description", default="", help="of the score, for the model card")
    parser.add_argument(
        "--weights",
        help="of the space's trunk: a mobilenet_v2's (FILE, or torchvision) for feature, a bundle or a "
        "starter's checkpoints/trunk-model.pt for verdict (default: the starter bundle)",
    )
    parser.add_argument(
        "--preprocess", choices=["tensorflow", "torchvision"], help="pixels as the weights want them"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument(
        "--noise", type=float, default=0.4, help="standard deviation of the noise that R removes"
    )
    parser.add_argument("--false-positive-rate", type=float, default=0.003, help="what the threshold allows")
    parser.add_argument("--smoke", action="store_true", help="drawn images, tiny networks: seconds")
    _add_data_arguments(parser)
    _add_copies_argument(parser)
    _add_machine_arguments(parser)
    parser.set_defaults(func=partial(_run, "export.alocc.command:train_alocc"))


def _add_train_embedding(models: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = models.add_parser(
        "embedding",
        help="an image encoder of one's own (SigLIP, DINO, CLIP, any ONNX), or heads trained over one",
        description="--encoder FILE.onnx: wrap an image encoder with its preprocessing, and reduce its "
        "vectors if asked. --weights, or --encoder RUN: train deep, shallow and deep + shallow heads over a "
        "trained net by labels, with --weights its last blocks too, and measure all three beside it as it "
        "was and beside a histogram of colours. Leaves a Part. Sources as of `mekiki train alocc`.",
    )
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument(
        "--encoder", metavar="FILE", help="ONNX: pixels to vectors, maps or tokens; or a run, or a bundle"
    )
    start.add_argument("--weights", metavar="FILE", help="of a mobilenet_v2, or torchvision, to train over")
    parser.add_argument("--images", required=True, nargs="+", metavar="SOURCE", help="to fit and measure on")
    parser.add_argument("--out", required=True, metavar="RUN", help="run folder to write")
    parser.add_argument("--name", default="encoder", help="of the space that its vectors lie in")
    parser.add_argument(
        "--preset",
        choices=["imagenet", "dino", "clip", "siglip", "tensorflow"],
        default="imagenet",
        help="what its library does to pixels; the options below change single parts",
    )
    parser.add_argument("--size", type=int, help="height and width in pixels")
    parser.add_argument("--resize", choices=["stretch", "crop", "letterbox"])
    parser.add_argument("--filter", choices=["bilinear", "bicubic"])
    parser.add_argument("--crop-share", type=float, help="of crop: 224 of 256 is 0.875")
    parser.add_argument("--mean", type=float, nargs=3, metavar=("R", "G", "B"), help="of pixels from 0 to 1")
    parser.add_argument("--deviation", type=float, nargs=3, metavar=("R", "G", "B"))
    parser.add_argument("--output", help="the encoder's output to take")
    parser.add_argument("--pool", choices=["mean", "cls"], default="mean", help="of tokens")
    parser.add_argument("--dim", type=int, help="numbers to reduce to, by whitened principal components")
    _add_ranking_arguments(parser)
    parser.add_argument("--seed", type=int, default=0)
    _add_data_arguments(parser)
    _add_copies_argument(parser)
    parser.set_defaults(func=partial(_run, "export.embedding.command:train_embedding"))


def _add_ranking_arguments(parser: argparse.ArgumentParser) -> None:
    heads = parser.add_argument_group("heads over --weights or --encoder RUN")
    heads.add_argument(
        "--test-images", nargs="+", default=[], metavar="SOURCE", help="default: held-back groups of --images"
    )
    heads.add_argument(
        "--architecture",
        choices=["deep", "shallow", "deep + shallow"],
        default="deep + shallow",
        help="that the Part serves; all three are measured",
    )
    heads.add_argument("--loss", choices=["triplet", "contrast"], default="triplet")
    heads.add_argument(
        "--mining", choices=["hard", "semihard", "all"], default="semihard", help="of triplets"
    )
    heads.add_argument("--steps", type=int, default=400)
    heads.add_argument(
        "--preprocess", choices=["tensorflow", "torchvision"], help="pixels as the weights want them"
    )


def _add_train_tags(models: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = models.add_parser(
        "tags",
        help="tags over the vectors of an encoder: a forest, to which tags can be added later",
        description="Train a forest of tags (docs/training.md). Labels: folders whose names are tags, or "
        "CSV, JSONL or Parquet tables, one row an image: a column `tags` (a list; in CSV with | between), or "
        "a column of 0 and 1 for each tag.",
    )
    parser.add_argument("--labels", required=True, nargs="+", metavar="SOURCE")
    parser.add_argument(
        "--encoder", default=STARTER_BUNDLE, metavar="PART",
        help="the --out of mekiki train embedding or train autoencoder, or a bundle; default: the starter's",
    )  # fmt: skip
    parser.add_argument("--out", required=True, metavar="RUN", help="run folder to write")
    parser.add_argument("--minimum-count", type=int, default=5, help="images that a tag needs")
    parser.add_argument(
        "--minimum-score", type=float, default=0.0, help="published from their own thresholds, at least this"
    )
    parser.add_argument(
        "--rounds", type=int, default=50, help="of boosting, at most; held-back senders choose"
    )
    parser.add_argument("--depth", type=int, default=6, help="of a tree; deeper than 6 cannot be served")
    parser.add_argument("--no-linear", action="store_true", help="no logistic regression under the trees")
    parser.add_argument("--calibration", choices=["platt", "isotonic"], default="platt")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="that train side by side")
    parser.add_argument("--dask", metavar="ADDRESS", help="of a Dask scheduler, to train on its workers")
    parser.add_argument("--seed", type=int, default=0)
    _add_data_arguments(parser)
    _add_copies_argument(parser)
    parser.set_defaults(func=partial(_run, "export.tags.command:train_tags_command"))


def _add_tags(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    for name, told in (
        ("add", "train tags of a label table that the set does not have"),
        ("retrain", "train tags of the set again, by other labels"),
        ("remove", "take tags out"),
        ("list", "a line for each tag: images, threshold, average precision, digest"),
        ("show", "all that the set knows of some tags"),
    ):
        parser = kinds.add_parser(name, help=told, description=f"{told[0].upper()}{told[1:]}.")
        parser.add_argument("run", metavar="RUN", help="the --out of mekiki train tags")
        if name != "list":
            parser.add_argument("name", metavar="TAG", nargs="*" if name in {"add", "retrain"} else "+")
        if name in {"add", "retrain"}:
            parser.add_argument("--labels", required=True, nargs="+", metavar="SOURCE")
            parser.add_argument("--processes", type=int, default=1)
            _add_data_arguments(parser)
        if name in {"add", "retrain", "remove"}:
            parser.add_argument("--out", metavar="FILE", help="write the set here too: what model.tags names")
        parser.set_defaults(func=partial(_run, f"export.tags.change:{name}_tags"))


def _add_train_autoencoder(models: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = models.add_parser(
        "autoencoder", help="a code of 196 numbers that images are drawn again from, as an encoder for tags"
    )
    parser.add_argument("--images", required=True, nargs="+", metavar="SOURCE")
    parser.add_argument("--out", required=True, metavar="RUN", help="run folder to write")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    _add_data_arguments(parser)
    _add_copies_argument(parser)
    parser.set_defaults(func=partial(_run, "export.tags.autoencoder:train_autoencoder_command"))


def _add_evaluate_tags(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = kinds.add_parser(
        "tags", help="ways to get tags from vectors side by side: trees as published, a linear probe, ours"
    )
    parser.add_argument(
        "--labels", required=True, nargs="+", metavar="SOURCE", help="as of mekiki train tags"
    )
    parser.add_argument(
        "--encoder",
        nargs="+",
        default=[str(STARTER_BUNDLE)],
        metavar="PART",
        help="one or more, side by side",
    )
    parser.add_argument("--tags", type=int, default=60, help="that the figures are taken over")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for tags-side-by-side.json")
    parser.add_argument("--seed", type=int, default=0)
    _add_data_arguments(parser)
    parser.set_defaults(func=partial(_run, "export.tags.comparison:evaluate_tags"))


def _add_train_preference(models: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = models.add_parser(
        "preference",
        help="a score to order by: from ratings, from clicks, or photo quality",
        description="RankNet over pairs. --ratings: path, rating and, if there are several, rater. "
        "--clicks: one row an image that a list showed, with list_id, path, position and clicked. Neither: "
        "photo quality, over degraded versions of --images.",
    )
    told = parser.add_mutually_exclusive_group()
    told.add_argument("--ratings", metavar="FILE", help="CSV, JSONL or Parquet")
    told.add_argument("--clicks", metavar="FILE", help="CSV, JSONL or Parquet, of any size")
    parser.add_argument(
        "--images", nargs="+", metavar="SOURCE", help="the photos; default: paths beside the table"
    )
    parser.add_argument("--encoder", metavar="RUN", help="the --out of mekiki train embedding, or a bundle")
    parser.add_argument("--out", required=True, metavar="RUN", help="run folder to write")
    parser.add_argument("--name", help="of the score; default: preference, or clicks with --clicks")
    parser.add_argument(
        "--architecture",
        choices=["cnn", "embedding", "joint", "trunk"],
        help="cnn: 80 px, as published. embedding: over the encoder's vectors. joint: over them, colours "
        "and light. trunk: the starter's, all of it. Default: joint with --encoder, else cnn",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="of the trunk: a starter's bundle, or checkpoints/trunk-model.pt of its run folder",
    )
    parser.add_argument(
        "--propensities",
        default="em",
        metavar="HOW",
        help="of positions: em (expectation maximisation), harvest (intervention harvesting), none "
        "(clicks as they are), or a table of position and propensity",
    )
    parser.add_argument(
        "--click-model",
        choices=["auto", "position", "dependent"],
        default="auto",
        help="auto: the one that foretells held-back lists better",
    )
    parser.add_argument(
        "--weighting",
        choices=["rates", "inverse", "order"],
        default="rates",
        help="rates: an image's clicks over the sum of its propensities. inverse: each click by the inverse "
        "of its propensity, as published. order: which of any two images has more clicks a look, and how "
        "sure that is",
    )
    parser.add_argument("--clip", type=float, default=0.02, help="the least propensity that counts")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    _add_data_arguments(parser)
    _add_copies_argument(parser)
    parser.set_defaults(func=partial(_run, "export.preference.command:train_preference_command"))


def _add_train_attributes(models: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = models.add_parser(
        "attributes",
        help="vectors that a search adds and takes off: colours, expressions, ...",
        description="Learn to show what labels say in the vector that search uses, and leave an embedding "
        "Part with a vector for each label, for `plus` and `minus` of POST /search.",
    )
    parser.add_argument("--labels", required=True, nargs="+", metavar="SOURCE", help="labels are the values")
    parser.add_argument("--encoder", metavar="RUN", help="the --out of mekiki train embedding")
    parser.add_argument("--weights", metavar="FILE", help="or those of a mobilenet_v2, or torchvision")
    parser.add_argument(
        "--preprocess", choices=["tensorflow", "torchvision"], help="pixels as the weights want them"
    )
    parser.add_argument("--out", required=True, metavar="RUN", help="run folder to write")
    parser.add_argument("--name", default="attributes", help="of the space that the vectors lie in")
    parser.add_argument("--minimum-count", type=int, default=5, help="images that a value needs")
    parser.add_argument("--seed", type=int, default=0)
    _add_data_arguments(parser)
    _add_copies_argument(parser)
    parser.set_defaults(func=partial(_run, "export.attributes.command:train_attributes_command"))


def _add_evaluate_alocc(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = kinds.add_parser("alocc", help="measure a run again, on its own or on other images")
    parser.add_argument("run", metavar="RUN", help="run folder of mekiki train alocc")
    parser.add_argument(
        "--test-positive", nargs="+", default=[], metavar="SOURCE", help="default: the run's own"
    )
    parser.add_argument(
        "--test-product", nargs="+", default=[], metavar="SOURCE", help="default: the run's own"
    )
    parser.add_argument("--report", metavar="FILE", help="default: RUN/report.html")
    _add_machine_arguments(parser)
    parser.set_defaults(func=partial(_run, "export.alocc.command:evaluate_alocc"))


def _add_evaluate_mnist(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = kinds.add_parser("mnist", help="the one-class benchmark of the ALOCC paper")
    parser.add_argument(
        "--data", required=True, metavar="FILE", help="mnist.npz: x_train, y_train, x_test, y_test"
    )
    parser.add_argument("--out", required=True, metavar="RUN", help="run folder to write")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--digits", nargs="+", type=int, default=list(range(10)))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument(
        "--corrupted-share",
        type=float,
        default=0.5,
        help="of D's training: self-made outliers; 0 is as published",
    )
    _add_machine_arguments(parser)
    parser.set_defaults(func=partial(_run, "export.alocc.mnist:evaluate_mnist"))


def _add_evaluate_starter(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = kinds.add_parser("starter", help="what a starter bundle blocks of images it was not trained on")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--graph", type=Path, help="another graph than the bundle's: an fp16 or int8 variant")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with clothing/, grocery/, codes/, ..."
    )
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/starter-cache"), help="decoded and rendered pixels"
    )
    parser.set_defaults(func=partial(_run, "export.starter.held_groups:evaluate_starter"))


def _add_evaluate_copies(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = kinds.add_parser("copies", help="how many edited copies of photos `mekiki duplicates` finds")
    parser.add_argument("--images", required=True, nargs="+", metavar="SOURCE", help="as of train alocc")
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="whose vectors are used")
    parser.add_argument("--queries", type=int, default=300, help="photos that are edited, in 14 ways each")
    parser.add_argument("--candidates", type=int, help="nearest images by vector that are looked at")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    _add_data_arguments(parser)
    parser.set_defaults(func=partial(_run, "export.copies.command:evaluate_copies"))


def _add_evaluate_preference(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = kinds.add_parser(
        "preference", help="what is learned of a hidden utility, from simulated ratings and biased clicks"
    )
    parser.add_argument("--images", required=True, nargs="+", metavar="SOURCE", help="photos with labels")
    _add_repeated_training(parser)
    parser.add_argument(
        "--utilities", nargs="+", choices=["clean", "taste"], default=["clean", "taste"],
        help="hidden: light, colourful, on a calm ground; or kinds of goods, warm, in contrast",
    )  # fmt: skip
    parser.add_argument("--lists", type=int, default=100_000, help="that shoppers see")
    parser.set_defaults(func=partial(_run, "export.preference.benchmark:evaluate_preference"))


def _add_evaluate_quality(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = kinds.add_parser(
        "quality", help="how often photos of other senders rank above versions made worse, by kind"
    )
    parser.add_argument("--images", required=True, nargs="+", metavar="SOURCE", help="the photos")
    _add_repeated_training(parser)
    parser.add_argument("--resume", action="store_true", help="go on with the versions in --out")
    _add_data_arguments(parser)
    _add_copies_argument(parser)
    parser.set_defaults(func=partial(_run, "export.preference.quality_benchmark:evaluate_quality"))


def _add_repeated_training(parser: argparse.ArgumentParser) -> None:
    """Arguments of what is trained over an encoder and measured, once for each seed."""
    parser.add_argument(
        "--encoder", required=True, metavar="RUN", help="an embedding's run folder, or a bundle"
    )
    parser.add_argument("--out", required=True, metavar="RUN", help="run folder to write")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--epochs", type=int, help="of each training; default: what a training has")


def _add_data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--path-column", help="default: path, file, filename or image")
    parser.add_argument("--label-column", help="default: label, class or category")
    parser.add_argument("--group-column", help="sender, shop or source that a split keeps together")
    parser.add_argument(
        "--encoding", help="of CSV and JSONL tables; default: UTF-8, or what a byte order mark says"
    )
    parser.add_argument(
        "--max-broken", type=float, default=0.1, help="share of broken images that is let pass"
    )


def _add_copies_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--copies", nargs="+", default=[], metavar="FILE",
        help="find: look for copies of one photo, for at most five minutes, and keep them together in a "
        "split; or the --out of mekiki duplicates",
    )  # fmt: skip


def _add_machine_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of torch, on the CPU")


def _run(target: str, arguments: argparse.Namespace | list[str]) -> int:
    """Import `module:function` and run it; say plainly what is missing or was asked wrongly."""
    module, _, name = target.partition(":")
    try:
        function: Callable[..., int] = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _TRAINING_PACKAGES:
            raise
        print(  # noqa: T201
            f"training needs {error.name}, which is not installed: pip install 'mekiki[train]'",
            file=sys.stderr,
        )
        return 2
    try:
        return function(arguments)
    except MekikiError as error:
        print(f"mekiki: {error}", file=sys.stderr)  # noqa: T201
        return 2
