"""Bundles from OCI registries and MLflow, beside servers that are wrong in ways that real ones seldom are.

The real ones: tests/oci (`make test-oci`).
"""

import base64
import hashlib
import json
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import trustme

from export.bundle.pull import pull
from export.bundle.sources import http_client
from export.bundle.sources.docker_credentials import docker_credentials
from export.bundle.sources.oci import OciReference
from tests.answering_server import Answer, AnsweringServer
from tests.network_guard import HOST
from tests.signing import new_key, public_pem, sign
from worker.errors import BundleError, ConfigurationError
from worker.model.bundle import read_manifest

BUNDLE = Path("tests/golden/signed_bundle")
KEY = Path("tests/golden/signed_bundle.pem")
FILES = {path.name: path.read_bytes() for path in BUNDLE.iterdir()}
IDENTIFIER = read_manifest(BUNDLE)[1]
TOKEN_PATH = "/token?" + urlencode({"scope": "repository:bundles/shop:pull", "service": "the registry"})


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(http_client, "_PAUSES", (0.0, 0.0))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[AnsweringServer]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(tls)
    with AnsweringServer(HOST, tls) as running:
        yield running


class Registry:
    """What a registry would say of BUNDLE as bundles/shop:1; a Bearer token is asked for."""

    def __init__(self, server: AnsweringServer) -> None:
        self.server = server
        self.at = f"{HOST}:{server.port}"
        self.url = f"oci://{self.at}/bundles/shop:1"
        self.challenge = f'Bearer realm="https://{self.at}/token",service="the registry",scope="whatever"'
        self.write(FILES)
        server.answers[TOKEN_PATH] = Answer(b'{"token": "of-the-realm"}')

    def write(self, files: dict[str, bytes]) -> str:
        layers = [
            {
                "mediaType": "application/octet-stream",
                "digest": sha256(data),
                "size": len(data),
                "annotations": {"org.opencontainers.image.title": name},
            }
            for name, data in files.items()
        ]
        manifest = json.dumps({"schemaVersion": 2, "layers": layers}).encode()
        for name in ("1", sha256(manifest)):
            self.answer(f"manifests/{name}", manifest)
        for data in files.values():
            self.answer(f"blobs/{sha256(data)}", data)
        return sha256(manifest)

    def answer(
        self, path: str, body: bytes, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self.server.answers[f"/v2/bundles/shop/{path}"] = Answer(
            body, status, headers or {}, "Bearer of-the-realm", self.challenge
        )


@pytest.fixture
def registry(server: AnsweringServer) -> Registry:
    return Registry(server)


def test_a_bundle_comes_from_a_registry_with_a_token_and_only_once(
    registry: Registry, ca_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mount"
    assert pull(registry.url, folder, ca_file=ca_file, signature_key=KEY) == IDENTIFIER
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    tokens = [path for path, _ in registry.server.asked if path.startswith("/token")]
    assert tokens == [TOKEN_PATH]
    before = (folder / "graph.onnx").stat().st_ino
    assert pull(registry.url, folder, ca_file=ca_file) == IDENTIFIER
    assert (folder / "graph.onnx").stat().st_ino == before


def test_a_digest_in_the_url_holds_whatever_the_tag_leads_to(
    registry: Registry, ca_file: Path, tmp_path: Path
) -> None:
    digest = registry.write(FILES)
    assert pull(f"{registry.url}@{digest}", tmp_path / "new", ca_file=ca_file) == IDENTIFIER
    registry.answer(f"manifests/{digest}", b'{"layers": []}')
    with pytest.raises(BundleError, match="is damaged: its sha256 is"):
        pull(f"{registry.url}@{digest}", tmp_path / "other", ca_file=ca_file)


@pytest.mark.parametrize("harm", ["other", "short", "long", "cut", "gone"])
def test_blobs_that_are_not_what_the_manifest_says_leave_no_bundle(
    registry: Registry, ca_file: Path, tmp_path: Path, harm: str
) -> None:
    data = FILES["graph.onnx"]
    path = f"blobs/{sha256(data)}"
    told = {"other": "is damaged", "short": "is damaged", "long": "more than", "cut": "damaged|cut off"}
    bodies = {"other": data[:-1] + b"!", "short": data[:-1], "long": data * 2, "cut": data[:5]}
    headers = {"Content-Length": str(len(data))} if harm == "cut" else {}
    registry.answer(path, bodies.get(harm, b""), 404 if harm == "gone" else 200, headers)
    with pytest.raises(BundleError, match=told.get(harm, "404")):
        pull(registry.url, tmp_path / "new", ca_file=ca_file)
    assert not (tmp_path / "new" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (b"{}", "is no manifest of an artifact"),
        (b'{"layers": [{"digest": "sha256:../../x"}]}', "is no manifest of an artifact"),
        (b'{"layers": []}', r"has no file manifest\.json: push the bundle's files by `oras push`"),
        (b" " * 4_000_001, "over 4000000 bytes"),
    ],
)
def test_what_is_no_artifact_of_a_bundle_says_so(
    registry: Registry, ca_file: Path, tmp_path: Path, manifest: bytes, told: str
) -> None:
    registry.answer("manifests/1", manifest)
    with pytest.raises(BundleError, match=told):
        pull(registry.url, tmp_path / "new", ca_file=ca_file)


def test_a_store_that_a_registry_redirects_to_is_not_told_who_we_are(
    registry: Registry, authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(tls)
    with AnsweringServer(HOST, tls) as store:
        for name, data in FILES.items():
            store.answers[f"/{name}?signed=1"] = Answer(data)
            location = {"Location": f"https://{HOST}:{store.port}/{name}?signed=1"}
            registry.answer(f"blobs/{sha256(data)}", b"", 307, location)
        assert pull(registry.url, tmp_path / "new", ca_file=ca_file) == IDENTIFIER
        assert {authorization for _, authorization in store.asked} == {None}


@pytest.mark.parametrize("to", ["http://{at}/x", "file:///etc/passwd", "ftp://{at}/x", "//{at}/v2/"])
def test_a_redirect_to_where_it_must_not_lead_is_refused(
    registry: Registry, ca_file: Path, tmp_path: Path, to: str
) -> None:
    location = {"Location": to.format(at=registry.at)}
    registry.answer(f"blobs/{sha256(FILES['manifest.json'])}", b"", 302, location)
    with pytest.raises(BundleError, match=r"which is not https|404"):
        pull(registry.url, tmp_path / "new", ca_file=ca_file)


def test_redirects_in_a_circle_end(registry: Registry, ca_file: Path, tmp_path: Path) -> None:
    path = "/v2/bundles/shop/manifests/1"
    registry.answer("manifests/1", b"", 308, {"Location": path})
    with pytest.raises(BundleError, match="redirected more than 5 times"):
        pull(registry.url, tmp_path / "new", ca_file=ca_file)


def test_the_password_goes_to_the_realm_and_a_basic_challenge_alone(
    registry: Registry, ca_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = base64.b64encode(b"puller:secret:with colon").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.at: {"auth": pair}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    registry.server.answers[TOKEN_PATH] = Answer(
        b'{"access_token": "of-the-realm"}', authorization=f"Basic {pair}"
    )
    assert pull(registry.url, tmp_path / "new", ca_file=ca_file) == IDENTIFIER
    basic = {path for path, who in registry.server.asked if who == f"Basic {pair}"}
    assert basic == {TOKEN_PATH}
    for path, answer in registry.server.answers.items():
        registry.server.answers[path] = answer._replace(
            authorization=f"Basic {pair}", challenge='Basic realm="x"'
        )
    assert pull(registry.url, tmp_path / "other", ca_file=ca_file) == IDENTIFIER


@pytest.mark.parametrize("realm", ["http://{at}/token", "file:///etc/passwd", "", "token"])
def test_a_realm_that_is_not_https_is_not_asked(
    registry: Registry, ca_file: Path, tmp_path: Path, realm: str
) -> None:
    registry.challenge = f'Bearer realm="{realm.format(at=registry.at)}"'
    registry.write(FILES)
    with pytest.raises(BundleError, match=r"asks for a token of .*, which is no https URL"):
        pull(registry.url, tmp_path / "new", ca_file=ca_file)


@pytest.mark.parametrize(
    "token", [b"", b"[]", b'{"token": ""}', b'{"token": "a\\r\\nX: y"}', b'{"token": 7}']
)
def test_what_is_no_token_is_not_used(
    registry: Registry, ca_file: Path, tmp_path: Path, token: bytes
) -> None:
    registry.server.answers[TOKEN_PATH] = Answer(token)
    with pytest.raises(BundleError, match="gives no token for"):
        pull(registry.url, tmp_path / "new", ca_file=ca_file)


def test_without_credentials_the_refusal_says_where_they_go(
    registry: Registry, ca_file: Path, tmp_path: Path
) -> None:
    registry.server.answers[TOKEN_PATH] = Answer(b"", 401)
    with pytest.raises(BundleError, match=r"401 .*; credentials are taken from auths in the config\.json"):
        pull(registry.url, tmp_path / "new", ca_file=ca_file)


def test_a_registry_whose_authority_is_unknown_is_not_asked_twice(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="CERTIFICATE_VERIFY_FAILED"):
        pull(registry.url, tmp_path / "new")
    assert registry.server.asked == []


def test_a_registry_that_fails_is_asked_three_times(
    registry: Registry, ca_file: Path, tmp_path: Path
) -> None:
    registry.answer("manifests/1", b"", 503)
    with pytest.raises(BundleError, match="503"):
        pull(registry.url, tmp_path / "new", ca_file=ca_file)
    assert len(registry.server.asked) == 1 + 1 + 3  # refused, the token, and each attempt


@pytest.mark.parametrize(
    "url",
    [
        "oci://registry.example/bundles/shop",
        "oci://registry.example/Bundles/shop:1",
        "oci://registry.example/../shop:1",
        "oci://user:secret@registry.example/shop:1",
        "oci://registry.example/shop:1@sha256:abc",
        "oci://registry.example/shop:1?x=y",
        "oci://registry.example/shop:" + "a" * 129,
        "oci:registry.example/shop:1",
    ],
)
def test_what_is_no_reference_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="is no oci://registry/repository:tag"):
        OciReference.parse(url)


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("oci://docker.io/library/shop:1", "https://registry-1.docker.io/v2/library/shop/manifests/1"),
        ("oci://[::1]:5000/shop:v1.2_3", "https://[::1]:5000/v2/shop/manifests/v1.2_3"),
        ("oci://ghcr.io/a/b-c/d__e:1", "https://ghcr.io/v2/a/b-c/d__e/manifests/1"),
    ],
)
def test_a_reference_says_where_to_ask(url: str, asked: str) -> None:
    at = OciReference.parse(url)
    assert at.url("manifests", at.reference) == asked


