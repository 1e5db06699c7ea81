"""What the comparison of answers over HTTP calls a difference."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

FOLDER = Path(__file__).resolve().parents[2] / "interop" / "management"
CALL = "GET /x"


def loaded(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"management_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return loaded("judge", monkeypatch)


@pytest.fixture
def shape(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return loaded("shape", monkeypatch)


def test_elements_are_named_by_what_tells_them_apart(shape: ModuleType) -> None:
    body = [{"vhost": "/", "name": "a", "messages": 3}, {"vhost": "/", "name": "b"}]

    facts = shape.facts(200, {"content-type": "application/json"}, body)

    assert facts["HTTP"] == "200"
    assert facts["[vhost=/ name=a].messages"] == "integer 3"
    assert facts["[vhost=/ name=b].name"] == "string 'b'"


def test_of_what_moves_only_the_type_is_told(shape: ModuleType) -> None:
    facts = shape.facts(200, {}, {"publish_details": {"rate": 1.5}, "memory": 7})

    assert facts["publish_details.rate"] == "number"
    assert facts["memory"] == "integer"


def test_a_difference_is_told_once_and_outermost(judge: ModuleType) -> None:
    theirs = {"HTTP": "200", "": "object", "a": "object", "a.b": "integer 1"}
    ours = {"HTTP": "200", "": "object"}

    verdict = judge.compare({CALL: theirs}, {CALL: ours}, [])

    assert [(one.place, one.rabbitmq, one.amqpd) for one in verdict.unexpected] == [
        ("a", "object", "-")
    ]
    assert verdict.failures == 1


def test_listed_differences_pass_and_those_that_are_gone_do_not(judge: ModuleType) -> None:
    known = [
        judge.Difference("ours says more", "[*].b", amqpd="integer *"),
        judge.Difference("long gone", "c"),
    ]
    theirs = {"HTTP": "200", "": "list", "[name=x]": "object"}

    verdict = judge.compare({CALL: theirs}, {CALL: {**theirs, "[name=x].b": "integer 2"}}, known)

    assert verdict.unexpected == []
    assert verdict.stale == ["c: long gone"]


def test_calls_made_at_one_side_only_fail(judge: ModuleType) -> None:
    assert judge.compare({CALL: {}}, {}, []).missing == [CALL]
