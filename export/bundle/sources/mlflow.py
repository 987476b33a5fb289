"""MLflow's model registry: a version of a registered model, whose artifacts are a bundle.

By its REST API (https://mlflow.org/docs/latest/api_reference/rest-api.html). The environment says which
server (MLFLOW_TRACKING_URI) and who asks (MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD).
Artifacts come through the server, or from the object store where it has them.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from pydantic import BaseModel, JsonValue, ValidationError

from export.bundle.sources.http_client import (
    AUTHORIZATION,
    HttpClient,
    basic,
    body,
    chunks,
    require_found,
    shown,
)
from export.bundle.sources.source import Get
from worker.errors import BundleError, ConfigurationError

_REFERENCE = re.compile(r"mlflow:/{1,2}(?P<name>[^/@]+)(?:/(?P<version>[^/@]+)|@(?P<alias>[^/@]+))")
_MOST_ANSWER = 4_000_000
_OBJECT_STORES = ("s3", "gs", "az")


class _Answer(BaseModel):
    """Of any question of this module."""

    model_version: dict[str, JsonValue] = {}
    artifact_uri: str = ""
    run: dict[str, dict[str, JsonValue]] = {}


def open_model(
    url: str,
    ca_file: Path | None,
    open_store: Callable[[str, Path | None], Get],
    environment: Mapping[str, str] = os.environ,
) -> Get:
    """The artifacts of mlflow:/name/version, mlflow:/name/alias or mlflow:/name@alias.

    `open_store` opens the object store that they may be in.

    Raises:
        ConfigurationError: the URL or the environment names no model of a server.
        BundleError: the server does not know it.

    """
    found = _REFERENCE.fullmatch(url)
    if not found:
        raise ConfigurationError(f"{url} is no mlflow:/name/version or mlflow:/name@alias")
    name, version = unquote(found["name"]), unquote(found["version"] or found["alias"])
    server = _Server(HttpClient(ca_file), environment)
    if found["alias"] or not version.isdecimal():
        version = server.version(name, version)
    at = server.resolved(server.artifacts(name, version))
    if urlsplit(at).scheme in _OBJECT_STORES:
        return open_store(at, ca_file)
    return server.proxied(at)


class _Server:
    def __init__(self, client: HttpClient, environment: Mapping[str, str]) -> None:
        self._client = client
        self._url = environment.get("MLFLOW_TRACKING_URI", "").rstrip("/")
        parts = urlsplit(self._url)
        if parts.scheme not in {"https", "http"} or "@" in parts.netloc:
            raise ConfigurationError(
                "MLFLOW_TRACKING_URI must name the MLflow server, as https://mlflow.example, without a user"
            )
        self._headers = _authorization(environment)

    def version(self, name: str, alias: str) -> str:
        """The version that the alias stands for."""
        found = self._ask("registered-models/alias", {"name": name, "alias": alias}).model_version
        return str(found.get("version", ""))

    def artifacts(self, name: str, version: str) -> str:
        """Where the artifacts of a version are."""
        return self._ask("model-versions/get-download-uri", {"name": name, "version": version}).artifact_uri

    def resolved(self, uri: str) -> str:
        """`uri`, or where the run is that it names."""
        parts = urlsplit(uri)
        if parts.scheme != "runs":
            return uri
        run, _, path = parts.path.lstrip("/").partition("/")
        info = self._ask("runs/get", {"run_id": run}).run.get("info", {})
        return f"{info.get('artifact_uri', '')}/{path}"

    def proxied(self, uri: str) -> Get:
        """What the server itself hands out."""
        parts = urlsplit(uri)
        if parts.scheme != "mlflow-artifacts" or parts.netloc not in {"", urlsplit(self._url).netloc}:
            raise ConfigurationError(
                f"the artifacts are at {shown(uri)}: a bundle is pulled from where MLflow proxies artifacts "
                f"(mlflow-artifacts:), or from {', '.join(f'{one}://' for one in _OBJECT_STORES)}"
            )
        folder = f"{self._url}/api/2.0/mlflow-artifacts/artifacts/{quote(unquote(parts.path).strip('/'))}"

        def get(name: str) -> Iterator[bytes]:
            url = f"{folder}/{quote(name)}"
            with self._client.ask(url, self._headers) as response:
                require_found(url, response)
                yield from chunks(url, response)

        return get

    def _ask(self, what: str, query: Mapping[str, Any]) -> _Answer:
        url = f"{self._url}/api/2.0/mlflow/{what}?{urlencode(query)}"
        with self._client.ask(url, self._headers) as response:
            require_found(
                url, response, f", for {', '.join(f'{key} {value}' for key, value in query.items())}"
            )
            raw = body(url, response, _MOST_ANSWER)
        try:
            return _Answer.model_validate_json(raw)
        except ValidationError as error:
            raise BundleError(f"{shown(url)} does not answer as MLflow does: {error}") from error


def _authorization(environment: Mapping[str, str]) -> dict[str, str]:
    if token := environment.get("MLFLOW_TRACKING_TOKEN"):
        return {AUTHORIZATION: f"Bearer {token}"}
    user, password = (environment.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD"))
    return basic(user, password) if user else {}
