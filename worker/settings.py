"""The one settings model: a TOML file, then `MEKIKI_*` environment variables, then flags.

`MEKIKI_KAFKA__BOOTSTRAP_SERVERS` sets `kafka.bootstrap_servers`: two underscores stand for the dot.
"""

import json
import os
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from schemas import events
from schemas.policy import Decision, Policy
from worker.errors import ConfigurationError

STARTER_BUNDLE = Path(__file__).parent / "bundles" / "starter"

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]
Bytes = Annotated[ByteSize, Field(gt=0)]


def _property_text(value: object) -> object:
    """What librdkafka is given for a number or a truth value. Helm makes floats of all numbers."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float) else value


# The value of a librdkafka property: numbers need no quotes.
Property = Annotated[str, BeforeValidator(_property_text, json_schema_input_type=str | int | float | bool)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SchemaRegistrySettings(_Section):
    """A registry of schemas (Confluent's, Apicurio, Karapace, Redpanda); needs mekiki[registry]."""

    url: Annotated[str, Field(pattern=r"^https?://[^@\s]+$")] | None = Field(
        None,
        description="of Confluent's API, such as http://apicurio:8080/apis/ccompat/v7. Events in its wire "
        "format, Avro or JSON Schema, are then read; unset: there is none",
    )
    output: Literal["json", "json_schema", "avro"] = Field(
        "json",
        description="how verdicts, enrichments, vectors and index updates are written: as plain JSON, or in "
        "the wire format by the schema of the subject <topic>-value",
    )
    register_schemas: bool = Field(
        True, description="at start; false: they must be registered (schemas/avro, schemas/json)"
    )
    properties: dict[str, Property] = Field(
        default_factory=dict, description="of Confluent's client, such as ssl.ca.location"
    )
    properties_file: Path | None = Field(
        None, description="lines of name=value, such as basic.auth.user.info=name:password"
    )


class KafkaSettings(_Section):
    """The broker, and librdkafka's own properties, passed straight through."""

    bootstrap_servers: str = Field("localhost:9092", description="host:port, comma-separated")
    group: str = Field("mekiki-score", description="consumer group of the score role")
    transactional_id: str = Field(
        default_factory=lambda: f"mekiki-{socket.gethostname()}-{os.getpid()}",
        description="unique to a running worker; if it outlives restarts, open transactions end at once",
    )
    transaction_timeout: Seconds = Field(
        30.0, description="seconds after which the broker aborts a dead worker's transaction"
    )
    request_timeout: Seconds = Field(
        60.0, description="seconds without success from the broker after which the worker stops"
    )
    properties: dict[str, Property] = Field(
        default_factory=dict, description="librdkafka properties for every client, such as security.protocol"
    )
    properties_file: Path | None = Field(
        None,
        description="a file of key=value librdkafka properties, such as a Secret; wins over properties",
    )
    consumer: dict[str, Property] = Field(
        default_factory=dict, description="librdkafka properties for consumers alone"
    )
    producer: dict[str, Property] = Field(
        default_factory=dict, description="librdkafka properties for producers alone"
    )
    schema_registry: SchemaRegistrySettings = Field(
        SchemaRegistrySettings(),
        description="a registry of schemas: url, output, register_schemas, properties",
    )


def _retry_topic(values: dict[str, Any]) -> str:
    return f"{values.get('uploaded', events.UPLOADED)}.retry"


class TopicSettings(_Section):
    """Topic names."""

    uploaded: str = events.UPLOADED
    moderated: str = events.MODERATED
    enriched: str = events.ENRICHED
    embedded: str = events.EMBEDDED
    shadowed: str = Field(events.SHADOWED, description="what the bundle of model.shadow would have decided")
    reviews: str = Field(events.REVIEWS, description="compacted; as many partitions as the uploaded topic")
    retry: str = Field(
        default_factory=_retry_topic,
        description="events whose store fails, until they come back; as many partitions as the uploaded "
        "topic; by default that topic's name and .retry",
    )
    dead_letter: str = events.UPLOADED + ".dlq"
    index_updated: str = events.INDEX_UPDATED
    index_dead_letter: str = events.EMBEDDED + ".dlq"
    partitions: Count = Field(4, description="of each topic that `mekiki topics create` makes")
    replication_factor: Count | None = Field(
        None,
        description="of each topic that `mekiki topics create` makes; unset: the larger of the broker's "
        "default and 3, or as many as there are brokers",
    )


class ObjectStoreSettings(_Section):
    """A store whose private buckets images are read from, with requests that are signed."""

    kind: Literal["s3", "gcs", "azure"] = Field("s3", description="s3 is also MinIO, Ceph, R2 and the like")
    buckets: Annotated[list[str], Field(min_length=1)] = Field(
        description="buckets or containers that may be read, such as listings-*; no others are"
    )
    endpoint: Annotated[str, Field(pattern=r"^https?://[^/?#@\s]+/?$")] | None = Field(
        None, description="URL, of any address; unset: the provider's own"
    )
    region: str | None = Field(None, description="unset: AWS_REGION, else us-east-1")
    path_style: bool = Field(True, description="https://endpoint/bucket/key, not https://bucket.endpoint/key")
    credentials_file: Path | None = Field(
        None,
        description="in the form of ~/.aws/credentials (azure: account_name, account_key); gcs: a service "
        "account's key. Read again when it changes. Unset: environment, workload identity, metadata service",
    )
    profile: str = Field("default", description="the section of credentials_file")
    properties: dict[str, str] = Field(
        default_factory=dict, description="of obstore's stores, by its names, such as account_name, role_arn"
    )


class FetchSettings(_Section):
    """Where images may come from, and what fetching one may cost."""

    folder: Path | None = Field(None, description="the folder that `path` references are read from")
    object_url: str | None = Field(
        None,
        description="URL of an object, with {bucket} and {key}; needed for notifications of S3, MinIO, Ceph "
        "and Google Cloud Storage (https://storage.googleapis.com/{bucket}/{key})",
    )
    object_stores: dict[str, ObjectStoreSettings] = Field(
        default_factory=dict,
        description="by name: kind, buckets, endpoint, region, path_style, credentials_file, profile and "
        "properties of stores whose objects are read with signed requests; notifications then need no "
        "object_url. docs/operations.md",
    )
    ca_file: Path | None = Field(
        None, description="PEM of authorities of your own, beside the machine's, for stores and URLs"
    )
    schemes: list[Literal["https", "http"]] = Field(["https"], description="URL schemes allowed")
    allowed_networks: list[IPvAnyNetwork] = Field(
        default_factory=list,
        description="private, loopback or link-local networks that may be connected to all the same",
    )
    timeout: Seconds = Field(10.0, description="seconds for one image in all, redirects included")
    connect_timeout: Seconds = Field(3.0, description="seconds for one connection")
    first_byte_timeout: Seconds = Field(
        3.0, description="seconds for one request until its answer begins, name and connection included"
    )
    max_bytes: Bytes = Field(ByteSize(20_000_000), description="of one image")
    max_redirects: Annotated[int, Field(ge=0)] = 3
    retries: Annotated[int, Field(ge=0)] = Field(2, description="after a refused connection, a 429 or a 5xx")
    retry_for: Annotated[float, Field(ge=0)] = Field(
        21_600.0,
        description="seconds that an image whose store fails comes back for, at growing intervals, before it "
        "is a dead letter; 0: it is one at once",
    )
    threads: Count = Field(32, description="images fetched at once")
    per_host: Count = Field(
        16,
        description="images fetched at once from one host; a quarter from one that is new or fails",
    )
    max_memory: Bytes = Field(
        ByteSize(160_000_000), description="of images that are fetched and not yet decoded, in bytes"
    )
    dns_witnesses: list[str] = Field(
        default_factory=list,
        description="names that your name server always knows; where it gives no answer about them either, "
        "the worker waits for it. Without any: hosts that images came from lately",
    )

    @property
    def asked_at(self) -> str | None:
        """Where objects of notifications are asked for: object_url, else in the stores of the settings."""
        return self.object_url or ("object://{bucket}/{key}" if self.object_stores else None)

    @field_validator("object_url")
    @classmethod
    def _names_bucket_and_key(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            filled = url.format(bucket="<bucket>", key="<key>")
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ValueError(
                f"write {{bucket}} and {{key}} where they belong, and no other braces: {error}"
            ) from error
        if "<key>" not in filled:
            raise ValueError("it must hold {key}, and {bucket} unless there is only one")
        return url


class DecodeSettings(_Section):
    """What decoding one image may cost."""

    max_pixels: Count = Field(50_000_000, description="width x height")
    max_frames: Count = Field(100, description="of an animation; the first is judged")
    min_side: Count = Field(8, description="pixels; smaller images are rejected")
    formats: list[Literal["heic", "tiff", "jxl"]] = Field(
        [], description="beside JPEG, PNG, WebP, GIF, BMP and AVIF: heic, tiff, jxl; needs mekiki[formats]"
    )
    processes: Annotated[int, Field(ge=0, le=256)] = Field(
        0, description="decoder processes of the score role; 0: one for each core that it may use"
    )
    cpu_seconds: Count = Field(4, description="of CPU for one image, in whole seconds")
    timeout: Seconds = Field(20, description="seconds for one image, after which its decoder is ended")


# What zxing-cpp can read, under its own names: matrix codes, then stacked and linear ones.
CodeFormat = Literal[
    "QRCode", "MicroQRCode", "RMQRCode", "Aztec", "DataMatrix", "MaxiCode",
    "PDF417", "Code128", "Code39", "Code93", "Codabar", "DataBar", "EAN13", "EAN8", "ITF", "UPCA", "UPCE",
]  # fmt: skip


class CodeSettings(_Section):
    """Reading codes in images, an optional stage of the score role; needs mekiki[codes]."""

    enabled: bool = Field(False, description="verdicts then carry `codes`, and the score code_area")
    formats: Annotated[list[CodeFormat], Field(min_length=1)] = Field(
        ["QRCode", "MicroQRCode", "RMQRCode"], description="what to look for, by zxing-cpp's names"
    )
    max_side: Annotated[int, Field(ge=64, le=4096)] = Field(
        640, description="longest side, in pixels, of the image that codes are looked for on"
    )
    payload_limit: Annotated[int, Field(ge=0, le=8192)] = Field(
        256, description="characters of a payload that are published; 0 publishes none"
    )


class ShadowSettings(_Section):
    """A second bundle that is tried on the stream: nothing waits for it, and nothing follows from it."""

    bundle: Path = Field(description="the directory of the bundle that is tried")
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0,
        description="of the images, by their ids: the same ones always, and all of them in a larger share",
    )
    policy_file: Path | None = Field(
        None, description="its policy as JSON; unset: the one that would hold if its bundle served"
    )
    threads: Count = Field(1, description="of ONNX Runtime")
    nice: Annotated[int, Field(ge=0, le=19)] = Field(
        10, description="how far its process gives way to others on a busy CPU"
    )
    waiting: Count = Field(256, description="images, with their pixels, that may wait for it")
    timeout: Seconds = Field(10.0, description="seconds for one batch, after which its process is ended")
    memory: Bytes = Field(
        ByteSize(2_000_000_000),
        description="bytes that its process may take beside what it has once warm",
    )


class CanarySettings(_Section):
    """A second bundle that decides for real about a share of the images."""

    bundle: Path = Field(description="the directory of the bundle")
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.05,
        description="of the images, by their ids, as of a shadow",
    )
    policy_file: Path | None = Field(
        None, description="its policy as JSON; unset: model.policy, else the bundle's own"
    )


