"""Generated documentation is that of the code."""

import ast
import re

from docs.generate import CONFIGURATION_FILE, configuration

REPOSITORY = CONFIGURATION_FILE.parents[1]


def test_the_configuration_reference_is_that_of_the_settings():
    assert CONFIGURATION_FILE.read_text(encoding="utf-8") == configuration(), "run `make docs`"


def test_the_tests_that_hold_what_people_met_are_there():
    rows = [row for row in (REPOSITORY / "docs" / "cases.md").read_text().splitlines() if row[2:3].isdigit()]
    assert len(rows) == 32
    named = [re.findall(r"`([\w/]+\.py)::(\w+)`", row) for row in rows]
    assert all(named), "each row names a test"
    for file, name in {each for row in named for each in row}:
        tree = ast.parse((REPOSITORY / "tests" / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (file, name)
