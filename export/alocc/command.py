"""`mekiki train alocc` and `mekiki evaluate alocc`: from the command line to a run folder with a report."""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import torch
from pydantic import ValidationError

from export.alocc.advice import advice
from export.alocc.evaluation import SeedResult, evaluate_run
from export.alocc.model import ModelSettings
from export.alocc.part import score_name, write_first_part
from export.alocc.report import write_alocc_report
from export.alocc.sets import Decoded, decode_sets, read_sets, with_other_tests
from export.alocc.settings import (
    ENCODER_MODEL,
    FEATURE_MODEL,
    PIXEL_MODEL,
    VERDICT_MODEL,
    AloccSettings,
    DataSettings,
    Space,
    SpaceSettings,
)
from export.alocc.smoke import SMOKE_MODELS, draw_smoke_images
from export.alocc.step import StepSettings
from export.alocc.training import train_space
from export.errors import DatasetError, ExportError, WeightsError
from export.parts import PART_FILE, PARTS_FOLDER
from export.processes import Processes, join_processes
from export.run import RunFolder, open_run
from worker.settings import STARTER_BUNDLE

_GIVE = {
    "feature": "name a mobilenet_v2's weights with --weights FILE (or torchvision), an embedding of your own "
    "with --encoder RUN, or take the starter's trunk with --spaces verdict",
    "verdict": "leave --weights out for the trunk of the starter bundle, or name another bundle or its "
    "checkpoints/trunk-model.pt with --weights",
}


