"""Alerts and dashboard on what a real Prometheus scrapes from the real program under load."""

import math
import time
from collections.abc import Iterator
from typing import Any

import pytest

from helm.tools import dashboard
from tests.helm.metric_definitions import names
from tests.helm.observed import Observed, drawn_photos, load, observed

pytestmark = pytest.mark.timeout(300)

SECONDS = 20
VARIABLES = {"$__rate_interval": "15s", "$release": ".*", "$score": ".*"}
# Only where a tag set or a bundle is watched, another bundle is tried, the index is in a Vald cluster, and
# where the bundle has histograms of its calibration photos.
OPTIONAL = {
    *("mekiki_tag_sets_total", "mekiki_tag_set_info", "mekiki_decide_score_reference_ratio"),
    *("mekiki_infer_bundles_total", "mekiki_canary_bundle_info", "mekiki_canary_decisions_total"),
    *("mekiki_shadow_bundle_info", "mekiki_shadow_up_ratio", "mekiki_shadow_images_total"),
    *("mekiki_vald_expected_vectors", "mekiki_vald_stored_vectors", "mekiki_vald_refills_total"),
    *("mekiki_vald_call_duration_seconds_count", "mekiki_vald_call_duration_seconds_bucket"),
    *("mekiki_shadow_deaths_total", "mekiki_shadow_decisions_total", "mekiki_shadow_disagreements_total"),
}
# Of roles that are not part of this release: the console, webhooks and re-embedding.
OF_OTHER_ROLES = {
    *("mekiki_console_oldest_timestamp_seconds", "mekiki_webhook_failing_timestamp_seconds"),
    *("mekiki_console_duration_seconds_count", "mekiki_console_duration_seconds_bucket"),
    "mekiki_reembed_images_total",
}
PANELS = [panel for panel in dashboard.dashboard()["panels"] if panel["type"] != "row"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """The program after some seconds of load, still running."""
    with observed(tmp_path_factory.mktemp("observed")) as place:
        load(place, SECONDS, drawn_photos(8))
        time.sleep(2)
        yield place


def filled(promql: str) -> str:
    for name, value in VARIABLES.items():
        promql = promql.replace(name, value)
    return promql


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_query_of_a_panel_has_data(panel: dict[str, Any], place: Observed) -> None:
    now = time.time()
    for target in panel["targets"]:
        if not (OPTIONAL | OF_OTHER_ROLES).isdisjoint(names(target["expr"])):
            continue
        series = place.prometheus.query_range(filled(target["expr"]), now - SECONDS, now, 2)
        values = [float(value) for each in series for _, value in each["values"]]
        assert any(math.isfinite(value) for value in values), target["expr"]


def test_every_metric_of_the_alerts_has_samples(place: Observed) -> None:
    rules = place.prometheus._get("rules")["groups"]
    expressions = [rule["query"] for group in rules for rule in group["rules"]]
    assert len(expressions) >= 11
    for name in set().union(*map(names, expressions)) - OPTIONAL:
        assert place.prometheus.query(name), name
    for group in rules:
        for rule in group["rules"]:
            assert rule["health"] == "ok", rule


def test_a_healthy_release_raises_no_alarm(place: Observed) -> None:
    """The load is one third broken uploads, and foreign records on the index's topic: both may be told."""
    assert set(place.prometheus.alerts()) <= {"MekikiRejectionRatioHigh", "MekikiIndexDeadLetters"}
