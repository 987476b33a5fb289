"""Where no Kafka can be started, the integration tests say how to get one."""

from pathlib import Path

import pytest

from tests.kafka import server
from tests.kafka.server import KafkaServer, KafkaUnavailable


def test_without_java_or_maven_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KafkaUnavailable, match=r"no java on the path.*JDK.*KAFKA_BOOTSTRAP_SERVERS="):
        KafkaServer(tmp_path)


def test_where_maven_fails_nothing_half_fetched_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("java", "mvn"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho 'cannot reach the registry'\nexit 1\n", encoding="utf-8")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(KafkaUnavailable, match=r"cannot reach the registry(.|\n)*KAFKA_BOOTSTRAP_SERVERS="):
        server.jars()
    assert list((tmp_path / "cache" / "mekiki").iterdir()) == []
