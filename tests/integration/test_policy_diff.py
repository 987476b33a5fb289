"""`mekiki policy diff` on a real Kafka: its counts are those of really running the policy."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests import events, images
from tests.results import body
from tests.workplace import Workplace
from worker.cli import main
from worker.review.commands import review

OLD = {"thresholds": {"text": {"block": 0.9}}}


def policy_between(values: list[float]) -> dict[str, Any]:
    """A policy that tells images of these scores apart."""
    ordered = sorted(values)
    low, high = ordered[len(ordered) // 3], ordered[len(ordered) * 2 // 3]
    return {
        "thresholds": {"text": {"block": high, "review": low}},
        "categories": {"books": {"text": {"block": low}}},
    }


def decisions(place: Workplace, topic: str) -> Counter[tuple[str, str]]:
    """Verdicts by category and decision."""
    found = map(body, place.broker.read(topic))
    return Counter((verdict["category"] or "", verdict["decision"]) for verdict in found)


def test_its_counts_are_those_of_running_the_policy(
    workplace: Workplace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topics = workplace.settings.topics
    uploads = []
    for number in range(60):
        upload = body(events.uploaded_bytes(f"i{number}", images.encoded(images.photo(number, 48, 48))))
        category = (None, "books", "shoes")[number % 3]
        uploads.append(events.as_json({**upload, "category": category}, f"i{number}"))
    old = workplace.changed(model={"policy": OLD})
    with workplace.running("score", settings=old):
        workplace.broker.send(topics.uploaded, uploads)
        workplace.broker.wait_until_done(old.kafka.group, topics.uploaded)
    other = f"{topics.moderated}.new"
    workplace.broker.create_topics([other], 2)
    verdicts = map(body, workplace.broker.read(topics.moderated))
    policy = policy_between([verdict["scores"]["text"] for verdict in verdicts])
    new = workplace.changed(
        model={"policy": policy}, topics={"moderated": other}, kafka={"group": f"{other}.new"}
    )
    with workplace.running("score", settings=new):
        workplace.broker.wait_until_done(new.kafka.group, topics.uploaded)
    really = decisions(workplace, other)
    assert len({decision for _, decision in really}) == 3, "the policy must tell images apart"

    file, config = tmp_path / "new.json", tmp_path / "mekiki.toml"
    file.write_text(json.dumps(policy))
    config.write_text(
        f"""
        [kafka]
        bootstrap_servers = "{old.kafka.bootstrap_servers}"
        [topics]
        uploaded = "{topics.uploaded}"
        moderated = "{topics.moderated}"
        """
    )
    command = [
        "policy",
        "diff",
        "--config",
        str(config),
        "--policy",
        str(file),
        "--reviewed",
        "--since",
        "1d",
    ]
    with workplace.running("score", settings=old):
        review(old, "block", "i0", "mei", None)
        workplace.broker.wait_until_done(old.kafka.group, topics.uploaded)
    assert main([*command, "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    counted = {
        (row["category"], decision): count
        for row in report["categories"]
        for decision, count in row["after"].items()
    }
    assert counted == dict(really)
    before = Counter(
        (verdict["category"] or "", verdict["decision"])
        for verdict in map(body, workplace.broker.read(topics.moderated))
        if "review" not in verdict
    )
    assert {
        (row["category"], d): n for row in report["categories"] for d, n in row["before"].items()
    } == before
    assert (report["verdicts"], report["reviewed"]["images"], report["reviewed"]["blocked"]) == (60, 1, 1)

    page = tmp_path / "diff.html"
    assert main([*command, "--format", "html", "--out", str(page)]) == 0
    assert page.read_text().count("data:image/jpeg;base64,") > 10
