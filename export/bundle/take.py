"""What `--part` names: a run folder's Parts, a Part, or heads of a bundle that exists.

[NAME=]PATH[:WHAT]. PATH is a run folder (WHAT: names of its Parts; or space=, seed=, score= of an ALOCC run),
the folder of one Part, or a bundle (WHAT: its heads). Without WHAT all of them are meant. NAME= gives a score
another name.
"""

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from export.errors import PartError
from export.parts import PART_FILE, PARTS_FOLDER, Part, PartFolder, read_part
from schemas.bundle import BundleManifest, Graph, OutputInput, ScoreHead, TagHead, head_name
from schemas.policy import Threshold
from worker.errors import BundleError
from worker.model.bundle import read_manifest

MANIFEST_FILE = "manifest.json"
_NAMED = re.compile(r"([a-z][a-z0-9_]*)=(.+)", re.DOTALL)


def take(text: str) -> list[PartFolder]:
    """The Parts that one `--part` names.

    Raises:
        PartError: there is no such folder, Part or head, or it is damaged.

    """
    new_name, path, what = _split(text)
    if (path / PART_FILE).is_file():
        found = [read_part(path)]
    elif (path / MANIFEST_FILE).is_file():
        found = parts_of_bundle(path, what.split(",") if what else None)
    elif "=" in what:
        found = [_asked_of_a_run(path, what)]
    else:
        found = _of_a_run(path, what.split(",") if what else None)
    if new_name is None:
        return found
    if len(found) != 1:
        raise PartError(f"{text}: {new_name}= gives one score a name, and {len(found)} Parts are meant")
    return [_called(found[0], new_name)]


def parts_of_bundle(folder: Path, names: list[str] | None) -> list[PartFolder]:
    """Heads of a bundle as Parts; all of them without `names`.

    Raises:
        PartError: the bundle is damaged, or has no such head.

    """
    try:
        manifest, _ = read_manifest(folder)
    except BundleError as error:
        raise PartError(str(error)) from None
    heads = {head_name(head): head for head in manifest.heads}
    if unknown := set(names or ()) - set(heads):
        raise PartError(f"{folder} has no head {', '.join(sorted(unknown))}; it has {', '.join(heads)}")
    return [PartFolder(folder, _part_of(manifest, name), f"{folder}:{name}") for name in names or list(heads)]


def _part_of(manifest: BundleManifest, name: str) -> Part:
    head = next(head for head in manifest.heads if head_name(head) == name)
    graphs = _needed(manifest.graphs, head.output)
    files = {graph.file for graph in graphs} | ({head.file} if isinstance(head, TagHead) else set())
    own = manifest.figures.get(name)
    categories: Mapping[str, Mapping[str, Threshold]] = manifest.policy.categories
    return Part(
        head=head,
        graphs=graphs,
        files=[file for file in manifest.files if file.name in files],
        threshold=manifest.policy.thresholds.get(name),
        category_thresholds={c: held[name] for c, held in categories.items() if name in held},
        threshold_rule=f"as in {manifest.name} {manifest.version}" if isinstance(head, ScoreHead) else "",
        figures=own if isinstance(own, dict) else {},
        command=f"taken from the bundle {manifest.name} {manifest.version}, whose card has its figures",
        created_at=manifest.created_at,
    )


def _needed(graphs: list[Graph], output: str) -> list[Graph]:
    """The graphs that `output` hangs on, in order, with no other outputs than are needed."""
    wanted, kept = {output}, []
    for graph in reversed(graphs):
        outputs = {name: own for name, own in graph.outputs.items() if name in wanted}
        if outputs:
            kept.append(graph.model_copy(update={"outputs": outputs}))
            wanted |= {source.output for source in graph.inputs.values() if isinstance(source, OutputInput)}
    return kept[::-1]


def _of_a_run(path: Path, names: list[str] | None) -> list[PartFolder]:
    folder = path / PARTS_FOLDER
    held = sorted(part.parent.name for part in folder.glob(f"*/{PART_FILE}"))
    if not held:
        raise PartError(
            f"{path} is no run folder with Parts, no Part and no bundle: name the --out of a `mekiki train`, "
            "or a folder with a manifest.json"
        )
    if unknown := set(names or ()) - set(held):
        raise PartError(f"{path} has no Part {', '.join(sorted(unknown))}; it has {', '.join(held)}")
    return [read_part(folder / name, f"{path}:{name}" if names else str(path)) for name in names or held]


def _asked_of_a_run(path: Path, what: str) -> PartFolder:
    """A Part that an ALOCC run holds as checkpoints alone; made now, which needs torch."""
    asked = dict(item.partition("=")[::2] for item in what.split(","))
    if unknown := set(asked) - {"space", "seed", "score"}:
        raise PartError(f"{path}:{what}: {', '.join(sorted(unknown))} is none of space, seed, score")
    try:
        make: Callable[..., PartFolder] = importlib.import_module("export.alocc.part").part_of_run
    except ModuleNotFoundError as error:
        raise PartError(
            f"{path}:{what}: making this Part needs {error.name}: install mekiki[train]"
        ) from None
    return make(path, asked.get("space"), asked.get("seed"), asked.get("score"))


def _called(found: PartFolder, name: str) -> PartFolder:
    head = found.part.head
    if not isinstance(head, ScoreHead):
        raise PartError(f"{found.origin} gives {head.kind}, which has no other name: leave {name}= out")
    part = found.part.model_copy(update={"head": head.model_copy(update={"name": name})})
    return replace(found, part=part)


def _split(text: str) -> tuple[str | None, Path, str]:
    """Name, path and WHAT; a path that exists is taken whole, whatever stands in it."""
    if Path(text).exists():
        return None, Path(text), ""
    named = _NAMED.fullmatch(text)
    name, rest = (named[1], named[2]) if named else (None, text)
    if Path(rest).exists():
        return name, Path(rest), ""
    path, colon, what = rest.partition(":")
    if not colon or not Path(path).exists():
        raise PartError(f"{text}: there is no {path}; a part is [NAME=]PATH[:WHAT]")
    return name, Path(path), what
