"""The chart: what it renders fits Kubernetes, and what it refuses is said in a sentence."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from ipaddress import IPv6Network, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.chart import CHART, REPOSITORY, VALUES, helm, of_kind, pod_specs, refused, rendered, tool

MATRIX = sorted(VALUES.glob("*.yaml"))
KUBERNETES = "1.37.0"
CUSTOM_GROUPS = ("keda.sh/", "monitoring.coreos.com/")


@pytest.fixture(scope="module", params=MATRIX, ids=lambda path: path.stem)
def resources(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """What one of the values files renders."""
    return rendered("--values", request.param)


def is_custom(resource: dict[str, Any]) -> bool:
    return str(resource["apiVersion"]).startswith(CUSTOM_GROUPS)


def test_helm_lints() -> None:
    every: list[tuple[str | Path, ...]] = [(), *[("--values", file) for file in MATRIX]]
    for values in every:
        done = helm("lint", "--strict", CHART, *values)
        assert done.returncode == 0, done.stdout + done.stderr


def test_resources_fit_kubernetes(resources: list[dict[str, Any]]) -> None:
    own = [resource for resource in resources if not is_custom(resource)]
    summary = kubeconform(own)
    assert summary["valid"] == len(own), summary


def kubeconform(resources: list[dict[str, Any]]) -> dict[str, Any]:
    command = [
        str(tool("kubeconform")), "-strict", "-summary", "-output", "json",
        "-kubernetes-version", KUBERNETES, "-schema-location", str(tool("kubernetes-schemas")),
    ]  # fmt: skip
    done = subprocess.run(
        command, input=yaml.safe_dump_all(resources), capture_output=True, text=True, timeout=60, check=False
    )
    report = json.loads(done.stdout)
    return {**report["summary"], "resources": report.get("resources")}


def test_a_wrong_field_does_not_fit_kubernetes() -> None:
    deployment = next(iter(of_kind(rendered(), "Deployment").values()))
    deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    assert kubeconform([deployment])["valid"] == 0


def check_custom(resources: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    script = CHART.parent / "tools" / "check_resources.mjs"
    return subprocess.run(
        ["node", script, tool("resource-models")],
        input=json.dumps(resources), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_resources_fit_keda_and_the_prometheus_operator() -> None:
    custom = [each for file in MATRIX for each in rendered("--values", file) if is_custom(each)]
    kinds = {resource["kind"] for resource in custom}
    assert kinds == {"ScaledObject", "PodMonitor", "PrometheusRule"}
    done = check_custom(custom)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_wrong_and_unknown_fields_do_not_fit_keda() -> None:
    scaled = next(iter(of_kind(rendered("--values", VALUES / "keda.yaml"), "ScaledObject").values()))
    scaled["spec"]["minReplicaCount"] = "two"
    scaled["spec"]["triggers"][0]["metdata"] = {}
    done = check_custom([scaled])
    assert done.returncode == 1
    assert "/spec/minReplicaCount" in done.stdout
    assert "unknown field /spec/triggers/0/metdata" in done.stdout


EVERYWHERE: dict[str, Any] = {"namespaceSelector": {}}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("misspelt setting", {"settings": {"kafka": {"bootstap_servers": "x"}}}, "'bootstap_servers'"),
    ("misspelt section", {"settings": {"kafak": {}}}, "additional properties 'kafak' not allowed"),
    ("misspelt value", {"score": {"replica": 3}}, "additional properties 'replica' not allowed"),
    ("misspelt pool value", {"score": {"pools": {"gpu": {"gpus": {}}}}}, "'gpus' not allowed"),
    ("setting of a pool", {"score": {"pools": {"cpu": {"settings": {"model": {"bach": 1}}}}}}, "'bach'"),
    ("wrong choice", {"settings": {"score": {"delivery": "twice"}}}, "'exactly_once', 'at_least_once'"),
    ("wrong type", {"settings": {"http": {"port": "many"}}}, "got string, want integer"),
    ("out of range", {"settings": {"score": {"drain_timeout": 0}}}, "/settings/score/drain_timeout"),
    ("property no text", {"settings": {"kafka": {"properties": {"a.b": [5]}}}}, "got array, want"),
    ("pool name", {"score": {"pools": {"GPU": {}}}}, "additional properties 'GPU' not allowed"),
    (
        "two autoscalers",
        {"score": {"autoscaling": {"keda": {"enabled": True}, "hpa": {"enabled": True}}}},
        'score pool "cpu": autoscaling.keda and autoscaling.hpa are both enabled and would fight',
    ),
    (
        "two autoscalers, one of the pool's",
        {"score": {"autoscaling": {"keda": {"enabled": True}},
                   "pools": {"cpu": {"autoscaling": {"hpa": {"enabled": True}}}}}},
        "autoscaling.keda and autoscaling.hpa are both enabled",
    ),
    (
        "more workers than partitions",
        {"score": {"autoscaling": {"keda": {"enabled": True}, "maxReplicas": 13}}},
        "the score pools may have 13 workers, but settings.topics.partitions is 12",
    ),
    (
        "more workers in all pools than partitions",
        {"score": {"replicas": 7, "pools": {"other": {}}}},
        "the score pools may have 14 workers",
    ),
    ("least above most", {"score": {"autoscaling": {"minReplicas": 9, "maxReplicas": 2}}}, "minReplicas (9)"),
    ("cuda without a GPU", {"settings": {"model": {"provider": "cuda"}}}, "set gpu.enabled=true"),
    (
        "idle GPU",
        {"settings": {"model": {"provider": "cpu"}}, "score": {"gpu": {"enabled": True}}},
        "the GPU would be idle",
    ),
    (
        "grace shorter than the drain",
        {"score": {"terminationGracePeriodSeconds": 20}},
        "must be longer than score.drain_timeout (20)",
    ),
    ("Vald without a gateway", {"settings": {"index": {"backend": "vald"}}}, "settings.index.vald.address"),
    (
        "two that write to one Vald",
        {"settings": {"index": {"backend": "vald", "vald": {"address": "v:8081"}}}, "index": {"replicas": 2}},
        "set index.replicas=1",
    ),
    ("two bundles", {"bundle": {"image": "a", "existingClaim": "b"}}, "the models come from one place"),
    ("three bundles", {"bundle": {"image": "a", "url": "s3://b/c"}}, "the models come from one place"),
    ("certificate without a Secret", {"kafka": {"tls": {"clientCertificate": True}}}, "kafka.tls.secret"),
    ("no pool", {"score": {"pools": {"cpu": None}}}, "score.pools is empty"),
    ("no worker at all", {"score": {"autoscaling": {"minReplicas": 0}}}, "/score/autoscaling/minReplicas"),
    (
        "no worker in trouble",
        {"score": {"autoscaling": {"keda": {"fallback": {"replicas": 0}}}}},
        "/score/autoscaling/keda/fallback/replicas",
    ),
    ("everybody searches", {"networkPolicy": {"searchFrom": [EVERYWHERE]}}, "networkPolicy.searchFrom has a"),
    (
        "everybody's Prometheus",
        {"networkPolicy": {"metricsFrom": [{**EVERYWHERE, "podSelector": {"matchLabels": {"app": "x"}}}]}},
        "networkPolicy.metricsFrom has a namespaceSelector of every namespace",
    ),
    ("everybody's DNS", {"networkPolicy": {"dnsPeers": [EVERYWHERE]}}, "networkPolicy.dnsPeers has a"),
    ("everybody's Kafka", {"networkPolicy": {"kafkaPeers": [EVERYWHERE]}}, "networkPolicy.kafkaPeers has a"),
    *[
        (f"brokers at {host}", {"settings": {"kafka": {"bootstrap_servers": f"kafka:9092,{host}:9092"}}},
         f"networkPolicy.kafkaPeers is empty, and {host} is no Service")
        for host in ("b-1.example.com", "kafka.streaming", "kafka.svc.example.com", "10.1.2.3.example")
    ],
]  # fmt: skip


@pytest.mark.parametrize(("values", "sentence"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED])
def test_wrong_values_are_refused_in_a_sentence(
    values: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    assert sentence in refused(values, tmp_path)


def test_pods_are_locked_down(resources: list[dict[str, Any]]) -> None:
    specs = pod_specs(resources)
    assert len(specs) >= 5  # two roles, the topics' Job, two tests
    for name, spec in specs.items():
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name


def score_pools(resources: list[dict[str, Any]]) -> dict[str, Any]:
    """The Deployments of workers, by name."""
    found = of_kind(resources, "Deployment").items()
    return {
        name: each
        for name, each in found
        if each["metadata"]["labels"]["app.kubernetes.io/component"] == "score"
    }


def test_a_drain_is_never_cut_off(resources: list[dict[str, Any]]) -> None:
    for name, deployment in score_pools(resources).items():
        settings = tomllib.loads(of_kind(resources, "ConfigMap")[name]["data"]["mekiki.toml"])
        drain = settings.get("score", {}).get("drain_timeout", 20)
        assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= drain + 10


def test_a_gpu_pool_gets_gpus_and_the_cuda_image() -> None:
    resources = rendered("--values", VALUES / "everything.yaml")
    pools = score_pools(resources)
    assert set(pools) == {"judge-score-cpu", "judge-score-gpu"}
    containers = {name: each["spec"]["template"]["spec"]["containers"][0] for name, each in pools.items()}
    assert containers["judge-score-gpu"]["image"] == "registry.example/mekiki:1.2.3-cuda"
    assert containers["judge-score-gpu"]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert containers["judge-score-cpu"]["image"] == "registry.example/mekiki:1.2.3"
    assert "nvidia.com/gpu" not in containers["judge-score-cpu"]["resources"]["limits"]
    gpu = tomllib.loads(of_kind(resources, "ConfigMap")["judge-score-gpu"]["data"]["mekiki.toml"])
    assert gpu["model"]["provider"] == "tensorrt"
    default = rendered("--values", VALUES / "gpu.yaml")
    toml = of_kind(default, "ConfigMap")["shop-mekiki-score-gpu"]["data"]["mekiki.toml"]
    assert tomllib.loads(toml)["model"] == {"provider": "cuda", "batch_size": 128}


def test_autoscaled_pools_have_no_replicas_of_their_own() -> None:
    for values, kind in (("keda.yaml", "ScaledObject"), ("hpa.yaml", "HorizontalPodAutoscaler")):
        resources = rendered("--values", VALUES / values)
        scaler = of_kind(resources, kind)["shop-mekiki-score-cpu"]
        deployment = of_kind(resources, "Deployment")["shop-mekiki-score-cpu"]
        assert scaler["spec"]["scaleTargetRef"]["name"] == "shop-mekiki-score-cpu"
        assert "replicas" not in deployment["spec"]


def test_a_changed_setting_replaces_the_pods() -> None:
    def checksum(*arguments: str) -> str:
        deployment = of_kind(rendered(*arguments), "Deployment")["shop-mekiki-score-cpu"]
        return str(deployment["spec"]["template"]["metadata"]["annotations"]["checksum/config"])

    assert checksum() == checksum()
    assert checksum() != checksum("--set", "settings.model.batch_size=8")


def test_the_fetcher_reaches_the_internet_alone() -> None:
    fetch = of_kind(rendered(), "NetworkPolicy")["shop-mekiki-fetch"]["spec"]
    (pods,) = fetch["podSelector"]["matchExpressions"]
    assert pods == {
        "key": "app.kubernetes.io/component",
        "operator": "In",
        "values": ["score", "console", "reembed"],
    }
    (rule,) = fetch["egress"]
    assert rule["ports"] == [{"port": 443, "protocol": "TCP"}]
    blocks = {peer["ipBlock"]["cidr"]: peer["ipBlock"]["except"] for peer in rule["to"]}
    assert {"169.254.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"} <= set(blocks["0.0.0.0/0"])
    assert {"fc00::/7", "fe80::/10"} <= set(blocks["::/0"])


def blocks(node: Any) -> Iterator[dict[str, Any]]:
    """Each ipBlock, wherever it stands."""
    if isinstance(node, dict):
        if "ipBlock" in node:
            yield node["ipBlock"]
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from blocks(each)


def is_taken(block: dict[str, Any]) -> bool:
    """Whether a real API server takes it: strict networks, none of IPv4 in IPv6, exceptions inside."""
    try:
        networks = [ip_network(text) for text in (block["cidr"], *block.get("except", []))]
    except ValueError:
        return False
    whole, *exceptions = networks
    mapped = any(isinstance(n, IPv6Network) and n.network_address.ipv4_mapped for n in networks)
    return not mapped and all(
        each.version == whole.version and each != whole and whole.supernet_of(each)  # type: ignore[arg-type]
        for each in exceptions
    )


def test_blocks_of_addresses_are_such_as_an_api_server_takes(resources: list[dict[str, Any]]) -> None:
    found = list(blocks(list(of_kind(resources, "NetworkPolicy").values())))
    assert found
    assert all(map(is_taken, found)), found


@pytest.mark.parametrize(
    "block",
    [
        {"cidr": "::/0", "except": ["::ffff:0:0/96"]},
        {"cidr": "::/0", "except": ["::ffff:10.0.0.0/104"]},
        {"cidr": "0.0.0.0/0", "except": ["10.0.0.1/8"]},
        {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]},
        {"cidr": "10.0.0.0/8", "except": ["fd00::/8"]},
    ],
)
def test_blocks_that_an_api_server_refuses_are_told(block: dict[str, Any]) -> None:
    assert not is_taken(block)


def test_kafka_is_reached_on_its_ports_alone() -> None:
    policies = of_kind(rendered("--values", VALUES / "tls-sasl.yaml"), "NetworkPolicy")
    ports = [rule["ports"] for rule in policies["shop-mekiki"]["spec"]["egress"]]
    assert ports[1] == [{"port": 9094, "protocol": "TCP"}]


def namespace(name: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


@pytest.mark.parametrize(
    ("servers", "namespaces"),
    [
        ("kafka:9092", ["market"]),
        ("kafka.streaming.svc:9092", ["streaming"]),
        ("a.kafka.streaming.svc.cluster.local:9092,b.kafka.streaming.svc.cluster.local:9092", ["streaming"]),
        ("kafka:9092, old.legacy.svc:9093", ["market", "legacy"]),
    ],
)
def test_brokers_are_reached_in_the_namespaces_that_their_names_tell(
    servers: str, namespaces: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps({"settings": {"kafka": {"bootstrap_servers": servers}}}), encoding="utf-8")
    policy = of_kind(rendered("--values", file), "NetworkPolicy")["shop-mekiki"]["spec"]
    assert policy["egress"][1]["to"] == [namespace(name) for name in namespaces]


@pytest.mark.parametrize(
    ("server", "block"),
    [
        ("10.1.2.3:9092", "10.1.2.3/32"),
        ("[fd00::1]:9092", "fd00::1/128"),
        ("127.0.0.1:19092", "127.0.0.1/32"),
    ],
)
def test_a_broker_that_is_an_address_is_reached_there_alone(server: str, block: str) -> None:
    policy = of_kind(rendered("--set", f"settings.kafka.bootstrap_servers={server}"), "NetworkPolicy")
    assert policy["shop-mekiki"]["spec"]["egress"][1]["to"] == [{"ipBlock": {"cidr": block}}]


def test_names_are_asked_of_the_clusters_dns_alone(resources: list[dict[str, Any]]) -> None:
    dns = {**namespace("kube-system"), "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    for policy in of_kind(resources, "NetworkPolicy").values():
        rules = [rule for rule in policy["spec"].get("egress", []) if rule["ports"][0]["port"] == 53]
        assert all(rule["to"] == [dns] for rule in rules)


def test_who_comes_in_is_of_a_named_namespace(resources: list[dict[str, Any]]) -> None:
    policies = of_kind(resources, "NetworkPolicy").values()
    peers = [peer for each in policies for rule in each["spec"].get("ingress", []) for peer in rule["from"]]
    assert peers
    for peer in peers:
        named = peer.get("namespaceSelector", {}).get("matchLabels", {}).get("kubernetes.io/metadata.name")
        assert named or set(peer) == {"podSelector"}, "another's namespace by its name, or the release's own"


def test_every_container_has_limits_of_memory_and_of_disk(resources: list[dict[str, Any]]) -> None:
    for name, spec in pod_specs(resources).items():
        for container in (*spec["containers"], *spec.get("initContainers", [])):
            assert {"memory", "ephemeral-storage"} <= set(container["resources"]["limits"]), name


@pytest.mark.parametrize(("least", "most", "fallback"), [(1, 12, 2), (4, 12, 4), (1, 1, 1)])
def test_keda_keeps_workers_while_it_knows_nothing(least: int, most: int, fallback: int) -> None:
    scaled = rendered(
        *("--values", VALUES / "keda.yaml", "--set", f"score.autoscaling.minReplicas={least}"),
        *("--set", f"score.autoscaling.maxReplicas={most}"),
    )
    spec = of_kind(scaled, "ScaledObject")["shop-mekiki-score-cpu"]["spec"]
    assert spec["fallback"] == {"failureThreshold": 3, "replicas": fallback}
    assert spec["minReplicaCount"] == least


def test_keys_of_the_search_come_from_a_secret() -> None:
    resources = rendered("--values", VALUES / "everything.yaml")
    pod = of_kind(resources, "StatefulSet")["judge-index"]["spec"]["template"]["spec"]
    settings = tomllib.loads(of_kind(resources, "ConfigMap")["judge-index"]["data"]["mekiki.toml"])
    (mount,) = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "keys"]
    assert settings["http"]["keys_file"] == f"{mount['mountPath']}/keys"
    assert [one["secret"]["secretName"] for one in pod["volumes"] if one["name"] == "keys"]


@pytest.mark.parametrize("setting", ["otel.endpoint", "kafka.schema_registry.url"])
@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://there.tracing.svc:4318/v1/traces", 4318),
        ("http://there.tracing.svc.cluster.local:4317", 4317),
        ("https://there.example/v1", 443),
        ("http://[::1]/", 80),
    ],
)
def test_the_collector_and_the_registry_are_reached_where_they_are(setting: str, url: str, port: int) -> None:
    def rules(*arguments: str) -> list[dict[str, object]]:
        policy = of_kind(rendered(*arguments), "NetworkPolicy")["shop-mekiki"]["spec"]
        return list(policy["egress"])

    without, reached = rules(), rules("--set-string", f"settings.{setting}={url}")
    (rule,) = [one for one in reached if one not in without]
    assert rule["ports"] == [{"port": port, "protocol": "TCP"}]
    assert (namespace("tracing") in rule["to"]) == (".tracing.svc" in url)


def test_the_index_alone_reaches_a_vald_cluster() -> None:
    vald = {"address": "gateway.vald.svc:8081", "agents": ["agent-0.vald.svc:8082"]}
    after = {"bundle": "/b", "topic": "t", "vald": {"address": "gateway.vald.svc:8083"}}
    index = {"backend": "vald", "vald": vald, "next": after}
    objects = rendered("--set-json", f"settings.index={json.dumps(index)}")
    policies = of_kind(objects, "NetworkPolicy")
    policy = policies["shop-mekiki-search"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [rule["ports"][0]["port"] for rule in policy["egress"]] == [8081, 8082, 8083]
    assert all(rule["to"] == [namespace("vald")] for rule in policy["egress"])
    without = of_kind(rendered(), "NetworkPolicy")
    assert policies["shop-mekiki"] == without["shop-mekiki"]
    assert without["shop-mekiki-search"]["spec"]["policyTypes"] == ["Ingress"]


def test_a_bundle_of_a_store_is_pulled_before_each_worker_starts() -> None:
    variable = {"name": "AWS_REGION", "value": "eu-west-1"}
    given = {"bundle.url": "s3://models/shop", "bundle.sha256": "ab12"}
    flags = [flag for name, value in given.items() for flag in ("--set", f"{name}={value}")]
    objects = rendered(*flags, "--set-json", f"bundle.extraEnv=[{json.dumps(variable)}]")
    workers = [
        of_kind(objects, "Deployment")["shop-mekiki-score-cpu"],
        of_kind(objects, "StatefulSet")["shop-mekiki-index"],
    ]
    for worker in workers:
        pod = worker["spec"]["template"]["spec"]
        (pull,), (main,) = pod["initContainers"], pod["containers"]
        assert pull["args"] == ["bundle", "pull", "s3://models/shop", "/bundle", "--sha256", "ab12"]
        assert pull["image"] == main["image"]
        assert pull["securityContext"] == main["securityContext"]
        assert variable in pull["env"]
        assert variable not in main["env"]
        assert {"name": "bundle", "mountPath": "/bundle", "readOnly": True} in main["volumeMounts"]
        assert {"name": "bundle", "emptyDir": {}} in pod["volumes"]
    (checked,) = [pod["spec"] for name, pod in of_kind(objects, "Pod").items() if name.endswith("test-check")]
    assert checked["initContainers"][0]["args"][:2] == ["bundle", "pull"]
    config = of_kind(objects, "ConfigMap")["shop-mekiki-score-cpu"]["data"]["mekiki.toml"]
    assert 'bundle = "/bundle"' in config
    plain = of_kind(rendered(), "Deployment")["shop-mekiki-score-cpu"]["spec"]["template"]["spec"]
    assert "initContainers" not in plain


def test_a_bundle_of_a_registry_is_pulled_with_the_secret_and_checked_by_the_keys() -> None:
    keys = "-----BEGIN PUBLIC KEY-----\nof a test\n-----END PUBLIC KEY-----\n"
    given = {
        "url": "oci://registry.example:5000/bundles/shop:1",
        "registrySecret": "pull",
        "port": 5000,
        "signatureKeys": keys,
    }
    objects = rendered("--set-json", f"bundle={json.dumps(given)}")
    maps = of_kind(objects, "ConfigMap")
    assert maps["shop-mekiki-signature-keys"]["data"] == {"keys.pem": keys}
    for name, kind in (("score-cpu", "Deployment"), ("index", "StatefulSet")):
        pod = of_kind(objects, kind)[f"shop-mekiki-{name}"]["spec"]["template"]["spec"]
        (pull,), (main,) = pod["initContainers"], pod["containers"]
        assert {"name": "DOCKER_CONFIG", "value": "/etc/mekiki/registry"} in pull["env"]
        mounts = [(one["name"], one["mountPath"]) for one in pull["volumeMounts"]]
        assert ("registry", "/etc/mekiki/registry") in mounts
        assert "registry" not in {one["name"] for one in main["volumeMounts"]}
        (secret,) = (one["secret"] for one in pod["volumes"] if one["name"] == "registry")
        assert (secret["secretName"], secret["items"]) == (
            "pull",
            [{"key": ".dockerconfigjson", "path": "config.json"}],
        )
        assert ("signature-keys", "/etc/mekiki/signature-keys") in [
            (one["name"], one["mountPath"]) for one in main["volumeMounts"]
        ]
        toml = maps[f"shop-mekiki-{name}"]["data"]["mekiki.toml"]
        assert 'signature_key = "/etc/mekiki/signature-keys/keys.pem"' in toml
    policies = of_kind(objects, "NetworkPolicy").values()
    ports = [rule["ports"] for one in policies for rule in one["spec"].get("egress", []) if "ports" in rule]
    assert [{"port": 443, "protocol": "TCP"}, {"port": 5000, "protocol": "TCP"}] in ports


def test_notes_name_the_next_steps() -> None:
    done = helm("install", "shop", CHART, "--namespace", "market", "--dry-run=client", "--hide-secret")
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("NOTES:")[2]
    assert "helm -n market test shop --logs" in notes
    assert "listing.image.uploaded.v1" in notes


def test_the_examples_of_the_docs_are_accepted(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 7
    for number, example in enumerate(examples):
        file = tmp_path / f"{number}.yaml"
        file.write_text(example, encoding="utf-8")
        assert of_kind(rendered("--values", file), "Deployment")
