"""The manual's promises: all of them are there, and every test that they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROWS = re.findall(
    r"^\| (G\d+) \| (.+?) \| (.+) \|$",
    (ROOT / "amqpd" / "docs" / "guarantees.md").read_text(),
    re.MULTILINE,
)


def test_every_guarantee_is_in_the_manual() -> None:
    assert [name for name, _, _ in ROWS] == [f"G{number}" for number in range(1, 15)]


@pytest.mark.parametrize(("name", "promise", "tests"), ROWS)
def test_every_guarantee_has_its_tests(name: str, promise: str, tests: str) -> None:
    assert promise.startswith("**")
    named = re.findall(r"`([^`]+)`", tests)
    assert named, name
    for one in named:
        path, _, function = one.partition("::")
        text = (ROOT / path).read_text()
        assert not function or f"def {function}(" in text, one
