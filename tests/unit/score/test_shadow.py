"""A second bundle beside the stream: what is offered is tried or dropped, and always counted."""

import threading
import time
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from schemas.events import SHADOWED, ImageReference, ImageUploaded
from schemas.policy import Policy, Reason, Threshold, disagreements
from worker.errors import BundleError, StageError
from worker.metrics import SHADOW_RESULTS, Metrics
from worker.model.shadow_process import ShadowEnded
from worker.score.outcome import Verdict
from worker.score.prepare import Prepared
from worker.score.repeats import Findings, Repeats
from worker.score.served import Attribution
from worker.score.shadow import Shadow, ShadowLimits

NOW = datetime(2026, 1, 2, tzinfo=UTC)
STRICT = Policy(thresholds={"text": Threshold(block=0.5)})


class Drawn:
    """A candidate whose answers a test gives; each batch waits for the gate."""

    bundle_id, policy, policy_sha256 = "other-1", STRICT, "d" * 64

    def __init__(self, *answers):
        self.answers, self.ended, self.gate = list(answers), False, threading.Event()
        self.gate.set()

    def scores(self, batch):
        self.gate.wait(20)
        answer = self.answers.pop(0) if self.answers else 0.9
        if isinstance(answer, Exception):
            raise answer
        return [{"text": answer} for _ in batch]

    def end(self):
        self.ended = True
        self.gate.set()


class Sent(list):
    taken = True

    def __call__(self, event, told):
        self.append(event)
        told(self.taken)

    def turn(self):
        pass


class Bench:
    def __init__(self, *starts, share=1.0, waiting=100):
        self.registry, self.sent, self.starts = CollectorRegistry(), Sent(), list(starts)
        limits = ShadowLimits(share, waiting, 4, first_pause=0.01)
        metrics, repeats = Metrics(self.registry), Repeats(100)
        self.shadow = Shadow(self.start, self.sent, limits, metrics, repeats)

    def start(self):
        found = self.starts.pop(0) if len(self.starts) > 1 else self.starts[0]
        if isinstance(found, Exception):
            raise found
        return found

    def value(self, name, **labels):
        return self.registry.get_sample_value(f"mekiki_shadow_{name}", labels)

    def counts(self):
        found = {result: self.value("images_total", result=result) for result in SHADOW_RESULTS}
        return {result: count for result, count in found.items() if count}

    def wait(self, holds):
        deadline = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < deadline, self.counts()
            time.sleep(0.002)

    def wait_until_up(self):
        self.wait(lambda: self.value("up_ratio") == 1)


def offered(*names, known=None):
    images = [
        Prepared(
            ImageUploaded(
                event_id=f"e-{name}", image_id=name, uploaded_at=NOW, image=ImageReference(path="x")
            ),
            "b" * 64,
            (),
            known=known,
        )
        for name in names
    ]
    by = Attribution("served-1", None, "a" * 64, ())
    return images, [
        Verdict(i.event, "b" * 64, "accept", [], {"text": 0.1}, [], None, NOW, attribution=by) for i in images
    ]


def test_both_decisions_go_out():
    bench = Bench(Drawn())
    with bench.shadow as shadow:
        bench.wait_until_up()
        shadow.offer(*offered("a", "b"))
        bench.wait(lambda: bench.counts() == {"published": 2})
    (first, _) = bench.sent
    assert first.type == SHADOWED
    assert (first.served.bundle_id, first.served.decision) == ("served-1", "accept")
    assert (first.shadow.bundle_id, first.shadow.decision) == ("other-1", "block")
    assert bench.value("decisions_total", served="accept", decision="block") == 2
    assert bench.value("disagreements_total", score="text", direction="stricter") == 2
    assert bench.value("up_ratio") == 0


def test_the_same_image_has_the_same_event_id():
    bench = Bench(Drawn())
    with bench.shadow as shadow:
        bench.wait_until_up()
        for _ in range(2):
            shadow.offer(*offered("a"))
        bench.wait(lambda: len(bench.sent) == 2)
    assert bench.sent[0].event_id == bench.sent[1].event_id