class ModelSettings(_Section):
    """The bundle and how it runs."""

    bundle: Path = Field(STARTER_BUNDLE, description="the bundle's directory")
    bundle_interval: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="seconds between two looks whether another bundle stands there (by a rename, or a link), "
        "which takes its place between two batches; 0: a restart does",
    )
    signature_key: Path | None = Field(
        None,
        description="public keys in PEM: every bundle, also the canary's, the shadow's and one that comes "
        "while the worker runs, must be signed by one of them (mekiki[signatures], docs/models.md); unset: "
        "none need be",
    )
    provider: Literal["cpu", "cuda", "tensorrt", "openvino"] = Field(
        "cpu", description="ONNX Runtime execution provider; it is used, or start-up fails"
    )
    provider_options: dict[str, str] = Field(
        {},
        description="of the provider, by ONNX Runtime's names, such as cudnn_conv_algo_search, gpu_mem_limit "
        "or trt_engine_cache_path; one that it does not know is refused",
    )
    threads: Annotated[int, Field(ge=0)] = Field(
        0, description="of ONNX Runtime; 0: one for each core that the container may use"
    )
    batch_size: Count = Field(32, description="most images in a batch")
    batch_buckets: list[Count] = Field(
        [],
        description="sizes that batches are padded to, each warmed at the start; none: on a GPU the powers "
        "of two up to model.batch_size, on a CPU batches run as they are",
    )
    batch_wait: Seconds = Field(0.02, description="seconds that a batch waits to fill")
    timeout: Seconds = Field(
        60.0, description="seconds for one batch, after which the worker ends: the model hangs"
    )
    policy: Policy | None = Field(None, description="takes the place of the bundle's policy")
    policy_file: Path | None = Field(
        None, description="a JSON file that takes the place of the bundle's policy"
    )
    tags: Path | None = Field(
        None,
        description="a forest of tags that takes the place of the bundle's, also while the worker runs: put "
        "another there by a rename (`mekiki tags add --out`)",
    )
    tags_interval: Seconds = Field(2.0, description="seconds between two looks at model.tags")
    repeats: Annotated[int, Field(ge=0)] = Field(
        10_000,
        description="images whose scores and vectors are kept, some 4 kB each: an upload of the same bytes "
        "is neither decoded nor put through the model again; 0: none",
    )

    canary: CanarySettings | None = Field(
        None,
        description="bundle, share and policy_file of a second bundle that decides for real about a share of "
        "the images. docs/operations.md",
    )
    shadow: ShadowSettings | None = Field(
        None,
        description="bundle, share, policy_file, threads, nice, waiting, timeout and memory of a second "
        "bundle that is tried on the stream. docs/operations.md",
    )

    @model_validator(mode="after")
    def _buckets_within_a_batch(self) -> Self:
        if self.batch_buckets and max(self.batch_buckets) > self.batch_size:
            raise ValueError(f"batch_buckets go beyond model.batch_size ({self.batch_size})")
        return self

    @model_validator(mode="after")
    def _one_policy(self) -> Self:
        if self.policy is not None and self.policy_file is not None:
            raise ValueError("set model.policy or model.policy_file, not both")
        return self


