"""The latency chart: where its dots and lines are."""

import pytest

from tests.unit.demo.outcomes import entry
from worker.demo.chart import latency_chart


def test_chart_has_a_dot_for_each_verdict_and_none_outside() -> None:
    entries = [
        entry(number, outcome="accept", sent_ms=1000 * number, verdict_ms=90.0 * number)
        for number in range(8)
    ]
    chart = latency_chart([*entries, entry(9, outcome="reject")])
    assert chart is not None
    assert len(chart.dots) == 8
    assert [dot.x for dot in chart.dots] == sorted(dot.x for dot in chart.dots)
    assert [dot.y for dot in chart.dots] == sorted((dot.y for dot in chart.dots), reverse=True)
    for dot in chart.dots:
        assert 0 < dot.x < chart.width
        assert 0 < dot.y < chart.height
    assert [label for _, label in chart.rows] == ["0 ms", "200 ms", "400 ms", "600 ms"]
    assert [label for _, label in chart.columns] == ["0 s", "2 s", "4 s", "6 s"]


@pytest.mark.parametrize("verdict_ms", [0.0, 3.0, 4e5, 9e12])
def test_chart_has_few_lines_whatever_the_latency(verdict_ms: float) -> None:
    chart = latency_chart([entry(1, outcome="accept", verdict_ms=verdict_ms)])
    assert chart is not None
    assert 2 <= len(chart.rows) <= 6


def test_there_is_no_chart_without_verdicts() -> None:
    assert latency_chart([entry(1, outcome="reject")]) is None