def test_what_there_is_no_room_for_is_dropped_and_nobody_waits():
    candidate = Drawn()
    candidate.gate.clear()
    bench = Bench(candidate, waiting=3)
    with bench.shadow as shadow:
        bench.wait_until_up()
        shadow.offer(*offered("a"))
        bench.wait(lambda: not shadow._waiting)  # it is with the candidate
        began = time.monotonic()
        shadow.offer(*offered(*"bcdef"))
        assert time.monotonic() - began < 3
        assert bench.counts() == {"behind": 2}
        candidate.gate.set()
        bench.wait(lambda: bench.counts() == {"behind": 2, "published": 4})


@pytest.mark.parametrize("cause", ["late", "crashed"])
def test_one_that_ends_is_counted_and_replaced(cause):
    first, second = Drawn(ShadowEnded(cause, "it is no more")), Drawn()
    bench = Bench(first, second)
    with bench.shadow as shadow:
        bench.wait_until_up()
        shadow.offer(*offered("a", "b"))
        bench.wait(lambda: first.ended)
        bench.wait_until_up()
        shadow.offer(*offered("c"))
        bench.wait(lambda: bench.counts() == {cause: 2, "published": 1})
    assert bench.value("deaths_total", reason=cause) == 1


def test_graphs_that_fail_lose_their_batch_alone():
    bench = Bench(Drawn(StageError("not finite")))
    with bench.shadow as shadow:
        bench.wait_until_up()
        shadow.offer(*offered("a", "b"))
        bench.wait(lambda: bench.counts() == {"failed": 2})
        shadow.offer(*offered("c"))
        bench.wait(lambda: bench.counts() == {"failed": 2, "published": 1})


def test_a_bundle_that_is_refused_is_tried_again():
    bench = Bench(BundleError("damaged"), Drawn())
    bench.shadow.offer(*offered("a"))
    assert bench.counts() == {"down": 1}
    with bench.shadow as shadow:
        bench.wait_until_up()
        shadow.offer(*offered("b"))
        bench.wait(lambda: bench.counts() == {"down": 1, "published": 1})
    assert bench.value("deaths_total", reason="refused") == 1


def test_a_bug_of_ours_ends_the_candidate_alone():
    bench = Bench(RuntimeError("a bug"), Drawn(ZeroDivisionError("another")), Drawn())
    with bench.shadow as shadow:
        bench.wait_until_up()
        shadow.offer(*offered("a"))
        bench.wait(lambda: bench.value("deaths_total", reason="failed") == 2)
        bench.wait_until_up()
        shadow.offer(*offered("b"))
        bench.wait(lambda: bench.counts().get("published") == 1)
    assert shadow.offer([None], []) is None  # not even what is no batch raises


def test_files_that_were_judged_before_come_without_pixels():
    known = Findings((), {"text": 0.1}, None, None, None)
    bench = Bench(Drawn(0.7))
    with bench.shadow as shadow:
        bench.wait_until_up()
        shadow.offer(*offered("a", known=known))
        assert bench.counts() == {"repeated": 1}
        shadow.offer(*offered("b"))
        bench.wait(lambda: len(bench.sent) == 1)
        shadow.offer(*offered("c", known=known))
        bench.wait(lambda: len(bench.sent) == 2)
    assert bench.sent[1].shadow.scores == {"text": 0.7}


def test_what_brokers_do_not_take_is_counted():
    bench = Bench(Drawn())
    bench.sent.taken = False
    with bench.shadow as shadow:
        bench.wait_until_up()
        shadow.offer(*offered("a"))
        bench.wait(lambda: bench.counts() == {"unpublished": 1})


def test_a_share_is_tried_alone():
    bench = Bench(Drawn(), share=0.5)
    names = [f"image-{number}" for number in range(40)]
    with bench.shadow as shadow:
        bench.wait_until_up()
        for name in names:
            shadow.offer(*offered(name))
        bench.wait(lambda: sum(bench.counts().values()) >= 10)
    assert {event.image_id for event in bench.sent} < set(names)
    assert sum(bench.counts().values()) < 30


def reason(score, effect):
    return Reason(score=score, value=0.5, threshold=0.4, effect=effect, exempted_by=None)


def test_each_score_that_leads_elsewhere_has_its_direction():
    served = [reason("text", "block"), reason("qr", "review"), reason("same", "review")]
    shadow = [reason("text", "review"), reason("noise", "block"), reason("same", "review")]
    assert disagreements(served, shadow) == [("noise", "stricter"), ("qr", "laxer"), ("text", "laxer")]
