"""Every metric keeps to the naming rule, and two roles of one process do not meet."""

import re

from prometheus_client import CollectorRegistry, generate_latest

from worker.metrics import Metrics

STAGES = (
    "build|health|poll|stage|fetch|retry|decode|codes|infer|tag|decide|canary|shadow|commit|index|search|"
    "console|webhook|vald|reembed"
)
UNITS = "info|seconds|records|events|ratio|partitions|bytes|images|vectors|hosts"
COUNTED = (
    "read|decisions|reviewed|bins|rejections|removals|passed_over|outcomes|attempts|resets|offsets|updates|near_duplicates|"
    "errors|deaths|unclean_ends|sets|bundles|parked|disagreements|deliveries|neighbours|refills"
)
NAME = re.compile(rf"mekiki_({STAGES})_([a-z]+_)*({UNITS}|{COUNTED})")
# Each of these has a small, closed set of values in a deployment. Never an image, an event or a URL.
LABELS = {
    *("role", "version", "bundle", "provider", "topic", "partition", "stage", "format"),
    *("decision", "score", "reason", "result", "state", "kind", "bin"),
    *("served", "direction", "queue", "receiver"),
}


def families():
    return list(Metrics(CollectorRegistry()).registry.collect())


def test_names_say_the_stage_what_and_the_unit():
    for family in families():
        assert NAME.fullmatch(family.name), family.name
        assert family.documentation.endswith("."), family.name


def test_no_label_is_an_id():
    metrics = Metrics(CollectorRegistry())
    used = {label for metric in vars(metrics).values() for label in getattr(metric, "_labelnames", ())}
    assert used == LABELS


def test_decisions_are_shown_from_the_start():
    registry = Metrics(CollectorRegistry()).registry
    for decision in ("accept", "review", "block"):
        assert registry.get_sample_value("mekiki_decide_decisions_total", {"decision": decision}) == 0


def test_each_registry_counts_for_itself():
    first, second = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    first.fetch_bytes.inc(5)
    assert first.registry.get_sample_value("mekiki_fetch_bytes_total") == 5
    assert second.registry.get_sample_value("mekiki_fetch_bytes_total") == 0
    assert b"mekiki_fetch_bytes_total 5.0" in generate_latest(first.registry)
