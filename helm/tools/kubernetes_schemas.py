"""Turn the schemas in the PyPI package kubernetes-validate into a tree that kubeconform reads offline.

Usage: kubernetes_schemas.py KUBERNETES_VERSION DIR
"""

import json
import sys
from pathlib import Path

import kubernetes_validate


def main(version: str, target: Path) -> None:
    """Write `target`/v`version`-standalone and its strict twin."""
    source = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    for suffix in ("", "-strict"):
        folder = target / f"v{version}-standalone{suffix}"
        folder.mkdir(parents=True)
        for file in (source / f"v{version}-local{suffix}").glob("*.json"):
            text = file.read_text(encoding="utf-8")
            schema = json.loads(text.replace('"/api/_definitions.json#', '"_definitions.json#'))
            # kubeconform resolves references against $id, which would send it to the network.
            schema.pop("$id", None)
            (folder / file.name).write_text(json.dumps(schema), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
