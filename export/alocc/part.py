"""The Part of an ALOCC run: one score of one space and seed, as a graph that serves, cut at its threshold."""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import Tensor, nn

from export.alocc.advice import served_space
from export.alocc.evaluation import SeedResult, evaluate_run, groups
from export.alocc.model import DISCRIMINATED, FUSED, REINFORCED, RESTORED, AloccModel, in_batches
from export.alocc.networks import RawMaps
from export.alocc.score import slope_of
from export.alocc.sets import Decoded, decode_sets, read_sets
from export.alocc.settings import AloccSettings, Space
from export.alocc.training import load_models
from export.alocc.trunks import EncoderSpace, Pixels
from export.errors import PartError
from export.graphs import export_onnx
from export.metrics import Fusion, Measured, Share
from export.parts import (
    PARTS_FOLDER,
    DataSource,
    Examples,
    Part,
    PartFolder,
    describe_file,
    write_part,
)
from export.pixels import DecodedSet
from export.processes import Processes
from export.run import RunFolder
from export.training_split import shown
from schemas.bundle import Graph, OutputInput, ScoreHead
from schemas.policy import Threshold

OTHER_PARTS_FOLDER = "other-parts"
SCORES_FILE = "scores.csv"
SCORES = (RESTORED, REINFORCED, DISCRIMINATED, FUSED)
_EXAMPLES = 8


class ServedScore(nn.Module):
    """The trunk's maps [n, c, h, w] to a score [n]: 0.5 at the threshold, 0.95 at the class's median.

    The restoration error is served as minus its logarithm, so that one slope fits near and far images.
    """

    cut: Tensor
    slope: Tensor

    def __init__(self, model: AloccModel, score: str, fusion: Fusion) -> None:
        super().__init__()
        self.model = model
        self.score = score
        self.fusion = fusion
        self.register_buffer("cut", torch.tensor(0.0))
        self.register_buffer("slope", torch.tensor(1.0))

    def fit(self, threshold: float, target: NDArray[np.float64]) -> None:
        """Take threshold and target images' values as the report has them."""
        raw = _served(self.score, torch.from_numpy(np.append(target, threshold))).numpy()
        self.cut.fill_(float(raw[-1]))
        self.slope.fill_(slope_of(float(raw[-1]), raw[:-1].astype(np.float32)))

    def forward(self, maps: Tensor) -> Tensor:
        """See the class."""
        plain, reinforced, error = self.model.judge(RawMaps(maps))
        values = {DISCRIMINATED: plain, REINFORCED: reinforced, RESTORED: -error}
        value = self._fused(values) if self.score == FUSED else values[self.score]
        return torch.sigmoid((_served(self.score, value) - self.cut) * self.slope)

    def _fused(self, values: Mapping[str, Tensor]) -> Tensor:
        distances = [
            ((values[name] - centre) / self.fusion.spreads[name]).clamp(-100.0, 1.0)
            for name, centre in self.fusion.centres.items()
        ]
        return torch.stack(distances).mean(dim=0)


class _WithTrunk(nn.Module):
    def __init__(self, trunk: nn.Module, score: ServedScore) -> None:
        super().__init__()
        self.trunk, self.score = trunk, score

    def forward(self, images: Tensor) -> Tensor:
        """uint8 [n, height, width, 3] to scores [n]."""
        scores: Tensor = self.score(self.trunk(images))
        return scores


def score_name(source: str) -> str:
    """A score's name from a source: its folder's name, in the letters that a score may have."""
    path = Path(source.partition(":")[0])
    stem = path.parent.name if path.suffix or not path.name else path.name
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")
    return name if re.match(r"[a-z]", name) else "novelty"


def write_first_part(
    settings: AloccSettings, decoded: Decoded, results: Sequence[SeedResult], run: RunFolder
) -> PartFolder:
    """The run's Part, the restoration score of its last space's first seed; and `scores.csv` of test images.

    Where a run has several spaces, the last is the one that others were measured beside.
    """
    space = served_space(settings)
    result = next(r for r in results if r.space == space and r.seed == settings.seeds[0])
    folder = run.path / PARTS_FOLDER / settings.name
    found, network = _write(settings, decoded[space], result, RESTORED, folder, run)
    _write_scores(run.path / SCORES_FILE, network, decoded[space])
    return found


def part_of_run(path: Path, space: str | None, seed: str | None, score: str | None) -> PartFolder:
    """The Part of another space, seed or score of a finished run; made on first use.

    Raises:
        PartError: the run has no such space or seed, or there is no such score.
        RunFolderError: the run is not finished.

    """
    run = RunFolder(path)
    settings = AloccSettings.model_validate(run.config()["settings"])
    chosen, asked = space or served_space(settings), score or RESTORED
    number = settings.seeds[0] if seed is None else int(seed) if seed.isdigit() else -1
    if chosen not in settings.spaces or number not in settings.seeds or asked not in SCORES:
        raise PartError(
            f"{path} has the spaces {', '.join(settings.spaces)}, the seeds "
            f"{', '.join(map(str, settings.seeds))} and the scores {', '.join(SCORES)}"
        )
    only = settings.model_copy(
        update={
            "spaces": {name: own for name, own in settings.spaces.items() if name == chosen},
            "seeds": [number],
        }
    )
    decoded = decode_sets(only, read_sets(only.data), run)
    (result,) = evaluate_run(only, decoded, run, Processes(torch.device("cpu")))
    folder = run.path / OTHER_PARTS_FOLDER / re.sub(r"[^a-z0-9]+", "-", f"{chosen}-{number}-{asked}".lower())
    return _write(only, decoded[result.space], result, asked, folder, run)[0]


