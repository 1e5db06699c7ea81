"""Texts that RabbitMQ's clients know."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from amqpd.broker.text import erlang, resource, term
from amqpd.fields import Field

if TYPE_CHECKING:
    from amqpd.fields import FieldValue


def test_a_resource_is_named_with_its_vhost() -> None:
    assert resource("queue", "orders", "/") == "queue 'orders' in vhost '/'"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (1.5, "1.5"),
        (Decimal("1.50"), "1.50"),
        ("text", "text"),
        (b"\xfftext", "\ufffdtext"),
        (None, "undefined"),
        ([Field("I", 1), Field("t", True)], "[1,true]"),
        ({"a": Field("I", 1), "b": Field("S", "v")}, "{a:1,b:v}"),
    ],
)
def test_values_are_written_bare(value: FieldValue, text: str) -> None:
    assert term(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (None, "null"),
        (5, "5"),
        (1.5, "1.5"),
        ('say "a\\b"', '<<"say \\"a\\\\b\\"">>'),
        ([1, "a"], '[1,<<"a">>]'),
        ({"a": 1, "b": True}, '[{<<"a">>,1},{<<"b">>,true}]'),
    ],
)
def test_values_out_of_json_are_written_as_erlang_does(value: object, text: str) -> None:
    assert erlang(value) == text