class RejectionLimitSettings(_Section):
    """Past this share of rejections a worker halts: a bad deploy cannot drain a topic into the DLQ."""

    ratio: Annotated[float, Field(gt=0, le=1)] = Field(0.5, description="1 switches the limit off")
    window: Count = Field(1000, description="latest outcomes that the ratio is taken over")
    minimum: Count = Field(100, description="outcomes before the ratio counts")
    probe_interval: Seconds = Field(
        60.0,
        description="seconds after which a halted worker judges once more what it has in flight; doubles to "
        "ten times that",
    )

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if self.minimum > self.window:
            raise ValueError(
                f"minimum {self.minimum} is over window {self.window}: the limit would never hold"
            )
        return self


class ScoreSettings(_Section):
    """The score role."""

    delivery: Literal["exactly_once", "at_least_once"] = Field(
        "exactly_once", description="Kafka transactions, or an idempotent producer and repeatable event ids"
    )
    max_in_flight: Count = Field(512, description="events between poll and commit")
    max_in_flight_bytes: Bytes = Field(
        ByteSize(256_000_000), description="record bytes between poll and commit"
    )
    max_event_bytes: Bytes = Field(
        ByteSize(32_000_000), description="of one record's value; a larger one is rejected unread"
    )
    commit_interval: Seconds = Field(
        0.1, description="seconds between commits; behind a backlog up to five times that"
    )
    commit_records: Count = Field(500, description="most events in one commit")
    drain_timeout: Seconds = Field(20.0, description="seconds after SIGTERM to finish what is in flight")
    judge_again: bool = Field(
        False,
        description="whether a group that has judged nothing begins where there are verdicts already, which "
        "are then published once more",
    )
    rejection_limit: RejectionLimitSettings = RejectionLimitSettings()