def _write(
    settings: AloccSettings,
    sets: Mapping[str, DecodedSet],
    result: SeedResult,
    score: str,
    folder: Path,
    run: RunFolder,
) -> tuple[PartFolder, _WithTrunk]:
    model = load_models(result.space, settings, run, torch.device("cpu"))[result.seed]
    measured = result.measured[score]
    fusion = Fusion.fit({name: own for name, own in result.validation.items() if name != FUSED})
    network = ServedScore(model, score, fusion)
    network.fit(measured.threshold, result.validation[score])
    whole = _WithTrunk(model.trunk, network).eval()
    folder.mkdir(parents=True, exist_ok=True)
    graphs = _export(settings, result.space, whole, folder)
    names = {graph.file for graph in graphs}
    images = np.concatenate([sets["positive"].images[:_EXAMPLES], sets["product"].images[:_EXAMPLES]])
    config = run.config()
    part = Part(
        head=ScoreHead(
            kind="novelty", name=settings.name, output=f"{settings.name}.score",
            description=settings.description or f"how surely the image is one of {settings.name!r}",
        ),
        graphs=graphs,
        files=[describe_file(folder / name) for name in sorted(names)],
        threshold=Threshold(block=0.5),
        threshold_rule=(
            f"0.5 is where at most {settings.false_positive_rate:.2%} of {len(sets['threshold'])} product "
            f"photos of the training side lie ({score} of the {result.space} space, seed {result.seed})"
        ),
        figures=_figures(sets, result, score, measured),
        seeds=[result.seed],
        data_sha256=config["data_digest"],
        sources=[
            DataSource(name=source, use=use)
            for use, sources in (
                ("target class: trained on it alone", settings.data.positive),
                ("products: the threshold", settings.data.product),
                ("target class: measured", settings.data.test_positive),
                ("products: measured", settings.data.test_product),
            )
            for source in map(shown, sources)
        ],
        command=config["command"],
    )  # fmt: skip
    return write_part(folder, part, Examples([images], _scores(whole, images))), whole


def _export(settings: AloccSettings, space: Space, network: _WithTrunk, folder: Path) -> list[Graph]:
    """The graphs of a score: one from pixels, or a trunk that other heads may share and one from its maps."""
    trunk, own, asked = network.trunk, f"{settings.name}.score", settings.spaces[space].model.pixels()
    images = torch.zeros(2, asked.height, asked.width, 3, dtype=torch.uint8)
    file = f"{settings.name}.onnx"
    if isinstance(trunk, Pixels):
        export_onnx(network, images, folder / file, ["score"])
        return [Graph(file=file, inputs={"images": asked}, outputs={own: "score"})]
    if isinstance(trunk, EncoderSpace):
        head, before = trunk.encoder.head, trunk.encoder.copy_graphs(folder)
        maps = head.output
        flat = torch.zeros(2, head.dim)
        export_onnx(_FromVectors(network.score), flat, folder / file, ["score"], "vectors")
    else:
        export_onnx(trunk, images, folder / "trunk.onnx", ["maps"])
        before, maps = [Graph(file="trunk.onnx", inputs={"images": asked}, outputs={"maps": "maps"})], "maps"
        export_onnx(network.score, trunk(images), folder / file, ["score"], "vectors")
    head_graph = Graph(file=file, inputs={"vectors": OutputInput(output=maps)}, outputs={own: "score"})
    return [*before, head_graph]


class _FromVectors(nn.Module):
    def __init__(self, score: ServedScore) -> None:
        super().__init__()
        self.score = score

    def forward(self, vectors: Tensor) -> Tensor:
        """float32 [n, dim] to scores [n]."""
        scores: Tensor = self.score(vectors[:, :, None, None])
        return scores


def _served(score: str, value: Tensor) -> Tensor:
    """A value of the report as it is served."""
    return -torch.log((-value).clamp_min(0) + 1e-6) if score == RESTORED else value


@torch.no_grad()
def _scores(network: _WithTrunk, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    parts = [network(batch).numpy() for batch in in_batches(images, torch.device("cpu"))]
    return np.concatenate(parts).astype(np.float32)


def _write_scores(path: Path, network: _WithTrunk, sets: Mapping[str, DecodedSet]) -> None:
    """The served score of every image that was measured."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["set", "path", "label", "score"])
        for name in ("positive", "product"):
            held = sets[name]
            for example, score in zip(held.dataset.examples, _scores(network, held.images), strict=True):
                table.writerow([name, example.path, example.label, f"{score:.6f}"])


def _figures(
    sets: Mapping[str, DecodedSet], result: SeedResult, score: str, measured: Measured
) -> dict[str, JsonValue]:
    figures: dict[str, JsonValue] = {
        "AUROC": round(measured.auroc, 4),
        "blocked of the target class": _share(measured.recall, len(sets["positive"])),
        "blocked of products": _share(measured.false_positive_rate, len(sets["product"])),
    }
    for name, scores in (("positive", result.positive), ("product", result.product)):
        for group in groups(sets[name].dataset, scores, {score: measured}):
            if group.label:
                figures[f"blocked of {name}s of the label {group.label}"] = _share(
                    group.flagged[score], group.images
                )
    return figures


def _share(share: float, total: int) -> dict[str, JsonValue]:
    return Share(round(share * total), total).as_figure()
