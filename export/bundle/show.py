"""`mekiki bundle show` and `diff`: what a bundle holds, and what sets two apart. Needs no torch."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import JsonValue

from export.bundle.card import told
from schemas.bundle import (
    AnyHead,
    BundleManifest,
    CopyHead,
    EmbeddingHead,
    Graph,
    ImageInput,
    OutputInput,
    ScoreHead,
    head_name,
)
from worker.model.bundle import read_manifest


def show(folder: Path) -> str:
    """Heads, graphs, thresholds, figures and sizes, a line each.

    Raises:
        BundleError: the bundle is missing or damaged.

    """
    manifest, identifier = read_manifest(folder)
    lines = [f"{identifier}, made {manifest.created_at:%Y-%m-%d %H:%M} UTC"]
    lines += [f"head {name}: {text}" for name, text in _heads(manifest).items()]
    lines += [f"graph {graph.file}: {_graph(graph)}" for graph in manifest.graphs]
    lines += [f"threshold {name}: {text}" for name, text in _thresholds(manifest).items()]
    lines += [f"file {file.name}: {file.bytes:,} bytes, sha256 {file.sha256[:12]}" for file in manifest.files]
    lines += [f"figure {name}: {text}" for name, text in _figures(manifest).items()]
    return "\n".join(lines)


def diff(first: Path, second: Path) -> str:
    """What stands in one of two bundles alone (- and +), or in both and differs; empty if nothing does.

    Raises:
        BundleError: a bundle is missing or damaged.

    """
    sides = [_facts(read_manifest(folder)[0]) for folder in (first, second)]
    return "\n".join(_differences(*sides))


def _differences(ours: dict[str, str], theirs: dict[str, str]) -> Iterator[str]:
    for name in dict.fromkeys([*ours, *theirs]):
        before, after = ours.get(name), theirs.get(name)
        if before == after:
            continue
        if before is not None:
            yield f"- {name}: {before}"
        if after is not None:
            yield f"+ {name}: {after}"


def _facts(manifest: BundleManifest) -> dict[str, str]:
    return {
        **{f"head {name}": text for name, text in _heads(manifest).items()},
        **{f"graph {graph.file}": _graph(graph) for graph in manifest.graphs},
        **{f"threshold {name}": text for name, text in _thresholds(manifest).items()},
        **{
            f"file {file.name}": f"{file.bytes:,} bytes, sha256 {file.sha256[:12]}" for file in manifest.files
        },
        **{f"figure {name}": text for name, text in _figures(manifest).items()},
    }


def _heads(manifest: BundleManifest) -> dict[str, str]:
    return {head_name(head): _head(head) for head in manifest.heads}


def _head(head: AnyHead) -> str:
    if isinstance(head, EmbeddingHead | CopyHead):
        return f"{head.dim} numbers, space {head.space}, near-duplicates to {head.near_duplicate_distance:g}"
    if isinstance(head, ScoreHead):
        return f"{head.kind}, {head.description}"
    if head.format == "forest":
        return f"a forest of tags, published from their own thresholds, at least {head.minimum_score:g}"
    return f"{len(head.names)} tags, published from {head.minimum_score:g}"


def _graph(graph: Graph) -> str:
    takes = []
    for source in graph.inputs.values():
        if isinstance(source, ImageInput):
            takes.append(f"pixels {source.width} x {source.height} ({source.resize})")
        elif isinstance(source, OutputInput):
            takes.append(source.output)
        else:
            takes.append(", ".join(source.measures))
    return f"{', '.join(takes)} -> {', '.join(graph.outputs)}"


def _thresholds(manifest: BundleManifest) -> dict[str, str]:
    found = {name: own.model_dump_json(exclude_none=True) for name, own in manifest.policy.thresholds.items()}
    for category, held in manifest.policy.categories.items():
        found |= {
            f"{name} in {category}": own.model_dump_json(exclude_none=True) for name, own in held.items()
        }
    return found


def _figures(manifest: BundleManifest) -> dict[str, str]:
    return dict(_flat("", dict(manifest.figures)))


def _flat(prefix: str, value: JsonValue) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and not {"hit", "total", "percent"} <= value.keys():
        for key, part in value.items():
            yield from _flat(f"{prefix}{'.' if prefix else ''}{key}", part)
    else:
        yield prefix, told(value)
