"""How things are written in the texts that RabbitMQ's clients and users know.

resource(kind, name, vhost) -> "queue 'orders' in vhost '/'"
term(value) -> a value of a field table as RabbitMQ prints it
erlang(value) -> a JSON value as RabbitMQ prints it
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amqpd.fields import FieldValue


def resource(kind: str, name: str, vhost: str) -> str:
    """A queue or an exchange, with the vhost it is in."""
    return f"{kind} '{name}' in vhost '{vhost}'"


def term(value: FieldValue) -> str:
    """A value without its type: booleans are `true` and `false`, text is bare."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "undefined"
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{term(each.value)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(term(each.value) for each in value) + "]"
    return str(value)


def erlang(value: object) -> str:
    """A value out of JSON as an Erlang term: text is `<<"text">>`, a dictionary a list of pairs."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'<<"{escaped}">>' if value else "<<>>"
    if isinstance(value, Mapping):
        return "[" + ",".join(f"{{{erlang(k)},{erlang(v)}}}" for k, v in value.items()) + "]"
    if isinstance(value, list):
        return "[" + ",".join(map(erlang, value)) + "]"
    return str(value)