class ValdSettings(_Section):
    """A Vald cluster that holds the vectors (index.backend = "vald"); needs mekiki[vald]."""

    address: str | None = Field(
        None, description="HOST:PORT of its gateway (vald-lb-gateway:8081), or of an agent that is alone"
    )
    agents: list[str] = Field(
        default_factory=list,
        description="HOST:PORT of each agent, for this role to have it index what is new, one after another; "
        "empty: they do it by themselves, and are waited for",
    )
    ca_file: Path | None = Field(None, description="PEM of the authority of its certificates; unset: no TLS")
    timeout: Seconds = Field(3.0, description="seconds for a call, and for a search with its repeats")
    retry_for: Seconds = Field(
        45.0, description="seconds without an answer after which the role ends, to be started again"
    )
    build_timeout: Seconds = Field(
        600.0, description="seconds until what was written must be searchable; then it is tried again"
    )


class NextIndexSettings(_Section):
    """An index of another embedding space, which is built beside the one that serves."""

    bundle: Path = Field(description="the directory of the bundle whose space it is of")
    topic: str = Field(
        description="compacted, of its vectors alone, which `mekiki reembed` publishes; such as "
        "listing.image.embedded.v2"
    )
    directory: Path | None = Field(None, description="unset: index.directory and -next")
    images_per_second: Annotated[float, Field(gt=0)] | None = Field(
        None, description="that `mekiki reembed` fetches at most; unset: what it can"
    )
    vald: ValdSettings | None = Field(
        None, description="of a cluster of its own, where index.backend is vald"
    )


