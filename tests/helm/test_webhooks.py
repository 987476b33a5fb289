"""The webhooks in the chart: their secret, where they may go, and what is refused."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.helm.chart import VALUES, of_kind, refused, rendered


@pytest.fixture(scope="module")
def resources() -> list[dict[str, Any]]:
    """With two receivers, one of them in the cluster."""
    return rendered("--values", VALUES / "everything.yaml")


def test_the_secret_is_a_file_and_messages_name_the_console(resources: list[dict[str, Any]]) -> None:
    settings = tomllib.loads(of_kind(resources, "ConfigMap")["judge-webhooks"]["data"]["mekiki.toml"])
    pod = of_kind(resources, "Deployment")["judge-webhooks"]["spec"]["template"]["spec"]
    mounts = {each["mountPath"]: each["name"] for each in pod["containers"][0]["volumeMounts"]}
    secrets = {each["name"]: each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each}
    folder = str(Path(settings["webhooks"]["secret_file"]).parent)
    assert secrets[mounts[folder]] == "judge-webhooks"
    assert settings["console"]["url"] == "https://judge.example"


def test_they_reach_their_receivers_and_no_image(resources: list[dict[str, Any]]) -> None:
    policies = of_kind(resources, "NetworkPolicy")
    outside, inside = policies["judge-webhooks"]["spec"]["egress"]
    assert outside["ports"] == [{"port": 443, "protocol": "TCP"}]
    assert {peer["ipBlock"]["cidr"] for peer in outside["to"]} == {"0.0.0.0/0", "::/0"}
    assert inside["ports"] == [{"port": 8080, "protocol": "TCP"}]
    (peer,) = inside["to"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "labels"}
    (fetching,) = policies["judge-fetch"]["spec"]["podSelector"]["matchExpressions"]
    assert "webhooks" not in fetching["values"]


@pytest.mark.parametrize(
    ("webhooks", "sentence"),
    [
        ({"secret": {"secret": "hush"}}, "set settings.webhooks.urls"),
        ({"settings": {"webhooks": {"urls": ["https://queue.example"]}}}, "set webhooks.secret.secret"),
    ],
)
def test_what_does_not_fit_is_refused(webhooks: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    assert sentence in refused({"webhooks": {"enabled": True, **webhooks}}, tmp_path)
