"""The alerts as the chart renders them: promtool runs each firing and not firing."""

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.chart import CHART, REPOSITORY, of_kind, rendered, tool
from tests.helm.metric_definitions import undefined

VALUES = (
    "monitoring.prometheusRule.enabled=true,monitoring.podMonitor.enabled=true,"
    "score.pools.gpu.gpu.enabled=true,console.enabled=true,console.tokens.secret=people,fullnameOverride=judge,"
    "webhooks.enabled=true,webhooks.secret.secret=hush,settings.webhooks.urls={https://queue.example/hook}"
)
RULES = of_kind(rendered("--set", VALUES), "PrometheusRule")["judge"]["spec"]
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]
RUNBOOK = REPOSITORY / "docs" / "runbook.md"

UPLOADED = 'release="judge",topic="listing.image.uploaded.v1",partition="0"'
OF = 'release="judge"'
POD = 'release="judge",instance="10.0.0.7:9464"'


@dataclass(frozen=True)
class Case:
    """Series in promtool's notation, and whether `alert` fires at `at`."""

    alert: str
    what: str
    fires: bool
    at: str
    series: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    step: str = "1m"


OUTCOMES = "mekiki_commit_outcomes_total{" + OF + ',role="score"}'
REJECTIONS = "mekiki_decide_rejections_total{" + OF + ',reason="not_an_image"}'
CRASHED = "mekiki_decide_rejections_total{" + OF + ',reason="worker.crashed"}'
BLOCK = "mekiki_decide_decisions_total{" + OF + ',decision="block"}'
ACCEPT = "mekiki_decide_decisions_total{" + OF + ',decision="accept"}'
LAST = "mekiki_commit_last_timestamp_seconds{" + OF + ',role="score"}'
LAG = f"mekiki_poll_lag_records{{{UPLOADED}}}"
COMMITTED = f"mekiki_poll_committed_offsets{{{UPLOADED}}}"
LATENCY = "mekiki_commit_upload_latency_seconds_bucket{" + OF + ',le="%s"}'
INDEX_DEAD = "mekiki_index_rejections_total{" + OF + ',reason="vector.invalid"}'
TAIL = f"mekiki_index_tail_records{{{POD}}}"
FOUND = "mekiki_index_sampled_neighbours_total{" + POD + ',result="found"}'
MISSED = "mekiki_index_sampled_neighbours_total{" + POD + ',result="missed"}'
NEXT_ERRORS = f"mekiki_index_next_errors_total{{{POD}}}"
GENERATION = f"mekiki_index_generation_timestamp_seconds{{{POD}}}"
READY = "mekiki_health_ready_ratio{" + OF + ',role="score",instance="a"}'
READY_TOO = "mekiki_health_ready_ratio{" + OF + ',role="score",instance="b"}'
READY_CONSOLE = "mekiki_health_ready_ratio{" + OF + ',role="console",instance="e"}'
OLDEST_IN_REVIEW = f"mekiki_console_oldest_timestamp_seconds{{{POD}}}"
FAILING = "mekiki_webhook_failing_timestamp_seconds{" + OF + ',receiver="receiver 0"}'
CONSOLE_LAG = f"mekiki_console_lag_records{{{POD}}}"
READY_INDEX = "mekiki_health_ready_ratio{" + OF + ',role="index",instance="c"}'
ANOTHER = 'mekiki_health_ready_ratio{release="another",role="score",instance="d"}'
BUILD = "mekiki_build_info{" + OF + ',pool="gpu",role="score",provider="%s"}'
RESETS = "mekiki_poll_offset_resets_total{" + OF + ',reason="topic_recreated"}'
UNREADABLE = "mekiki_poll_unreadable_partitions{" + OF + ',role="score",instance="%s"}'
BIN = "mekiki_decide_score_bins_total{" + OF + ',score="text",bin="%d"}'
REFERENCE = "mekiki_decide_score_reference_ratio{" + OF + ',score="text",bin="%d"}'
WAITING = "mekiki_fetch_waiting_ratio{" + OF + ',instance="a"}'
WAITING_TOO = "mekiki_fetch_waiting_ratio{" + OF + ',instance="b"}'
OLDEST = "mekiki_retry_oldest_timestamp_seconds{" + OF + ',instance="a"}'
OLDEST_TOO = "mekiki_retry_oldest_timestamp_seconds{" + OF + ',instance="b"}'
HALTED = "mekiki_commit_halted_ratio{" + OF + "}"