class IndexSettings(_Section):
    """The index role."""

    backend: Literal["ngt", "vald"] = Field(
        "ngt", description="what holds the vectors: this process, or a Vald cluster. docs/operations.md"
    )
    directory: Path = Field(Path("index"), description="owned by one process at a time")
    name: str = Field(
        "default", description="its acknowledgements are committed as group mekiki-index-<name>"
    )
    snapshot_records: Count = Field(8000, description="tail length that starts a build")
    snapshot_interval: Seconds = Field(60.0, description="seconds after which any tail starts a build")
    generation_max_age: Seconds = Field(
        72_000.0,
        description="seconds; an older generation is rebuilt from the log, since compaction may have dropped "
        "a delete. Keep it under the embedded topic's delete.retention.ms",
    )
    keep_generations: Annotated[int, Field(ge=2)] = 2
    near_duplicate_distance: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None, description="cosine distance; unset: the bundle's"
    )
    near_duplicate_count: Count = 10
    build_threads: Count = 1
    recall: Annotated[float, Field(gt=0, le=1)] = Field(
        0.995, description="share of the 10 nearest that searches are to find; graphs are asked as widely"
    )
    recall_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="of one core, to measure it with, at most; 0: not measured, nothing is chosen by it"
    )
    vald: ValdSettings = Field(
        ValdSettings(), description="address, agents, ca_file, timeout, retry_for, build_timeout"
    )

    next: NextIndexSettings | None = Field(
        None,
        description="bundle, topic, directory, images_per_second and vald of an index of another space, "
        "built beside this one, which publishes nothing. docs/operations.md",
    )
    serve: Literal["current", "next"] | Path = Field(
        "current",
        description="which of the two answers searches: current, or next once it has caught up; or a file "
        "that holds one of these words and is read again while the role runs",
    )

    @model_validator(mode="after")
    def _vald_has_an_address(self) -> Self:
        if self.backend == "vald" and self.vald.address is None:
            raise ValueError("backend is vald: set index.vald.address to its gateway")
        return self

    @model_validator(mode="after")
    def _next_is_there(self) -> Self:
        if self.serve == "next" and self.next is None:
            raise ValueError("serve is next, and there is none: set index.next")
        return self

    @model_validator(mode="after")
    def _a_cluster_holds_one_space(self) -> Self:
        if self.backend == "vald" and self.next is not None:
            address = None if self.next.vald is None else self.next.vald.address
            if address in (None, self.vald.address):
                raise ValueError("a Vald cluster holds one space: set index.next.vald.address to another")
        return self


INDEX_GROUPS = "mekiki-index-"


def index_group(name: str) -> str:
    """The group that holds how far the index `name` has acknowledged; its transactions go by it too."""
    return f"{INDEX_GROUPS}{name}"


def reembed_group(topic: str) -> str:
    """The group that holds how far `mekiki reembed` has filled `topic` from the embedded topic."""
    return f"mekiki-reembed-{topic}"


