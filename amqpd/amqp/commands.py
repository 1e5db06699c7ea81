"""Commands to send: pamqp's classes, made without its validation.

pamqp checks what it sends against patterns that are stricter than RabbitMQ's rules; a reply
must carry any name that a client was allowed to use.
"""

from __future__ import annotations

from typing import TypeVar

from pamqp.base import Frame as Command

C = TypeVar("C", bound=Command)


def make(kind: type[C], **arguments: object) -> C:
    """A command with these arguments; all of them must be given."""
    command = kind.__new__(kind)
    for name in kind.__slots__:
        setattr(command, name, arguments[name])
    return command


def ids(kind: type[Command]) -> tuple[int, int]:
    """Class id and method id of a command."""
    return kind.index >> 16, kind.index & 0xFFFF
