"""A second bundle on the stream, on a real Kafka: what it says, and that nothing waits for it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from schemas.events import ImageShadowed
from tests import events, images
from tests.integration.running import Running
from tests.kafka.client import Record, wait_until
from tests.results import Results, body, place_of_result, places
from tests.signing import new_key, public_pem
from tests.workplace import Workplace
from worker.errors import BundleError, StageError
from worker.model import shadow_process
from worker.model.bundle import read_manifest
from worker.model.infer import ImageBatch
from worker.model.shadow_child import Start, load
from worker.score.candidate import start_candidate
from worker.score.share import in_share
from worker.settings import STARTER_BUNDLE, ModelSettings, Settings, ShadowSettings
from worker.shadow.commands import furthest_pictures, shadow_report
from worker.shadow.report import html

STRICT = {"thresholds": {"text": {"review": 0.0}}}
COUNT = 60


def trying(workplace: Workplace, tmp_path: Path, **values: Any) -> Settings:
    policy = tmp_path / "strict.json"
    policy.write_text(json.dumps(STRICT), encoding="utf-8")
    shadow = {"bundle": STARTER_BUNDLE, "policy_file": policy, "nice": 0, "timeout": 2, **values}
    return workplace.changed(model={"shadow": shadow, "batch_size": 8})


def metric(worker: Running, name: str) -> float:
    with urllib.request.urlopen(f"{worker.url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), 0.0)


def images_by(worker: Running, *results: str) -> float:
    return sum(metric(worker, f'mekiki_shadow_images_total{{result="{each}"}}') for each in results)


ALL = ("published", "unpublished", "behind", "down", "failed", "late", "crashed", "repeated")


def uploads(first: int = 0) -> list[Record]:
    return [
        events.uploaded_bytes(f"image-{number}", images.encoded(images.photo(number, 64, 64)))
        for number in range(first, first + COUNT)
    ]


def test_both_decisions_are_told_and_the_report_counts_them(workplace: Workplace, tmp_path: Path) -> None:
    settings = trying(workplace, tmp_path, share=0.5)
    topics = settings.topics
    with workplace.running("score", settings=settings) as worker:
        wait_until(lambda: metric(worker, "mekiki_shadow_up_ratio") == 1, "the shadow")
        sent = workplace.broker.send(topics.uploaded, uploads())
        workplace.broker.wait_until_done(settings.kafka.group, topics.uploaded)
        tried = {f"image-{n}" for n in range(COUNT) if in_share(f"image-{n}", 0.5, "shadow")}
        wait_until(lambda: images_by(worker, *ALL) == len(tried), "the shadow's half")
        assert images_by(worker, "published") == len(tried)
        pair = 'mekiki_shadow_decisions_total{decision="review",served="accept"}'
        assert metric(worker, pair) == len(tried)
        stricter = 'mekiki_shadow_disagreements_total{direction="stricter",score="text"}'
        assert metric(worker, stricter) == len(tried)
    results = Results.read(workplace.broker, topics)
    assert results.outcomes() == dict.fromkeys(places(sent), 1)
    verdicts = {body(record)["image_id"]: body(record) for record in results.moderated}
    told = [
        ImageShadowed.model_validate_json(record.value or b"")
        for record in workplace.broker.read(topics.shadowed)
    ]
    assert {event.image_id for event in told} == tried
    for event in told:
        verdict = verdicts[event.image_id]
        assert str(event.moderated_event_id) == verdict["event_id"]
        assert event.served.decision == verdict["decision"] == "accept"
        assert event.shadow.decision == "review"
        # One bundle, the same pixels: the same scores, but for the size of the batch.
        for name, value in event.served.scores.items():
            assert event.shadow.scores[name] == pytest.approx(value, abs=1e-4)
    report = shadow_report(settings, None)
    (trial,) = report.trials
    assert (trial.images, trial.disagree, report.unreadable) == (len(tried), len(tried), 0)
    assert [(pair.served, pair.shadow, pair.count) for pair in trial.decisions] == [
        ("accept", "review", len(tried))
    ]
    pictures = furthest_pictures(settings, report)
    assert set(pictures) == {image.image_id for image in trial.furthest}
    assert html(report, pictures).count("data:image/jpeg;base64,") == len(trial.furthest)


@pytest.mark.parametrize(("fault", "result"), [("aborts", "crashed"), ("hangs", "late")])
def test_a_shadow_that_goes_wrong_changes_nothing_and_is_counted(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, result: str
) -> None:
    monkeypatch.setattr(shadow_process, "LOAD", f"tests.shadow_faults:{fault}")
    settings = trying(workplace, tmp_path)
    topics = settings.topics
    with workplace.running("score", settings=settings) as worker:
        wait_until(lambda: metric(worker, "mekiki_shadow_up_ratio") == 1, "the shadow")
        began = time.monotonic()
        sent = workplace.broker.send(topics.uploaded, uploads())
        workplace.broker.wait_until_done(settings.kafka.group, topics.uploaded)
        took = time.monotonic() - began
        wait_until(lambda: images_by(worker, *ALL) == COUNT, "an account of each image")
        assert images_by(worker, result) > 0
        assert images_by(worker, "published") > 0
        ends = metric(worker, f'mekiki_shadow_deaths_total{{reason="{result}"}}')
        assert ends == 1
        assert worker.get("/readyz")[0] == 200
        # Another takes its place.
        wait_until(lambda: metric(worker, "mekiki_shadow_up_ratio") == 1, "the shadow again")
    with_fault = Results.read(workplace.broker, topics)
    assert with_fault.outcomes() == dict.fromkeys(places(sent), 1)
    assert not with_fault.dead
    print(f"{fault}: {COUNT} images took {took:.2f} s")
    assert judged(with_fault.moderated) == judged_without(workplace, settings)


def judged(verdicts: list[Record]) -> dict[tuple[int, int], tuple[Any, ...]]:
    """Verdicts by place, without what differs from run to run: time, and scores by the batch's size."""
    return {
        place_of_result(record): (
            told["event_id"],
            told["decision"],
            {name: round(value, 3) for name, value in told["scores"].items()},
        )
        for record in verdicts
        for told in [body(record)]
    }


