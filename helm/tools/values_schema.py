"""Write helm/mekiki/values.schema.json: the chart's values, with the program's settings inside.

The settings part comes from `worker.settings.Settings`, so that a misspelt setting fails at
`helm install`. Run from the repository root: `python helm/tools/values_schema.py`.
"""

# ruff: noqa: N815 - values of charts are in mixedCase

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.settings import Settings

SCHEMA = Path(__file__).parents[1] / "mekiki" / "values.schema.json"

# What Kubernetes itself defines is checked by Kubernetes.
Object = dict[str, Any]
Objects = list[dict[str, Any]]
Strings = dict[str, str]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Port = Annotated[int, Field(ge=1, le=65535)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Quantity = Annotated[str, Field(pattern=r"^[0-9.]+([EPTGMk]i?|m)?$")]
# A Deployment's and a label's name in one.
PoolName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$")]


class _Values(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Image(_Values):
    """Where the image is."""

    repository: Annotated[str, Field(min_length=1)] = ""
    tag: str = ""
    cudaTagSuffix: str = ""
    pullPolicy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    pullSecrets: list[str] = []


class PropertiesSecret(_Values):
    """A Secret with librdkafka properties."""

    name: str = ""
    key: str = ""


class KafkaTls(_Values):
    """A Secret with certificates."""

    secret: str = ""
    clientCertificate: bool = False


class Kafka(_Values):
    """Credentials; everything else about Kafka is a setting."""

    propertiesSecret: PropertiesSecret
    tls: KafkaTls


class Bundle(_Values):
    """Where the models come from."""

    url: str = ""
    sha256: str = ""
    extraEnv: Objects = []
    registrySecret: str = ""
    port: Annotated[int, Field(ge=1, le=65535)] = 443
    image: str = ""
    existingClaim: str = ""
    subPath: str = ""
    signatureKeys: str = ""


class Gpu(_Values):
    """The GPUs of each worker of a pool."""

    enabled: bool = False
    resource: str = ""
    count: Count = 1
    runtimeClassName: str = ""


class KedaFallback(_Values):
    """Workers while the brokers cannot be asked for the lag."""

    failureThreshold: Count = 1
    replicas: Count = 1


class Keda(_Values):
    """KEDA's Kafka scaler."""

    enabled: bool = False
    lagThreshold: Count = 1
    activationLagThreshold: Whole = 0
    pollingInterval: Count = 1
    cooldownPeriod: Whole = 0
    fallback: KedaFallback
    authenticationRef: str = ""
    metadata: Strings = {}


class HorizontalPodAutoscaler(_Values):
    """Kubernetes' own autoscaler."""

    enabled: bool = False
    targetCPUUtilizationPercentage: Count = 1
    metrics: Objects = []


class Autoscaling(_Values):
    """What scales a pool: one of the two, or nothing."""

    minReplicas: Count = 1
    maxReplicas: Count = 1
    keda: Keda
    hpa: HorizontalPodAutoscaler


class _Role(_Values):
    settings: Settings
    resources: Object = {}
    nodeSelector: Strings = {}
    tolerations: Objects = []
    affinity: Object = {}
    topologyKeys: list[str] = []
    priorityClassName: str = ""
    podAnnotations: Strings = {}
    podLabels: Strings = {}
    extraEnv: Objects = []
    extraVolumes: Objects = []
    extraVolumeMounts: Objects = []
    startupSeconds: Count = 1
    terminationGracePeriodSeconds: Count | None = None


class ScorePool(_Role):
    """Workers of one kind; what is not given is taken from `score`."""

    replicas: Whole = 1
    gpu: Gpu
    autoscaling: Autoscaling


class Score(ScorePool):
    """The score role."""

    enabled: bool = True
    pools: Annotated[dict[PoolName, ScorePool], Field(json_schema_extra={"additionalProperties": False})]


class Persistence(_Values):
    """The volume of an index replica, or of the console."""

    size: Quantity = ""
    storageClass: str = ""
    accessModes: list[Literal["ReadWriteOnce", "ReadWriteOncePod"]] = []


class HttpService(_Values):
    """A role's Service."""

    type: Literal["ClusterIP", "LoadBalancer", "NodePort"] = "ClusterIP"
    port: Port = 80


class Index(_Role):
    """The index role."""

    enabled: bool = True
    replicas: Whole = 1
    persistence: Persistence
    preStopSeconds: Whole = 0
    serve: Literal["current", "next"] = "current"
    service: HttpService


class SecretKey(_Values):
    """A key of a Secret."""

    secret: str = ""
    key: Annotated[str, Field(min_length=1)] = ""


class ConsoleIngress(_Values):
    """How browsers reach the console from outside."""

    enabled: bool = False
    className: str = ""
    annotations: Strings = {}
    host: str = ""
    tlsSecret: str = ""


class Console(_Role):
    """The console."""

    enabled: bool = False
    tokens: SecretKey
    sessions: SecretKey
    database: SecretKey
    persistence: Persistence
    ingress: ConsoleIngress
    service: HttpService


class Webhooks(_Role):
    """Messages to platforms that own the queue."""

    enabled: bool = False
    secret: SecretKey


class Reembed(_Role):
    """What fills the topic of the next index."""

    enabled: bool = False
    replicas: Count = 1


class Topics(_Values):
    """The hook Job that makes the topics."""

    create: bool = True


class ServiceAccount(_Values):
    """The account of the pods; it gets no token."""

    create: bool = True
    name: str = ""
    annotations: Strings = {}


class PodDisruptionBudget(_Values):
    """How many pods of a role a drained node may take."""

    enabled: bool = True
    maxUnavailable: Count | Annotated[str, Field(pattern="^[0-9]+%$")] = 1


class NetworkPolicy(_Values):
    """Who may talk to the pods, and to whom they may talk."""

    enabled: bool = True
    kafkaPeers: Objects = []
    kafkaPorts: list[Port] = []
    dnsPeers: Objects = []
    metricsFrom: Objects = []
    searchFrom: Objects = []
    consoleFrom: Objects = []
    consoleTo: Objects = []
    fetchExcept: list[str] = []
    fetchExceptIPv6: list[str] = []
    fetchPorts: list[Port] = []
    fetchExtra: Objects = []


class PodMonitor(_Values):
    """Scraping by the Prometheus operator."""

    enabled: bool = False
    interval: Annotated[str, Field(pattern="^[0-9]+(ms|s|m)$")] = ""
    labels: Strings = {}


class Thresholds(_Values):
    """When alerts fire; docs/runbook.md explains each."""

    lagRecords: Count = 1
    silentSeconds: Count = 1
    scorePsi: Annotated[float, Field(gt=0)] = 0.25
    uploadLatencySeconds: Count = 1
    rejectionRatio: Share = 0
    parkedSeconds: Count = 1
    blockRatioChange: Share = 0
    tailRecords: Count = 1
    generationSeconds: Count = 1
    missedRatio: Share = 0
    reviewSeconds: Count = 1
    receiverSeconds: Count = 1


class PrometheusRule(_Values):
    """Alerts."""

    enabled: bool = False
    labels: Strings = {}
    runbook: str = ""
    thresholds: Thresholds


class Dashboard(_Values):
    """A ConfigMap that Grafana's sidecar picks up."""

    enabled: bool = False
    labels: Strings = {}
    annotations: Strings = {}


class Monitoring(_Values):
    """What Prometheus and Grafana get."""

    podMonitor: PodMonitor
    prometheusRule: PrometheusRule
    dashboard: Dashboard


class Values(_Values):
    """The values of the chart mekiki."""

    nameOverride: str = ""
    fullnameOverride: str = ""
    image: Image
    settings: Settings
    kafka: Kafka
    bundle: Bundle
    score: Score
    index: Index
    console: Console
    webhooks: Webhooks
    reembed: Reembed
    topics: Topics
    serviceAccount: ServiceAccount
    podDisruptionBudget: PodDisruptionBudget
    networkPolicy: NetworkPolicy
    monitoring: Monitoring
    # Helm's own, when the chart is a dependency of another.
    globals: Annotated[Object, Field(alias="global")] = {}


def without(key: str, node: Any) -> Any:
    """`node` without `key`, at all depths where it is a keyword of JSON Schema."""
    if isinstance(node, list):
        return [without(key, item) for item in node]
    if not isinstance(node, dict):
        return node
    # A property may be named like a keyword.
    return {
        name: {inner: without(key, schema) for inner, schema in value.items()}
        if name in ("properties", "$defs")
        else without(key, value)
        for name, value in node.items()
        if name != key
    }


def values_schema() -> dict[str, Any]:
    """The JSON Schema of the values. Defaults are left to values.yaml and to the program.

    Nothing is required: a pool gives what differs, and the rest has defaults.
    """
    schema = Values.model_json_schema()
    for key in ("default", "title", "required"):
        schema = without(key, schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "mekiki", **schema}


def text() -> str:
    """The file's content."""
    return json.dumps(values_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(text(), encoding="utf-8")
