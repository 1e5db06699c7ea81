"""The table of `amqpd/docs/security.md`: every row is there, and every test that it names."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TABLE = (ROOT / "amqpd" / "docs" / "security.md").read_text()
ROWS = re.findall(r"^\| (\d+) \| [^|]+ \| (.+) \|$", TABLE, re.MULTILINE)
#: The classes of flaws that there are.
CLASSES = 43


@cache
def defined_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )


def test_every_class_has_its_row() -> None:
    assert [int(number) for number, _ in ROWS] == list(range(1, CLASSES + 1))


@pytest.mark.parametrize(("number", "named"), ROWS, ids=[number for number, _ in ROWS])
def test_the_tests_of_a_row_are_there(number: str, named: str) -> None:
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", named)

    assert len(tests) == named.count("`") // 2 > 0
    for path, name in tests:
        assert name in defined_in(path), f"row {number}: {path}::{name}"


def test_every_numbered_test_is_in_its_row() -> None:
    rows = dict(ROWS)
    for path in ROOT.glob("tests/**/test_*.py"):
        for name in defined_in(str(path.relative_to(ROOT))):
            numbered = re.match(r"test_(\d\d)_", name)
            if numbered and path.name in ("test_checklist.py", "test_banned.py"):
                assert str(int(numbered[1])) in rows, name
