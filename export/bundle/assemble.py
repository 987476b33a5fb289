"""Assemble: Parts to one bundle that the worker loads. Needs no torch.

Files of one digest are one file of the bundle, and a graph that several heads take from runs once. Names
that two Parts both use for different things get the name of their head in front.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue, ValidationError

from export.bundle.card import CARD_FILE, model_card
from export.bundle.checks import check_bundle
from export.errors import PartsDoNotFit
from export.parts import PartFolder, describe_file
from schemas.bundle import (
    AnyHead,
    BundleFile,
    BundleManifest,
    Graph,
    GraphInput,
    OutputInput,
    ScoreHead,
    TagHead,
)
from schemas.policy import Policy, Threshold

MANIFEST_FILE = "manifest.json"


def assemble(
    found: Sequence[PartFolder],
    name: str,
    version: str,
    out: Path,
    *,
    card: str | None = None,
    figures: Mapping[str, JsonValue] | None = None,
    reference: Mapping[str, Sequence[float]] | None = None,
    check: bool = True,
    replace: bool = False,
) -> BundleManifest:
    """Write the bundle of these Parts to the folder `out`, whole or not at all.

    Args:
        found: Parts, of which no two are of one name.
        name: of the bundle, as is `version`.
        version: stands on every result, with a digest.
        out: a folder that does not exist or is empty.
        card: the model card; by default one is written of what the Parts say.
        figures: of the bundle as a whole, beside those of each head.
        reference: how scores are spread over uploads as they should be, by `spread`; drift is told by it.
        check: run every head, and compare it with its Part's examples and with itself, row by row.
        replace: a bundle that is in `out` gives way.

    Raises:
        PartsDoNotFit: two Parts are of one name, the folder is not empty, or the whole contradicts itself.
        ParityError: a head gives other numbers in the bundle than alone, or hangs on the batch.

    """
    _require_one_of_each(found)
    replaced = replace and (out / MANIFEST_FILE).is_file()
    if out.exists() and any(out.iterdir()) and not replaced:
        raise PartsDoNotFit(f"{out} is not empty: name another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as working:
        folder = Path(working) / "bundle"
        folder.mkdir()
        text = card if card is not None else model_card(name, version, found)
        (folder / CARD_FILE).write_text(text, encoding="utf-8")
        manifest = _manifest(found, name, version, folder, figures or {}, reference or {})
        (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if check:
            check_bundle(folder, manifest, found)
        if out.exists():
            out.rename(Path(working) / "replaced")
        folder.rename(out)
    return manifest


def _manifest(
    found: Sequence[PartFolder],
    name: str,
    version: str,
    folder: Path,
    figures: Mapping[str, JsonValue],
    reference: Mapping[str, Sequence[float]],
) -> BundleManifest:
    """The manifest of the Parts, whose files come to lie in `folder`."""
    join = _Join(folder)
    heads = [join.add(part) for part in found]
    told = {part.part.name: dict(part.part.figures) for part in found if part.part.figures}
    try:
        return BundleManifest(
            name=name,
            version=version,
            created_at=datetime.now(UTC).replace(microsecond=0),
            graphs=join.graphs,
            heads=heads,
            policy=_policy(found),
            files=[*join.files.values(), describe_file(folder / CARD_FILE)],
            reference={score: list(shares) for score, shares in reference.items()},
            figures={**told, **figures},
        )
    except ValidationError as error:
        shown = "; ".join(str(item["msg"]) for item in error.errors())
        raise PartsDoNotFit(f"{', '.join(part.origin for part in found)}: {shown}") from None


def _require_one_of_each(found: Sequence[PartFolder]) -> None:
    if not found:
        raise PartsDoNotFit("a bundle needs at least one --part")
    by_name: dict[str, PartFolder] = {}
    for part in found:
        name = part.part.name
        if name in by_name:
            other = by_name[name].origin
            advice = (
                f"call one by another name: --part {name}_2={part.origin}"
                if isinstance(part.part.head, ScoreHead)
                else f"a bundle holds one head of {name}: leave one of them out"
            )
            raise PartsDoNotFit(f"{other} and {part.origin} both give {name!r}; {advice}")
        by_name[name] = part


def _policy(found: Sequence[PartFolder]) -> Policy:
    categories: dict[str, dict[str, Threshold]] = {}
    for part in found:
        for category, own in part.part.category_thresholds.items():
            categories.setdefault(category, {})[part.part.name] = own
    thresholds = {p.part.name: p.part.threshold for p in found if p.part.threshold is not None}
    return Policy(thresholds=thresholds, categories=categories)


@dataclass
class _Join:
    """The bundle under way: `files` by digest, `graphs` in the order in which they run."""

    out: Path
    files: dict[str, BundleFile] = field(default_factory=dict)
    graphs: list[Graph] = field(default_factory=list)

    def add(self, found: PartFolder) -> AnyHead:
        """Take in a Part's graphs and files; gives its head, by the bundle's names."""
        names: dict[str, str] = {}
        for graph in found.part.graphs:
            names |= self._add_graph(found, graph, names)
        head = found.part.head
        renamed: dict[str, str] = {"output": names[head.output]}
        if isinstance(head, TagHead):
            renamed["file"] = self._add_file(found, head.file)
        return head.model_copy(update=renamed)

    def _add_graph(self, found: PartFolder, graph: Graph, names: Mapping[str, str]) -> dict[str, str]:
        """Gives what the bundle calls each output of `graph`."""
        file = self._add_file(found, graph.file)
        inputs = {name: _renamed(source, names) for name, source in graph.inputs.items()}
        for place, there in enumerate(self.graphs):
            if there.file == file and there.inputs == inputs:
                known = {own: name for name, own in there.outputs.items()}
                fresh = self._fresh(found, {n: own for n, own in graph.outputs.items() if own not in known})
                self.graphs[place] = there.model_copy(update={"outputs": {**there.outputs, **fresh}})
                known |= {own: name for name, own in fresh.items()}
                return {name: known[own] for name, own in graph.outputs.items()}
        outputs = self._fresh(found, graph.outputs)
        self.graphs.append(Graph(file=file, inputs=inputs, outputs=outputs))
        return dict(zip(graph.outputs, outputs, strict=True))

    def _fresh(self, found: PartFolder, outputs: Mapping[str, str]) -> dict[str, str]:
        """The outputs by names that no graph of the bundle uses yet."""
        taken = {name for graph in self.graphs for name in graph.outputs}
        return {_free(name, f"{found.part.name}.{name}", taken): own for name, own in outputs.items()}

    def _add_file(self, found: PartFolder, name: str) -> str:
        described = next(file for file in found.part.files if file.name == name)
        if described.sha256 in self.files:
            return self.files[described.sha256].name
        taken = {file.name for file in self.files.values()} | {MANIFEST_FILE, CARD_FILE}
        own = _free(name, f"{found.part.name}-{name}", taken)
        shutil.copyfile(found.path / name, self.out / own)
        self.files[described.sha256] = described.model_copy(update={"name": own})
        return own


def _renamed(source: GraphInput, names: Mapping[str, str]) -> GraphInput:
    return OutputInput(output=names[source.output]) if isinstance(source, OutputInput) else source


def _free(name: str, longer: str, taken: set[str]) -> str:
    """`name` if it is free, else the longer one, with as many underscores before it as it takes."""
    while name in taken:
        name, longer = longer, f"x{longer}"
    return name
