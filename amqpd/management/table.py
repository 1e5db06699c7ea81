"""Field tables in JSON, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd import fields
from amqpd.management.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.fields import Table


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
    """JSON values of a field table."""
    return dict(fields.plain_table(table))
