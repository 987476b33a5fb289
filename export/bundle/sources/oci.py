"""OCI registries: a bundle as an artifact, each file a layer titled by its name, as `oras push` leaves it.

By the OCI distribution protocol (https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md),
https alone, with Basic or Bearer tokens (https://distribution.github.io/distribution/spec/auth/token/).
Manifest and blobs are checked against their digests.
"""

import hashlib
import http.client
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlencode, urlsplit

from pydantic import BaseModel, Field, ValidationError

from export.bundle.sources.docker_credentials import docker_credentials
from export.bundle.sources.http_client import AUTHORIZATION, HttpClient, basic, body, chunks, require_found
from export.bundle.sources.source import Get, NotThere
from worker.errors import BundleError, ConfigurationError

_REFERENCE = re.compile(
    r"oci://(?P<registry>(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?)"
    r"/(?P<repository>[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_TITLE = "org.opencontainers.image.title"
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_MOST_MANIFEST = 4_000_000  # as the protocol has it
_MOST_TOKEN = 100_000
_UNAUTHORIZED = 401
_ADVICE = (
    "; credentials are taken from auths in the config.json that `oras login` leaves (DOCKER_CONFIG, "
    "REGISTRY_AUTH_FILE), helpers of credentials are not run"
)


@dataclass(frozen=True)
class OciReference:
    """Where an artifact is; `reference` is its tag, or its digest where that is known."""

    registry: str
    repository: str
    reference: str
    digest: str | None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take oci://registry/repository:tag, oci://registry/repository@sha256:... or both apart.

        Raises:
            ConfigurationError: it is none of them.

        """
        found = _REFERENCE.fullmatch(url)
        reference = found and (found["digest"] or found["tag"])
        if not found or not reference:
            raise ConfigurationError(f"{url} is no oci://registry/repository:tag or @sha256:digest")
        return cls(found["registry"], found["repository"], reference, found["digest"])

    def url(self, kind: Literal["manifests", "blobs"], reference: str) -> str:
        """Where the registry has a manifest or a blob."""
        host = "registry-1.docker.io" if self.registry == "docker.io" else self.registry
        return f"https://{host}/v2/{self.repository}/{kind}/{reference}"


class _Layer(BaseModel):
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    annotations: dict[str, str] = {}


class _Manifest(BaseModel):
    layers: list[_Layer]


class _Token(BaseModel):
    token: str = ""
    access_token: str = ""


def open_registry(url: str, ca_file: Path | None) -> Get:
    """The files of the artifact at `url`.

    Raises:
        ConfigurationError: the URL, or the file of credentials, is not what it should be.
        BundleError: the registry does not give its manifest.

    """
    at = OciReference.parse(url)
    registry = _Registry(HttpClient(ca_file), at)
    digests = registry.digests()

    def get(name: str) -> Iterator[bytes]:
        if name not in digests:
            raise NotThere(
                f"{url} has no file {name}: push the bundle's files by `oras push`, from inside its folder"
            )
        yield from registry.blob(digests[name])

    return get


class _Registry:
    """One repository of a registry, asked with the credentials that we have for it."""

    def __init__(self, client: HttpClient, at: OciReference) -> None:
        self._client, self._at = client, at
        self._credentials = docker_credentials(at.registry)
        self._authorization: dict[str, str] = {}

    def digests(self) -> Mapping[str, str]:
        """Of the artifact's files, by name."""
        url = self._at.url("manifests", self._at.reference)
        with self._asked(url, {"Accept": _MANIFEST_TYPE}) as response:
            raw = body(url, response, _MOST_MANIFEST)
        _require_digest(url, hashlib.sha256(raw).hexdigest(), self._at.digest)
        try:
            layers = _Manifest.model_validate_json(raw).layers
        except ValidationError as error:
            raise BundleError(f"{url} is no manifest of an artifact: {error}") from error
        return {one.annotations[_TITLE]: one.digest for one in layers if _TITLE in one.annotations}

    def blob(self, digest: str) -> Iterator[bytes]:
        """Its bytes, and an error behind them if they are others than `digest` says."""
        url, whole = self._at.url("blobs", digest), hashlib.sha256()
        with self._asked(url, {}) as response:
            for chunk in chunks(url, response):
                whole.update(chunk)
                yield chunk
        _require_digest(url, whole.hexdigest(), digest)

    @contextmanager
    def _asked(self, url: str, headers: Mapping[str, str]) -> Iterator[http.client.HTTPResponse]:
        """With a token where one is asked for; anew, once one has run out."""
        with ExitStack() as stack:
            response = stack.enter_context(self._client.ask(url, {**headers, **self._authorization}))
            if response.status == _UNAUTHORIZED:
                self._authorization = self._answer(response.headers.get_all("WWW-Authenticate", []))
                response = stack.enter_context(self._client.ask(url, {**headers, **self._authorization}))
            require_found(url, response, _ADVICE if response.status in {401, 403} else "")
            yield response

    def _answer(self, challenges: list[str]) -> dict[str, str]:
        for challenge in challenges:
            scheme, _, rest = challenge.partition(" ")
            if scheme.lower() == "bearer":
                return {AUTHORIZATION: f"Bearer {self._token(dict(_CHALLENGE.findall(rest)))}"}
        return self._basic()

    def _basic(self) -> dict[str, str]:
        return basic(*self._credentials) if self._credentials else {}

    def _token(self, challenge: Mapping[str, str]) -> str:
        realm = challenge.get("realm", "")
        if urlsplit(realm).scheme != "https":
            raise BundleError(f"{self._at.registry} asks for a token of {realm!r}, which is no https URL")
        query = {"scope": f"repository:{self._at.repository}:pull"}
        if "service" in challenge:
            query["service"] = challenge["service"]
        url = f"{realm}{'&' if urlsplit(realm).query else '?'}{urlencode(query)}"
        with self._client.ask(url, self._basic()) as response:
            require_found(url, response, _ADVICE)
            raw = body(url, response, _MOST_TOKEN)
        try:
            given = _Token.model_validate_json(raw)
        except ValidationError:
            given = _Token()  # what is in it is not to be told
        token = given.token or given.access_token
        if not token or not token.isascii() or not token.isprintable():
            raise BundleError(f"{realm} gives no token for {self._at.registry}")
        return token


def _require_digest(url: str, found: str, expected: str | None) -> None:
    if expected is not None and f"sha256:{found}" != expected:
        raise BundleError(f"{url} is damaged: its sha256 is {found}, not {expected}")