def test_credentials_are_found_as_the_tools_leave_them(tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    environment = {"REGISTRY_AUTH_FILE": str(file)}
    pair = base64.b64encode(b"u:p").decode()
    file.write_text(
        json.dumps(
            {
                "auths": {
                    "https://index.docker.io/v1/": {"auth": pair},
                    "registry.example:5000": {"username": "v", "password": "q"},
                    "helped.example": {},
                },
                "credsStore": "desktop",
            }
        )
    )
    assert docker_credentials("docker.io", environment) == ("u", "p")
    assert docker_credentials("REGISTRY.example:5000", environment) == ("v", "q")
    assert docker_credentials("registry.example", environment) is None
    assert docker_credentials("helped.example", environment) is None
    assert docker_credentials("docker.io", {"HOME": str(tmp_path / "nowhere")}) is None


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"auths": {"r": {"auth": "not base64, secret"}}}', '{"auths": {"r": {"auth": "c2VjcmV0"}}}'],
)
def test_a_file_of_credentials_that_cannot_be_read_is_told_without_what_is_in_it(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"config\.json") as caught:
        docker_credentials("r", {"DOCKER_CONFIG": str(tmp_path)})
    assert "secret" not in str(caught.value)


class Mlflow:
    """What MLflow says of version 3 of `shop`, known as champion, whose artifacts it proxies."""

    def __init__(self, server: AnsweringServer) -> None:
        self.server = server
        self.put(
            "mlflow/registered-models/alias?name=shop&alias=champion", {"model_version": {"version": "3"}}
        )
        self.put(
            "mlflow/model-versions/get-download-uri?name=shop&version=3",
            {"artifact_uri": "mlflow-artifacts:/0/run/artifacts/bundle"},
        )
        for name, data in FILES.items():
            self.server.answers[f"/api/2.0/mlflow-artifacts/artifacts/0/run/artifacts/bundle/{name}"] = (
                Answer(data)
            )

    def put(self, path: str, told: object) -> None:
        self.server.answers[f"/api/2.0/{path}"] = Answer(json.dumps(told).encode())


