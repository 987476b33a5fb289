"""The console in the chart: one writer to its database, its secrets, who reaches it, and what is refused."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.helm.chart import VALUES, of_kind, refused, rendered

ON = ("--set", "console.enabled=true", "--set", "console.tokens.secret=people")


def pod_of(resources: list[dict[str, Any]], name: str = "shop-mekiki-console") -> dict[str, Any]:
    spec: dict[str, Any] = of_kind(resources, "StatefulSet")[name]["spec"]["template"]["spec"]
    return spec


def settings_of(resources: list[dict[str, Any]], name: str = "shop-mekiki-console") -> dict[str, Any]:
    settings = tomllib.loads(of_kind(resources, "ConfigMap")[name]["data"]["mekiki.toml"])
    console: dict[str, Any] = settings["console"]
    return console


def test_there_is_none_unless_it_is_asked_for() -> None:
    resources = rendered()
    assert not [each for each in resources if each["metadata"]["name"].endswith("-console")]


def test_its_database_is_on_a_volume_that_outlives_the_release() -> None:
    resources = rendered(*ON)
    (claim,) = of_kind(resources, "PersistentVolumeClaim").values()
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    pod = pod_of(resources)
    assert {"name": "database", "persistentVolumeClaim": {"claimName": "shop-mekiki-console"}} in pod[
        "volumes"
    ]
    (mount,) = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "database"]
    assert settings_of(resources)["database"] == f"sqlite:///{mount['mountPath']}/console.db"
    assert of_kind(resources, "StatefulSet")["shop-mekiki-console"]["spec"]["replicas"] == 1


def test_postgresql_comes_from_a_secret_and_needs_no_volume() -> None:
    resources = rendered(*ON, "--set", "console.database.secret=postgres")
    assert not of_kind(resources, "PersistentVolumeClaim")
    assert "database" not in settings_of(resources)
    (variable,) = pod_of(resources)["containers"][0]["env"]
    assert variable["name"] == "MEKIKI_CONSOLE__DATABASE"
    assert variable["valueFrom"]["secretKeyRef"] == {"name": "postgres", "key": "url"}


def test_tokens_and_the_key_of_sessions_are_files_of_secrets() -> None:
    resources = rendered(*ON, "--set", "console.sessions.secret=sessions")
    pod, settings = pod_of(resources), settings_of(resources)
    assert (settings["sign_in"], settings["host"]) == ("tokens", "0.0.0.0")
    mounts = {each["mountPath"]: each["name"] for each in pod["containers"][0]["volumeMounts"]}
    secrets = {each["name"]: each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each}
    for setting, secret in (("tokens_file", "people"), ("secret_file", "sessions")):
        folder = str(Path(settings[setting]).parent)
        assert secrets[mounts[folder]] == secret


def test_it_asks_the_releases_own_index() -> None:
    resources = rendered(*ON, "--set", "index.service.port=8080")
    assert settings_of(resources)["search_url"] == "http://shop-mekiki-index:8080"
    assert "search_url" not in settings_of(rendered(*ON, "--set", "index.enabled=false"))
    other = rendered(*ON, "--set", "console.settings.console.search_url=http://elsewhere:9464")
    assert settings_of(other)["search_url"] == "http://elsewhere:9464"


def test_a_browser_comes_by_tls_and_sessions_know_it() -> None:
    resources = rendered("--values", VALUES / "everything.yaml")
    (ingress,) = of_kind(resources, "Ingress").values()
    assert ingress["spec"]["tls"] == [{"hosts": ["judge.example"], "secretName": "judge-tls"}]
    (backend,) = [path["backend"] for path in ingress["spec"]["rules"][0]["http"]["paths"]]
    service = of_kind(resources, "Service")[backend["service"]["name"]]
    assert service["spec"]["ports"][0]["name"] == backend["service"]["port"]["name"]
    assert settings_of(resources, "judge-console")["url"] == "https://judge.example"


def test_who_reads_metrics_of_workers_does_not_reach_its_pages() -> None:
    """With sign-in by a proxy, whoever reaches the console says who is there."""
    resources = rendered(*ON, "--set", "monitoring.podMonitor.enabled=true")
    policies = of_kind(resources, "NetworkPolicy")
    (port,) = pod_of(resources)["containers"][0]["ports"]
    open_to_all = policies["shop-mekiki"]["spec"]["ingress"][0]["ports"]
    assert port["name"] not in [each["port"] for each in open_to_all]
    assert policies["shop-mekiki-console"]["spec"]["ingress"][0]["ports"] == [
        {"port": port["name"], "protocol": "TCP"}
    ]
    monitor = of_kind(resources, "PodMonitor")["shop-mekiki"]["spec"]
    assert port["name"] in [each["port"] for each in monitor["podMetricsEndpoints"]]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert pod_of(resources)["containers"][0][probe]["httpGet"]["port"] == port["name"]


def test_it_fetches_thumbnails_as_the_workers_fetch_images() -> None:
    spec = of_kind(rendered(*ON, "--set", "score.enabled=false"), "NetworkPolicy")["shop-mekiki-fetch"][
        "spec"
    ]
    (rule,) = spec["podSelector"]["matchExpressions"]
    assert "console" in rule["values"]


@pytest.mark.parametrize(
    ("console", "sentence"),
    [
        (
            {"settings": {"console": {"sign_in": "none"}}},
            "sign_in is none, which is for a machine of one's own",
        ),
        ({}, "needs console.tokens.secret"),
        ({"settings": {"console": {"sign_in": "proxy"}}}, "needs settings.console.trusted_proxies"),
        ({"tokens": {"secret": "people"}, "ingress": {"enabled": True}}, "set console.ingress.host"),
        ({"tokens": {"secrets": "people"}}, "'secrets' not allowed"),
    ],
)
def test_what_does_not_fit_is_refused(console: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    assert sentence in refused({"console": {"enabled": True, **console}}, tmp_path)


def test_a_proxy_signs_in_without_tokens() -> None:
    resources = rendered(
        "--set", "console.enabled=true", "--set", "console.settings.console.sign_in=proxy",
        "--set", "console.settings.console.trusted_proxies={10.1.0.0/16}",
    )  # fmt: skip
    settings = settings_of(resources)
    assert (settings["sign_in"], settings["trusted_proxies"]) == ("proxy", ["10.1.0.0/16"])
    assert "tokens_file" not in settings
