"""Values as `rabbitmqctl` prints them: Erlang terms in text, plain JSON elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: JSON as it came.
Json = Any


def cell(value: Json) -> str:
    """A value in a column: texts bare and on one line, lists and tables as terms."""
    if isinstance(value, str):
        return value.translate(_ONE_LINE)
    if value is None:
        return ""
    return term(value, quoted=False)


def term(value: Json, *, quoted: bool = True) -> str:
    """A value as an Erlang term."""
    match value:
        case bool():
            return "true" if value else "false"
        case None:
            return "undefined"
        case str():
            return '"' + value.translate(_QUOTED) + '"' if quoted else value.translate(_ONE_LINE)
        case dict():
            return _table(value)
        case list() | tuple():
            return _list(value, quoted)
        case _:
            return str(value)


def erlang(value: Json) -> str:
    """A value as Erlang's shell would print it: texts are binaries."""
    match value:
        case str():
            return '<<"' + value.translate(_QUOTED) + '">>'
        case dict():
            pairs = (f"{{{erlang(str(name))},{erlang(one)}}}" for name, one in value.items())
            return f"[{','.join(pairs)}]"
        case list() | tuple():
            return f"[{','.join(map(erlang, value))}]"
        case _:
            return term(value)


def _table(value: Mapping[str, Json]) -> str:
    pairs = (f"{{{term(str(name))},{term(one)}}}" for name, one in value.items())
    return f"[{','.join(pairs)}]"


def _list(value: Sequence[Json], quoted: bool) -> str:
    return f"[{', '.join(term(one, quoted=quoted) for one in value)}]"


_ONE_LINE = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r"})
_QUOTED = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r", '"': '\\"', "\\": "\\\\"})
