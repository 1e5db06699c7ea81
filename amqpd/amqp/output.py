"""What a connection has to send, and whether there is room for more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.amqp import methods

if TYPE_CHECKING:
    from collections.abc import Callable

    from pamqp.base import Frame as Command

    from amqpd.amqp.wire import Outbox


class Output:
    """The outbox of one connection.

    `touched` is called with the first thing that is written after everything was taken.
    """

    __slots__ = ("_is_touched", "_limit_bytes", "_starving", "_touched", "frame_max", "outbox",
                 "sent", "writable", "writes")  # fmt: skip

    def __init__(self, outbox: Outbox, limit_bytes: int, touched: Callable[[], None]) -> None:
        self.outbox = outbox
        #: The transport takes more.
        self.writable = True
        #: Largest frame the peer takes.
        self.frame_max = 0
        #: Bytes handed to the transport so far.
        self.sent = 0
        #: How often that was.
        self.writes = 0
        self._limit_bytes = limit_bytes
        self._touched = touched
        self._is_touched = False
        self._starving: list[Callable[[], None]] = []

    @property
    def is_full(self) -> bool:
        """Deliveries have to wait until the transport has taken what there is."""
        return not self.writable or len(self.outbox) >= self._limit_bytes

    def touch(self) -> None:
        """Something was written into the outbox."""
        if not self._is_touched:
            self._is_touched = True
            self._touched()

    def send(self, command: Command, channel: int) -> None:
        """Write one method frame."""
        self.raw(methods.encode(command, channel))

    def raw(self, octets: bytes) -> None:
        """Write frames as they are."""
        self.outbox.frame(octets)
        self.touch()

    def when_room(self, wake: Callable[[], None]) -> None:
        """Calls back once, as soon as there is room again."""
        self._starving.append(wake)

    def take(self) -> bytes:
        """Everything there is to send."""
        self._is_touched = False
        octets = self.outbox.take()
        self.sent += len(octets)
        self.writes += 1
        self.relieve()
        return octets

    def relieve(self) -> None:
        """Tell those who wait for room, if there is some."""
        if self._starving and not self.is_full:
            starving, self._starving = self._starving, []
            for wake in starving:
                wake()
