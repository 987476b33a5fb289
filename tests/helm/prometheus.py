"""A real Prometheus that scrapes one worker, and what it answers."""

import json
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.helm.chart import tool
from tests.kafka.server import free_ports
from tests.processes import Process


class Prometheus:
    """Scrapes `target` (host:port) each second, with the labels that the PodMonitor adds; use `stop`."""

    def __init__(self, home: Path, target: str, release: str, rules: dict[str, Any]) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        (home / "rules.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
        labels = {"release": release, "pool": "cpu"}
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(home / "rules.yaml")],
            "scrape_configs": [
                {"job_name": "mekiki", "static_configs": [{"targets": [target], "labels": labels}]}
            ],
        }
        (home / "prometheus.yaml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
        command = [
            str(tool("prometheus")), f"--config.file={home}/prometheus.yaml",
            f"--storage.tsdb.path={home}/data", f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
        ]  # fmt: skip
        self._process = Process(command, home / "prometheus.log")
        self._process.wait_until(self._ready, "ready", 30)

    def stop(self) -> None:
        """An orderly end."""
        self._process.terminate(10)

    def query(self, promql: str) -> list[dict[str, Any]]:
        """The series that `promql` gives now."""
        result: list[dict[str, Any]] = self._get("query", query=promql)["result"]
        return result

    def query_range(self, promql: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The series that `promql` gives from `start` to `end` (Unix time), every `step` seconds."""
        parameters = {"query": promql, "start": start, "end": end, "step": step}
        result: list[dict[str, Any]] = self._get("query_range", **parameters)["result"]
        return result

    def alerts(self) -> dict[str, str]:
        """The state of every alert that is pending or firing."""
        return {alert["labels"]["alertname"]: alert["state"] for alert in self._get("alerts")["alerts"]}

    def _get(self, path: str, **parameters: object) -> dict[str, Any]:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as response:
            answer: dict[str, Any] = json.load(response)
        assert answer["status"] == "success", answer
        return answer["data"]  # type: ignore[no-any-return]

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False
