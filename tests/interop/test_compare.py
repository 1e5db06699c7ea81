"""What the differential test calls a difference."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

FILE = Path(__file__).resolve().parents[2] / "interop" / "differential" / "compare.py"

KNOWN = """
[[difference]]
scenario = "one*"
reason = "wanted"
rabbitmq = ["* code=503 *"]
amqpd = ["* code=406 [x] *"]

[[wording]]
side = "rabbitmq"
pattern = "old (words)"
replacement = '\\1'
reason = "said otherwise"
"""


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("differential_compare", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def known(compare: ModuleType, tmp_path: Path) -> object:
    file = tmp_path / "differences.toml"
    file.write_text(KNOWN, encoding="utf-8")
    return compare.read_known(file)


def test_a_listed_difference_and_a_wording_are_no_failures(
    compare: ModuleType, known: object
) -> None:
    reference = {"one": ["> a", "< code=503 b", "< old words"]}
    tested = {"one": ["> a", "< code=406 [x] b", "< words"]}

    verdict = compare.compare(reference, tested, known)

    assert (verdict.passed, verdict.failures) == (1, 0)
    assert [entry.reason for _, _, entry in verdict.wanted] == ["wanted"]


def test_everything_else_is_one(compare: ModuleType, known: object) -> None:
    reference = {"one": ["< code=503 b", "< old words"], "two": ["< code=503 b"]}
    tested = {"one": ["< code=406 [y] b", "< words"], "two": ["< code=406 [x] b"]}

    verdict = compare.compare(reference, tested, known)

    assert list(verdict.unexpected) == ["one", "two"]
    assert "  rmq  < code=503 b" in compare.report(verdict, wanted_too=False)


def test_what_is_listed_and_not_seen_is_one_too(compare: ModuleType, known: object) -> None:
    said = {"one": ["> a"]}

    assert compare.compare(said, said, known).stale == [
        "one*: wanted",
        "old (words): said otherwise",
    ]


def test_wordings_are_missed_only_where_everything_was_asked(
    compare: ModuleType, known: object
) -> None:
    said = {"two": ["> a"]}

    assert compare.compare(said, said, known, whole=False).stale == []


def test_a_scenario_without_a_reference_is_one(compare: ModuleType, known: object) -> None:
    verdict = compare.compare({}, {"new": []}, known, whole=False)

    assert verdict.missing == ["new"]
    assert verdict.failures == 1


def test_transcripts_come_back_as_they_were_kept(compare: ModuleType, tmp_path: Path) -> None:
    said = {"one": ["> ü", "< \\xff"]}

    compare.write_transcripts(tmp_path / "said.json", said)

    assert compare.read_transcripts(tmp_path / "said.json") == said
