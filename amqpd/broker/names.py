"""Exchange and routing key in the form in which messages carry them: two short strings."""

from __future__ import annotations


def join(exchange: str, routing_key: str) -> bytes:
    """Both as AMQP short strings, one after the other (AMQP 0-9-1 §4.2.5.3)."""
    first, second = exchange.encode(), routing_key.encode()
    return bytes((len(first),)) + first + bytes((len(second),)) + second


def split(names: bytes) -> tuple[str, str]:
    """Exchange and routing key out of two short strings."""
    end = 1 + names[0]
    return (
        names[1:end].decode(errors="replace"),
        names[end + 1 : end + 1 + names[end]].decode(errors="replace"),
    )
