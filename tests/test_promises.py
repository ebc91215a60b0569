"""Promises in the documentation: each names tests, and these exist."""

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PAGE = (REPOSITORY / "docs" / "promises.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/\w+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_test_that_is_named_exists(file, test):
    functions = [node for node in ast.walk(ast.parse((REPOSITORY / file).read_text())) if hasattr(node, "name")]
    assert test in [function.name for function in functions]


def test_each_promise_has_a_test():
    tables = re.findall(r"\| promise \| test \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE)
    rows = [row for table in tables for row in table.splitlines()]
    assert len(rows) > 20
    assert not [row for row in rows if "`tests/" not in row.split(" | ")[-1]]


def test_the_readme_leads_to_the_page():
    assert "(docs/promises.md)" in (REPOSITORY / "README.md").read_text()
