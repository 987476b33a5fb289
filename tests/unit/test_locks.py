"""What the images install: pinned as everywhere else, each file by its digest, and from no host."""

import re
import tomllib
from pathlib import Path

import pytest

LOCKS = sorted(Path("locks").glob("*.txt"))
_PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)(?:\[[a-z0-9,-]+\])?==(\S+)(?: ; (.+?))? \\$")
_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")
# What constraints.txt does not hold: it is of the CPU, and of other environments than the build's.
_ELSEWHERE = re.compile(r"onnxruntime-gpu|nvidia-.*|hatchling|pathspec|pluggy|trove-classifiers")


def pins(path: Path) -> set[tuple[str, str, str]]:
    """Name, version and marker of each."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {found.group(1, 2, 3) for line in lines if (found := _PIN.match(line))}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~ ;]", requirement, maxsplit=1)[0].lower() for requirement in requirements}


def test_there_is_one_for_each_image_and_one_to_build_with():
    assert [path.stem for path in LOCKS] == ["build", "cpu", "cuda"]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_each_line_is_a_pin_or_a_digest(path):
    before = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        assert _PIN.match(line) or _HASH.match(line), line
        assert not (_PIN.match(line) and _PIN.match(before)), f"{before} has no digest"
        before = line


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_the_versions_are_those_of_the_constraints(path):
    text = Path("constraints.txt").read_text(encoding="utf-8")
    known = dict.fromkeys(re.findall(r"^(\S+?)==(\S+)", text, re.MULTILINE))
    others = {(name, version) for name, version, _ in pins(path) if not _ELSEWHERE.fullmatch(name)}
    assert others <= set(known), "run `make lock-hashes`"


def test_what_the_program_needs_is_in_both_images():
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    asked = re.search(r"^IMAGE_EXTRAS := (.+)$", Path("Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    extras = project["project"]["optional-dependencies"]
    needed = names(project["project"]["dependencies"])
    for extra in asked[1].split():
        needed |= names(extras[extra])
    for image, own in (("cpu", names(extras["cpu"])), ("cuda", {"onnxruntime-gpu", "xgboost-cpu"})):
        held = {name for name, _, _ in pins(Path("locks", f"{image}.txt"))}
        assert needed | own <= held, "run `make lock-hashes`"
    assert names(project["build-system"]["requires"]) <= {
        name for name, _, _ in pins(Path("locks/build.txt"))
    }
