"""`mekiki train preference --ratings FILE | --clicks FILE`: RankNet over what people said, as a Part."""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from export.copies.together import keep_copies_together
from export.data import Dataset, data_digest, require_images
from export.embedding.part import Encoder, read_encoder
from export.embedding.served_trunk import trunk_of_bundle
from export.errors import DatasetError, WeightsError
from export.graphs import export_graph
from export.parts import PARTS_FOLDER, DataSource, Examples, Part, describe_file, write_part
from export.preference.clicks import ITEM_COLUMNS, read_clicks
from export.preference.feedback import from_clicks, from_ratings
from export.preference.log_rows import LogRows
from export.preference.networks import (
    PIXELS,
    VECTORS,
    Architecture,
    Served,
    TrunkUtility,
    Utility,
    build,
    input_names,
)
from export.preference.pictures import Pictures, named_images, read_pictures
from export.preference.ratings import Ratings, read_ratings
from export.preference.report import write_preference_report
from export.preference.training import Held, Inputs, RankSettings, measure, train_ranknet
from export.run import RunFolder, open_run
from export.training_split import SMALLEST, data_sources, shown, split_in_two
from schemas.bundle import Graph, GraphInput, OutputInput, ScoreHead

RATING_COLUMNS = ("rating", "score", "stars", "grade", "value")
RATER_COLUMNS = ("rater", "rater_id", "user", "user_id", "annotator", "judge")
_EXAMPLES = 8
_HELD_AT_LEAST = 5  # images with a grade, to draw a curve of


def train_learned(arguments: argparse.Namespace) -> int:
    """Train on ratings or clicks, measure on held groups, leave the Part and a report; 0 when done.

    Raises:
        DatasetError: the table or the images cannot be used.
        PartError: --encoder is no embedding.
        WeightsError: --weights are of another network.

    """
    torch.manual_seed(arguments.seed)
    # One thread: networks this small wait for each other longer than they compute.
    torch.set_num_threads(1)
    clicks = arguments.clicks is not None
    option = "--clicks" if clicks else "--ratings"
    table = LogRows(Path(arguments.clicks or arguments.ratings), arguments.encoding)
    encoder = None if arguments.encoder is None else read_encoder(Path(arguments.encoder))
    utility = _network(arguments, encoder)
    dataset = keep_copies_together(named_images(table, ITEM_COLUMNS, arguments), arguments.copies)
    require_images(dataset, SMALLEST, f"a training ({option})")
    run = open_run(Path(arguments.out), _asked(arguments), data_digest(dataset), resume=False)
    pictures = read_pictures(
        dataset, utility.image, encoder if utility.takes_vectors else None, arguments.max_broken
    )
    train, held = _split(pictures.dataset, option)
    if clicks:
        log = read_clicks(table.path, pictures.rows, arguments.encoding)
        feedback = from_clicks(log, train, held, arguments)
    else:
        feedback = from_ratings(_ratings(table, pictures), train, held, arguments.seed)
    settings = RankSettings.of(utility, arguments.epochs)
    known = held[np.isfinite(feedback.held_grades)]
    measured = Held(
        _inputs(utility, pictures, known), feedback.held_grades[np.isfinite(feedback.held_grades)]
    )
    enough = len(known) >= _HELD_AT_LEAST and len(set(measured.grades.tolist())) > 1
    served = train_ranknet(
        utility, _inputs(utility, pictures, train), feedback.pairs, arguments.seed, settings, run,
        measured if enough else None,
    )  # fmt: skip
    figures: dict[str, JsonValue] = {
        **feedback.figures,
        "images trained on": len(train),
        "images held": len(known),
        "near-identical images beside others": pictures.near_identical,
        **(dict(measure(served.utility, measured.inputs, measured.grades)) if enough else {}),
    }
    part = _write(arguments, run, served, encoder, pictures, figures)
    scores = served_scores(served, _inputs(utility, pictures, held))
    write_preference_report(
        run, part, feedback, pictures.pixels[held], scores, {**pictures.dataset.skips(), **feedback.skipped}
    )
    for name, value in {**feedback.skipped, **figures}.items():
        print(f"{name}: {value}")  # noqa: T201 - what the command answers
    print(f"part: {run.path / PARTS_FOLDER / arguments.name}; report: {run.path / 'report.html'}")  # noqa: T201
    return 0


@torch.no_grad()
def served_scores(served: Served, inputs: Inputs) -> NDArray[np.float32]:
    """Scores [n] in (0, 1), as the graph gives them."""
    rows = [torch.from_numpy(inputs[name]) for name in input_names(served.utility)]
    found: NDArray[np.float32] = np.concatenate(
        [served(*(tensor[at : at + 256] for tensor in rows)).numpy() for at in range(0, len(rows[0]), 256)]
    )
    return found


def _network(arguments: argparse.Namespace, encoder: Encoder | None) -> Utility:
    asked: Architecture = arguments.architecture or ("joint" if encoder is not None else "cnn")
    if asked in {"embedding", "joint"} and encoder is None:
        raise DatasetError(
            f"--architecture {asked} learns over an embedding: name one with --encoder, or take cnn"
        )
    utility = build(asked, encoder.head.dim if encoder is not None else 0)
    if arguments.weights is None:
        return utility
    if not isinstance(utility, TrunkUtility):
        raise WeightsError(f"--weights are of the trunk, and --architecture is {asked}")
    if Path(arguments.weights).is_dir():
        utility.trunk.load_state_dict(trunk_of_bundle(Path(arguments.weights)), strict=False)
        return utility
    try:
        utility.trunk.load_state_dict(torch.load(arguments.weights, map_location="cpu", weights_only=True))
    except Exception as error:  # noqa: BLE001 - torch has many
        raise WeightsError(
            f"--weights {arguments.weights} holds no weights of the starter's trunk: name a starter's "
            f"bundle, or checkpoints/trunk-model.pt of its run folder ({error})"
        ) from None
    return utility


