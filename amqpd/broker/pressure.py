"""Pressure: publishers wait while a queue is crowded or full.

Crowded is a queue whose consumers want more than their sockets take: it would only grow. Full
is one that is at its limit and neither drops nor refuses (`x-overflow: block`): it takes what
reaches it, and whoever sent that is not read again until there is room. Then they go on one
by one, in their order, so that they do not fill it all at once.

What a full queue has taken above its limit is confirmed when there is room (`Ticket`), so a
publisher that waits for its confirms is held by these alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.broker.queue import Queue

#: Publishers are held while so many messages wait in memory for consumers that cannot be
#: written to fast enough, and go on at half of it; longer than `HOLD_MS` only if the consumers
#: move, and if they did not, not again for `STUCK_MS`.
CROWD_MESSAGES: Final = 2048
HOLD_MS: Final = 200
STUCK_MS: Final = 5_000


class Ticket:
    """Publishes that a full queue has taken; they are confirmed once it is open."""

    __slots__ = ("_calls", "is_open")

    def __init__(self) -> None:
        self.is_open = False
        self._calls: dict[Callable[[], None], None] = {}

    def when_open(self, call: Callable[[], None]) -> None:
        """Call back, once for however many publishes."""
        self._calls[call] = None

    def forget(self, call: Callable[[], None]) -> None:
        """Nobody wants to know any more."""
        self._calls.pop(call, None)

    def open(self) -> None:
        """There is room."""
        self.is_open = True
        calls, self._calls = self._calls, {}
        for call in calls:
            call()


class Pressure:
    """Who waits for one queue."""

    __slots__ = (
        "_held", "_moved", "_patience_ms", "_queue", "_refused", "_stuck_until_ms", "_ticket",
        "_waiting",
    )  # fmt: skip

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._held: list[Callable[[], None]] = []
        self._moved = False
        self._patience_ms = 0
        self._stuck_until_ms = 0
        self._waiting: dict[object, Callable[[], None]] = {}
        self._ticket: Ticket | None = None
        self._refused: dict[Callable[[], None], None] = {}

    @property
    def is_felt(self) -> bool:
        """Somebody waits."""
        return bool(self._held or self._waiting or self._refused) or self._ticket is not None

    def look(self) -> None:
        """Let those go on for whom there is room by now."""
        if self._held and self._queue.loaded <= CROWD_MESSAGES // 2:
            self._let_go()
        if self._waiting or self._ticket is not None:
            self._look_at_room()
        if self._refused and (not self._queue.length.refuses or self._queue.length.fits(1, 0)):
            self._tell_refused()

    def let_all_go(self) -> None:
        """The queue is gone."""
        self._let_go()
        self._open()
        while self._waiting:
            self._let_one_go()
        self._tell_refused()

    # -- refusing ------------------------------------------------------------------------

    def when_fits(self, call: Callable[[], None]) -> None:
        """Call back, once, when a message that was refused may fit by now."""
        self._refused[call] = None

    def _tell_refused(self) -> None:
        refused, self._refused = self._refused, {}
        for call in refused:
            call()

    # -- full ----------------------------------------------------------------------------

    def ticket(self) -> Ticket | None:
        """What publishes that were just taken have to wait for; None: there is room for them."""
        if not self._queue.length.is_over:
            return None
        if self._ticket is None:
            self._ticket = Ticket()
        return self._ticket

    def wait_for_room(self, publisher: object, let_go: Callable[[], None]) -> None:
        """Call back when it is this one's turn to go on."""
        self._waiting[publisher] = let_go

    def leave(self, publisher: object) -> None:
        """It does not wait any more."""
        self._waiting.pop(publisher, None)

    def _look_at_room(self) -> None:
        length = self._queue.length
        if not length.blocks:
            # It drops or refuses by now, or has no limit any more.
            self.let_all_go()
        elif length.has_room:
            self._open()
            if self._waiting:
                self._let_one_go()
            if self._waiting:
                self._queue.go_on_later()

    def _let_one_go(self) -> None:
        self._waiting.pop(next(iter(self._waiting)))()

    def _open(self) -> None:
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            ticket.open()

    # -- crowded -------------------------------------------------------------------------

    def moved(self) -> None:
        """A consumer has taken something."""
        self._moved = True

    @property
    def is_crowded(self) -> bool:
        """Whether publishers should wait: a consumer wants more than its socket takes.

        A consumer that is at its prefetch limit holds nobody back, nor does one whose peer
        has stopped reading: then the queue grows, beyond its window on disk.
        """
        queue = self._queue
        return (
            len(queue.ring) > 0
            and queue.paused is None
            and queue.loaded >= CROWD_MESSAGES
            and queue.around.now_ms >= self._stuck_until_ms
            and any(one.consumer.is_slow for one in queue.ring)
        )

    def hold(self, let_go: Callable[[], None]) -> None:
        """Call back when it is not crowded, or when it is clear that nobody makes any room."""
        if not self._held:
            self._be_patient(self._queue.around.now_ms)
        self._held.append(let_go)

    def _be_patient(self, now_ms: int) -> None:
        self._moved = False
        self._patience_ms = now_ms + HOLD_MS
        self._queue.around.timers.at(self._patience_ms, self._look_at_held)

    def _look_at_held(self, now_ms: int) -> None:
        if not self._held or now_ms < self._patience_ms:
            return  # they went on long ago
        if self._moved:
            self._be_patient(now_ms)
            return
        self._stuck_until_ms = now_ms + STUCK_MS
        self._let_go()

    def _let_go(self) -> None:
        held, self._held = self._held, []
        for let_go in held:
            let_go()
