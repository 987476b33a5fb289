"""Have a real API server say what it thinks of every variant of the chart; nothing is made.

`KUBECONFIG=... python helm/tools/dry_run.py`, with kubectl and Helm on the path. The server needs the CRDs of
KEDA and of the Prometheus operator. Ends with 1 where it refuses something.
"""

import json
import subprocess
import sys
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "helm" / "mekiki"
NAMESPACE = "mekiki-dry-run"

# Beside the values of the tests: where the models may come from, and what can be left out.
FLAGS = {
    "bundle of a store": ["--set", "bundle.url=s3://models/shop,bundle.sha256=ab12"],
    "bundle of an image": ["--set", "bundle.image=registry.example/bundles/shop:1"],
    "bundle of a claim": ["--set", "bundle.existingClaim=models,bundle.subPath=shop"],
    "score alone": ["--set", "index.enabled=false"],
    "index alone": ["--set", "score.enabled=false"],
    "console on a volume": ["--set", "console.enabled=true,console.tokens.secret=people"],
    "nothing around": [
        "--set",
        "topics.create=false,networkPolicy.enabled=false,podDisruptionBudget.enabled=false,"
        "serviceAccount.create=false",
    ],
}


def run(*command: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """What a command says, whatever it is."""
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=120, check=False)


def variants() -> dict[str, list[str]]:
    """Flags of Helm for each variant."""
    values = sorted((REPOSITORY / "tests" / "helm" / "values").glob("*.yaml"))
    return {file.stem: ["--values", str(file)] for file in values} | FLAGS


def rendered(flags: list[str]) -> list[dict[str, object]]:
    """The objects of a variant, those of hooks and tests among them."""
    done = run("helm", "template", "shop", str(CHART), "--namespace", NAMESPACE, *flags)
    if done.returncode:
        sys.exit(done.stderr)
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def refusals(objects: list[dict[str, object]]) -> list[str]:
    """What the server says against each object, with fields that it does not know."""
    found = []
    for each in objects:
        done = run(
            *("kubectl", "--namespace", NAMESPACE, "apply", "--server-side", "--dry-run=server"),
            *("--validate=strict", "-f", "-"),
            given=json.dumps(each),
        )
        said = [line for line in done.stderr.splitlines() if "WARNING: version difference" not in line]
        if done.returncode or said:
            found.append(f"{each['kind']}: {' '.join(said)}")
    return found


def tell(*lines: str) -> None:
    """Write a line, and those that belong to it."""
    sys.stdout.write("\n  ".join(lines) + "\n")


def main() -> int:
    """Ask for each variant; the number of those that were refused."""
    run("kubectl", "create", "namespace", NAMESPACE)
    strict = [f"pod-security.kubernetes.io/{each}=restricted" for each in ("enforce", "warn")]
    run("kubectl", "label", "--overwrite", "namespace", NAMESPACE, *strict)
    refused = total = 0
    for name, flags in variants().items():
        objects = rendered(flags)
        against = refusals(objects)
        whole = run(
            *("helm", "install", "shop", str(CHART), "--namespace", NAMESPACE, "--dry-run=server"), *flags
        )
        if whole.returncode:
            against.append(f"helm install: {whole.stderr.strip()}")
        total += len(objects)
        refused += bool(against)
        tell(f"{name}: {len(objects)} objects, {len(against)} refused", *against)
    tell(f"{len(variants())} variants, {total} objects, {refused} variants refused in part")
    return min(refused, 1)


if __name__ == "__main__":
    sys.exit(main())
