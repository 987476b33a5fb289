"""Which package may import which, and what serving brings into a process: none of training."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

_TRAINING = ("torch", "torchvision", "export", "sklearn", "pandas", "matplotlib", "onnxscript")


def modules_after(statement: str) -> set[str]:
    """The names of the top-level packages in a fresh interpreter after `statement`."""
    tell = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\n{tell}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("module", ["worker", "worker.cli", "worker.compose"])
def test_serving_brings_in_nothing_of_training(module: str) -> None:
    loaded = modules_after(f"import {module}")
    assert "worker" in loaded
    assert loaded.isdisjoint(_TRAINING), loaded & set(_TRAINING)


def test_every_module_of_worker_and_schemas_imports_without_training() -> None:
    walk = (
        "import pkgutil, importlib, worker, schemas\n"
        "for package in (worker, schemas):\n"
        "    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not found.name.endswith('__main__'): importlib.import_module(found.name)"
    )
    loaded = modules_after(walk)
    assert {"worker", "schemas", "onnxruntime"} <= loaded
    assert loaded.isdisjoint(_TRAINING), loaded & set(_TRAINING)


# What a dependency of ours is made of, and shows.
_PART_OF_ANOTHER = {
    "starlette": "fastapi",
    "anyio": "fastapi",
    "markupsafe": "jinja2",
    "google": "onnx",
    "grpc": "opentelemetry-exporter-otlp-proto-grpc",
    "httpx2": "confluent-kafka[schemaregistry]",
}


def test_what_is_imported_is_named_among_the_dependencies() -> None:
    """What is there only because something else needs it goes when that does."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    named = {_distribution(each) for one in lists for each in one}
    of = {name: set(map(_distribution, found)) for name, found in packages_distributions().items()}
    used = {(module, name.partition(".")[0]) for module, tree in _modules() for name in _imported(tree)}
    nameless = {(module, name) for module, name in used if not (named | {"mekiki"}) & of.get(name, named)}
    assert not {(module, name) for module, name in nameless if name not in _PART_OF_ANOTHER}