@pytest.fixture
def mlflow(server: AnsweringServer, monkeypatch: pytest.MonkeyPatch) -> Mlflow:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://{HOST}:{server.port}/")
    for name in ("TOKEN", "USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    return Mlflow(server)


@pytest.mark.parametrize(
    "url", ["mlflow:/shop/3", "mlflow:/shop@champion", "mlflow:/shop/champion", "mlflow://shop/3"]
)
def test_a_bundle_comes_from_mlflow_by_version_or_alias(
    mlflow: Mlflow, ca_file: Path, tmp_path: Path, url: str
) -> None:
    assert pull(url, tmp_path / "new", ca_file=ca_file, signature_key=KEY) == IDENTIFIER
    assert {path.name for path in (tmp_path / "new").iterdir()} == set(FILES)


def test_mlflow_is_told_who_asks(
    mlflow: Mlflow, ca_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "puller")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    pull("mlflow:/shop/3", tmp_path / "new", ca_file=ca_file)
    assert {who for _, who in mlflow.server.asked} == {"Basic " + base64.b64encode(b"puller:secret").decode()}
    mlflow.server.asked.clear()
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "of-the-server")
    pull("mlflow:/shop/3", tmp_path / "other", ca_file=ca_file)
    assert {who for _, who in mlflow.server.asked} == {"Bearer of-the-server"}


