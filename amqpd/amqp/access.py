"""The class access, which pamqp does not know: deprecated in AMQP 0-9-1, still asked for.

Old clients ask for a ticket; every one of them gets ticket 1, and tickets are ignored.
"""

from __future__ import annotations

from typing import ClassVar

from pamqp.base import Frame as Command


class Request(Command):
    """access.request"""

    __slots__: ClassVar[list[str]] = [  # noqa: RUF023 - the order on the wire
        "realm",
        "exclusive",
        "passive",
        "active",
        "write",
        "read",
    ]
    frame_id = 10
    index = 0x001E000A
    name = "Access.Request"
    synchronous = True
    valid_responses: ClassVar[list[str]] = ["Access.RequestOk"]

    _realm = "shortstr"
    _exclusive = "bit"
    _passive = "bit"
    _active = "bit"
    _write = "bit"
    _read = "bit"


class RequestOk(Command):
    """access.request-ok"""

    __slots__: ClassVar[list[str]] = ["ticket"]
    frame_id = 11
    index = 0x001E000B
    name = "Access.RequestOk"

    _ticket = "short"

    def __init__(self, ticket: int = 1) -> None:
        self.ticket = ticket