def judged_without(workplace: Workplace, settings: Settings) -> dict[tuple[int, int], tuple[Any, ...]]:
    """The verdicts of another group on the same log, without a shadow."""
    before = len(workplace.broker.read(settings.topics.moderated))
    alone = settings.model_copy(
        update={
            "model": settings.model.model_copy(update={"shadow": None}),
            "kafka": settings.kafka.model_copy(update={"group": f"{settings.kafka.group}-alone"}),
            "score": settings.score.model_copy(update={"judge_again": True}),
        }
    )
    with workplace.running("score", settings=alone):
        workplace.broker.wait_until_done(alone.kafka.group, settings.topics.uploaded)
    again = workplace.broker.read(settings.topics.moderated)
    assert len(again) == 2 * before
    return judged(sorted(again, key=lambda record: body(record)["decided_at"])[before:])


@pytest.mark.parametrize(
    ("fault", "told"), [("allocates", "no memory is left of model.shadow.memory"), ("fails", "not finite")]
)
def test_graphs_that_fail_over_a_batch_serve_on(fault: str, told: str) -> None:
    manifest, _ = read_manifest(STARTER_BUNDLE)
    batch = ImageBatch(
        [np.zeros((2, size.height, size.width, 3), np.uint8) for size in manifest.image_inputs()],
        {"width": np.ones(2, np.float32), "height": np.ones(2, np.float32), "bytes": np.ones(2, np.float32)},
    )
    start = Start(STARTER_BUNDLE, "cpu", 1, 0, 200_000_000, os.getpid())
    process = shadow_process.ShadowProcess(start, 5, f"tests.shadow_faults:{fault}")
    try:
        first = process.infer(batch)
        with pytest.raises(StageError, match=told):
            process.infer(batch)
        assert process.infer(batch) == first
    finally:
        process.end()


def test_a_shadow_that_cannot_be_loaded_is_refused_and_the_stream_goes_on(
    workplace: Workplace, tmp_path: Path
) -> None:
    settings = trying(workplace, tmp_path, bundle=tmp_path / "nowhere")
    with workplace.running("score", settings=settings) as worker:
        worker.wait_until_ready()
        sent = workplace.broker.send(settings.topics.uploaded, uploads())
        workplace.broker.wait_until_done(settings.kafka.group, settings.topics.uploaded)
        assert metric(worker, 'mekiki_shadow_deaths_total{reason="refused"}') >= 1
        assert images_by(worker, "down") == COUNT
    assert Results.read(workplace.broker, settings.topics).outcomes() == dict.fromkeys(places(sent), 1)


def test_a_shadow_that_is_not_signed_is_refused_by_the_worker_and_by_its_process(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(public_pem(new_key()))
    tried = ShadowSettings(bundle=STARTER_BUNDLE)
    with pytest.raises(BundleError, match="is not signed"):
        start_candidate(Settings(model=ModelSettings(signature_key=key)), tried, [], measures=frozenset())
    with pytest.raises(BundleError, match="is not signed"):
        load(Start(STARTER_BUNDLE, "cpu", 1, 0, 10**9, os.getpid(), key))


_PARENT = """
import os, sys
from pathlib import Path
from worker.model.shadow_child import Start
from worker.model.shadow_process import ShadowProcess
from worker.settings import STARTER_BUNDLE
process = ShadowProcess(Start(STARTER_BUNDLE, "cpu", 1, 0, 10**9, os.getpid()), 10)
print(process.pid, flush=True)
import time; time.sleep(60)
"""


def test_a_worker_that_is_killed_leaves_no_shadow_behind() -> None:
    parent = subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    child.suspend()  # as one that hangs: it reads of no closed socket
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait(10)
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "the child's end")
