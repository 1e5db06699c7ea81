"""Field tables in JSON, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd import fields
from amqpd.management.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.fields import Table

UNDEFINED: Final = "undefined"


def from_json(values: Mapping[str, object]) -> Table:
    """A field table of JSON values.

    Raises:
        HttpError: a name is too long for a table, or a number is beyond 64 bits.
    """
    try:
        return fields.from_json(values)
    except ValueError as error:
        raise bad_request(str(error)) from error


def to_json(table: Table) -> dict[str, object]:
    """JSON values of a field table; of nothing (void), what RabbitMQ's API says for it."""
    return {name: _shown(value) for name, value in fields.plain_table(table).items()}


def _shown(value: object) -> object:
    if value is None:
        return UNDEFINED
    if isinstance(value, dict):
        return {name: _shown(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_shown(one) for one in value]
    return value