def test_artifacts_in_an_object_store_are_read_there(
    mlflow: Mlflow, ca_file: Path, tmp_path: Path, server: AnsweringServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = "mlflow/model-versions/get-download-uri?name=shop&version=3"
    mlflow.put(asked, {"artifact_uri": "runs:/abc/bundle"})
    mlflow.put(
        "mlflow/runs/get?run_id=abc", {"run": {"info": {"artifact_uri": "s3://models/0/abc/artifacts"}}}
    )
    opened: list[str] = []

    def open_store(url: str, _: Path | None) -> object:
        opened.append(url)
        raise BundleError("asked")

    monkeypatch.setattr("export.bundle.pull.open_object_store", open_store)
    with pytest.raises(BundleError, match="asked"):
        pull("mlflow:/shop/3", tmp_path / "new", ca_file=ca_file)
    assert opened == ["s3://models/0/abc/artifacts/bundle"]


@pytest.mark.parametrize(
    "uri", ["/srv/mlruns/0/run", "file:///srv/mlruns", "mlflow-artifacts://elsewhere/0", "dbfs:/x", ""]
)
def test_artifacts_where_nobody_hands_them_out_are_told(
    mlflow: Mlflow, ca_file: Path, tmp_path: Path, uri: str
) -> None:
    mlflow.put("mlflow/model-versions/get-download-uri?name=shop&version=3", {"artifact_uri": uri})
    with pytest.raises(ConfigurationError, match="a bundle is pulled from where MLflow proxies artifacts"):
        pull("mlflow:/shop/3", tmp_path / "new", ca_file=ca_file)


@pytest.mark.parametrize(
    "url", ["mlflow:/shop", "mlflow:shop/3", "mlflow:/shop/3/x", "mlflow:/a/b@c", "mlflow:/"]
)
def test_what_names_no_model_is_refused(mlflow: Mlflow, tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match="is no mlflow:/name/version"):
        pull(url, tmp_path / "new")


@pytest.mark.parametrize(
    "server_url", ["", "databricks", "sqlite:///mlflow.db", "https://u:secret@mlflow.example"]
)
def test_a_tracking_uri_that_is_no_server_is_refused(
    tmp_path: Path, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server_url)
    with pytest.raises(ConfigurationError, match="MLFLOW_TRACKING_URI must name") as caught:
        pull("mlflow:/shop/3", tmp_path / "new")
    assert "secret" not in str(caught.value)


def test_a_model_that_mlflow_does_not_know_is_told_by_name(
    mlflow: Mlflow, ca_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match=r"404 .*, for name shop, version 9"):
        pull("mlflow:/shop/9", tmp_path / "new", ca_file=ca_file)
    mlflow.server.answers["/api/2.0/mlflow/model-versions/get-download-uri?name=shop&version=9"] = Answer(
        b"<html>"
    )
    with pytest.raises(BundleError, match="does not answer as MLflow does"):
        pull("mlflow:/shop/9", tmp_path / "new", ca_file=ca_file)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLE, tmp_path / "stored"))


def test_a_signature_that_was_made_anew_comes_though_the_bundle_is_the_same(
    stored: Path, tmp_path: Path
) -> None:
    url, folder, key = f"file://{stored}", tmp_path / "mount", tmp_path / "key.pem"
    pull(url, folder)
    made = new_key()
    key.write_bytes(public_pem(made))
    with pytest.raises(BundleError, match="by none of the keys"):
        pull(url, folder, signature_key=key)
    sign(stored, made)
    assert pull(url, folder, signature_key=key) == IDENTIFIER
    (stored / "model.sig").unlink()
    assert pull(url, folder) == IDENTIFIER
    assert not (folder / "model.sig").exists()
    with pytest.raises(BundleError, match="is not signed"):
        pull(url, folder, signature_key=key)


def test_what_only_the_bundle_before_had_is_taken_away_and_what_is_anothers_is_not(
    stored: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mount"
    pull(f"file://{stored}", folder)
    manifest = json.loads((stored / "manifest.json").read_text())
    for listed in (manifest["files"], manifest["graphs"]):
        listed[0] |= {"name" if listed is manifest["files"] else "file": "other.onnx"}
    (stored / "graph.onnx").rename(stored / "other.onnx")
    (stored / "manifest.json").write_text(json.dumps(manifest))
    (stored / "model.sig").unlink()
    (folder / "notes.txt").write_text("somebody's own")
    with pytest.raises(BundleError, match=r"has 'notes\.txt', which its manifest does not list"):
        pull(f"file://{stored}", folder)
    assert (folder / "graph.onnx").exists()
    (folder / "notes.txt").unlink()
    pull(f"file://{stored}", folder)
    assert {path.name for path in folder.iterdir()} == {"other.onnx", "manifest.json"}
