"""Who gets the next messages: consumers by priority, in turn within one priority.

A consumer without credit is set aside and costs nothing until it is woken. With a single
active consumer only that one is asked until it ends; then the oldest one of the highest
priority takes over. Where the ring yields (quorum queues), one of a higher priority does so
before: the active one gets nothing more, and is relieved once it has settled all it has.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amqpd.broker.consumer import Consumer


@dataclass(slots=True, eq=False)
class Subscription:
    """One consumer's place in a queue's ring."""

    consumer: Consumer
    priority: int
    on_wake: Callable[[Self], None]
    on_cancel: Callable[[Self], None]
    stalled: bool = False
    active: bool = True

    def wake(self) -> None:
        """The consumer has credit again."""
        if self.active:
            self.on_wake(self)

    def cancel(self) -> None:
        """The consumer ends."""
        if self.active:
            self.on_cancel(self)


@dataclass(slots=True)
class Ring:
    """The consumers of one queue."""

    single_active: bool = False
    yields: bool = False
    #: By priority: who is asked, in the order of their turns. Anybody may leave at any place, and
    #: a connection with ten thousand consumers that ends does so ten thousand times at once.
    _levels: dict[int, OrderedDict[Subscription, None]] = field(default_factory=dict)
    #: The negated priorities, sorted: the highest first.
    _order: list[int] = field(default_factory=list)
    _all: dict[Subscription, None] = field(default_factory=dict)
    _active: Subscription | None = None

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Subscription]:
        return iter(self._all)

    def add(self, subscription: Subscription) -> None:
        """A consumer begins."""
        self._all[subscription] = None
        if self._active is None and self.single_active:
            self._active = subscription
        self._place(subscription)

    def remove(self, subscription: Subscription) -> None:
        """A consumer ends; with a single active consumer the next one takes over."""
        subscription.active = False
        del self._all[subscription]
        if not subscription.stalled:
            self._unplace(subscription)
        if subscription is self._active:
            self._active = self._foremost()

    def resume(self, subscription: Subscription) -> None:
        """A consumer that was set aside may have credit again."""
        if subscription.stalled:
            subscription.stalled = False
            self._place(subscription)

    def stall(self, subscription: Subscription) -> None:
        """Set a consumer aside until it is woken: it has no credit."""
        if not subscription.stalled:
            self._unplace(subscription)
            subscription.stalled = True

    def is_active(self, subscription: Subscription) -> bool:
        """Whether this consumer is one that messages go to."""
        if not self.single_active:
            return True
        self._relieve()
        return subscription is self._active

    def next(self) -> tuple[Subscription, int, int] | None:
        """The consumer whose turn it is, its credit, and how many share its level."""
        if self.single_active:
            return self._next_single()
        for negated in list(self._order):
            level = self._levels.get(-negated)
            while level:
                subscription = next(iter(level))
                credit = subscription.consumer.credit()
                if credit > 0:
                    level.move_to_end(subscription)
                    return subscription, credit, len(level)
                self.stall(subscription)
        return None

    def _next_single(self) -> tuple[Subscription, int, int] | None:
        waited_for = self._relieve()
        subscription = self._active
        if waited_for or subscription is None:
            return None
        credit = subscription.consumer.credit()
        return (subscription, credit, 1) if credit > 0 else None

    def _relieve(self) -> bool:
        """Let one of a higher priority take over; True: it waits for the active one to settle."""
        active = self._active
        if not self.yields or active is None or -self._order[0] <= active.priority:
            return False
        if active.consumer.facts().unacked:
            return True
        self._active = self._foremost()
        return False

    def _foremost(self) -> Subscription | None:
        """With a single active consumer nobody is set aside, and nobody changes places."""
        return next(iter(self._levels[-self._order[0]])) if self._order else None

    def _place(self, subscription: Subscription) -> None:
        priority = subscription.priority
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = OrderedDict()
            insort(self._order, -priority)
        level[subscription] = None

    def _unplace(self, subscription: Subscription) -> None:
        priority = subscription.priority
        level = self._levels[priority]
        del level[subscription]
        if not level:
            del self._levels[priority]
            del self._order[bisect_left(self._order, -priority)]
