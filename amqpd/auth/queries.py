"""RabbitMQ's queries of LDAP directories: who may do what, as Erlang terms.

    parse(text) -> Query                    ValueError: what is wrong
    evaluate(query, variables, directory) -> bool

Known are `constant`, `for`, `exists`, `in_group`, `in_group_nested`, `not`, `and`, `or`,
`equals`, `match`, and within the last two `string` and `attribute`. `${username}`, `${user_dn}`,
`${vhost}`, `${resource}`, `${name}`, `${permission}`, `${routing_key}`, `${ad_domain}` and
`${ad_user}` are put in, escaped for where they stand: a name is never more than a name, neither
in a distinguished name nor in a pattern.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from amqpd.broker.pattern import compile_pattern, escape
from amqpd.broker.types.erlang import Atom, Term, read
from amqpd.broker.types.selector import SelectorError
from amqpd.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Query: TypeAlias = Term
Variables: TypeAlias = "Mapping[str, str]"

_VARIABLE: Final = re.compile(r"\$\{([a-z_.]+)\}")
_SPECIAL_IN_DN: Final = re.compile(r'[\x00-\x1f\x7f,+"\\<>;=#]|^ | $')
#: Groups in groups are followed no deeper.
MAX_NESTING: Final = 32


class Directory(Protocol):
    """What queries ask of a directory. Exceptions mean that it could not be asked."""

    def exists(self, dn: str) -> bool:
        """Whether there is such an entry."""

    def has_value(self, dn: str, attribute: str, value: str) -> bool:
        """Whether an attribute of an entry has this value."""

    def values(self, dn: str, attribute: str) -> list[str]:
        """All values of an attribute of an entry."""

    def groups_of(self, attribute: str, member: str, *, deep: bool) -> list[str]:
        """The entries whose attribute names the member."""


def parse(text: str) -> Query:
    """Read a query and see that it is one.

    Raises:
        ValueError: it is not.
    """
    try:
        query = read(text)
    except SelectorError as error:
        raise ValueError(str(error)) from error
    _check(query)
    return query


def _check(query: Query) -> None:
    """Every part must be known: a query that is wrong must not wait until somebody asks."""
    match query:
        case (Atom("constant"), Atom("true" | "false")):
            return
        case (Atom("for"), [*branches]):
            for branch in branches:
                match branch:
                    case (Atom(), Atom() | str(), inner):
                        _check(inner)
                    case _:
                        raise ValueError(f"not a branch of a 'for' query: {branch!r}")
        case (
            (Atom("exists"), str())
            | (Atom("in_group"), str())
            | (Atom("in_group"), str(), str())
            | (Atom("in_group_nested"), str())
            | (Atom("in_group_nested"), str(), str())
            | (Atom("in_group_nested"), str(), str(), Atom())
        ):
            return
        case (Atom("not"), inner):
            _check(inner)
        case (Atom("and" | "or"), [*parts]):
            for part in parts:
                _check(part)
        case (Atom("equals" | "match"), left, right):
            _check_text(left)
            _check_text(right)
        case _:
            raise ValueError(f"not a query: {query!r}")


def _check_text(query: Query) -> None:
    match query:
        case str() | (Atom("string"), str()) | (Atom("attribute"), str(), str()):
            return
        case _:
            raise ValueError(f"not a text, nor where to find one: {query!r}")


def evaluate(query: Query, variables: Variables, directory: Directory) -> bool:
    """What a query that was checked says about these variables."""

    def dn(pattern: str) -> str:
        return fill(pattern, variables, escape_dn)

    match query:
        case (Atom("constant"), Atom(value)):
            return value == "true"
        case (Atom("for"), [*branches]):
            return _for(branches, variables, directory)
        case (Atom("exists"), str(pattern)):
            return directory.exists(dn(pattern))
        case (Atom("in_group"), str(pattern), *more):
            attribute = more[0] if more and isinstance(more[0], str) else "member"
            return directory.has_value(dn(pattern), attribute, variables["user_dn"])
        case (Atom("in_group_nested"), str(pattern), *more):
            return _in_group_nested(dn(pattern), more, variables, directory)
        case (Atom("not"), inner):
            return not evaluate(inner, variables, directory)
        case (Atom("and"), [*parts]):
            return all(evaluate(part, variables, directory) for part in parts)
        case (Atom("or"), [*parts]):
            return any(evaluate(part, variables, directory) for part in parts)
        case (Atom("equals"), left, right):
            found = _texts(left, variables, directory)
            return any(one in found for one in _texts(right, variables, directory))
        case (Atom("match"), left, right):
            return _match(left, right, variables, directory)
        case _:
            raise AssertionError(f"a query that was not checked: {query!r}")


def _for(branches: list[Term], variables: Variables, directory: Directory) -> bool:
    """The first branch whose variable has its value decides; none means no."""
    for branch in branches:
        assert isinstance(branch, tuple)
        variable, wanted, inner = branch
        assert isinstance(variable, Atom)
        value = wanted.name if isinstance(wanted, Atom) else wanted
        if variables.get(variable.name) == value:
            return evaluate(inner, variables, directory)
    return False


def _in_group_nested(
    group: str, more: list[Term], variables: Variables, directory: Directory
) -> bool:
    attribute = more[0] if more and isinstance(more[0], str) else "member"
    deep = not (len(more) > 1 and more[1] != Atom("subtree"))
    seen = {variables["user_dn"].lower()}
    members = [variables["user_dn"]]
    for _ in range(MAX_NESTING):
        groups: list[str] = []
        for member in members:
            groups += directory.groups_of(attribute, member, deep=deep)
        # Each once, however many ways lead to it: else there are more of them with every level.
        members = [one for one in dict.fromkeys(groups) if one.lower() not in seen]
        seen |= {one.lower() for one in members}
        if group.lower() in seen - {variables["user_dn"].lower()}:
            return True
        if not members:
            return False
    return False


def _match(left: Query, right: Query, variables: Variables, directory: Directory) -> bool:
    subjects = _texts(left, variables, directory)
    if isinstance(right, tuple) and right[0] == Atom("attribute"):
        patterns = _texts(right, variables, directory)
    else:
        text = right if isinstance(right, str) else right[1]  # type: ignore[index]  # was checked
        assert isinstance(text, str)
        # What is put into a pattern stands for itself.
        patterns = [fill(text, variables, escape)]
    return any(_matches(pattern, subject) for pattern in patterns for subject in subjects)


def _matches(pattern: str, subject: str) -> bool:
    try:
        return compile_pattern(pattern).matches(subject)
    except PreconditionFailed:
        return False


def _texts(query: Query, variables: Variables, directory: Directory) -> list[str]:
    match query:
        case (Atom("attribute"), str(pattern), str(attribute)):
            return directory.values(fill(pattern, variables, escape_dn), attribute)
        case (Atom("string"), str(pattern)) | str(pattern):
            return [fill(pattern, variables, str)]
        case _:
            raise AssertionError(f"a query that was not checked: {query!r}")


def fill(pattern: str, variables: Variables, escaped: Callable[[str], str]) -> str:
    """Put variables into a pattern, in one pass: what is put in is not looked at again."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in variables:
            return found[0]
        # A DN is put into a DN as it is.
        return variables[name] if name == "user_dn" else escaped(variables[name])

    return _VARIABLE.sub(value, pattern)


def escape_dn(text: str) -> str:
    """A text as a value in a distinguished name (RFC 4514)."""

    def hexed(found: re.Match[str]) -> str:
        return "".join(f"\\{octet:02x}" for octet in found[0].encode())

    return _SPECIAL_IN_DN.sub(hexed, text)


def active_directory(username: str) -> dict[str, str]:
    """The parts of `DOMAIN\\user`, for those who log in like that."""
    domain, backslash, user = username.partition("\\")
    if not backslash or not domain or not user or "\\" in user:
        return {}
    return {"ad_domain": domain, "ad_user": user}
