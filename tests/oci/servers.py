"""A real registry, by password or token, and a real MLflow: on loopback, behind TLS of our own authority."""

import base64
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext, create_default_context
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.kafka.server import free_ports
from tests.loopback_server import AnsweringHandler, LoopbackServer
from tests.network_guard import HOST
from tests.processes import Process

USER, PASSWORD = "puller", "secret-of-tests"
# htpasswd -nbB puller secret-of-tests
_HTPASSWD = "puller:$2b$04$Q84HRadfcffmi4avRlLYteg7092EXYsyD8NwwwUKGWwG.52CNB5pe"
_SERVICE = "registry of tests"
_ISSUER = "tests"


class Certificates:
    """An authority, and a certificate of it for HOST, as files and for servers of Python."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        issued = authority.issue_cert(HOST, key_type=trustme.KeyType.ECDSA)
        self.ca_file, self.chain, self.key = home / "ca.pem", home / "chain.pem", home / "key.pem"
        authority.cert_pem.write_to_path(self.ca_file)
        self.chain.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(self.key)
        self.tls = SSLContext(PROTOCOL_TLS_SERVER)
        issued.configure_cert(self.tls)

    def sign_token(self, claims: dict[str, Any]) -> str:
        """A JSON web token by the certificate's key, with the chain, as the registry takes it (ES256)."""
        blocks = self.chain.read_text().split("-----BEGIN CERTIFICATE-----")[1:]
        chain = ["".join(block.partition("-----END")[0].split()) for block in blocks]
        parts = ({"typ": "JWT", "alg": "ES256", "x5c": chain}, claims)
        text = ".".join(_base64url(json.dumps(part).encode()) for part in parts)
        key = load_pem_private_key(self.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        numbers = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_base64url(b''.join(number.to_bytes(32, 'big') for number in numbers))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenServer(LoopbackServer):
    """Gives tokens to who knows the password ("Token Authentication" of the registry's documentation)."""

    def __init__(self, certificates: Certificates) -> None:
        self.certificates = certificates
        super().__init__(HOST)

    def handler(self, request: Any, address: Any, server: Any) -> BaseHTTPRequestHandler:
        return _TokenHandler(
            self, self.certificates.tls.wrap_socket(request, server_side=True), address, server
        )

    def token(self, scopes: list[str]) -> bytes:
        access = [
            {"type": kind, "name": name, "actions": actions.split(",")}
            for kind, name, actions in (scope.split(":") for scope in scopes)
        ]
        now = int(time.time())
        times = {"iat": now, "nbf": now - 10, "exp": now + 60}
        claims = {"iss": _ISSUER, "sub": USER, "aud": _SERVICE, "jti": str(now), "access": access, **times}
        return json.dumps({"token": self.certificates.sign_token(claims)}).encode()


class _TokenHandler(AnsweringHandler):
    def __init__(self, tokens: TokenServer, request: Any, address: Any, server: Any) -> None:
        self._tokens = tokens
        super().__init__(request, address, server)

    def do_GET(self) -> None:  # noqa: N802 - the base class finds it by this name
        right = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers["authorization"] != right:
            self.answer(401, b"")
            return
        scopes = parse_qs(urlsplit(self.path).query).get("scope", [])
        self.answer(200, self._tokens.token([one for scope in scopes for one in scope.split()]))


def start_registry(
    program: Path, home: Path, certificates: Certificates, realm: str | None
) -> tuple[Process, str]:
    """A registry at the address that is given; `realm` is where its tokens are, None: it takes passwords."""
    (port,) = free_ports(1)
    at = f"{HOST}:{port}"
    home.mkdir()
    (home / "htpasswd").write_text(_HTPASSWD)
    auth = {"htpasswd": {"realm": "tests", "path": str(home / "htpasswd")}}
    if realm is not None:
        token = {"realm": realm, "service": _SERVICE, "issuer": _ISSUER}
        auth = {"token": {**token, "rootcertbundle": str(certificates.ca_file)}}
    config = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(home / "data")}},
        "http": {"addr": at, "tls": {"certificate": str(certificates.chain), "key": str(certificates.key)}},
        "auth": auth,
    }
    (home / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    process = Process(
        [str(program), "serve", str(home / "config.yml")], home / "registry.log", _environment(home)
    )
    _wait(process, certificates, f"https://{at}/v2/", lambda status: status == 401)
    return process, at


def start_mlflow(programs: Path, home: Path, certificates: Certificates) -> tuple[Process, str]:
    """An MLflow server at the URL that is given: it proxies artifacts, and wants a password."""
    (port,) = free_ports(1)
    home.mkdir()
    (home / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{home}/auth.db\n"
        f"admin_username = {USER}\nadmin_password = {PASSWORD}\n"
    )
    command = [
        *(
            str(programs / "mlflow" / "bin" / "mlflow"),
            "server",
            "--host",
            HOST,
            "--port",
            str(port),
            "--workers",
            "1",
        ),
        *("--app-name", "basic-auth", "--backend-store-uri", f"sqlite:///{home}/mlflow.db"),
        *("--artifacts-destination", str(home / "artifacts"), "--allowed-hosts", f"{HOST}:{port}"),
        *("--uvicorn-opts", f"--ssl-keyfile {certificates.key} --ssl-certfile {certificates.chain}"),
    ]
    environment = {
        **_environment(home),
        "MLFLOW_AUTH_CONFIG_PATH": str(home / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of-tests",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
    process = Process(command, home / "mlflow.log", environment)
    url = f"https://{HOST}:{port}"
    _wait(process, certificates, f"{url}/health", lambda status: status == 200)
    return process, url


def _environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home)}


def _wait(process: Process, certificates: Certificates, url: str, serves: Callable[[int], bool]) -> None:
    context = create_default_context(cafile=str(certificates.ca_file))
    deadline = time.monotonic() + 180
    while True:
        try:
            with urllib.request.urlopen(url, context=context, timeout=10) as answer:
                status = answer.status
        except urllib.error.HTTPError as error:
            status = error.code
        except OSError:
            status = 0
        if serves(status):
            return
        if time.monotonic() > deadline or process.returncode is not None:
            raise AssertionError(
                f"{url} answers {status}:\n{process.log.read_text(errors='replace')[-3000:]}"
            )
        time.sleep(0.3)
