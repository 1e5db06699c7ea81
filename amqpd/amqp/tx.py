"""Transactions: publishes and acknowledgements that take effect together (AMQP 0-9-1 §1.9).

What a channel publishes is routed at once and kept; what it settles leaves its unacked
messages at once, so that a tag cannot be settled twice. A commit is one entry of the journal,
over all its queues, and its answer waits for the disk; a rollback makes the settled tags
outstanding again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pamqp.commands import Tx as TxClass

from amqpd.broker.errand import Errand
from amqpd.broker.fanout import SHARE
from amqpd.errors import ChannelStateError, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpd.amqp.channel import Channel
    from amqpd.amqp.publish import Publication, Publisher
    from amqpd.amqp.settlement import Settlement
    from amqpd.broker.delivery import Taken
    from amqpd.broker.queue import Queue


#: What a publication and an acknowledged range take in memory beside the messages.
PUBLICATION_BYTES: Final = 512
TAKEN_BYTES: Final = 256
#: Publications and acknowledged ranges up to which a commit is one step, those of one step
#: otherwise, and what each costs, in units of `Surroundings.spare`.
AT_ONCE: Final = 1024
PART: Final = 16
PUBLICATION_COST: Final = 6


class Tx:
    """The transaction a channel is in; a new one begins with each commit or rollback."""

    __slots__ = (
        "_limit_bytes", "_publications", "_settlements", "_size_bytes", "committing", "number",
    )  # fmt: skip

    def __init__(self, limit_bytes: int = 0) -> None:
        self._publications: list[Publication] = []
        self._settlements: list[tuple[Settlement, list[Taken]]] = []
        #: What it takes in memory, and how much it may take; 0: any.
        self._size_bytes = 0
        self._limit_bytes = limit_bytes
        #: The commit is on its way to the disk.
        self.committing = False
        #: The journal's number of the last commit; -1: it is not through.
        self.number = 0

    def refuse_while_committing(self) -> None:
        """Nothing may come between tx.commit and its answer.

        Raises:
            ChannelStateError: it did.
        """
        if self.committing:
            raise ChannelStateError("unexpected command while processing 'tx.commit'")

    @property
    def pending(self) -> tuple[int, int]:
        """Messages and acknowledgements that a commit would make true."""
        acks = sum(one.hi - one.lo for _, some in self._settlements for one in some)
        return sum(len(one.run.contents) for one in self._publications), acks

    def publish(self, publication: Publication) -> None:
        """Keep a message until the commit.

        Raises:
            PreconditionFailed: the transaction is too large by now.
        """
        self.refuse_while_committing()
        self._publications.append(publication)
        self._grow(publication.run.size_bytes + PUBLICATION_BYTES)

    def settle(self, how: Settlement, taken: list[Taken]) -> None:
        """Keep an acknowledgement until the commit; raises as `publish`."""
        self._settlements.append((how, taken))
        self._grow(TAKEN_BYTES * len(taken))

    def _grow(self, size_bytes: int) -> None:
        self._size_bytes += size_bytes
        if 0 < self._limit_bytes < self._size_bytes:
            raise PreconditionFailed(
                f"transaction size {self._size_bytes} is larger than configured max size "
                f"{self._limit_bytes}"
            )

    def _clear(self) -> None:
        self._publications = []
        self._settlements = []
        self._size_bytes = 0

    def roll_back(self, channel: Channel) -> None:
        """Drop what was published, make outstanding again what was settled."""
        taken = [one for _, some in self._settlements for one in some]
        self._clear()
        channel.unacked.put_back(taken)
        if channel.unacked.due_ms:
            channel.connection.look_ms = channel.broker.around.now_ms

    def begin(self, channel: Channel) -> Errand:
        """Make everything durable together: at once, or of very much a part in each turn.

        Whoever waits for its end finds in `number` what must be safe (0: nothing to wait for).

        Raises:
            PreconditionFailed: a queue would refuse a message; nothing was done then.
        """
        if self._is_refused():
            self.roll_back(channel)
            raise PreconditionFailed("partial tx completion")
        publications, settlements = self._publications, self._settlements
        steps_wanted = sum(max(1, len(one.path.queues)) for one in publications)
        at_once = steps_wanted + sum(len(taken) for _, taken in settlements) <= AT_ONCE
        self._clear()
        self.number = -1
        steps = self._apply if at_once else self._apply_in_turns
        errand = Errand(
            steps(channel, channel.publisher, publications, settlements),
            channel.broker.around,
            PART * PUBLICATION_COST,
            SHARE,
        )
        errand.begin(AT_ONCE // PART)
        return errand

    def _apply(
        self,
        channel: Channel,
        publisher: Publisher,
        publications: list[Publication],
        settlements: list[tuple[Settlement, list[Taken]]],
    ) -> Iterator[None]:
        journal = channel.broker.journal
        before = journal.last
        with journal.atomic():
            for publication in publications:
                publisher.send(publication)
            for how, taken in settlements:
                channel.settle(how, taken)
        self.number = journal.last if journal.last > before else 0
        yield from ()

    def _apply_in_turns(
        self,
        channel: Channel,
        publisher: Publisher,
        publications: list[Publication],
        settlements: list[tuple[Settlement, list[Taken]]],
    ) -> Iterator[None]:
        """The same part by part: one entry of the journal, although other work comes between."""
        journal = channel.broker.journal
        while journal.open is not None:
            yield  # there is one of its kind at a time
        transaction = journal.begin()
        try:
            places = 0
            for one in publications:
                publication = one
                # What queues may refuse was decided for all of it together.
                if publication.path.refuses:
                    path = replace(publication.path, refuses=False)
                    publication = replace(publication, path=path)
                if publication.is_wide:
                    yield from publisher.send_widely(publication, transaction)
                    continue
                with journal.inside(transaction):
                    publisher.send(publication)
                places += max(1, len(publication.path.queues))
                while places >= PART:
                    places -= PART
                    yield
            for how, taken in settlements:
                for at in range(0, len(taken), PART):
                    with journal.inside(transaction):
                        channel.settle(how, taken[at : at + PART])
                    yield
        finally:
            number = journal.end()
        self.number = number

    def _is_refused(self) -> bool:
        """Whether some queue has no room for all that it would get."""
        coming: dict[Queue, tuple[int, int]] = {}
        for publication in self._publications:
            if not publication.path.refuses:
                continue
            run = publication.run
            for queue in publication.path.queues:
                messages, size_bytes = coming.get(queue, (0, 0))
                coming[queue] = (messages + len(run.contents), size_bytes + run.body_bytes)
        return any(
            queue.length.refuses and not queue.deleted and not queue.length.admits(*more)
            for queue, more in coming.items()
        )


def select(channel: Channel, method: TxClass.Select) -> None:
    """Make the channel transactional."""
    if channel.confirms is not None:
        raise PreconditionFailed("cannot switch from confirm to tx mode")
    if channel.tx is None:
        channel.tx = Tx(channel.connection.settings.max_transaction_bytes)
    channel.reply(TxClass.SelectOk())


def _current(channel: Channel) -> Tx:
    if channel.tx is None:
        raise PreconditionFailed("channel is not transactional")
    return channel.tx


def commit(channel: Channel, method: TxClass.Commit) -> None:
    """Commit; the answer says that it is on disk."""
    tx = _current(channel)
    errand = tx.begin(channel)
    tx.committing = True

    def emit() -> None:
        tx.committing = False
        channel.output.send(TxClass.CommitOk(), channel.number)

    if errand.is_done:
        channel.replies.send(emit, tx.number)
        return
    place = channel.replies.reserve()

    def done() -> None:
        if tx.number < 0:
            channel.connection.fail()  # the log has what went wrong
        else:
            channel.replies.fill(place, emit, tx.number)

    errand.when_done(done)
    channel.connection.wait_for(errand.when_done)


def rollback(channel: Channel, method: TxClass.Rollback) -> None:
    """Forget what was published and settled since the last commit."""
    _current(channel).roll_back(channel)
    channel.reply(TxClass.RollbackOk())
