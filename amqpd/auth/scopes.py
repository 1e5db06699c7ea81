"""Scopes of tokens as rights: `read:vhost/name/routing key`, as RabbitMQ understands them.

    normalized(claims, rules) -> tuple[str, ...]     all scopes of a token, without the prefix
    tags(scopes) -> frozenset[str]                   of `tag:administrator`
    ScopeAuthority(scopes, claims).rights(vhost)     what the others allow

A scope is a right (`configure`, `write` or `read`) and a pattern of vhost and name, with a
third part for routing keys of topic exchanges. In each part `*` stands for anything, also in
the middle; everything else is percent-encoded, `%2F` for a slash. `{vhost}` and `{claim}`
stand for the vhost and for claims of the token. Who has a scope of a vhost may enter it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from amqpd.broker.access import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from amqpd.broker.access import Question, Right

#: A token with more is refused.
MOST_SCOPES: Final = 500
TAG: Final = "tag:"
#: The place of scopes in Keycloak's requesting party tokens.
PARTY_SCOPES: Final = "authorization.permissions.scopes"
_RIGHTS: Final[tuple[Right, ...]] = ("configure", "write", "read")
_VARIABLE: Final = re.compile(r"\{([^{}]*)\}")


class TooManyScopes(Exception):
    """More scopes than any honest token has."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How the scopes of a token are found."""

    resource_server_id: str = ""
    prefix: str = ""
    aliases: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    additional: str = ""


def normalized(claims: Mapping[str, object], rules: Rules) -> tuple[str, ...]:
    """All scopes that a token has for this broker, aliases followed, without their prefix.

    Raises:
        TooManyScopes: a flood of them.
    """
    scopes = dict.fromkeys(_listed(claims.get("scope"), rules.resource_server_id))
    for path in (PARTY_SCOPES, *rules.additional.split()):
        for value in _at(claims, path.split(".")):
            scopes |= dict.fromkeys(_listed(value, rules.resource_server_id))
    for scope in tuple(scopes):
        alias = rules.aliases.get(scope, ())
        scopes |= dict.fromkeys((alias,) if isinstance(alias, str) else alias)
    prefix = rules.prefix
    found = tuple(one.removeprefix(prefix) for one in scopes if one.startswith(prefix))
    if len(found) > MOST_SCOPES:
        raise TooManyScopes(f"{len(found)} scopes")
    return found


def _listed(value: object, resource_server_id: str) -> Iterator[str]:
    """The scopes in a claim: a list, words, or either of them under the server's name."""
    if isinstance(value, str):
        yield from value.split()
    elif isinstance(value, list):
        yield from (one for one in value if isinstance(one, str))
    elif isinstance(value, dict):
        for one in _listed(value.get(resource_server_id), ""):
            yield f"{resource_server_id}.{one}"


def _at(value: object, path: list[str]) -> Iterator[object]:
    """What is found by following a path of keys, through lists as well."""
    if isinstance(value, list):
        for one in value:
            yield from _at(one, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        inner = value[path[0]]
        if len(path) == 1:
            yield inner
        else:
            yield from _at(inner, path[1:])


def tags(scopes: Iterable[str]) -> frozenset[str]:
    """The tags that a user has by its scopes."""
    return frozenset(one.removeprefix(TAG) for one in scopes if one.startswith(TAG))


class _Scope(NamedTuple):
    """A right on what matches; a part is octets between stars."""

    right: str
    vhost: list[bytes]
    name: list[bytes]
    key: list[bytes] | None


def _parsed(scopes: Iterable[str]) -> Iterator[_Scope]:
    for scope in scopes:
        right, _, pattern = scope.partition(":")
        parts = [_parts(one) for one in pattern.split("/")]
        if right in _RIGHTS and len(parts) in (2, 3):
            yield _Scope(right, parts[0], parts[1], parts[2] if len(parts) == 3 else None)


def _parts(pattern: str) -> list[bytes]:
    return [unquote_to_bytes(part.replace("+", " ")) for part in pattern.split("*")]


def _matches(subject: str, parts: list[bytes]) -> bool:
    """Whether the subject is the parts with anything between them. Linear: no way back."""
    octets = subject.encode()
    first, *middle = parts
    if not middle:
        return octets == first
    if not octets.startswith(first):
        return False
    at, last = len(first), middle.pop()
    for part in middle:
        found = octets.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(octets) - len(last) >= at and octets.endswith(last)


class ScopeAuthority:
    """Decides by the scopes of one token."""

    def __init__(self, scopes: Iterable[str], claims: Mapping[str, object]) -> None:
        self._scopes = tuple(scopes)
        self._claims = {key: value for key, value in claims.items() if isinstance(value, str)}

    def rights(self, vhost: str) -> ScopeRights:
        """What the token allows there."""

        def put_in(found: re.Match[str]) -> str:
            name = found.group(1)
            # Encoded: a star or a slash in a user's name must not become part of a pattern.
            return quote(vhost if name == "vhost" else self._claims.get(name, name), safe="")

        return ScopeRights(vhost, (_VARIABLE.sub(put_in, one) for one in self._scopes))


class ScopeRights:
    """What a token allows in one vhost."""

    revision = 0

    def __init__(self, vhost: str, scopes: Iterable[str]) -> None:
        self._scopes = [one for one in _parsed(scopes) if _matches(vhost, one.vhost)]

    def verdict(self, question: Question) -> Verdict:
        """As the scopes have it."""
        if question.kind == "vhost":
            return Verdict.YES if self._scopes else Verdict.NO
        allowed = any(self._allows(one, question) for one in self._scopes)
        return Verdict.YES if allowed else Verdict.NO

    def _allows(self, scope: _Scope, question: Question) -> bool:
        if scope.right != question.right or not _matches(question.name, scope.name):
            return False
        if question.kind != "topic":
            return True
        return scope.key is not None and _matches(question.routing_key, scope.key)

    def find_out(self, question: Question, done: Callable[[], None]) -> None:
        """There is nothing to find out: the token says it all."""
        done()
