"""What exchanges may know of a message."""

from __future__ import annotations

from amqpd.broker.message import Message
from amqpd.fields import Field
from amqpd.properties import Properties


def test_a_message_without_headers_has_none() -> None:
    headers = {"h": Field("I", 1)}

    assert Message(("k",), Properties(), 0, int).headers == {}
    assert Message(("k",), Properties(headers=headers), 0, int).headers is headers
