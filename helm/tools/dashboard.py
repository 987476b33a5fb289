"""Write helm/mekiki/dashboards/mekiki.json, the Grafana dashboard.

Run from the repository root: `python helm/tools/dashboard.py`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).parents[1] / "mekiki" / "dashboards" / "mekiki.json"

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_OF = 'release=~"$release"'
_WIDTH = 24


@dataclass(frozen=True)
class Query:
    """PromQL with OF for the selector of the release, and the legend of its series."""

    promql: str
    legend: str

    @property
    def expression(self) -> str:
        """The PromQL that Grafana sends."""
        return self.promql.replace("{OF", "{" + _OF)


@dataclass(frozen=True)
class Panel:
    """A panel: `kind` is stat, timeseries or heatmap; `width` is in 24ths, 0 for an equal share."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    description: str
    kind: str = "timeseries"
    width: int = 0
    stacked: bool = False


def _rate(metric: str, by: str = "", labels: str = "") -> str:
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate({metric}{{OF{labels}}}[$__rate_interval]))"


def _quantile(share: float, metric: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {_rate(metric + '_bucket', labels)})"


def _quantiles(metric: str) -> tuple[Query, ...]:
    return tuple(Query(_quantile(share, metric), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99))


_SCORE = ',role="score"'
_LAG = "sum{by} (max by (topic, partition) (mekiki_poll_lag_records{{OF}}))"

