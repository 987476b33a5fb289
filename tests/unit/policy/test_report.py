"""The report as text and as a page: names of strangers are text in both."""

import io

from rich.console import Console

from schemas.policy import Policy, Threshold
from tests.unit.policy.test_diff import verdict
from worker.policy.diff import PolicyDiff
from worker.policy.report import DiffReport, html, print_text

HOSTILE = "</td><script>alert(1)</script>[bold red]"


def report():
    diff = PolicyDiff(Policy(thresholds={"text": Threshold(block=0.5)}), reviewed=True)
    diff.add([verdict(0.6, category=HOSTILE), verdict(0.4, number=1), verdict(0.9, "block", review="accept")])
    return diff.report("2026-01-01")


def test_text():
    out = io.StringIO()
    print_text(report(), Console(file=out, width=200))
    assert "2 verdicts, 1 would have been another (50.00%)" in out.getvalue()
    assert HOSTILE in out.getvalue()
    assert "after: precision 100.00%, recall 100.00%" in out.getvalue()


def test_page():
    page = html(report(), {"image-1": "data:image/jpeg;base64,AA=="})
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<img") == 1


def test_json_comes_back():
    assert DiffReport.model_validate_json(report().model_dump_json()) == report()
