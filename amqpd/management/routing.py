"""Routes: which operation answers a path and a method.

Paths are matched as they were sent, quoted, one segment after the other: only then is a
`%2F` part of a name. Fixed words go before variables, and a dead end is gone back from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import unquote

from amqpd.management.request import JSON

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from amqpd.management.access import Needs
    from amqpd.management.call import Call
    from amqpd.management.request import Answer

#: How the exchange without a name is called in paths.
DEFAULT_EXCHANGE: Final = "amq.default"
Answering: TypeAlias = "Callable[[Call], Awaitable[Answer]]"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of a route.

    `takes` is the type of its body, in JSON or as a form; `query` what it reads of the query.
    What is not `audited` sees to that itself, or shows nothing of the broker's own.
    """

    answer: Answering
    needs: Needs
    takes: object | None = None
    query: tuple[str, ...] = ()
    is_form: bool = False
    gives: str = JSON
    #: What it answers beside errors, by status; None: as all of its method do.
    answers: Mapping[str, str] | None = None
    audited: bool = True
    #: Answered after `stop_app`, too.
    while_stopped: bool = False

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        return (self.answer.__doc__ or "").partition("\n")[0].rstrip(".")


@dataclass(frozen=True, slots=True)
class Route:
    """A path with `{variables}`, and what answers its methods."""

    path: str
    methods: Mapping[str, Operation]

    def __init__(self, path: str, **methods: Operation) -> None:
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "methods", methods)

    @property
    def allowed(self) -> str:
        """The methods, as the header Allow lists them."""
        extra = ["HEAD"] if "GET" in self.methods else []
        return ", ".join([*extra, *self.methods, "OPTIONS"])


@dataclass(slots=True)
class _Node:
    fixed: dict[str, _Node] = field(default_factory=dict)
    variable: _Node | None = None
    route: Route | None = None
    names: tuple[str, ...] = ()


class Router:
    """All routes, as a tree of segments."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes: list[Route] = []
        self._root = _Node()
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node, names = self._root, []
        for word in route.path.strip("/").split("/"):
            if word.startswith("{"):
                names.append(word[1:-1])
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.fixed.setdefault(word, _Node())
        assert node.route is None, f"two routes for {route.path}"
        node.route, node.names = route, tuple(names)
        self.routes.append(route)

    def find(self, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route of a quoted path below `/api`, and its variables, unquoted once."""
        for words in _readings(path):
            found = _walk(self._root, words, 0, [])
            if found is not None:
                node, values = found
                assert node.route is not None
                return node.route, dict(zip(node.names, map(unquote, values), strict=True))
        return None


def _readings(path: str) -> Iterator[list[str]]:
    """The segments, and what they were before a proxy made a slash of a vhost's `%2F`."""
    path = path.removeprefix("/")
    words = path.split("/")
    if len(words) > 1 and words[-1] == "":
        yield words[:-1]
    yield words
    if words[0] == "exchanges" and len(words) > 2 and not words[2]:
        # The exchange without a name, as rabbitmqadmin 2 has it.
        yield [*words[:2], DEFAULT_EXCHANGE, *words[3:]]
    if "//" in path:
        mended = path.replace("///", "/%2F/")
        if mended.endswith("//"):
            mended = mended[:-2] + "/%2F"
        yield mended.split("/")


def _walk(
    node: _Node, words: list[str], at: int, values: list[str]
) -> tuple[_Node, list[str]] | None:
    if at == len(words):
        return (node, values) if node.route is not None else None
    word = words[at]
    fixed = node.fixed.get(word)
    if fixed is not None:
        found = _walk(fixed, words, at + 1, values)
        if found is not None:
            return found
    if node.variable is not None and word:
        return _walk(node.variable, words, at + 1, [*values, word])
    return None
