"""Field tables as JSON."""

from __future__ import annotations

from amqpd.fields import table
from amqpd.management.table import to_json


def test_nothing_is_shown_as_rabbitmq_shows_it() -> None:
    given = table({"void": None, "list": [None, 1], "table": {"void": None}, "text": "None"})

    assert to_json(given) == {
        "void": "undefined",
        "list": ["undefined", 1],
        "table": {"void": "undefined"},
        "text": "None",
    }
