"""Exchange and routing key in the form in which messages carry them: two short strings.

What is not UTF-8 becomes text with surrogate escapes, and the same octets again.
"""

from __future__ import annotations


def join(exchange: str, routing_key: str) -> bytes:
    """Both as AMQP short strings, one after the other (AMQP 0-9-1 §4.2.5.3)."""
    first = exchange.encode(errors="surrogateescape")
    second = routing_key.encode(errors="surrogateescape")
    return bytes((len(first),)) + first + bytes((len(second),)) + second


def split(names: bytes) -> tuple[str, str]:
    """Exchange and routing key out of two short strings."""
    end = 1 + names[0]
    return (
        names[1:end].decode(errors="surrogateescape"),
        names[end + 1 : end + 1 + names[end]].decode(errors="surrogateescape"),
    )
