"""Where a bundle that is tried decides otherwise: counts, directions, images, in bounded memory."""

import io
import uuid
from datetime import UTC, datetime

from rich.console import Console

from schemas.events import ImageShadowed, TriedDecision
from schemas.policy import Reason
from worker.shadow import report as module
from worker.shadow.report import ShadowTally, html, print_text

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def side(bundle, text, decision):
    reasons = [Reason(score="text", value=text, threshold=0.0, effect=decision, exempted_by=None)]
    return TriedDecision(
        bundle_id=bundle,
        policy_sha256="a" * 64,
        decision=decision,
        reasons=[] if decision == "accept" else reasons,
        scores={"text": text},
    )


def event(name, served, shadow, bundle="new-1"):
    return ImageShadowed(
        event_id=uuid.uuid5(uuid.NAMESPACE_OID, f"{name}{bundle}"),
        image_id=name, listing_id=None, category=None, image_sha256="b" * 64, input_event_id=name,
        moderated_event_id=uuid.uuid4(), uploaded_at=NOW, decided_at=NOW, shadowed_at=NOW,
        served=side("old-1", *served), shadow=side(bundle, *shadow),
    )  # fmt: skip


def told(*events):
    tally = ShadowTally()
    for each in events:
        tally.add(each)
    return tally.report(None, 0)


def test_counts_directions_and_the_furthest_apart():
    found = told(
        event("same", (0.1, "accept"), (0.2, "accept")),
        event("far", (0.1, "accept"), (0.9, "block")),
        event("near", (0.4, "accept"), (0.5, "review")),
        event("back", (0.9, "block"), (0.1, "accept")),
        event("other", (0.1, "accept"), (0.9, "block"), bundle="newer-1"),
    )
    trial, other = found.trials
    assert (trial.images, trial.disagree, other.images) == (4, 3, 1)
    assert {(pair.served, pair.shadow): pair.count for pair in trial.decisions} == {
        ("accept", "accept"): 1,
        ("accept", "block"): 1,
        ("accept", "review"): 1,
        ("block", "accept"): 1,
    }
    (score,) = trial.scores
    assert (score.score, score.stricter, score.laxer) == ("text", 2, 1)
    assert round(score.mean_difference, 6) == 0.45
    assert [image.image_id for image in trial.furthest][-1] == "near"


def test_an_image_that_comes_twice_counts_once():
    assert told(*(event("a", (0.1, "accept"), (0.9, "block")) for _ in range(3))).trials[0].images == 1


def test_what_is_held_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "_REMEMBERED", 10)
    tally = ShadowTally()
    for number in range(100):
        tally.add(event(f"image-{number}", (0.1, "accept"), (0.1 + number / 200, "block")))
    assert len(tally._seen) == 10
    (trial,) = tally.report(None, 0).trials
    assert len(trial.furthest) == 20
    assert trial.furthest[0].image_id == "image-99"


def test_it_reads_as_text():
    out = io.StringIO()
    print_text(told(event("[red]a", (0.1, "accept"), (0.9, "block"))), Console(file=out, width=160))
    assert "1 images, 1 would have been decided otherwise (100.00%)" in out.getvalue()
    assert "[red]a: accept → block" in out.getvalue()
    empty = io.StringIO()
    print_text(told(), Console(file=empty, width=160))
    assert "set model.shadow" in empty.getvalue()


def test_it_reads_as_a_page_where_names_of_strangers_are_text():
    hostile = "</td><script>alert(1)</script>"
    found = told(
        event(hostile, (0.1, "accept"), (0.9, "block")), event("other", (0.1, "accept"), (0.1, "accept"))
    )
    page = html(found, {hostile: "data:image/jpeg;base64,AA=="})
    assert "<script>" not in page
    assert "2 images; <b>1</b> would have been decided otherwise (50.00 %)" in page
    assert page.count("<img") == 1
    assert "set model.shadow" in html(told(), {})
