"""A real MinIO: one node on loopback behind TLS of a private authority, which tells Kafka of its objects."""

import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme
import urllib3
from minio import Minio, MinioAdmin
from minio.credentials import StaticProvider
from minio.notificationconfig import NotificationConfig, QueueConfig

from tests.kafka.server import free_ports
from tests.network_guard import HOST
from tests.processes import Process

ROOT = ("root-of-tests", "secret-of-the-root")
TARGET = "shop"


class MinioServer:
    """Serves `name` on HOST and a free port; use as a context manager. `ca_file` is its authority's.

    What happens to the objects of its buckets is told on `topic`.
    """

    def __init__(self, program: Path, home: Path, name: str, bootstrap: str, topic: str) -> None:
        (self.port,) = free_ports(1)
        self.endpoint = f"https://{name}:{self.port}"
        self.ca_file = home / "ca.pem"
        self._home = home
        self._program = program
        certificates = home / "certificates"
        certificates.mkdir()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca_file)
        issued = authority.issue_cert(name, HOST)
        (certificates / "public.crt").write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(certificates / "private.key")
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "MINIO_ROOT_USER": ROOT[0],
            "MINIO_ROOT_PASSWORD": ROOT[1],
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            f"MINIO_NOTIFY_KAFKA_ENABLE_{TARGET}": "on",
            f"MINIO_NOTIFY_KAFKA_BROKERS_{TARGET}": bootstrap,
            f"MINIO_NOTIFY_KAFKA_TOPIC_{TARGET}": topic,
            f"MINIO_NOTIFY_KAFKA_QUEUE_DIR_{TARGET}": str(home / "queue"),
        }
        pool = urllib3.PoolManager(ca_certs=str(self.ca_file), maxsize=16, retries=False)
        where = f"{HOST}:{self.port}"
        self.client = Minio(endpoint=where, access_key=ROOT[0], secret_key=ROOT[1], http_client=pool)
        self.admin = MinioAdmin(
            endpoint=where, credentials=StaticProvider(*ROOT), region="us-east-1", http_client=pool
        )

    def __enter__(self) -> Self:
        (self._home / "data").mkdir()
        command = [
            *(str(self._program), "server", "--quiet", "--address", f"{HOST}:{self.port}"),
            *("--certs-dir", str(self._home / "certificates"), str(self._home / "data")),
        ]
        self._process = Process(command, self._home / "minio.log", self._environment)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.client.list_buckets()
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                if time.monotonic() > deadline or self._process.returncode is not None:
                    log = self._process.log.read_text(errors="replace")
                    raise AssertionError(f"MinIO does not serve: {error}\n{log[-3000:]}") from error
                time.sleep(0.2)
            else:
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate(20)

    def make_bucket(self, bucket: str) -> None:
        """A private one, whose objects that come and go are told."""
        self.client.make_bucket(bucket_name=bucket)
        arn = f"arn:minio:sqs::{TARGET}:kafka"
        events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
        config = NotificationConfig(queue_config_list=[QueueConfig(queue=arn, events=events)])
        self.client.set_bucket_notification(bucket_name=bucket, config=config)

    def add_reader(self, access_key: str, secret_key: str, bucket: str) -> None:
        """Somebody who may read the bucket, and nothing else."""
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": ["s3:GetObject", "s3:ListBucket"],
                    "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
                }
            ],
        }
        file = self._home / "policy.json"
        file.write_text(json.dumps(policy))
        self.admin.policy_add("reads", policy_file=str(file))
        self.admin.user_add(access_key, secret_key)
        self.admin.attach_policy(["reads"], user=access_key)