class HttpSettings(_Section):
    """/metrics, /healthz, /readyz, and the index role's /search."""

    host: str = Field("127.0.0.1", description="0.0.0.0 to be reached from other machines")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(9464, description="0: any free port")
    max_body_bytes: Bytes = Field(ByteSize(32_000_000), description="of a search request")
    max_memory: Bytes = Field(
        ByteSize(64_000_000), description="of bodies over 64 kB that are on their way or worked on, in bytes"
    )
    body_timeout: Seconds = Field(10.0, description="seconds until a body is there")
    max_connections: Count = Field(256, description="at once; the one that is idle for longest gives way")
    image_searches: Count = Field(
        16, description="by image, waiting or worked on, at once; half of them of one client"
    )
    keys_file: Path | None = Field(
        None,
        description="lines of NAME SHA256-of-key, in hex: without such a bearer key nobody searches. Read "
        "again when it changes. Probes and metrics stay open",
    )
    allowed_hosts: list[str] = Field(
        default_factory=list,
        description="names in Host beside addresses and names of private networks (no dot, .svc, .local, "
        ".internal)",
    )

    @model_validator(mode="after")
    def _a_body_fits(self) -> Self:
        if self.max_body_bytes > self.max_memory:
            raise ValueError(
                f"max_body_bytes {int(self.max_body_bytes)} is over max_memory {int(self.max_memory)}"
            )
        return self

    liveness_timeout: Seconds = Field(
        60.0, description="seconds without a turn of the loop until /healthz fails"
    )


class ConsoleSettings(_Section):
    """The console: a page for people."""

    host: str = Field("127.0.0.1", description="0.0.0.0 to be reached from other machines")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(9465, description="0: any free port")
    database: str = Field(
        "sqlite:///console.db",
        description="SQLAlchemy URL of a database of its own, such as postgresql+psycopg://user@host/mekiki; "
        "it is rebuilt from the topics",
    )
    retention: Seconds = Field(2_592_000.0, description="seconds that verdicts are kept")
    search_url: str | None = Field(None, description="of the index role, such as http://mekiki-index:9464")
    search_key_file: Path | None = Field(
        None, description="with a key of its http.keys_file; read for each search"
    )
    url: Annotated[str, Field(pattern=r"^https?://[^@\s]+$")] | None = Field(
        None,
        description="as browsers reach it, such as https://mekiki.example; with https sessions are told over "
        "nothing else",
    )
    lease: Seconds = Field(120.0, description="seconds that an image is one reviewer's")
    picture_bytes: Bytes = Field(ByteSize(64_000_000), description="of thumbnails kept in memory")
    sign_in: Literal["none", "tokens", "proxy"] = Field(
        "none", description="none: everybody on this machine reviews, and nobody else is let in"
    )
    tokens_file: Path | None = Field(None, description="lines of NAME viewer|reviewer SHA256-of-token")
    secret_file: Path | None = Field(
        None, description="32 bytes or more that sign sessions; unset: sessions end with the process"
    )
    trusted_proxies: list[IPvAnyNetwork] = Field(
        default_factory=list,
        description="networks of proxies: their headers say who is there, and from which address",
    )
    user_header: str = Field("X-Forwarded-User", description="set by the proxy, which must drop the client's")
    groups_header: str = Field("X-Forwarded-Groups", description="comma-separated")
    reviewer_group: str = "mekiki-reviewer"
    viewer_group: str = "mekiki-viewer"


class WebhookSettings(_Section):
    """`mekiki webhooks`: verdicts that ask for a person, posted to a platform that owns the queue."""

    urls: list[Annotated[str, Field(pattern=r"^https?://[^@\s]+$")]] = Field(
        default_factory=list, description="of receivers; each has a place in the log of its own, by its URL"
    )
    secret_file: Path | None = Field(
        None, description="lines of whsec_BASE64 that sign (Standard Webhooks); with several, each signs"
    )
    decisions: list[Decision] = Field(["review"], description="that are told, where no person gave them")
    begin: Literal["latest", "earliest"] = Field(
        "latest", description="where a receiver that was never told begins"
    )
    timeout: Seconds = Field(10.0, description="seconds until a receiver has answered")
    pause: Seconds = Field(
        1.0, description="seconds until a message is sent again; twice as long each time, 5 minutes at most"
    )