TAG_SETS = "mekiki_tag_sets_total{" + OF + ',result="refused"}'
BUNDLES = "mekiki_infer_bundles_total{" + OF + ',result="refused"}'
CANARY = "mekiki_canary_decisions_total{" + OF + ',decision="%s"}'
SHADOWS = "mekiki_shadow_deaths_total{" + OF + ',reason="crashed"}'

CASES = [
    Case("MekikiTagSetRefused", "a damaged set came", True, "12m", {TAG_SETS: "0x10 1x40"}),
    Case("MekikiTagSetRefused", "as a worker started", True, "12m", {TAG_SETS: "_x10 1x40"}),
    Case("MekikiTagSetRefused", "sets are taken", False, "12m",
         {TAG_SETS: "0x40", TAG_SETS.replace("refused", "taken"): "0x10 1x40"}),
    Case("MekikiBundleRefused", "a damaged bundle came", True, "12m", {BUNDLES: "0x10 1x40"}),
    Case("MekikiBundleRefused", "bundles are taken", False, "12m",
         {BUNDLES: "0x40", BUNDLES.replace("refused", "taken"): "0x10 1x40"}),
    Case("MekikiCanaryDiffers", "it blocks far more", True, "50m",
         {CANARY % "block": "0+20x60", CANARY % "accept": "0+20x60", BLOCK: "0+20x60", ACCEPT: "0+400x60"}),
    Case("MekikiCanaryDiffers", "it blocks as many", False, "50m",
         {CANARY % "block": "0+1x60", CANARY % "accept": "0+20x60", BLOCK: "0+20x60", ACCEPT: "0+400x60"}),
    Case("MekikiShadowFails", "it crashes again and again", True, "40m", {SHADOWS: "0x5 0+1x60"}),
    Case("MekikiShadowFails", "it crashed once", False, "40m", {SHADOWS: "0x10 1x60"}),
    Case("MekikiLagGrows", "more and more waits", True, "30m", {LAG: "0+200x60"},
         {"topic": "listing.image.uploaded.v1"}),
    Case("MekikiLagGrows", "much waits, and it shrinks", False, "30m", {LAG: "50000-500x60"}),
    Case("MekikiLagGrows", "little waits", False, "30m", {LAG: "0+1x60"}),
    Case("MekikiLagGrows", "two workers show one partition", False, "30m",
         {LAG: "0+20x60", LAG.replace("}", ',instance="b"}'): "0+20x60"}),
    Case("MekikiNothingCommitted", "a worker hangs", True, "20m", {LAST: "0+60x5 300x30", LAG: "10x40"}),
    Case("MekikiNothingCommitted", "no worker has ever committed", True, "20m", {LAST: "0x40", LAG: "10x40"}),
    Case("MekikiNothingCommitted", "one of two commits", False, "20m",
         {LAST: "0x40", LAST.replace("}", ',instance="b"}'): "0+60x40", LAG: "10x40"}),
    Case("MekikiNothingCommitted", "nothing waits", False, "20m", {LAST: "0+60x5 300x30", LAG: "0x40"}),
    Case("MekikiPartitionStuck", "nobody reads it, and others move", True, "30m",
         {LAG: "902x40", COMMITTED: "20x40", LAG.replace("0", "1"): "50x40",
          COMMITTED.replace('"0"', '"1"'): "0+600x40"},
         {"topic": "listing.image.uploaded.v1", "partition": "0"}),
    Case("MekikiPartitionStuck", "it moves", False, "30m", {LAG: "902x40", COMMITTED: "0+10x40"}),
    Case("MekikiPartitionStuck", "nothing waits", False, "30m", {LAG: "0x40", COMMITTED: "20x40"}),
    Case("MekikiPartitionStuck", "a record now and then", False, "30m",
         {LAG: "1 0x8 1 0x30", COMMITTED: "20x40"}),
    Case("MekikiScoresDrift", "high scores come where low ones were", True, "9h",
         {BIN % 0: "0+10x120", BIN % 9: "0+90x120", REFERENCE % 0: "0.9x120", REFERENCE % 9: "0.1x120"},
         {"score": "text"}, step="5m"),
    Case("MekikiScoresDrift", "scores are as they were", False, "9h",
         {BIN % 0: "0+90x120", BIN % 9: "0+10x120", REFERENCE % 0: "0.9x120", REFERENCE % 9: "0.1x120"},
         step="5m"),
    Case("MekikiScoresDrift", "a dozen images are other ones", False, "9h",
         {BIN % 0: "0+0x120", BIN % 9: "0+1x120", REFERENCE % 0: "0.9x120", REFERENCE % 9: "0.1x120"},
         step="5m"),
    Case("MekikiScoresDrift", "the bundle has no reference", False, "9h", {BIN % 9: "0+90x120"}, step="5m"),
    Case("MekikiUploadLatencyHigh", "uploads wait minutes", True, "30m",
         {LATENCY % "60": "0x40", LATENCY % "300": "0+10x40", LATENCY % "+Inf": "0+10x40"}),
    Case("MekikiUploadLatencyHigh", "one in a hundred waits", False, "30m",
         {LATENCY % "1": "0+99x40", LATENCY % "300": "0+100x40", LATENCY % "+Inf": "0+100x40"}),
    Case("MekikiIndexDeadLetters", "somebody else writes there", True, "12m", {INDEX_DEAD: "0x10 3x40"}),
    Case("MekikiIndexDeadLetters", "found at once after a start", True, "12m", {INDEX_DEAD: "_x10 3x40"}),
    Case("MekikiIndexDeadLetters", "none", False, "12m", {INDEX_DEAD: "0x40"}),
    Case("MekikiRejectionRatioHigh", "one in ten", True, "30m",
         {OUTCOMES: "0+100x60", REJECTIONS: "0+10x60"}),
    Case("MekikiRejectionRatioHigh", "one in a hundred", False, "30m",
         {OUTCOMES: "0+100x60", REJECTIONS: "0+1x60"}),
    Case("MekikiRejectionRatioHigh", "few uploads", False, "30m", {OUTCOMES: "0+1x60", REJECTIONS: "0+1x60"}),
    Case("MekikiStoresFail", "every worker waits", True, "12m", {WAITING: "1x20", WAITING_TOO: "1x20"}),
    Case("MekikiStoresFail", "one of two waits", False, "12m", {WAITING: "1x20", WAITING_TOO: "0x20"}),
    Case("MekikiStoresFail", "for a moment", False, "12m", {WAITING: "0x5 1x2 0x20"}),
    Case("MekikiParkedForLong", "for four hours", True, "5h", {OLDEST: "3600x320", OLDEST_TOO: "0x320"}),
    Case("MekikiParkedForLong", "for an hour", False, "2h", {OLDEST: "3600x320", OLDEST_TOO: "0x320"}),
    Case("MekikiParkedForLong", "nothing is parked", False, "5h", {OLDEST: "0x320"}),
    Case("MekikiOffsetsReset", "a topic was made again", True, "12m",
         {RESETS: "0x10 4x40"}, {"reason": "topic_recreated"}),
    Case("MekikiOffsetsReset", "offsets go on", False, "12m", {RESETS: "0x40"}),
    Case("MekikiOffsetsReset", "it was long ago", False, "40m", {RESETS: "0x10 4x40"}),
    Case("MekikiOffsetsReset", "a worker that has just started found it", True, "12m",
         {RESETS: "_x10 4x40"}, {"reason": "topic_recreated"}),
    Case("MekikiBatchUnreadable", "one of two workers stands still", True, "14m",
         {UNREADABLE % "a": "0x10 1x40", UNREADABLE % "b": "0x50"}, {"role": "score"}),
    Case("MekikiBatchUnreadable", "it was whole again at once", False, "14m",
         {UNREADABLE % "a": "0x10 1 0x40"}),
    Case("MekikiEventCrashesWorkers", "a worker went on behind it", True, "12m", {CRASHED: "0x10 1x40"}),
    Case("MekikiEventCrashesWorkers", "a worker that has just started found it", True, "12m",
         {CRASHED: "_x10 1x40"}),
    Case("MekikiEventCrashesWorkers", "it was long ago", False, "100m", {CRASHED: "0x10 1x100"}),
    Case("MekikiEventCrashesWorkers", "other rejections", False, "12m",
         {REJECTIONS: "0+5x40", CRASHED: "0x40"}),
    Case("MekikiFilterRatioJumps", "blocks five times as much", True, "26h",
         {BLOCK: "0+15x288 4320+75x40", ACCEPT: "0+485x340"}, step="5m"),
    Case("MekikiFilterRatioJumps", "blocks nothing any more", True, "26h",
         {BLOCK: "0+15x288 4320x40", ACCEPT: "0+485x340"}, step="5m"),
    Case("MekikiFilterRatioJumps", "blocks as much as ever", False, "26h",
         {BLOCK: "0+15x340", ACCEPT: "0+485x340"}, step="5m"),
    Case("MekikiFilterRatioJumps", "few images", False, "26h",
         {BLOCK: "0x288 0+5x40", ACCEPT: "0+5x340"}, step="5m"),
    Case("MekikiRejectionLimitHalt", "halted", True, "10m", {HALTED: "0x5 1x20"}),
    Case("MekikiRejectionLimitHalt", "not halted", False, "10m", {HALTED: "0x30"}),
    Case("MekikiIndexTailLong", "builds do not keep up", True, "40m", {TAIL: "0+1000x60"},
         {"instance": "10.0.0.7:9464"}),
    Case("MekikiIndexTailLong", "long for a moment", False, "40m", {TAIL: "0x20 20000x5 100x40"}),
    Case("MekikiIndexGenerationOld", "builds fail", True, "3h", {GENERATION: "0x200", TAIL: "5x200"},
         {"instance": "10.0.0.7:9464"}),
    Case("MekikiIndexGenerationOld", "nothing to build", False, "3h", {GENERATION: "0x200", TAIL: "0x200"}),
    Case("MekikiIndexGenerationOld", "builds go on", False, "3h", {GENERATION: "0+60x200", TAIL: "5x200"}),
    Case("MekikiIndexRecallLow", "a tenth is missed", True, "2h", {FOUND: "0+90x130", MISSED: "0+10x130"},
         {"instance": "10.0.0.7:9464"}),
    Case("MekikiIndexRecallLow", "nearly all is found", False, "2h", {FOUND: "0+99x130", MISSED: "0+1x130"}),
    Case("MekikiIndexRecallLow", "few searches", False, "2h", {FOUND: "0+3x130", MISSED: "0+3x130"}),
    Case("MekikiIndexNextFails", "it cannot begin", True, "20m", {NEXT_ERRORS: "0+1x60"}),
    Case("MekikiIndexNextFails", "a broker was away", False, "40m", {NEXT_ERRORS: "0x5 2x60"}),
    Case("MekikiReviewWaits", "for more than a day", True, "26h", {OLDEST_IN_REVIEW: "600x1600"}),
    Case("MekikiReviewWaits", "nothing is in review", False, "26h", {OLDEST_IN_REVIEW: "0x1600"}),
    Case("MekikiReviewWaits", "decided in time", False, "26h", {OLDEST_IN_REVIEW: "600+60x1600"}),
    Case("MekikiConsoleBehind", "it stands still", True, "30m", {CONSOLE_LAG: "5000x40"}),
    Case("MekikiConsoleBehind", "it catches up", False, "30m", {CONSOLE_LAG: "5000x10 0x40"}),
    Case("MekikiWebhookFails", "for an hour", True, "70m", {FAILING: "600x80"}, {"receiver": "receiver 0"}),
    Case("MekikiWebhookFails", "it takes all", False, "70m", {FAILING: "0x80"}),
    Case("MekikiWebhookFails", "for a moment", False, "70m", {FAILING: "0x60 3600x10 0x10"}),
    Case("MekikiNoReadyReplica", "the console is away", True, "20m",
         {READY: "1x40", READY_INDEX: "1x40", READY_CONSOLE: "1x5 0x30"}, {"role": "console"}),
    Case("MekikiNoReadyReplica", "none is ready", True, "20m",
         {READY: "1x5 0x30", READY_TOO: "0x35", READY_INDEX: "1x40", READY_CONSOLE: "1x40"},
         {"role": "score"}),
    Case("MekikiNoReadyReplica", "none is left", True, "20m",
         {READY: "1x5 _x30", READY_INDEX: "1x40", READY_CONSOLE: "1x40", ANOTHER: "1x40"},
         {"role": "score"}),
    Case("MekikiNoReadyReplica", "one of two is ready", False, "20m",
         {READY: "0x40", READY_TOO: "1x40", READY_INDEX: "1x40", READY_CONSOLE: "1x40"}),
    Case("MekikiGpuAbsent", "workers run on the CPU", True, "20m", {BUILD % "cpu": "1x40"}, {"pool": "gpu"}),
    Case("MekikiGpuAbsent", "workers do not start", True, "20m", {READY: "0x40"}, {"pool": "gpu"}),
    Case("MekikiGpuAbsent", "a worker runs on its GPU", False, "20m", {BUILD % "cuda": "1x40"}),
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where rules.yaml is."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "rules.yaml").write_text(yaml.safe_dump(RULES), encoding="utf-8")
    return folder


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(tool("promtool")), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_rules_are_valid(folder: Path) -> None:
    done = promtool("check", "rules", folder / "rules.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def expected(case: Case) -> list[dict[str, Any]]:
    """What promtool must see. Annotations name labels only."""
    labels = {"release": "judge", **case.labels}
    rules = [
        rule
        for rule in ALERTS
        if rule["alert"] == case.alert and all(labels.get(k, v) == v for k, v in rule["labels"].items())
    ]
    assert len(rules) == 1, case

    def filled(text: str) -> str:
        return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda match: labels[match[1]], text)

    texts = {name: filled(text) for name, text in rules[0]["annotations"].items()}
    return [{"exp_labels": {**labels, **rules[0]["labels"]}, "exp_annotations": texts}]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.what}")
