"""Exchange and routing key in the form in which messages carry them: two short strings.

What is not UTF-8 becomes text with surrogate escapes, and the same octets again.
"""

from __future__ import annotations

from typing import Final

#: Ahead of the keys that are hidden in a dead letter: its deaths are those that the broker knows.
_OURS: Final = b"\xff\xff\xff\xff"


def join(exchange: str, routing_key: str) -> bytes:
    """Both as AMQP short strings, one after the other (AMQP 0-9-1 §4.2.5.3)."""
    first = exchange.encode(errors="surrogateescape")
    second = routing_key.encode(errors="surrogateescape")
    return bytes((len(first),)) + first + bytes((len(second),)) + second


def join_keys(keys: list[str]) -> bytes:
    """Routing keys one after the other, of any length."""
    octets = [key.encode(errors="surrogateescape") for key in keys]
    return b"".join([len(one).to_bytes(4) + one for one in octets])


def split_keys(joined: bytes) -> list[str]:
    """The same apart."""
    keys, at = [], len(_OURS) if are_ours(joined) else 0
    while at < len(joined):
        end = at + 4 + int.from_bytes(joined[at : at + 4])
        keys.append(joined[at + 4 : end].decode(errors="surrogateescape"))
        at = end
    return keys


def ours(joined: bytes) -> bytes:
    """The same of a dead letter that nobody but the broker has counted the deaths of."""
    return joined if are_ours(joined) else _OURS + joined


def are_ours(joined: bytes) -> bool:
    """Whether they are of such a dead letter."""
    return joined.startswith(_OURS)


def split(names: bytes) -> tuple[str, str]:
    """Exchange and routing key out of two short strings."""
    end = 1 + names[0]
    return (
        names[1:end].decode(errors="surrogateescape"),
        names[end + 1 : end + 1 + names[end]].decode(errors="surrogateescape"),
    )
