"""Percentiles and stage times, against values worked out by hand."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from worker.demo.figures import histogram_quantile, model_speed, percentile, stage_times
from worker.metrics import Metrics


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, 0),
        ([7], 0.01, 7),
        ([4, 1, 3, 2], 0.5, 2),
        ([4, 1, 3, 2], 0.51, 3),
        (list(range(1, 101)), 0.99, 99),
        ([4, 1], 1.0, 4),
    ],
)
def test_percentile_is_the_nearest_rank(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def test_histogram_quantile_is_linear_within_a_bucket() -> None:
    buckets = [(0.1, 2.0), (0.2, 2.0), (0.4, 10.0), (float("inf"), 10.0)]
    assert histogram_quantile(buckets, 0.1) == pytest.approx(0.05)
    assert histogram_quantile(buckets, 0.6) == pytest.approx(0.3)
    assert histogram_quantile([(0.1, 0.0), (float("inf"), 4.0)], 0.5) == pytest.approx(0.1)
    assert histogram_quantile([(0.1, 0.0), (float("inf"), 0.0)], 0.5) == 0


def test_stage_times_and_model_speed_come_from_the_workers_own_metrics() -> None:
    metrics = Metrics(CollectorRegistry())
    for _ in range(4):
        metrics.stage_seconds.labels("decode").observe(0.02)
    for images in (10, 30):
        metrics.infer_batch.observe(images)
        metrics.stage_seconds.labels("infer").observe(0.15)
        metrics.stage_seconds.labels("tag").observe(0.05)
    text = generate_latest(metrics.registry).decode()
    times = stage_times(text)
    assert [(time.stage, time.count) for time in times] == [("decode", 4), ("infer", 2), ("tag", 2)]
    assert times[0].mean_ms == pytest.approx(20)
    assert times[0].p50_ms == pytest.approx(17.5)
    speed = model_speed(text)
    assert (speed.batches, speed.images_a_batch) == (2, 20)
    assert speed.images_a_second == pytest.approx(100)


def test_figures_of_a_program_that_did_nothing() -> None:
    text = generate_latest(Metrics(CollectorRegistry()).registry).decode()
    assert stage_times(text) == []
    assert model_speed(text).images_a_second == 0
