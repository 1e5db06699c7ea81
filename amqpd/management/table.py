"""Field tables in JSON, both ways.

JSON has one type for integers: they become 64-bit ones, as in RabbitMQ. The broker compares
arguments by what they mean, so that the type does not matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.fields import Field, plain_table
from amqpd.management.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.fields import Table

_LONG = 1 << 63


def from_json(values: Mapping[str, object]) -> Table:
    """A field table of JSON values.

    Raises:
        HttpError: a name is too long for a table, or a number is beyond 64 bits.
    """
    table: Table = {}
    for name, value in values.items():
        if len(name.encode(errors="surrogatepass")) > 255:
            raise bad_request(f"argument name '{name[:32]}…' is longer than 255 bytes")
        table[name] = _field(name, value)
    return table


def _field(name: str, value: object) -> Field:
    match value:
        case None:
            return Field("V", None)
        case bool():
            return Field("t", value)
        case int() if -_LONG <= value < _LONG:
            return Field("l", value)
        case float():
            return Field("d", value)
        case str():
            return Field("S", value)
        case dict():
            return Field("F", from_json(value))
        case list():
            return Field("A", [_field(name, each) for each in value])
    raise bad_request(f"argument '{name}': {value} does not fit into 64 bits")


def to_json(table: Table) -> dict[str, object]:
    """JSON values of a field table."""
    return dict(plain_table(table))
