"""Journal to store and back: one batch at a time, the next as soon as the last is on disk.

No timer decides how long a batch collects: while one is written the next grows. Only settles
that nobody waits for are held back, for at most `COMPANY_S`, to ride with something else: a
batch that publishers wait for is on disk sooner without them. A full disk is a pause, and
publishers wait. Anything else that the store reports is final.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from amqpd.broker.journal import BATCH_MESSAGES, Batch
from amqpd.store import StoreFailed, StoreFull, StoreUnreadable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from amqpd.broker.archive import Cut
    from amqpd.broker.attempts import Counted, Delayed, Returned
    from amqpd.broker.chunk import StoredChunk
    from amqpd.broker.expiry import Due
    from amqpd.broker.journal import Journal, Mark
    from amqpd.broker.rows import Row as StoredRow
    from amqpd.store import Row, Store

T = TypeVar("T")

LOG = logging.getLogger("amqpd.store")

#: Longest that settles wait for something that somebody waits for.
COMPANY_S: Final = 0.010
#: Between two attempts on a full disk.
FULL_RETRY_S: Final = 1.0
#: So little waits for the turn that `committed()` begins: it is packed after the confirms have gone
#: out, together with what comes until then.
LITTLE_BYTES: Final = 16 << 10
#: A commit that takes longer is worth a line in the log.
SLOW_S: Final = 5.0
#: Between two attempts to read what cannot be read.
UNREADABLE_RETRY_S: Final = 2.0
#: Publishers are not read while this much is not on disk yet, and again below the half. What
#: others publish meanwhile comes behind it: three batches keep the disk busy, more only wait.
CONGESTED_BYTES: Final = 32 << 20
CONGESTED_MESSAGES: Final = 3 * BATCH_MESSAGES
#: What one read brings of a client that does not hurry: such are read on, up to twice as much.
POLITE_BYTES: Final = 8192


class Commits:
    """Hands the journal to the store whenever its writer is free.

    `committed()` is called after each batch that reached the disk, and begins a turn, which
    pushes; `full(yes)` when the disk has no room, and when it has again; `failed(error)` once,
    when nothing can be promised any more.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        journal: Journal,
        store: Store,
        *,
        committed: Callable[[], None],
        full: Callable[[bool], None],
        failed: Callable[[StoreFailed], None],
    ) -> None:
        self.batches = 0
        self.messages = 0
        self.busy = False
        self.is_full = False
        self.error: StoreFailed | None = None
        #: Lanes that cannot be read at present, and why.
        self.unreadable: dict[int, str] = {}
        self._loop = loop
        self._journal = journal
        self._store = store
        self._committed = committed
        self._full = full
        self._failed = failed
        self._later: asyncio.TimerHandle | None = None
        self._company_over = False
        self._since_s = 0.0
        self._said = False
        self._idle: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def congested(self) -> bool:
        """More waits for the disk than should."""
        journal = self._journal
        return (
            journal.pending_messages > CONGESTED_MESSAGES or journal.pending_bytes > CONGESTED_BYTES
        )

    def holds(self, brought_bytes: int) -> bool:
        """Whether a client that has just brought so much is to be read later."""
        journal = self._journal
        if brought_bytes > POLITE_BYTES:
            return self.congested
        return (
            journal.pending_messages > 2 * CONGESTED_MESSAGES
            or journal.pending_bytes > 2 * CONGESTED_BYTES
        )

    @property
    def relieved(self) -> bool:
        """Publishers may be read again."""
        journal = self._journal
        return (
            journal.pending_messages < CONGESTED_MESSAGES // 2
            and journal.pending_bytes < CONGESTED_BYTES // 2
        )

    def watch(self) -> None:
        """Say so when a commit takes as long as a disk that hangs; once for each."""
        if self.busy and not self._said and self._loop.time() - self._since_s > SLOW_S:
            self._said = True
            LOG.warning("store: a commit has taken %.0f s and is not done yet", SLOW_S)

    def push(self) -> None:  # hot: S2
        """Give the store what is new, unless it is busy."""
        journal = self._journal
        if self.busy or self.error is not None:
            # Their time runs while a batch is written: a slow disk does not make it two.
            if self._later is None and not self._company_over and journal.has_settles:
                self._later = self._loop.call_later(COMPANY_S, self._alone)
            return
        if journal.is_empty:
            self._company_over = False
            self._wake_idle()
            return
        settles = self._company_over or self._idle is not None
        if not settles and self._later is None and journal.has_settles:
            self._later = self._loop.call_later(COMPANY_S, self._alone)
        if not settles and journal.only_settles:
            return
        batch = journal.take(settles=settles)
        if not journal.has_settles:
            self._keep_company()
        if batch is not None:
            self._write(batch)

    async def drain(self) -> None:
        """Wait until everything is on disk, or cannot be."""
        if self.error is None and (self.busy or not self._journal.is_empty):
            self._idle = self._loop.create_future()
            self.push()
            await self._idle
            self._idle = None

    async def write_marks(self, marks: list[Mark]) -> None:
        """Note how far each lane was really handed out; the last thing before the end."""
        if self.error is None and marks:
            self._idle = self._loop.create_future()
            self._write(Batch(self._journal.safe, marks=marks))
            await self._idle
            self._idle = None

    def refill(
        self,
        lane: int,
        from_position: int,
        upto_position: int,
        max_messages: int,
        max_bytes: int,
        done: Callable[[list[StoredRow], int], None],
    ) -> None:
        """The broker's way to get stored messages back (`broker.queue.Refill`)."""

        def arrived(rows: list[Row]) -> None:
            # No rows means that there are none; fewer than asked for mean nothing.
            done(list(rows), rows[-1].position + 1 if rows else upto_position)

        stretch = (lane, from_position, upto_position, max_messages, max_bytes)
        self._ask(lane, partial(self._store.read, *stretch), arrived)

    def read_some(
        self, lane: int, positions: Sequence[int], done: Callable[[list[StoredRow]], None]
    ) -> None:
        """The broker's way to get single messages (`broker.expiry.ReadSome`)."""

        def arrived(rows: list[Row]) -> None:
            done(list(rows))

        self._ask(lane, partial(self._store.read_some, lane, positions), arrived)

    def read_returned(
        self,
        question: Counted | Delayed,
        done: Callable[[Returned], None],
    ) -> None:
        """The broker's way to get messages that came back (`broker.attempts.ReadReturned`)."""

        self._ask(question.lane, partial(self._store.read_returned, question), done)

    def expired(
        self,
        lane: int,
        from_position: int,
        upto_position: int,
        after: tuple[int, int],
        now_ms: int,
        most: int,
        done: Callable[[Sequence[Due], int], None],
    ) -> None:
        """The broker's way to hear what has expired (`broker.expiry.Expired`)."""

        def told(outcome: tuple[list[Due], int]) -> None:
            done(*outcome)

        stretch = (lane, from_position, upto_position, after, now_ms, most)
        self._ask(lane, partial(self._store.expired, *stretch), told)

    def read_stream(
        self,
        lane: int,
        offset: int,
        upto: int,
        max_bytes: int,
        done: Callable[[list[StoredChunk], int], None],
    ) -> None:
        """The broker's way to get chunks of streams (`broker.archive.Archive`)."""

        def arrived(found: tuple[list[StoredChunk], int]) -> None:
            done(*found)

        self._ask(lane, partial(self._store.read_stream, lane, offset, upto, max_bytes), arrived)

    def find_offset(
        self,
        lane: int,
        first: int,
        upto: int,
        since_ms: int | None,
        done: Callable[[int | None], None],
    ) -> None:
        """The broker's way to find a place in a stream."""
        self._ask(lane, partial(self._store.find_offset, lane, first, upto, since_ms), done)

    def find_cut(
        self,
        lane: int,
        first: int,
        upto: int,
        size: int,
        since_ms: int,
        done: Callable[[Cut], None],
    ) -> None:
        """The broker's way to find out what of a stream may stay."""
        self._ask(lane, partial(self._store.find_cut, lane, first, upto, size, since_ms), done)

    def _ask(
        self,
        lane: int,
        question: Callable[[Callable[[T | StoreFailed], None]], None],
        done: Callable[[T], None],
    ) -> None:
        """Ask the store, again and again while it cannot read this lane."""
        if not self._closed:
            question(partial(self._arrived, lane, question, done))

    def _arrived(
        self,
        lane: int,
        question: Callable[[Callable[[T | StoreFailed], None]], None],
        done: Callable[[T], None],
        outcome: T | StoreFailed,
    ) -> None:
        if isinstance(outcome, StoreUnreadable):
            self._note_unreadable(outcome)
            self._loop.call_later(UNREADABLE_RETRY_S, self._ask, lane, question, done)
            return
        if isinstance(outcome, StoreFailed):
            self._fail(outcome)
            return
        if self.unreadable.pop(lane, None) is not None:
            LOG.warning("store: lane %d can be read again", lane)
        done(outcome)
        self._committed()

    def _note_unreadable(self, error: StoreUnreadable) -> None:
        if error.lane not in self.unreadable:
            self.unreadable[error.lane] = str(error)
            LOG.error("%s; its queue is faulted, it is tried again", error)

    @property
    def quarantined(self) -> int:
        """Damaged messages that the store has set aside since the start."""
        return sum(self._store.quarantined.values())

    def close(self) -> None:
        """Nothing is asked any more: the store is about to be closed."""
        self._closed = True

    def _alone(self) -> None:
        self._later = None
        self._company_over = True
        self.push()

    def _keep_company(self) -> None:
        """No settles are left behind."""
        self._company_over = False
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def _write(self, batch: Batch) -> None:
        self.busy = True
        self._said = False
        self._since_s = self._loop.time()

        def done(outcome: int | StoreFull | StoreFailed) -> None:
            self._done(batch, outcome)

        self._store.write(batch, done)

    def _done(self, batch: Batch, outcome: int | StoreFull | StoreFailed) -> None:
        if isinstance(outcome, StoreFull):
            if not self.is_full:
                self.is_full = True
                LOG.error("%s: publishers wait until there is room", outcome)
                self._full(True)
            self._loop.call_later(FULL_RETRY_S, self._write, batch)
            return
        self.busy = False
        if isinstance(outcome, StoreFailed):
            self._fail(outcome)
            return
        if self.is_full:
            self.is_full = False
            self._full(False)
        self.batches += 1
        self.messages += batch.messages
        self._journal.committed(batch)
        self._committed()
        if self._idle is not None or self._journal.pending_bytes > LITTLE_BYTES:
            # At once and not at the end of the turn: the disk must not wait for the sockets.
            self.push()

    def _fail(self, error: StoreFailed) -> None:
        if self.error is None:
            self.error = error
            self._failed(error)
        self._wake_idle()

    def _wake_idle(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
