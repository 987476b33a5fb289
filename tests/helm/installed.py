"""The chart's resources, put in place by hand: what a container would get, for a process of this machine."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helm.chart import of_kind, rendered

MOUNTED = "/etc/mekiki"
# The one setting that a test run may give: other models.
BUNDLE = "MEKIKI_MODEL__BUNDLE"


@dataclass(frozen=True)
class Container:
    """The command line and the environment of one container of the chart."""

    arguments: tuple[str, ...]
    environment: dict[str, str]

    @property
    def command(self) -> list[str]:
        """The image's entry point is `mekiki`."""
        return [sys.executable, "-m", "worker.cli", *self.arguments]

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end, with `more` arguments."""
        return subprocess.run(
            [*self.command, *more],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


class Installed:
    """A release in `folder`: ConfigMaps and the given Secrets become files under `folder`/<kind and name>."""

    def __init__(self, folder: Path, values: Path, secrets: dict[str, dict[str, str]] | None = None) -> None:
        self._folder = folder
        self._resources = rendered("--values", values)
        self._files = {name: each["data"] for name, each in of_kind(self._resources, "ConfigMap").items()}
        self._secrets = secrets or {}

    def container(self, kind: str, name: str) -> Container:
        """The only container of a resource, with its files mounted under a folder of its own."""
        resource = of_kind(self._resources, kind)[name]
        spec = resource["spec"]["template"]["spec"] if kind != "Pod" else resource["spec"]
        (container,) = spec["containers"]
        root = self._folder / f"{kind}-{name}"
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for mount in container["volumeMounts"]:
            if mount["mountPath"].startswith(MOUNTED):
                self._mount(volumes[mount["name"]], mount, root)
        arguments = tuple(argument.replace(MOUNTED, str(root)) for argument in container["args"])
        return Container(arguments, _environment(container.get("env", []), f"{name}-0"))

    def rules(self) -> dict[str, Any]:
        """The rule file that the Prometheus operator makes."""
        (rule,) = of_kind(self._resources, "PrometheusRule").values()
        spec: dict[str, Any] = rule["spec"]
        return spec

    def _mount(self, volume: dict[str, Any], mount: dict[str, Any], root: Path) -> None:
        if "configMap" in volume:
            files = self._files[volume["configMap"]["name"]]
        else:
            files = self._secrets[volume["secret"]["secretName"]]
        target = root / Path(mount["mountPath"]).relative_to(MOUNTED)
        folder = target.parent if "subPath" in mount else target
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            # What the text says of mounted files must hold here too.
            (folder / name).write_text(text.replace(MOUNTED, str(root)), encoding="utf-8")


def _environment(entries: list[dict[str, Any]], pod: str) -> dict[str, str]:
    fields = {"metadata.name": pod, "metadata.namespace": "market"}
    own: dict[str, str] = {}
    for entry in entries:
        value = entry.get("value")
        if value is None:
            value = fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        for name, known in own.items():
            value = value.replace(f"$({name})", known)
        own[entry["name"]] = value
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MEKIKI_")}
    if bundle := os.environ.get(BUNDLE):
        outside[BUNDLE] = bundle
    return outside | own