ROWS: dict[str, tuple[Panel, ...]] = {
    "Now": (
        Panel(
            "Ready replicas",
            "short",
            (Query("sum by (role) (mekiki_health_ready_ratio{OF})", "{{role}}"),),
            "Replicas that can take work.",
            "stat",
            4,
        ),
        Panel(
            "Outcomes",
            "ops",
            (Query(_rate("mekiki_commit_outcomes_total", labels=_SCORE), "outcomes"),),
            "Uploads judged or rejected, for good.",
            "stat",
            4,
        ),
        Panel("Lag", "short", (Query(_LAG.format(by=""), "records"),), "Records that wait.", "stat", 4),
        Panel(
            "Upload to outcome, p95",
            "s",
            (Query(_quantile(0.95, "mekiki_commit_upload_latency_seconds"), "p95"),),
            "From the upload's record to its committed outcome.",
            "stat",
            4,
        ),
        Panel(
            "Blocked",
            "percentunit",
            (
                Query(
                    _rate("mekiki_decide_decisions_total", labels=',decision="block"')
                    + " / "
                    + _rate("mekiki_decide_decisions_total"),
                    "share",
                ),
            ),
            "Share of the judged images that the filter blocks.",
            "stat",
            4,
        ),
        Panel(
            "Rejected",
            "percentunit",
            (
                Query(
                    f"({_rate('mekiki_decide_rejections_total')} or vector(0)) / "
                    + _rate("mekiki_commit_outcomes_total", labels=_SCORE),
                    "share",
                ),
            ),
            "Share of the uploads that go to the dead letter topic.",
            "stat",
            4,
        ),
    ),
    "Throughput and lag": (
        Panel(
            "Events",
            "ops",
            (
                Query(_rate("mekiki_poll_events_total", labels=_SCORE), "polled"),
                Query(_rate("mekiki_commit_outcomes_total", labels=_SCORE), "committed"),
                Query(_rate("mekiki_decide_removals_total"), "deletions"),
                Query(_rate("mekiki_decide_passed_over_total"), "passed over"),
            ),
            "Polled above committed for long: work is repeated.",
        ),
        Panel(
            "Lag by topic",
            "short",
            (Query(_LAG.format(by=" by (topic)"), "{{topic}}"),),
            "Records behind the end of the topics.",
        ),
        Panel(
            "Upload to outcome", "s", _quantiles("mekiki_commit_upload_latency_seconds"), "Waiting included."
        ),
        Panel(
            "Commits",
            "ops",
            (Query(_rate("mekiki_commit_attempts_total", "role, result"), "{{role}} {{result}}"),),
            "Failures are tried again; a lasting failure is the broker's or the network's.",
        ),
        Panel(
            "In flight",
            "short",
            (
                Query("sum (mekiki_commit_in_flight_events{OF})", "events"),
                Query("sum (mekiki_poll_paused_ratio{OF})", "paused workers"),
                Query("max (mekiki_commit_halted_ratio{OF})", "halted"),
                Query("sum (mekiki_poll_apart_events{OF})", "one at a time"),
                Query(_rate("mekiki_poll_unclean_ends_total"), "partitions of dead workers a second"),
                Query(
                    "sum (mekiki_poll_unreadable_partitions{OF})",
                    "partitions before a damaged batch",
                ),
            ),
            "At score.max_in_flight a worker pauses: it is the bottleneck, not Kafka.",
        ),
        Panel(
            "Partitions",
            "short",
            (Query('sum by (instance) (mekiki_poll_assigned_partitions{OF,role="score"})', "{{instance}}"),),
            "Who has how many.",
            stacked=True,
        ),
    ),
    "Stages": (
        Panel(
            "Time by stage, p95",
            "s",
            (Query(_quantile(0.95, "mekiki_stage_duration_seconds", "stage"), "{{stage}}"),),
            "Of one event (parse, fetch, decode, codes), a batch (infer, tag), or a commit.",
        ),
        Panel(
            "Work by stage",
            "short",
            (Query(_rate("mekiki_stage_duration_seconds_sum", "stage"), "{{stage}}"),),
            "Seconds of work a second, summed over threads and workers: the tallest is the bottleneck.",
            stacked=True,
        ),
        Panel(
            "Images in a batch",
            "short",
            (
                Query(
                    _rate("mekiki_infer_batch_images_sum") + " / " + _rate("mekiki_infer_batch_images_count"),
                    "mean",
                ),
                Query(_quantile(0.95, "mekiki_infer_batch_images"), "p95"),
            ),
            "Near model.batch_size under load; a GPU with small batches is idle.",
        ),
        Panel(
            "Images known before",
            "ops",
            (Query(_rate("mekiki_infer_repeated_images_total"), "a second"),),
            "Of bytes that were judged lately (model.repeats): neither decoded nor put through the model.",
        ),
        Panel(
            "Bundles taken and refused",
            "short",
            (
                Query("sum by (result) (increase(mekiki_infer_bundles_total{OF}[1h]))", "{{result}}"),
                Query("count by (bundle) (mekiki_build_info{OF})", "workers on {{bundle}}"),
            ),
            "Of model.bundle, with model.bundle_interval. Refused: the bundle before goes on serving.",
        ),
        Panel(
            "Tag sets taken and refused",
            "short",
            (
                Query("sum by (result) (increase(mekiki_tag_sets_total{OF}[1h]))", "{{result}}"),
                Query("count by (version) (mekiki_tag_set_info{OF})", "workers on {{version}}"),
            ),
            "Of model.tags. Refused: damaged, or of other vectors; the set before goes on serving.",
        ),
        Panel(
            "Canary: its decisions",
            "ops",
            (
                Query(_rate("mekiki_canary_decisions_total", "decision"), "{{decision}}"),
                Query("count by (bundle) (mekiki_canary_bundle_info{OF})", "workers with {{bundle}}"),
            ),
            "Of model.canary, which decides about its share of the images; they are among all decisions.",
        ),
        Panel(
            "Shadow: images tried and dropped",
            "ops",
            (
                Query(_rate("mekiki_shadow_images_total", "result"), "{{result}}"),
                Query("count by (bundle) (mekiki_shadow_bundle_info{OF})", "workers that try {{bundle}}"),
                Query("sum (mekiki_shadow_up_ratio{OF})", "shadows that run"),
                Query(_rate("mekiki_shadow_deaths_total", "reason"), "ended, {{reason}}"),
            ),
            "Of model.shadow. What it has no time for is behind; nothing waits for it.",
        ),
        Panel(
            "Shadow: what it would decide otherwise",
            "ops",
            (
                Query(
                    _rate("mekiki_shadow_decisions_total", "served, decision"),
                    "{{served}}, and it says {{decision}}",
                ),
                Query(
                    _rate("mekiki_shadow_disagreements_total", "score, direction"), "{{score}} {{direction}}"
                ),
            ),
            "Both decisions on the same images, and the scores that lead elsewhere: stricter or laxer.",
        ),
        Panel(
            "Decoders ended over an image",
            "ops",
            (Query(_rate("mekiki_decode_deaths_total", "reason"), "{{reason}}"),),
            "Images that took too long or too much CPU, or crashed their decoder: each was rejected.",
        ),
        Panel(
            "Stores that fail",
            "short",
            (
                Query("sum (mekiki_retry_waiting_events{OF})", "parked"),
                Query(_rate("mekiki_retry_parked_total", "reason"), "parked a second, {{reason}}"),
                Query("max (mekiki_fetch_down_hosts{OF})", "hosts down"),
                Query("sum (mekiki_fetch_waiting_ratio{OF})", "workers that wait"),
            ),
            "Parked events come back by themselves; where most of the traffic fails, workers wait instead.",
        ),
        Panel("Fetched", "Bps", (Query(_rate("mekiki_fetch_bytes_total"), "bytes"),), "Image bytes."),
    ),
    "Decisions": (
        Panel(
            "Decisions",
            "ops",
            (
                Query(_rate("mekiki_decide_decisions_total", "decision"), "{{decision}}"),
                Query(_rate("mekiki_decide_reviewed_total", "decision"), "{{decision}} by people"),
            ),
            "Images by decision.",
            stacked=True,
        ),
        Panel(
            "Rejections by reason",
            "ops",
            (Query(_rate("mekiki_decide_rejections_total", "reason"), "{{reason}}"),),
            "What went to the dead letter topic, and why.",
            stacked=True,
        ),
        Panel(
            "Median of scores",
            "percentunit",
            (Query(_quantile(0.5, "mekiki_decide_score_ratio", "score"), "{{score}}"),),
            "A step is another model or another input.",
        ),
        Panel(
            "Drift: score $score by bin",
            "percentunit",
            (
                Query(
                    'sum by (bin) (rate(mekiki_decide_score_bins_total{OF,score=~"$score"}[6h]))'
                    ' / scalar(sum(rate(mekiki_decide_score_bins_total{OF,score=~"$score"}[6h])))',
                    "{{bin}}",
                ),
                Query(
                    'max by (bin) (mekiki_decide_score_reference_ratio{OF,score=~"$score"})',
                    "{{bin}}, reference",
                ),
            ),
            "Where the shares leave the reference, MekikiScoresDrift fires; empty without one in the bundle.",
        ),
        Panel(
            "Codes read",
            "ops",
            (Query(_rate("mekiki_codes_read_total", "format"), "{{format}}"),),
            "QR codes and others in images; empty unless codes.enabled.",
        ),
        Panel(
            "Distribution of score $score",
            "short",
            (
                Query(
                    "sum by (le) (increase("
                    'mekiki_decide_score_ratio_bucket{OF,score=~"$score"}[$__rate_interval]))',
                    "{{le}}",
                ),
            ),
            "Images by score over time.",
            "heatmap",
            _WIDTH,
        ),
    ),
    "Index": (
        Panel(
            "Searchable images",
            "short",
            (Query("mekiki_index_vectors{OF} > 0", "{{instance}}"),),
            "By replica.",
        ),
        Panel(
            "Tail",
            "short",
            (Query("sum by (instance) (mekiki_index_tail_records{OF})", "{{instance}}"),),
            "Changes since the generation, searched exactly.",
        ),
        Panel(
            "Age of the generation",
            "s",
            (Query("time() - (mekiki_index_generation_timestamp_seconds{OF} > 0)", "{{instance}}"),),
            "A restart replays the log from here.",
        ),
        Panel(
            "Recall of searches",
            "percentunit",
            (
                Query(
                    'sum by (instance) (rate(mekiki_index_sampled_neighbours_total{OF,result="found"}[1h]))'
                    " / sum by (instance) (rate(mekiki_index_sampled_neighbours_total{OF}[1h]))",
                    "{{instance}}",
                ),
            ),
            "Of the true neighbours, those found: a few searches are repeated exactly.",
        ),
        Panel("Embedded to searchable", "s", _quantiles("mekiki_index_update_latency_seconds"), "Freshness."),
        Panel(
            "The next index",
            "short",
            (
                Query("mekiki_index_next_vectors{OF}", "images, {{instance}}"),
                Query("mekiki_index_next_ready_ratio{OF}", "has caught up, {{instance}}"),
                Query("mekiki_index_next_serves_ratio{OF}", "answers, {{instance}}"),
                Query(_rate("mekiki_index_next_errors_total"), "ends a second"),
            ),
            "Of another space (index.next).",
        ),
        Panel(
            "Vectors moved to another space",
            "ops",
            (Query(_rate("mekiki_reembed_images_total", "result"), "{{result}}"),),
            "By mekiki reembed; those of other results than embedded, copied and deleted are missing there.",
        ),
        Panel(
            "Updates",
            "ops",
            (
                Query(_rate("mekiki_index_updates_total", "state"), "{{state}}"),
                Query(_rate("mekiki_index_near_duplicates_total"), "near-duplicates"),
                Query(_rate("mekiki_index_rejections_total"), "rejected"),
                Query(_rate("mekiki_index_passed_over_total", "reason"), "passed over: {{reason}}"),
            ),
            "Records applied to the index; passed over are those of another space, and copy vectors of one.",
        ),
        Panel(
            "Memory and disk of vectors",
            "bytes",
            (
                Query(
                    "sum by (instance, kind) (mekiki_index_memory_bytes{OF})", "{{instance}} {{kind}}, memory"
                ),
                Query("sum by (instance, kind) (mekiki_index_disk_bytes{OF})", "{{instance}} {{kind}}, disk"),
            ),
            "Embeddings with all that searches need, and copy vectors. Memory: also files mapped into it.",
        ),
        Panel(
            "Builds, mean time",
            "s",
            (
                Query(
                    "sum by (result) (rate(mekiki_index_build_duration_seconds_sum{OF}[30m]))"
                    " / sum by (result) (rate(mekiki_index_build_duration_seconds_count{OF}[30m]))",
                    "{{result}}",
                ),
            ),
            "Of a generation.",
        ),
        Panel(
            "Searches",
            "ops",
            (
                Query(_rate("mekiki_search_duration_seconds_count", "kind"), "{{kind}}"),
                Query(_rate("mekiki_search_errors_total", "reason"), "refused: {{reason}}"),
            ),
            "By kind.",
        ),
        Panel(
            "Time of a search, p95",
            "s",
            (Query(_quantile(0.95, "mekiki_search_duration_seconds", "kind"), "{{kind}}"),),
            "By kind.",
        ),
    ),
    "Vald": (
        Panel(
            "Vectors in the cluster",
            "short",
            (
                Query("max (mekiki_vald_expected_vectors{OF}) > 0", "different vectors"),
                Query("max (mekiki_vald_stored_vectors{OF}) > 0", "held, replicas among them"),
            ),
            "Of index.backend vald.",
        ),
        Panel(
            "Calls to the cluster",
            "ops",
            (
                Query(
                    _rate("mekiki_vald_call_duration_seconds_count", "kind, result"), "{{kind}}: {{result}}"
                ),
                Query(_rate("mekiki_vald_refills_total"), "refills"),
            ),
            "A refill writes all again after an agent lost vectors.",
        ),
        Panel(
            "Time of a call, p95",
            "s",
            (Query(_quantile(0.95, "mekiki_vald_call_duration_seconds", "kind"), "{{kind}}"),),
            "By kind.",
        ),
    ),
    "People": (
        Panel(
            "Images that wait for people",
            "short",
            (Query("max by (queue) (mekiki_console_waiting_images{OF})", "{{queue}}"),),
            "In review, and near a cut.",
        ),
        Panel(
            "Oldest in review",
            "s",
            (Query("time() - (max (mekiki_console_oldest_timestamp_seconds{OF}) > 0)", "age"),),
            "Empty where none waits.",
        ),
        Panel(
            "Console behind",
            "short",
            (Query("max (mekiki_console_lag_records{OF})", "records"),),
            "What its pages do not show yet.",
        ),
        Panel(
            "Answers of the console",
            "ops",
            (Query(_rate("mekiki_console_duration_seconds_count", "result"), "{{result}}"),),
            "By result.",
        ),
        Panel("Time of an answer", "s", _quantiles("mekiki_console_duration_seconds"), "Of the console."),
        Panel(
            "Webhooks",
            "ops",
            (
                Query(_rate("mekiki_webhook_deliveries_total", "result"), "{{result}}"),
                Query(
                    "count by (receiver) (mekiki_webhook_failing_timestamp_seconds{OF} > 0)",
                    "{{receiver}} takes nothing",
                ),
            ),
            "Messages to platforms that own the queue: what fails is sent again.",
        ),
    ),
    "Resources": (
        Panel(
            "CPU",
            "short",
            (Query("rate(process_cpu_seconds_total{OF}[$__rate_interval])", "{{instance}}"),),
            "Cores in use.",
        ),
        Panel("Memory", "bytes", (Query("process_resident_memory_bytes{OF}", "{{instance}}"),), "Resident."),
        Panel("Open files", "short", (Query("process_open_fds{OF}", "{{instance}}"),), "Sockets included."),
        Panel(
            "Versions",
            "short",
            (
                Query(
                    "count by (role, version, bundle, provider) (mekiki_build_info{OF})",
                    "{{role}} {{version}} {{bundle}} {{provider}}",
                ),
            ),
            "Processes by program, models and provider: two lines during a rollout.",
            stacked=True,
        ),
    ),
}


