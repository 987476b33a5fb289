"""Bundles signed by OpenSSF's model_signing, from a real registry, pushed by oras, and from a real MLflow.

`make test-oci` runs it.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from export.bundle.pull import pull
from tests.network_guard import HOST
from tests.oci.servers import PASSWORD, USER, Certificates, TokenServer, start_mlflow, start_registry
from tests.signing import new_key, public_pem
from worker.errors import BundleError
from worker.model.bundle import load_bundle, read_manifest
from worker.settings import STARTER_BUNDLE, ModelSettings

PROGRAMS = Path(os.environ["MEKIKI_OCI"])
IDENTIFIER = read_manifest(STARTER_BUNDLE)[1]


def run(command: list[str | Path], **options: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls") / "files")


def make_key(folder: Path, curve: str = "secp256r1") -> Path:
    """A file of the public key; the private one lies beside it."""
    private, public = folder / "private.pem", folder / "public.pem"
    run(["openssl", "ecparam", "-name", curve, "-genkey", "-noout", "-out", private])
    run(["openssl", "ec", "-in", private, "-pubout", "-out", public])
    return public


def sign_starter(folder: Path, key: Path) -> Path:
    """A copy of the starter bundle in `folder`, signed by the key beside `key`."""
    shutil.copytree(STARTER_BUNDLE, folder)
    given = ["--private_key", key.with_name("private.pem"), "--signature", folder / "model.sig"]
    run([PROGRAMS / "signing" / "bin" / "model_signing", "sign", "key", *given, folder])
    return folder


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def signed(key: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sign_starter(tmp_path_factory.mktemp("signed") / "bundle", key)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1", "secp521r1"])
def test_what_model_signing_signed_is_loaded_and_what_was_changed_since_is_not(
    tmp_path: Path, curve: str
) -> None:
    key = make_key(tmp_path, curve)
    signed = sign_starter(tmp_path / "bundle", key)
    assert load_bundle(ModelSettings(bundle=signed, signature_key=key, threads=1)).id == IDENTIFIER
    other = tmp_path / "other.pem"
    other.write_bytes(public_pem(new_key()))
    with pytest.raises(BundleError, match="by none of the keys"):
        read_manifest(signed, other)
    changed = Path(shutil.copytree(signed, tmp_path / "changed"))
    manifest = json.loads((changed / "manifest.json").read_text())
    (changed / "manifest.json").write_text(json.dumps({**manifest, "version": "9"}))
    read_manifest(changed)
    with pytest.raises(BundleError, match=r"manifest\.json is not what was signed"):
        read_manifest(changed, key)


@pytest.fixture(params=["password", "token"])
def registry(request: pytest.FixtureRequest, certificates: Certificates, tmp_path: Path) -> Iterator[str]:
    with ExitStack() as stack:
        realm = None
        if request.param == "token":
            tokens = stack.enter_context(TokenServer(certificates))
            realm = f"https://{HOST}:{tokens.port}/token"
        process, at = start_registry(
            PROGRAMS / "bin" / "registry", tmp_path / "registry", certificates, realm
        )
        stack.callback(process.terminate, 20)
        yield at


def test_a_bundle_that_oras_pushed_is_pulled_by_tag_and_by_digest(
    registry: str,
    certificates: Certificates,
    signed: Path,
    key: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, authority = tmp_path / "docker" / "config.json", certificates.ca_file
    config.parent.mkdir()
    oras, trust = PROGRAMS / "bin" / "oras", ["--ca-file", authority, "--registry-config", config]
    run([oras, "login", *trust, "-u", USER, "-p", PASSWORD, registry])
    pushed = run(
        [oras, "push", *trust, "--format", "json", f"{registry}/bundles/shop:1", *sorted(names(signed))],
        cwd=signed,
    )
    digest = json.loads(pushed)["digest"]
    monkeypatch.setenv("DOCKER_CONFIG", str(config.parent))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    for number, reference in enumerate((":1", f":1@{digest}", f"@{digest}")):
        url, folder = f"oci://{registry}/bundles/shop{reference}", tmp_path / str(number)
        assert pull(url, folder, ca_file=authority, signature_key=key) == IDENTIFIER
        assert names(folder) == names(signed)
    with pytest.raises(BundleError, match="404"):
        pull(f"oci://{registry}/bundles/shop:2", tmp_path / "none", ca_file=authority)
    with pytest.raises(BundleError, match="404"):
        pull(f"oci://{registry}/bundles/shop:1@sha256:{'0' * 64}", tmp_path / "none", ca_file=authority)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "nowhere"))
    with pytest.raises(BundleError, match=r"401 .*; credentials are taken from auths"):
        pull(f"oci://{registry}/bundles/shop:1", tmp_path / "none", ca_file=authority)


def test_a_blob_that_was_damaged_on_the_registrys_disk_is_refused(
    registry: str, certificates: Certificates, signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, config = certificates.ca_file, tmp_path / "config.json"
    oras, trust = PROGRAMS / "bin" / "oras", ["--ca-file", authority, "--registry-config", config]
    run([oras, "login", *trust, "-u", USER, "-p", PASSWORD, registry])
    run([oras, "push", *trust, f"{registry}/shop:1", *sorted(names(signed))], cwd=signed)
    (graph,) = (file for file in read_manifest(signed)[0].files if file.name == "scorer.onnx")
    (blob,) = (tmp_path / "registry" / "data").rglob(f"{graph.sha256}/data")
    with blob.open("r+b") as file:
        file.seek(graph.bytes // 2)
        file.write(b"damage")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(BundleError, match="is damaged: its sha256 is"):
        pull(f"oci://{registry}/shop:1", tmp_path / "new", ca_file=authority)
    assert not (tmp_path / "new" / "manifest.json").exists()


_REGISTER = """
import sys, mlflow
client = mlflow.MlflowClient()
with mlflow.start_run() as run:
    mlflow.log_artifacts(sys.argv[1], "bundle")
client.create_registered_model("shop")
for source in (f"{run.info.artifact_uri}/bundle", f"runs:/{run.info.run_id}/bundle"):
    made = client.create_model_version("shop", source, run.info.run_id)
client.set_registered_model_alias("shop", "champion", made.version)
"""


def test_a_registered_model_of_mlflow_is_pulled_by_version_and_by_alias(
    certificates: Certificates, signed: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, url = start_mlflow(PROGRAMS, tmp_path / "mlflow", certificates)
    try:
        who = {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": PASSWORD}
        for name, value in {"MLFLOW_TRACKING_URI": url, **who}.items():
            monkeypatch.setenv(name, value)
        environment = {**os.environ, "MLFLOW_TRACKING_SERVER_CERT_PATH": str(certificates.ca_file)}
        run([PROGRAMS / "mlflow" / "bin" / "python", "-c", _REGISTER, signed], env=environment)
        for number, model in enumerate(("shop/1", "shop/2", "shop@champion", "shop/champion")):
            folder = tmp_path / str(number)
            assert (
                pull(f"mlflow:/{model}", folder, ca_file=certificates.ca_file, signature_key=key)
                == IDENTIFIER
            )
            assert names(folder) == names(signed)
        for model, told in (("shop/9", "404"), ("shop@nobody", "400"), ("none/1", "404")):
            with pytest.raises(BundleError, match=told):
                pull(f"mlflow:/{model}", tmp_path / "none", ca_file=certificates.ca_file)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
        with pytest.raises(BundleError, match="401"):
            pull("mlflow:/shop/1", tmp_path / "none", ca_file=certificates.ca_file)
    finally:
        process.terminate(20)
