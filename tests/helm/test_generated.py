"""The generated parts of the chart are those that the program's own definitions give."""

import json
from typing import Any

import pytest
import yaml

from helm.tools import dashboard, values_schema
from tests.helm.chart import CHART, rendered
from tests.helm.metric_definitions import defined, names, undefined
from worker.settings import Settings

HOW = "run `make chart` and commit what it writes"


def test_values_schema_is_that_of_the_settings() -> None:
    assert values_schema.SCHEMA.read_text(encoding="utf-8") == values_schema.text(), HOW


def test_every_setting_is_in_the_schema() -> None:
    schema = values_schema.values_schema()
    sections = schema["$defs"]["Settings"]["properties"]
    assert set(sections) == set(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        section = schema["$defs"][sections[name]["$ref"].rpartition("/")[2]]
        assert set(section["properties"]) == set(field.annotation.model_fields)  # type: ignore[union-attr]
        assert section["additionalProperties"] is False


def test_every_value_is_in_the_values_file() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    schema = values_schema.values_schema()
    for name, reference in schema["properties"].items():
        if name in ("global", "settings"):
            continue
        section = schema["$defs"].get(reference.get("$ref", "").rpartition("/")[2])
        if section:
            assert set(values[name]) == set(section["properties"]), name
        else:
            assert name in values


def test_dashboard_is_the_generated_one() -> None:
    assert dashboard.DASHBOARD.read_text(encoding="utf-8") == dashboard.text(), HOW


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard.dashboard()["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_panels_read_defined_metrics(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        assert names(target["expr"]), target["expr"]
        assert not undefined(target["expr"])
        assert 'release=~"$release"' in target["expr"]


def test_panels_do_not_overlap() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in dashboard.dashboard()["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        own = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not own & cells, panel["title"]
        cells |= own


def test_no_metric_is_left_out() -> None:
    """What the worker measures can be seen: on the dashboard, or by an alert."""
    rules = (CHART / "templates" / "prometheusrule.yaml").read_text(encoding="utf-8")
    seen = names(rules).union(*(names(target["expr"]) for panel in panels() for target in panel["targets"]))
    families = {name.removesuffix("_bucket") for name in defined() if not name.endswith(("_sum", "_count"))}
    unseen = {
        name for name in families if name.startswith("mekiki_") and not any(n.startswith(name) for n in seen)
    }
    assert not unseen


def test_an_unknown_metric_and_label_are_found() -> None:
    assert undefined('rate(mekiki_poll_event_total{release="x"}[1m])') == {"mekiki_poll_event_total"}
    assert undefined('mekiki_index_vectors{shard="x"}') == {"mekiki_index_vectors: shard"}
    assert undefined('mekiki_index_vectors{release="mekiki_x"}') == set()


def test_the_dashboard_is_installed_whole() -> None:
    resources = rendered("--set", "monitoring.dashboard.enabled=true")
    (config,) = [each for each in resources if each["metadata"]["name"] == "shop-mekiki-dashboard"]
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config["data"]["mekiki.json"]) == dashboard.dashboard()