def _options(panel: Panel) -> dict[str, Any]:
    custom = {
        "fillOpacity": 25 if panel.stacked else 8,
        "stacking": {"mode": "normal" if panel.stacked else "none"},
    }
    fields = {
        "defaults": {"unit": panel.unit, "min": 0, "custom": custom if panel.kind == "timeseries" else {}}
    }
    options: dict[str, Any] = {"legend": {"displayMode": "list", "placement": "bottom"}}
    if panel.kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "none"}
    if panel.kind == "heatmap":
        options = {"calculate": False, "yAxis": {"unit": panel.unit}, "color": {"scheme": "Blues"}}
    return {"fieldConfig": {**fields, "overrides": []}, "options": options}


def _panel(panel: Panel, identity: int, at: dict[str, int]) -> dict[str, Any]:
    form = "heatmap" if panel.kind == "heatmap" else "time_series"
    return {
        "id": identity,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": at,
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
                "format": form,
            }
            for number, query in enumerate(panel.queries)
        ],
        **_options(panel),
    }


def _share(row: tuple[Panel, ...]) -> int:
    """The width of a panel that has none of its own: three or four to a line."""
    return _WIDTH // (3 if sum(not panel.width for panel in row) % 3 == 0 else 4)


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        grid = {"x": 0, "y": y, "w": _WIDTH, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "gridPos": grid, "panels": []})
        x, y, height = 0, y + 1, 4 if row[0].kind == "stat" else 8
        for panel in row:
            width = panel.width or _share(row)
            if x + width > _WIDTH:
                x, y = 0, y + height
            panels.append(_panel(panel, len(panels) + 1, {"x": x, "y": y, "w": width, "h": height}))
            x += width
        y += height
    return panels


def _variable(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "sort": 1,
    }


def dashboard() -> dict[str, Any]:
    """The dashboard, as Grafana imports it."""
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "uid": "mekiki",
        "title": "mekiki",
        "description": "Streaming moderation and indexing of marketplace images",
        "tags": ["mekiki"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                source,
                _variable("release", "Release", "label_values(mekiki_build_info, release)"),
                _variable("score", "Score", "label_values(mekiki_decide_score_ratio_bucket, score)"),
            ]
        },
        "panels": _panels(),
    }


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    DASHBOARD.write_text(text(), encoding="utf-8")
