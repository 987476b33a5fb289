"""The model card of a bundle, written of what its Parts say."""

from collections.abc import Iterable, Mapping, Sequence

from pydantic import JsonValue

from export.parts import Part, PartFolder
from schemas.bundle import CopyHead, EmbeddingHead, ImageInput, ScoreHead, TagHead

CARD_FILE = "MODEL_CARD.md"


def model_card(name: str, version: str, found: Sequence[PartFolder]) -> str:
    """Markdown: the heads, what each was made from, how it is cut and how good it is."""
    return "\n".join([
        f"# {name} {version}",
        "",
        "| head | what | pixels | threshold |",
        "|---|---|---|---|",
        *(_summary(part.part) for part in found),
        "",
        *(line for part in found for line in _section(part.part)),
    ])  # fmt: skip


def _summary(part: Part) -> str:
    return f"| {part.name} | {_what(part)} | {_pixels(part)} | {_threshold(part)} |"


def _what(part: Part) -> str:
    head = part.head
    if isinstance(head, ScoreHead):
        return f"{head.kind}: {head.description}"
    if isinstance(head, EmbeddingHead | CopyHead):
        return f"{head.dim} numbers of length 1, space {head.space}"
    assert isinstance(head, TagHead)
    if head.format == "forest":
        return f"a forest of tags, published from their own thresholds, at least {head.minimum_score:g}"
    return f"{len(head.names)} tags, published from {head.minimum_score:g}"


def _pixels(part: Part) -> str:
    inputs = [source for graph in part.graphs for source in graph.inputs.values()]
    told = (f"{i.width} x {i.height}, {i.resize}" for i in inputs if isinstance(i, ImageInput))
    return "; ".join(dict.fromkeys(told))


def _threshold(part: Part) -> str:
    if part.threshold is None:
        return "none"
    levels = (("block", part.threshold.block), ("review", part.threshold.review))
    return ", ".join(f"{name} from {level:g}" for name, level in levels if level is not None)


def _section(part: Part) -> Iterable[str]:
    yield f"## {part.name}"
    yield ""
    if part.threshold_rule:
        yield f"Threshold: {part.threshold_rule}."
        yield ""
    facts = {
        "seeds": ", ".join(map(str, part.seeds)),
        "data (sha256)": part.data_sha256,
        "made by": f"`{part.command}`" if part.command else "",
        "made at": part.created_at.isoformat(),
    }
    yield from _table(("fact", "value"), ((key, value) for key, value in facts.items() if value))
    if part.sources:
        yield from _table(
            ("source", "licence", "use"), ((item.name, item.licence, item.use) for item in part.sources)
        )
    if part.figures:
        yield from _table(("measured", "figure"), ((key, told(value)) for key, value in part.figures.items()))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def told(value: JsonValue) -> str:
    """A figure in words."""
    if isinstance(value, Mapping):
        if {"hit", "total", "percent"} <= value.keys():
            return f"{value['percent']} % ({value['hit']} of {value['total']})"
        return ", ".join(f"{key.replace('_', ' ')} {told(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(told, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