def test_alert(case: Case, folder: Path, tmp_path: Path) -> None:
    tests = {
        "rule_files": [str(folder / "rules.yaml")],
        "evaluation_interval": case.step,
        "tests": [
            {
                "interval": case.step,
                "input_series": [{"series": s, "values": v} for s, v in case.series.items()],
                "alert_rule_test": [
                    {
                        "eval_time": case.at,
                        "alertname": case.alert,
                        "exp_alerts": expected(case) if case.fires else [],
                    }
                ],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump(tests), encoding="utf-8")
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_firing_and_not_firing() -> None:
    names = {rule["alert"] for rule in ALERTS}
    assert {case.alert for case in CASES if case.fires} == names
    assert {case.alert for case in CASES if not case.fires} == names


def test_rules_read_defined_metrics() -> None:
    for group in RULES["groups"]:
        for rule in group["rules"]:
            assert not undefined(rule["expr"])


def test_every_alert_has_a_runbook_entry() -> None:
    headings = set(re.findall(r"^## (\w+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE))
    assert headings == {rule["alert"] for rule in ALERTS}
    for rule in ALERTS:
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_alerts_belong_to_one_release() -> None:
    template = (CHART / "templates" / "prometheusrule.yaml").read_text(encoding="utf-8")
    for rule in ALERTS:
        for selector in re.findall(r"mekiki[_:][a-z0-9_:]+(\{[^}]*\})?", rule["expr"]):
            assert 'release="judge"' in selector, (rule["alert"], template)
