"""The latency chart: one dot for each verdict, at the time of its upload."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from worker.demo.entries import Entry

WIDTH = 1000
HEIGHT = 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 10, 28
_MOST_LINES = 5


@dataclass(frozen=True)
class Dot:
    """A verdict, in the chart's own units."""

    x: float
    y: float
    outcome: str
    label: str


@dataclass(frozen=True)
class Chart:
    """An SVG's content: dots, and grid lines as (place, label)."""

    width: int
    height: int
    dots: Sequence[Dot]
    rows: Sequence[tuple[float, str]]
    columns: Sequence[tuple[float, str]]


def latency_chart(entries: Sequence[Entry]) -> Chart | None:
    """Milliseconds from upload to verdict over seconds since the first upload; None without verdicts."""
    judged = [(entry, entry.verdict_ms) for entry in entries if entry.verdict_ms is not None]
    if not judged:
        return None
    begin = min(entry.sent_ms for entry, _ in judged)
    seconds = max(1.0, max(entry.sent_ms - begin for entry, _ in judged) / 1000)
    highest = max(10.0, *(ms for _, ms in judged))
    row_step, column_step = _step(highest), _step(seconds)

    def x(second: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * second / seconds, 1)

    def y(ms: float) -> float:
        return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * ms / highest, 1)

    dots = [
        Dot(
            x((entry.sent_ms - begin) / 1000),
            y(ms),
            entry.outcome,
            f"{entry.upload.image_id}: {entry.outcome} after {ms:.0f} ms",
        )
        for entry, ms in judged
    ]
    rows = [(y(ms), f"{ms} ms") for ms in range(0, int(highest) + 1, row_step)]
    columns = [(x(second), f"{second} s") for second in range(0, int(seconds) + 1, column_step)]
    return Chart(WIDTH, HEIGHT, dots, rows, columns)


def _step(highest: float) -> int:
    """1, 2 or 5 times a power of ten, so that there are at most _MOST_LINES."""
    steps = (digit * int(10**power) for power in count() for digit in (1, 2, 5))
    return next(step for step in steps if highest / step <= _MOST_LINES)
