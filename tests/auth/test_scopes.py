"""Scopes: which of a token's are ours, and what they allow."""

from __future__ import annotations

import pytest

from amqpd.auth.scopes import (
    MOST_SCOPES,
    Rules,
    ScopeAuthority,
    TooManyScopes,
    normalized,
    tags,
)
from amqpd.broker.access import Asked, Question, Right, Verdict

RULES = Rules("rabbitmq", "rabbitmq.")


def allows(
    scope: str, right: Right, name: str, *, vhost: str = "v", kind: Asked = "queue", key: str = ""
) -> bool:
    rights = ScopeAuthority([scope], {"sub": "al*ice/x"}).rights(vhost)
    return rights.verdict(Question(right, kind, name, key)) is Verdict.YES


# -- which ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claims",
    [
        {"scope": "rabbitmq.read:*/* other.write:*/*"},
        {"scope": ["rabbitmq.read:*/*", "openid", 7]},
        {"authorization": {"permissions": [{"scopes": ["rabbitmq.read:*/*"]}, {"scopes": 1}]}},
    ],
)
def test_those_with_the_prefix_count_wherever_they_are(claims: dict[str, object]) -> None:
    assert normalized(claims, RULES) == ("read:*/*",)


def test_more_may_be_in_claims_that_the_settings_name() -> None:
    claims = {
        "roles": "rabbitmq.read:*/*",
        "realm": {"access": [{"roles": {"rabbitmq": ["write:*/*"]}}]},
        "scope": "rabbitmq.read:*/*",
    }
    rules = Rules("rabbitmq", "rabbitmq.", additional="roles realm.access.roles nothing.here")

    assert normalized(claims, rules) == ("read:*/*", "write:*/*")


def test_an_alias_stands_for_other_scopes() -> None:
    rules = Rules(
        "rabbitmq",
        "rabbitmq.",
        {"api://admin": ("rabbitmq.tag:administrator", "rabbitmq.read:*/*"), "one": "rabbitmq.x"},
    )

    found = normalized({"scope": "api://admin one"}, rules)

    assert found == ("tag:administrator", "read:*/*", "x")
    assert tags(found) == {"administrator"}


def test_without_a_prefix_all_of_them_count() -> None:
    assert normalized({"scope": "read:*/*"}, Rules()) == ("read:*/*",)


def test_a_flood_of_scopes_is_refused() -> None:
    flood = {"scope": [f"rabbitmq.read:v/{n}" for n in range(MOST_SCOPES + 1)]}

    with pytest.raises(TooManyScopes):
        normalized(flood, RULES)


# -- what ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        ("read:v/q", "q"),
        ("read:*/*", "q"),
        ("read:*/*", ""),
        ("read:v/a*c", "abc"),
        ("read:v/a*c", "ac"),
        ("read:v/a*c", "acc"),
        ("read:v/*a*b*", "xaybz"),
        ("read:v/a%2Fb", "a/b"),
        ("read:v/a%2A", "a*"),
        ("read:v/a+b", "a b"),
        ("read:v/%C3%A9", "é"),
        ("read:{vhost}/q", "q"),
        ("read:v/{sub}", "al*ice/x"),
        ("read:v/{sub}-*", "al*ice/x-1"),
        ("read:v/{unknown}", "unknown"),
        ("read:v/q/key", "q"),
    ],
)
def test_these_allow(scope: str, name: str) -> None:
    assert allows(scope, "read", name)


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        ("write:v/q", "q"),
        ("read:w/q", "q"),
        ("read:v/q", "qq"),
        ("read:v/q", "xq"),
        ("read:v/a*c", "abcd"),
        ("read:v/a*b*c", "acb"),
        ("read:v/ab*ba", "aba"),
        ("read:v/a*b*b", "ab"),
        ("read:v/*ab*ba*", "aba"),
        ("read:v", "v"),
        ("read:v/q/k/x", "q"),
        ("tag:v/q", "q"),
        ("read", "q"),
        ("", "q"),
        ("READ:v/q", "q"),
        ("read:v/{sub}", "alXice/x"),
        ("read:v/{sub}", "al"),
    ],
)
def test_these_do_not(scope: str, name: str) -> None:
    assert not allows(scope, "read", name)


def test_a_topic_needs_a_scope_with_a_routing_key() -> None:
    assert allows("write:v/e/a.*", "write", "e", kind="topic", key="a.b")
    assert not allows("write:v/e/a.*", "write", "e", kind="topic", key="b.a")
    assert not allows("write:v/e", "write", "e", kind="topic", key="a.b")


def test_a_vhost_may_be_entered_by_whoever_has_any_right_there() -> None:
    assert allows("read:v/q", "read", "v", kind="vhost")
    assert not allows("read:w/q", "read", "v", kind="vhost")
    assert not allows("tag:administrator", "read", "v", kind="vhost")


def test_there_is_nobody_to_ask() -> None:
    done: list[bool] = []

    rights = ScopeAuthority([], {}).rights("v")
    rights.find_out(Question("read", "queue", "q"), lambda: done.append(True))

    assert done == [True]