def _asked(arguments: argparse.Namespace) -> dict[str, object]:
    return {name: value for name, value in vars(arguments).items() if name not in {"func", "out"}}


def _split(dataset: Dataset, option: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows to hold, by group."""
    split = split_in_two(dataset, option)
    row = {example.name: number for number, example in enumerate(dataset.examples)}
    train, held = (
        np.array([row[example.name] for example in split[name].examples], np.int64)
        for name in ("train", "test")
    )
    return train, held


def _ratings(table: LogRows, pictures: Pictures) -> Ratings:
    item = table.column(None, ITEM_COLUMNS, "the image")
    rating = table.column(None, RATING_COLUMNS, "the rating")
    rater = table.has(RATER_COLUMNS)
    rows: list[tuple[int, str, str]] = []
    unknown = 0
    for block in table.blocks([item, rating, *([rater] if rater else [])]):
        raters = block[rater].to_pylist() if rater else [""] * len(block[item])
        for name, given, who in zip(block[item].to_pylist(), block[rating].to_pylist(), raters, strict=True):
            row = pictures.rows.get(name or "", -1)
            unknown += row < 0
            if row >= 0:
                rows.append((row, who or "", given or ""))
    found = read_ratings(rows)
    if not unknown:
        return found
    skipped = {**found.skipped, "of an image that is not given": unknown}
    return Ratings(found.image, found.rater, found.value, skipped)


def _inputs(utility: Utility, pictures: Pictures, rows: NDArray[np.int64]) -> Inputs:
    held: dict[str, NDArray[np.generic]] = {}
    if utility.image is not None:
        held[PIXELS] = pictures.pixels[rows]
    if utility.takes_vectors:
        assert pictures.vectors is not None
        held[VECTORS] = pictures.vectors[rows]
    return held


def _write(
    arguments: argparse.Namespace,
    run: RunFolder,
    served: Served,
    encoder: Encoder | None,
    pictures: Pictures,
    figures: dict[str, JsonValue],
) -> Part:
    folder = run.path / PARTS_FOLDER / arguments.name
    folder.mkdir(parents=True)
    utility, name = served.utility, arguments.name
    first = _inputs(utility, pictures, np.arange(2))
    inputs: dict[str, GraphInput] = {}
    graphs: list[Graph] = []
    if utility.image is not None:
        inputs[PIXELS] = utility.image
    if utility.takes_vectors and encoder is not None:
        graphs = encoder.copy_graphs(folder)
        inputs[VECTORS] = OutputInput(output=encoder.head.output)
    examples = {each: torch.from_numpy(first[each]) for each in input_names(utility)}
    export_graph(served, examples, folder / f"{name}.onnx", ["score"])
    own = Graph(file=f"{name}.onnx", inputs=inputs, outputs={f"{name}.score": "score"})
    learned = "clicks, freed of the place in the list" if arguments.clicks else "ratings"
    part = Part(
        head=ScoreHead(
            kind="preference", name=name, output=f"{name}.score",
            description=f"RankNet over {learned}; higher is liked better, 0.5 is the median image",
        ),
        graphs=[*graphs, own],
        files=[describe_file(folder / graph.file) for graph in (*graphs, own)],
        figures=figures,
        seeds=[arguments.seed],
        data_sha256=run.config()["data_digest"],
        sources=_sources(arguments),
        command=run.config()["command"],
    )  # fmt: skip
    pixels = _example_pixels(part, utility, pictures)
    write_part(folder, part, Examples(pixels, _given(served, part, encoder, pixels)))
    return part


def _given(
    served: Served, part: Part, encoder: Encoder | None, pixels: list[NDArray[np.uint8]]
) -> NDArray[np.float32]:
    """What the network gives of the examples: the graph is compared with it when a bundle is put together."""
    by_input = dict(zip(part.manifest().image_inputs(), pixels, strict=True))
    inputs: dict[str, NDArray[np.generic]] = {}
    if served.utility.image is not None:
        inputs[PIXELS] = by_input[served.utility.image]
    if served.utility.takes_vectors and encoder is not None:
        inputs[VECTORS] = encoder.vectors(by_input[encoder.image])
    return served_scores(served, inputs)


def _example_pixels(part: Part, utility: Utility, pictures: Pictures) -> list[NDArray[np.uint8]]:
    """Images of each input of the Part; the encoder's are drawn, since its own pixels were not kept."""
    rng = np.random.default_rng(0)
    return [
        pictures.pixels[:_EXAMPLES]
        if image == utility.image
        else rng.integers(
            0, 256, (min(_EXAMPLES, len(pictures.pixels)), image.height, image.width, 3), np.uint8
        )
        for image in part.manifest().image_inputs()
    ]


def _sources(arguments: argparse.Namespace) -> list[DataSource]:
    table = arguments.clicks or arguments.ratings
    return [DataSource(name=shown(table), use="what people said"), *data_sources(arguments.images or [])]
