"""The live table: what is being decided, how fast, and the latest verdicts."""

import time
from collections import Counter, deque
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from schemas.events import ImageModerated
from schemas.search import IndexState
from worker.demo.figures import percentile
from worker.demo.observe import Seen
from worker.demo.program import Program
from worker.demo.publish import Publisher

_COLOURS = {"accept": "green", "review": "yellow", "block": "red", "reject": "magenta", "remove": "blue"}
_REFRESH_SECONDS = 0.25
_INDEX_SECONDS = 0.5
_RATE_SECONDS = 3.0
_LATEST = 8
_REASONS = 8


class LiveTable:
    """Draws what `seen` holds while the demo runs; use as a context manager and call `refresh` often."""

    def __init__(self, console: Console, publisher: Publisher, seen: Seen, program: Program) -> None:
        self._console = console
        self._publisher = publisher
        self._seen = seen
        self._program = program
        self._live = Live(console=console, auto_refresh=False)
        self._next_draw = self._next_index = 0.0
        self._index: IndexState | None = None
        self._progress: deque[tuple[float, int]] = deque()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._index = self._program.index_state()
            self._live.update(self._render(), refresh=True)
        self._live.stop()

    def refresh(self) -> None:
        """Draw again, if it is time."""
        now = time.monotonic()
        if now < self._next_draw:
            return
        if now >= self._next_index:
            self._index = self._program.index_state()
            self._next_index = now + _INDEX_SECONDS
        self._progress.append((now, self._outcomes()))
        while self._progress[0][0] < now - _RATE_SECONDS:
            self._progress.popleft()
        if self._console.is_terminal:
            self._live.update(self._render(), refresh=True)
        self._next_draw = now + _REFRESH_SECONDS

    def _render(self) -> RenderableType:
        top = Table.grid(expand=True, padding=(0, 1))
        for ratio in (3, 4, 4):
            top.add_column(ratio=ratio)
        top.add_row(
            Panel(self._decisions(), title="decisions", border_style="dim", height=_REASONS + 2),
            Panel(self._rejections(), title="rejections", border_style="dim", height=_REASONS + 2),
            Panel(self._speed(), title="speed and index", border_style="dim", height=_REASONS + 2),
        )
        return Group(top, Panel(self._latest(), title="latest verdicts", border_style="dim"))

    def _decisions(self) -> RenderableType:
        counts = Counter({"accept": 0, "block": 0})
        counts.update(verdict.decision for verdict in self._seen.verdicts.values())
        counts["reject"] = len(self._seen.rejections)
        highest = max(1, *counts.values())
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column()
        table.add_column(justify="right")
        table.add_column(ratio=1)
        for name, count in counts.items():
            colour = _COLOURS[name]
            bar = ProgressBar(highest, count, complete_style=colour, finished_style=colour)
            table.add_row(Text(name, colour), str(count), bar)
        return table

    def _rejections(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        table.add_column(justify="right")
        table.add_column()
        reasons = Counter(letter.reason for letter in self._seen.rejections.values()).most_common()
        rows = _REASONS if len(reasons) <= _REASONS else _REASONS - 1
        for reason, count in reasons[:rows]:
            table.add_row(str(count), reason)
        if len(reasons) > rows:
            table.add_row(
                str(sum(count for _, count in reasons[rows:])), f"{len(reasons) - rows} other reasons"
            )
        return table

    def _speed(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(justify="right")
        latencies = self._latencies()
        table.add_row("published", f"{len(self._publisher.published)}/{self._publisher.total}")
        table.add_row("outcomes", f"{self._outcomes()}")
        table.add_row("outcomes/s", f"{self._rate():.0f}")
        table.add_row("verdict p50", f"{percentile(latencies, 0.5):.0f} ms")
        table.add_row("verdict p99", f"{percentile(latencies, 0.99):.0f} ms")
        if self._index is not None:
            table.add_row("searchable images", str(self._index.vectors))
            table.add_row("index generation", _generation_number(self._index))
            table.add_row("changes since", str(self._index.tail))
        return table

    def _latest(self) -> RenderableType:
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(min_width=7)
        for ratio in (3, 6, 2):
            table.add_column(no_wrap=True, ratio=ratio, overflow="ellipsis")
        latest = sorted(self._seen.verdicts.items(), key=lambda item: item[1].decided_at)[-_LATEST:]
        for position, verdict in reversed(latest):
            enriched = self._seen.enriched.get(position)
            tags = ", ".join(tag.name for tag in enriched.tags[:3]) if enriched else ""
            table.add_row(*_verdict_row(verdict), Text(tags, "cyan"))
        for _ in range(_LATEST - len(latest)):
            table.add_row("")
        return table

    def _outcomes(self) -> int:
        return len(self._seen.verdicts) + len(self._seen.rejections)

    def _rate(self) -> float:
        if len(self._progress) < 2:
            return 0.0
        (since, before), (now, after) = self._progress[0], self._progress[-1]
        return (after - before) / max(now - since, 1e-9)

    def _latencies(self) -> list[float]:
        """Milliseconds from an upload's record to its verdict's."""
        verdict_ms = self._seen.verdict_ms
        return [
            float(verdict_ms[each.position] - each.sent_ms)
            for each in self._publisher.published
            if each.position in verdict_ms
        ]


def _generation_number(index: IndexState) -> str:
    return "none" if index.generation is None else str(int(index.generation.rpartition("-")[2]))


def _verdict_row(verdict: ImageModerated) -> tuple[Text, Text, Text]:
    scores = "  ".join(f"{name} {value:.2f}" for name, value in sorted(verdict.scores.items()))
    image_id = verdict.image_id if len(verdict.image_id) <= 24 else f"…{verdict.image_id[-23:]}"
    return Text(verdict.decision, _COLOURS[verdict.decision]), Text(image_id), Text(scores, "dim")