def train_alocc(arguments: argparse.Namespace) -> int:
    """Train, measure and report; returns the exit code.

    Raises:
        ExportError: what was asked cannot be done; see its subclasses.

    """
    torch.set_num_threads(arguments.threads)
    with ExitStack() as stack:
        processes = stack.enter_context(join_processes(arguments.device))
        if arguments.smoke and processes.count > 1:
            raise DatasetError("--smoke draws its own images and runs in one process, without torchrun")
        if arguments.smoke:
            _use_smoke_images(arguments, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        settings = _settings(arguments)
        sets = read_sets(settings.data)
        run = _open(Path(arguments.out), settings, sets.digest(), arguments.resume, processes)
        decoded = decode_sets(settings, sets, run)
        if processes.is_first:
            _say_what_was_left_out(decoded)
        for space in settings.spaces:
            train_space(space, settings, decoded[space]["train"].images, run, processes)
        if processes.is_first:
            results = _measure(settings, decoded, run, processes, run.path / "report.html")
            part = write_first_part(settings, decoded, results, run)
            print(f"part: {part.path}, the score {part.part.name!r}")  # noqa: T201
            for sentence in advice(settings, results, run.path):
                print(sentence)  # noqa: T201
    return 0


def evaluate_alocc(arguments: argparse.Namespace) -> int:
    """Measure the models of a run folder, on its own test images or on those named.

    Raises:
        ExportError: the run is not finished, or the images cannot be used.

    """
    torch.set_num_threads(arguments.threads)
    run = RunFolder(Path(arguments.run))
    settings = AloccSettings.model_validate(run.config()["settings"])
    report = Path(arguments.report) if arguments.report else run.path / "report.html"
    sets = with_other_tests(
        read_sets(settings.data), settings.data, arguments.test_positive, arguments.test_product
    )
    with join_processes(arguments.device) as processes:
        decoded = decode_sets(settings, sets, run)
        _say_what_was_left_out(decoded)
        _measure(settings, decoded, run, processes, report)
    return 0


def _measure(
    settings: AloccSettings,
    decoded: Decoded,
    run: RunFolder,
    processes: Processes,
    report: Path,
) -> list[SeedResult]:
    results = evaluate_run(settings, decoded, run, processes)
    for result in results:
        for name, measured in result.measured.items():
            run.log(
                phase="evaluation",
                epoch=0,
                space=result.space,
                seed=result.seed,
                score=name,
                **measured.to_json(),
            )
    write_alocc_report(report, settings, decoded, results, run, processes.device)
    print(f"report: {report}")  # noqa: T201 - what the command answers
    return results


def _say_what_was_left_out(decoded: Decoded) -> None:
    for name, chosen in next(iter(decoded.values())).items():
        for reason, count in chosen.dataset.skips().items():
            print(f"left out of {name}: {count} x {reason}", file=sys.stderr)  # noqa: T201


def _open(path: Path, settings: AloccSettings, digest: str, resume: bool, processes: Processes) -> RunFolder:
    """The first process makes the folder; the others find it made."""
    asked = settings.model_dump(mode="json")
    if processes.is_first:
        run = open_run(path, asked, digest, resume=resume)
    processes.wait_for_all()
    return run if processes.is_first else open_run(path, asked, digest, resume=True)


def _settings(arguments: argparse.Namespace) -> AloccSettings:
    if not arguments.positive or not arguments.product:
        raise DatasetError("--positive and --product name the images to train on (or --smoke)")
    models: dict[Space, ModelSettings] = {
        "pixel": PIXEL_MODEL, "feature": FEATURE_MODEL, "verdict": VERDICT_MODEL,
        "encoder": _encoder_model(arguments.encoder),
        **(SMOKE_MODELS if arguments.smoke else {}),
    }  # fmt: skip
    spaces = _spaces(arguments)
    weights = _weights(arguments, spaces)
    preprocess = arguments.preprocess or ("torchvision" if weights == "torchvision" else "tensorflow")
    step = StepSettings(learning_rate=arguments.learning_rate, noise=arguments.noise)
    names = DataSettings.model_fields
    try:
        return AloccSettings(
            data=DataSettings(**{name: getattr(arguments, name) for name in names}),
            spaces={
                space: SpaceSettings(
                    model=models[space].model_copy(update={"preprocess": preprocess}),
                    step=step,
                    epochs=arguments.epochs,
                    batch_size=arguments.batch_size,
                )
                for space in spaces
            },
            seeds=arguments.seeds,
            weights=weights,
            name=arguments.name or score_name(arguments.positive[0]),
            description=arguments.description,
            false_positive_rate=arguments.false_positive_rate,
        )
    except ValidationError as error:
        shown = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ExportError(f"the training cannot be done as asked: {shown}") from None


def _spaces(arguments: argparse.Namespace) -> list[Space]:
    """The spaces asked for, or the one that serves best with what was given: pixels only where asked."""
    asked: list[Space] | None = arguments.spaces
    weights: str | None = arguments.weights
    if asked:
        return asked
    if arguments.encoder:
        return ["encoder"]
    if arguments.smoke:
        return ["pixel", "feature"]
    if weights == "none":
        return ["pixel"]
    return ["verdict"] if weights is None or Path(weights).is_dir() else ["feature"]


def _weights(arguments: argparse.Namespace, spaces: list[Space]) -> str:
    """What fills the trunk of these spaces.

    Raises:
        ExportError: a space needs what was not given, or two need different trunks.

    """
    weights: str | None = arguments.weights
    if "encoder" in spaces and not arguments.encoder:
        raise ExportError("--spaces encoder needs --encoder RUN, the --out of `mekiki train embedding`")
    if {"feature", "verdict"} <= set(spaces):
        raise ExportError("--spaces feature and verdict have different trunks, so --weights cannot fit both")
    if weights is None and "verdict" in spaces:
        return str(STARTER_BUNDLE)
    if arguments.smoke or not {"feature", "verdict"} & set(spaces):
        return weights or "none"
    if weights in {None, "none"}:
        (space,) = {"feature", "verdict"} & set(spaces)
        raise WeightsError(
            f"--spaces {space} works on a trained trunk, and a random one learns next to nothing: "
            f"{_GIVE[space]}"
        )
    return str(weights)


def _encoder_model(encoder: str | None) -> ModelSettings:
    if encoder is None:
        return ENCODER_MODEL
    path = Path(encoder)
    folder = path if (path / PART_FILE).is_file() else path / PARTS_FOLDER / "embedding"
    return ENCODER_MODEL.model_copy(update={"encoder": str(folder.resolve())})


def _use_smoke_images(arguments: argparse.Namespace, folder: Path) -> None:
    draw_smoke_images(folder)
    arguments.positive, arguments.product = [str(folder / "notices")], [str(folder / "products")]
    arguments.epochs, arguments.batch_size = min(arguments.epochs, 2), 16
