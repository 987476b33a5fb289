"""Policies from files, and times as people write them."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas.policy import Policy, Threshold
from worker.errors import ConfigurationError
from worker.policy.commands import instant, read_policy


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.json", '{"thresholds": {"text": {"block": 0.6}}}'),
        ("p.toml", "[thresholds.text]\nblock = 0.6"),
        ("mekiki.toml", "[model.policy.thresholds.text]\nblock = 0.6"),
    ],
)
def test_a_policy_or_a_whole_settings_file(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_policy(tmp_path / name) == Policy(thresholds={"text": Threshold(block=0.6)})


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"model": {}}', '{"thresholds": {"text": {"blok": 1}}}'])
def test_no_policy_is_told(tmp_path, text):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(ConfigurationError, match="holds no policy"):
        read_policy(tmp_path / "p.json")


def test_times():
    assert instant("2026-11-01") == datetime(2026, 11, 1, tzinfo=UTC)
    assert instant("2026-11-01T12:00+09:00").utcoffset() == timedelta(hours=9)
    assert timedelta(days=6.9) < datetime.now(UTC) - instant("7d") < timedelta(days=7.1)
    with pytest.raises(ConfigurationError, match="is no time"):
        instant("yesterday")