class OtelSettings(_Section):
    """Spans for OpenTelemetry; needs mekiki[otel]."""

    endpoint: Annotated[str, Field(pattern=r"^https?://[^@\s]+$")] | None = Field(
        None,
        description="of a collector, such as http://otel-collector:4318/v1/traces, or over gRPC "
        "http://otel-collector:4317; unset: no spans",
    )
    protocol: Literal["http/protobuf", "grpc"] | None = Field(
        None, description="unset: as OTEL_EXPORTER_OTLP_PROTOCOL says, else `http/protobuf`"
    )
    service_name: str = Field("mekiki", description="more of it by OTEL_RESOURCE_ATTRIBUTES, as ever")
    ratio: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0, description="of events whose producer says nothing of a trace; else it decides"
    )
    headers_file: Path | None = Field(None, description="lines of name=value for each request, such as a key")
    ca_file: Path | None = Field(None, description="PEM of the collector's authority")


class LogSettings(_Section):
    """Log lines go to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["text", "json"] = "text"


class Settings(BaseSettings):
    """All settings of the program."""

    model_config = SettingsConfigDict(
        env_prefix="MEKIKI_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    fetch: FetchSettings = FetchSettings()
    decode: DecodeSettings = DecodeSettings()
    codes: CodeSettings = CodeSettings()
    model: ModelSettings = ModelSettings()
    score: ScoreSettings = ScoreSettings()
    index: IndexSettings = IndexSettings()
    http: HttpSettings = HttpSettings()
    console: ConsoleSettings = ConsoleSettings()
    webhooks: WebhookSettings = WebhookSettings()
    otel: OtelSettings = OtelSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _next_has_a_topic_of_its_own(self) -> Self:
        names = self.topics.model_dump().values()
        if self.index.next is not None and self.index.next.topic in names:
            raise ValueError(f"index.next.topic {self.index.next.topic} is one of `topics`: name another")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags win over the environment, the environment over the file."""
        del dotenv_settings, file_secret_settings
        file = TomlConfigSettingsSource(settings_cls)
        return init_settings, env_settings, file


def load_settings(file: Path | None, assignments: Mapping[str, str]) -> Settings:
    """Read settings from `file`, the environment, and `assignments` ("kafka.group": "x"), the last winning.

    Raises:
        ConfigurationError: the file is missing or not TOML, a key is unknown, a value does not fit.

    """
    if file is not None and not file.is_file():
        raise ConfigurationError(f"there is no configuration file {file}")

    _refuse_unknown_sections(os.environ)
    _refuse_single_underscores(os.environ)

    class _FileSettings(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    try:
        return _FileSettings(**_nested(assignments))
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigurationError("the settings do not fit:\n" + "\n".join(lines)) from error
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"the settings cannot be read: {error}") from error


def _nested(assignments: Mapping[str, str]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for dotted, text in assignments.items():
        section, _, key = dotted.partition(".")
        if not key:
            raise ConfigurationError(f"{dotted!r} is not a setting: write section.key, such as kafka.group")
        inner, _, deeper = key.partition(".")
        try:
            value = json.loads(text) if text[:1] in ("[", "{") else text
        except ValueError as error:
            raise ConfigurationError(f"{dotted} begins like JSON but is none: {error}") from error
        target = nested.setdefault(section, {})
        if deeper:  # kafka.properties.sasl.username: the rest is one librdkafka property or one field
            below = target.setdefault(inner, {})
            if not isinstance(below, dict):
                raise ConfigurationError(f"{section}.{inner} is set to a value, and {dotted} to one below it")
            below[deeper] = value
        else:
            target[inner] = value
    return nested


def _refuse_single_underscores(environment: Mapping[str, str]) -> None:
    for section, field in Settings.model_fields.items():
        for key in getattr(field.annotation, "model_fields", {}):
            name = f"MEKIKI_{section}_{key}".upper()
            # A Service named mekiki-http gives every pod MEKIKI_HTTP_PORT=tcp://...
            if name in environment and not environment[name].startswith("tcp://"):
                meant = f"MEKIKI_{section}__{key}".upper()
                raise ConfigurationError(f"{name} sets nothing: write {meant}, with two underscores")


def _refuse_unknown_sections(names: Iterable[str]) -> None:
    # Kubernetes sets MEKIKI_PORT and the like for a Service of that name: only ours have two underscores.
    for name in names:
        section, separator, _ = name.removeprefix("MEKIKI_").partition("__")
        if name.startswith("MEKIKI_") and separator and section.lower() not in Settings.model_fields:
            raise ConfigurationError(
                f"{name} names no section of the settings: there are {', '.join(Settings.model_fields)}"
            )
