"""A broker that is away must not fill the log."""

import logging

import pytest
from confluent_kafka import KafkaError

from worker.stream import kafka


def test_an_error_is_told_once_in_a_while_and_another_kind_at_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(kafka.time, "monotonic", lambda: now)
    errors = kafka.ClientErrors()
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            errors(KafkaError(KafkaError._TRANSPORT))
        errors(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        now += 10
        errors(KafkaError(KafkaError._TRANSPORT))
    assert len(caplog.records) == 3
