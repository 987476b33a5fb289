"""A real Apicurio Registry on loopback, in memory, with Confluent's API."""

import os
import re
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.kafka.server import free_ports
from tests.processes import Process

_LEAST_JAVA = 21


class Registry:
    """Serves from `folder`, where it is unpacked; use as a context manager."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.port, management = free_ports(2)
        self._folder = folder
        self._home = home
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "QUARKUS_HTTP_HOST": "127.0.0.1",
            "QUARKUS_HTTP_PORT": str(self.port),
            "QUARKUS_MANAGEMENT_HOST": "127.0.0.1",
            "QUARKUS_MANAGEMENT_PORT": str(management),
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/apis/ccompat/v7"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start, with nothing in it, and wait until it answers."""
        options = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        command = [str(_java()), *options, "-jar", str(self._folder / "quarkus-run.jar")]
        self._process = Process(command, self._home / "registry.log", self._environment)
        deadline = time.monotonic() + 90
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/subjects", timeout=2):
                    return
            except OSError as error:
                if time.monotonic() > deadline or self._process.returncode is not None:
                    log = self._process.log.read_text(errors="replace")
                    raise AssertionError(f"Apicurio does not serve: {error}\n{log[-3000:]}") from error
                time.sleep(0.2)

    def stop(self) -> None:
        self._process.terminate(20)


def _java() -> Path:
    """A Java that is new enough, the first of the path or of this machine's."""
    found = [*(Path(folder, "java") for folder in os.environ["PATH"].split(":")), *_installed()]
    for java in filter(Path.is_file, found):
        said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
        version = re.search(r'version "(\d+)', said)
        if version and int(version[1]) >= _LEAST_JAVA:
            return java
    raise AssertionError(f"there is no Java {_LEAST_JAVA} or newer, which Apicurio needs")


def _installed() -> list[Path]:
    return sorted(Path("/usr/lib/jvm").glob("*/bin/java"), reverse=True)
