"""A real Kafka that asks for a password and for the client's certificate (SASL_SSL)."""

import subprocess
from pathlib import Path

from tests.kafka.server import KafkaServer

USER = "mekiki"
PASSWORD = "hush-hush"


class Certificates:
    """An authority, and certificates of the broker (127.0.0.1) and of a client, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _openssl(folder, "req", "-x509", "-subj", "/CN=tests", "-days", "2", "-noenc", "-newkey", "rsa:2048",
                 "-keyout", "ca.key", "-out", "ca.crt")  # fmt: skip
        self._signed("broker", "subjectAltName=IP:127.0.0.1")
        self._signed("client", "extendedKeyUsage=clientAuth")

    def text(self, name: str) -> str:
        """A file's content, such as `ca.crt`."""
        return (self.folder / name).read_text(encoding="utf-8")

    def _signed(self, name: str, extension: str) -> None:
        (self.folder / "extension").write_text(extension, encoding="utf-8")
        _openssl(self.folder, "req", "-new", "-subj", f"/CN={name}", "-noenc", "-newkey", "rsa:2048",
                 "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        _openssl(self.folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                 "-CAcreateserial", "-days", "2", "-extfile", "extension", "-out", f"{name}.crt")  # fmt: skip


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


class SecuredKafkaServer(KafkaServer):
    """The node of the other tests, with its listener behind TLS and SASL/PLAIN."""

    def __init__(self, home: Path, certificates: Certificates) -> None:
        self._certificates = certificates
        super().__init__(home)

    def _configuration(self) -> str:
        folder = self._certificates.folder
        keystore = folder / "broker.pem"
        keystore.write_text(self._certificates.text("broker.key") + self._certificates.text("broker.crt"))
        module = "org.apache.kafka.common.security.plain.PlainLoginModule"
        secured = {
            "listener.security.protocol.map": "BROKER:SASL_SSL,CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "listener.name.broker.plain.sasl.jaas.config": (
                f'{module} required username="broker" password="between brokers" '
                f'user_broker="between brokers" user_{USER}="{PASSWORD}";'
            ),
            "ssl.client.auth": "required",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": keystore,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": folder / "ca.crt",
        }
        # Of two lines of one key the later wins.
        return super()._configuration() + "".join(f"{key}={value}\n" for key, value in secured.items())