def _distribution(requirement: str) -> str:
    """Its name as PyPI compares it: `prometheus-client` of `Prometheus_Client>=0.26`."""
    name = re.match(r"[\w.-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()


# Which package may import which. The longest name that fits a module decides; a package may import itself.
# From below upwards: what stands later may know what stands before it, never the other way round.
_SHARED = (
    "schemas",
    *(
        f"worker.{name}"
        for name in (
            "errors",
            "settings",
            "metrics",
            "health",
            "http",
            "log",
            "role_names",
            "shown",
            "watchdog",
            "shortage",
            "cores",
            "crowd",
            "search_key",
        )
    ),
)
_ROOMS = (*_SHARED, "worker.stream", "worker.fetch", "worker.model")
_UNDER_BACKENDS = (
    *_SHARED,
    *(
        f"worker.index.{name}"
        for name in ("attributes", "backend", "candidates", "neighbour", "owner", "tail")
    ),
)
_ALLOWED: dict[str, tuple[str, ...]] = {
    "schemas": (),
    **dict.fromkeys(_SHARED[1:], _SHARED),
    "worker.stream": _SHARED,
    "worker.fetch": _SHARED,
    "worker.model": _SHARED,
    "worker.score": _ROOMS,
    "worker.index": _ROOMS,
    # The loop, the acknowledgements and the search API see a backend; composition alone sees which.
    "worker.index.ngt": _UNDER_BACKENDS,
    "worker.index.vald": _UNDER_BACKENDS,
    # Commands on a directory that no role owns: on NGT's own files.
    "worker.index.offline": (*_SHARED, "worker.index", "worker.index.ngt"),
    "worker.index.compose": (*_ROOMS, "worker.index", "worker.index.ngt", "worker.index.vald"),
    "worker.demo": _ROOMS,
    "worker.duplicates": (*_SHARED, "worker.model"),
    "worker.review": (*_ROOMS, "worker.score"),
    "worker.labels": (*_ROOMS, "worker.score", "worker.review"),
    "worker.policy": (*_ROOMS, "worker.score", "worker.review"),
    "worker.webhooks": _ROOMS,
    "worker.reembed": (*_ROOMS, "worker.score", "worker.review"),
    "worker.shadow": (*_ROOMS, "worker.score", "worker.review"),
    # The commands, and what they are composed of.
    "worker": ("schemas", "worker", "console"),
    "export": ("schemas", "worker.model", "worker.errors", "worker.settings", "worker.duplicates"),
    "console": _ROOMS,
}
# Packages of their own, which the package around them may not import as if they were its own.
_APART = ("worker.index.ngt", "worker.index.vald")

_ROOTS = ("schemas", "worker", "export", "console")

# Imports that break the table, each with the reason why it is still there. To be emptied.
_BROKEN: dict[tuple[str, str], str] = {}


def _within(name: str, packages: Iterable[str]) -> list[str]:
    return [package for package in packages if f"{name}.".startswith(f"{package}.")]


def _package_of(module: str) -> str:
    """The entry of the table that speaks of `module`."""
    return max(_within(module, _ALLOWED), key=len)


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for root in _ROOTS:
        for path in sorted(Path(root).rglob("*.py")):
            parts = path.with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def _imported(tree: ast.Module) -> Iterator[str]:
    """What a module imports anywhere in it: modules, and names of modules that may be modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _may_import(module: str, other: str) -> bool:
    package = _package_of(module)
    apart = _within(other, _APART)
    if apart and not _within(module, _APART):
        return any(name in _ALLOWED[package] for name in apart)
    return bool(_within(other, (package, *_ALLOWED[package])))


def test_each_package_imports_what_lies_below_it_alone() -> None:
    broken = {
        (module, other)
        for module, tree in _modules()
        for other in _imported(tree)
        if other.partition(".")[0] in _ROOTS and not _may_import(module, other)
    }
    assert broken == set(_BROKEN)


def test_no_module_of_worker_or_schemas_names_what_training_needs() -> None:
    named = {
        (module, other)
        for module, tree in _modules()
        for other in _imported(tree)
        if not module.startswith("export") and other.partition(".")[0] in _TRAINING
    }
    assert not named


@pytest.mark.parametrize(
    ("module", "other", "allowed"),
    [
        ("worker.stream.guard", "worker.metrics.Metrics", True),
        ("worker.stream.guard", "worker.fetch.fetch", False),
        ("worker.model.embed", "worker.model.decode.decode", True),
        ("worker.model.embed", "worker.score.role", False),
        ("worker.index.role", "worker.index.backend.IndexBackend", True),
        ("worker.index.role", "worker.index.ngt.live.LiveIndex", False),
        ("worker.index.role", "worker.score.role", False),
        ("worker.index.ngt.live", "worker.index.tail.Tail", True),
        ("worker.index.ngt.live", "worker.index.neighbour.nearest", True),
        ("worker.index.ngt.live", "worker.index.role", False),
        ("worker.index.ngt.live", "worker.index.vald.layers.Layers", False),
        ("worker.index.vald.layers", "worker.index.tail.Tail", True),
        ("worker.index.vald.index", "worker.index.ngt.live.LiveIndex", False),
        ("worker.index.compose", "worker.index.ngt.index.open_ngt_index", True),
        ("worker.errors", "worker.compose", False),
        ("worker.score.role", "worker.compose", False),
        ("worker.compose", "worker.index.compose.build_index_role", True),
        ("worker.compose", "worker.index.ngt.index", False),
        ("worker.cli", "export.cli", False),
        ("export.pixels", "worker.model.decode.decode", True),
        ("export.pixels", "worker.score.role", False),
        ("schemas.events", "worker.errors", False),
        ("console.pages", "worker.model.thumbnail.thumbnail", True),
        ("console.pages", "worker.score.parse", False),
        ("worker.run_console", "console.pages.Parts", True),
        ("worker.score.role", "console.pages.Parts", False),
    ],
)
def test_the_table_means_what_it_says(module: str, other: str, allowed: bool) -> None:
    assert _may_import(module, other) == allowed
