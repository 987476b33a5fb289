"""The metrics that the worker defines, as PromQL sees them."""

import re

from prometheus_client import CollectorRegistry, ProcessCollector

from worker.metrics import Metrics

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
# Labels that a scrape adds: PodMonitor and Prometheus itself.
SCRAPE_LABELS = frozenset({"release", "pool", "instance", "job"})
_METRIC = re.compile(r"\b(mekiki|process)_[a-z0-9_]+\b")
_SELECTOR = re.compile(r"\b((?:mekiki|process)_[a-z0-9_]+)\{([^}]*)\}")
_LABEL = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)")


def defined() -> dict[str, frozenset[str]]:
    """The labels of every time series of a worker, by its name."""
    metrics = Metrics(CollectorRegistry())
    series: dict[str, frozenset[str]] = {}
    for metric in vars(metrics).values():
        for family in getattr(metric, "describe", list)():
            for suffix in _SUFFIXES[family.type]:
                le = {"le"} if suffix == "_bucket" else set()
                series[family.name + suffix] = frozenset({*metric._labelnames, *le})
    for family in ProcessCollector(registry=None).collect():
        series.update({sample.name: frozenset() for sample in family.samples})
    return series


def names(promql: str) -> set[str]:
    """The worker's metrics that `promql` reads."""
    outside_strings = re.sub(r'"[^"]*"', '""', promql)
    return {match[0] for match in _METRIC.finditer(outside_strings)}


def undefined(promql: str) -> set[str]:
    """Metrics of `promql` that the worker has not, and labels that such a metric has not."""
    series = defined()
    faults = {name for name in names(promql) if name not in series}
    for name, selector in _SELECTOR.findall(promql):
        known = series.get(name, frozenset()) | SCRAPE_LABELS
        faults |= {f"{name}: {label}" for label in _LABEL.findall(selector) if label not in known}
    return faults
