"""The types that come with the broker are registered as anyone's own would be."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

from amqpd.broker.types import all_types

PROJECT = Path(__file__).parents[3] / "pyproject.toml"


def test_the_entry_points_are_the_types_by_name() -> None:
    points = tomllib.loads(PROJECT.read_text())["project"]["entry-points"]

    found = {
        name: EntryPoint(name, value, "amqpd.exchange_types").load()
        for name, value in points["amqpd.exchange_types"].items()
    }

    assert found == all_types()


def test_every_type_has_its_name() -> None:
    assert all(name == each.kind for name, each in all_types().items())
    assert {"direct", "fanout", "headers", "topic"} < set(all_types())
