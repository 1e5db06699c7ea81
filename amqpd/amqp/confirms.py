"""Publisher confirms: which publishes wait for which journal number.

One waiting entry per read, not per message: what a channel published in one read is safe when
the highest journal number of it is. Confirms go out in order, as one `multiple` up to the last
safe one; messages that a queue refused are nacked in their turn. What a full queue has taken
all the same waits until there is room for it. Messages that no queue gets are confirmed one by
one, as by RabbitMQ: there are publishers that wait for as many acks as there are messages.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pamqp.commands import Confirm as ConfirmClass

from amqpd.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.amqp.channel import Channel
    from amqpd.broker.journal import Append, Journal
    from amqpd.broker.pressure import Ticket
    from amqpd.broker.publishing import Published


class Waiting:
    """Sequence numbers up to `sequence`, waiting for a journal number, and for room."""

    __slots__ = ("appends", "number", "refused", "sequence", "tickets")

    def __init__(
        self,
        sequence: int,
        number: int,
        appends: list[Append],
        tickets: list[Ticket],
        refused: bool = False,
    ) -> None:
        self.sequence = sequence
        self.number = number
        self.appends = appends
        self.tickets = tickets
        self.refused = refused

    def is_done(self, safe: int) -> bool:  # hot: S7p
        """On disk, or settled before anything was written; and there is room."""
        if self.number > safe:
            for append in self.appends:
                if not append.skipped:
                    return False
        return not self.tickets or all(ticket.is_open for ticket in self.tickets)


class Confirms:
    """The confirms of one channel.

    `published` is how many publishes the channel had seen when confirms were selected: the
    next one has sequence number 1. `send(sequence, multiple, refused)` writes one confirm.
    """

    __slots__ = (
        "_appends", "_base", "_counted", "_journal", "_number", "_refused", "_routed", "_send",
        "_settled", "_tickets", "_waiting", "held",
    )  # fmt: skip

    def __init__(
        self, journal: Journal, published: int, send: Callable[[int, bool, bool], None]
    ) -> None:
        self._journal = journal
        self._send = send
        self._base = published
        self._counted = 0  # the last sequence number that has its entry
        self._settled = 0  # the last one that was confirmed or nacked
        self._number = 0
        self._appends: list[Append] = []
        self._tickets: list[Ticket] = []
        self._refused: list[int] = []
        self._routed = False  # a message of this read without an entry went to a queue
        self._waiting: deque[Waiting] = deque()
        #: While replies of the channel wait, so do its confirms.
        self.held = False

    @property
    def outstanding(self) -> int:
        """Publishes that are neither confirmed nor nacked."""
        return self._counted - self._settled

    def add(self, published: Published) -> None:  # hot: S2
        """A run of this read was published."""
        append = published.entry
        if append is not None:
            self._number = max(self._number, published.number)
            self._appends.append(append)
        elif published.routed:
            self._routed = True
        if published.tickets:
            self._tickets += published.tickets

    def refuse(self, published: int) -> None:
        """The message that was the channel's `published`-th was refused by a queue."""
        self._refused.append(published - self._base)

    def end_read(self, published: int) -> None:
        """All of a read is published; the channel has seen `published` publishes by now."""
        sequence = published - self._base
        if sequence <= self._counted:
            return
        unrouted = not (self._routed or self._appends or self._refused)
        self._routed = False
        if unrouted and not (self._waiting or self.held):
            self._confirm_each(sequence)
            return
        if self._refused:
            self._count_refused()
        if sequence > self._counted:
            self._count(sequence)
        if self._appends:
            for append in self._appends:
                append.waiter = self.flush
            self._journal.when_safe(self._number, self.flush)
            self._appends = []
        if self._tickets:
            for ticket in self._tickets:
                ticket.when_open(self.flush)
            self._tickets = []
        self._number = 0
        self.flush()

    def _confirm_each(self, upto: int) -> None:
        for sequence in range(self._settled + 1, upto + 1):
            self._send(sequence, False, False)
        self._counted = self._settled = upto

    def _count(self, sequence: int) -> None:
        self._counted = sequence
        self._waiting.append(Waiting(sequence, self._number, self._appends, self._tickets))

    def _count_refused(self) -> None:
        """They are nacked in their turn; what lies between waits for all of the read."""
        refused, self._refused = self._refused, []
        # Messages for different queues are gathered apart, so they were not refused in order.
        refused.sort()
        for sequence in refused:
            if sequence - 1 > self._counted:
                self._count(sequence - 1)
            self._counted = sequence
            if self._waiting and self._waiting[-1].refused:
                self._waiting[-1].sequence = sequence
            else:
                self._waiting.append(Waiting(sequence, 0, [], [], refused=True))

    def flush(self) -> None:
        """Confirm what has become safe."""
        waiting = self._waiting
        if self.held or not waiting:
            return
        safe = self._journal.safe
        upto = self._settled
        while waiting and waiting[0].is_done(safe):
            head = waiting.popleft()
            if head.refused:
                self._settle(upto, False)
                self._settle(head.sequence, True)
            upto = head.sequence
        self._settle(upto, False)

    def _settle(self, upto: int, refused: bool) -> None:
        if upto > self._settled:
            self._send(upto, upto - self._settled > 1, refused)
            self._settled = upto

    def drop(self) -> None:
        """The channel is gone."""
        for ticket in {ticket for one in self._waiting for ticket in one.tickets}:
            ticket.forget(self.flush)
        self._waiting.clear()


def select(channel: Channel, method: ConfirmClass.Select) -> None:
    """confirm.select: the next publish has sequence number 1."""
    if channel.tx is not None:
        raise PreconditionFailed("cannot switch from tx to confirm mode")
    if not method.nowait:
        channel.reply(ConfirmClass.SelectOk())
    if channel.confirms is None:
        channel.confirms = Confirms(
            channel.broker.journal, channel.count.published, channel.write_confirm
        )
        channel.confirms.held = channel.replies.held
