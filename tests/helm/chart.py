"""The chart, rendered by Helm for a test."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "helm" / "mekiki"
VALUES = Path(__file__).parent / "values"


def tool(name: str) -> Path:
    """A tool, or a folder of schemas, that helm/tools/install-tools.sh has put into the cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("MEKIKI_HELM_TOOLS") or Path(cache, "mekiki"))
    found = next((path for path in (folder / "bin" / name, folder / name) if path.exists()), None)
    assert found, f"there is no {name} in {folder}: run `make helm-tools`"
    return found


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Helm's answer, whatever it is."""
    command = [str(tool("helm")), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def rendered(*arguments: str | Path) -> list[dict[str, Any]]:
    """The resources of a release named `shop`; `arguments` are those of `helm template`."""
    return [resource for resource in yaml.safe_load_all(_rendered_text(arguments)) if resource]


@cache
def _rendered_text(arguments: tuple[str | Path, ...]) -> str:
    done = helm("template", "shop", CHART, "--namespace", "market", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(values: dict[str, Any], folder: Path) -> str:
    """What Helm says when it refuses `values`."""
    file = folder / "values.yaml"
    file.write_text(json.dumps(values), encoding="utf-8")
    done = helm("template", "shop", CHART, "--values", file)
    assert done.returncode != 0, "Helm accepts this"
    return done.stderr


def of_kind(resources: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    """The resources of one kind, by name."""
    return {each["metadata"]["name"]: each for each in resources if each["kind"] == kind}


def pod_specs(resources: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The spec of every pod that the resources make, by kind and name."""
    specs = {}
    for each in resources:
        spec = each["spec"] if each["kind"] == "Pod" else each.get("spec", {}).get("template", {}).get("spec")
        if spec:
            specs[f"{each['kind']} {each['metadata']['name']}"] = spec
    return specs
