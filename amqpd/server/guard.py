"""Guard: how many HTTP connections there may be.

    Guarded.around(make, room)      what makes a protocol, with a place in the room for each
    Guarded.seated(make)            the same for those that a listener has given a place

Above the limit the newest are closed without an answer. Their descriptors are not those of
AMQP, so neither can take away the other's.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, ClassVar, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.server.room import Place, Room

LOG = logging.getLogger("amqpd.http")

#: Between two log lines about refused connections.
TELL_S: Final = 1.0


class Guarded(asyncio.Protocol):
    """A protocol that has to find a place first; everything else is passed on."""

    _told_s: ClassVar = float("-inf")

    def __init__(
        self, make: Callable[[], asyncio.Protocol], room: Room | None, place: Place | None = None
    ) -> None:
        self._make = make
        self._room = room
        self._inner: asyncio.Protocol | None = None
        self._place = place

    @classmethod
    def around(
        cls, make: Callable[[], asyncio.Protocol], room: Room
    ) -> Callable[[], asyncio.Protocol]:
        """Make protocols of this kind, guarded."""
        return lambda: cls(make, room)

    @classmethod
    def seated(cls, make: Callable[[], asyncio.Protocol]) -> Callable[[Place], asyncio.Protocol]:
        """Make protocols of this kind, each with the place that it has."""
        return lambda place: cls(make, None, place)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place, or close."""
        if self._room is not None:
            peer = transport.get_extra_info("peername") or ("?",)
            place = self._room.enter(peer[0])
            if isinstance(place, str):
                self._tell(f"HTTP connection from {peer[0]} refused: {place}", self._room.refused)
                # uvloop's has all the methods and is not a subclass.
                cast("asyncio.Transport", transport).abort()
                return
            self._place = place
        self._inner = self._make()
        self._inner.connection_made(transport)

    def _tell(self, text: str, refused: int) -> None:
        """Say it, but not so often that the log is flooded."""
        now_s = asyncio.get_running_loop().time()
        if now_s - Guarded._told_s >= TELL_S:
            Guarded._told_s = now_s
            LOG.warning("%s (%d in all)", text, refused)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        if self._place is not None:
            self._place.leave()
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass on."""
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on."""
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        """Pass on."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass on."""
        if self._inner is not None:
            self._inner.resume_writing()
