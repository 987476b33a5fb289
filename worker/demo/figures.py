"""Figures of the report: percentiles, and time by stage from /metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families

_STAGE_METRIC = "mekiki_stage_duration_seconds"
_BATCH_METRIC = "mekiki_infer_batch_images"
# The order in which an event meets them.
_STAGES = ("parse", "fetch", "decode", "codes", "infer", "tag", "commit")


@dataclass(frozen=True)
class StageTime:
    """How often a stage ran and how long it took, in milliseconds; percentiles are within a bucket."""

    stage: str
    count: int
    mean_ms: float
    p50_ms: float
    p99_ms: float


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of `values` do not exceed (nearest rank); 0 of none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    rank = -int(-share * len(ordered) // 1)  # rounded up
    return ordered[max(rank, 1) - 1]


def stage_times(metrics: str) -> list[StageTime]:
    """Time by stage from the text of /metrics, in the order of the data flow."""
    totals: dict[str, float] = {}
    buckets: dict[str, list[tuple[float, float]]] = {}
    for family in text_string_to_metric_families(metrics):
        if family.name != _STAGE_METRIC:
            continue
        for sample in family.samples:
            stage = sample.labels["stage"]
            if sample.name.endswith("_sum"):
                totals[stage] = sample.value
            elif sample.name.endswith("_bucket"):
                buckets.setdefault(stage, []).append((float(sample.labels["le"]), sample.value))
    return [_stage_time(stage, totals[stage], buckets[stage]) for stage in _STAGES if stage in totals]


def _stage_time(stage: str, total: float, buckets: list[tuple[float, float]]) -> StageTime:
    count = buckets[-1][1]
    return StageTime(
        stage,
        int(count),
        1000 * total / max(count, 1),
        1000 * histogram_quantile(buckets, 0.5),
        1000 * histogram_quantile(buckets, 0.99),
    )


def histogram_quantile(buckets: Sequence[tuple[float, float]], share: float) -> float:
    """The quantile of cumulative (upper bound, count) buckets, linear within one, as Prometheus has it."""
    wanted = share * buckets[-1][1]
    for (low, below), (high, upto) in pairwise([(0.0, 0.0), *buckets]):
        if upto >= wanted and upto > below:
            return low if high == float("inf") else low + (high - low) * (wanted - below) / (upto - below)
    return 0.0


@dataclass(frozen=True)
class ModelSpeed:
    """Batches that the models ran, images in one on average, and images a second while they ran."""

    batches: int
    images_a_batch: float
    images_a_second: float


def model_speed(metrics: str) -> ModelSpeed:
    """How fast the models alone are (infer and tag), from the text of /metrics."""
    totals = {
        (sample.name, sample.labels.get("stage", "")): sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
    }
    batches = totals.get((f"{_BATCH_METRIC}_count", ""), 0.0)
    images = totals.get((f"{_BATCH_METRIC}_sum", ""), 0.0)
    seconds = sum(totals.get((f"{_STAGE_METRIC}_sum", stage), 0.0) for stage in ("infer", "tag"))
    return ModelSpeed(int(batches), images / max(batches, 1), images / seconds if seconds else 0.0)
