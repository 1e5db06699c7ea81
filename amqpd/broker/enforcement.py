"""Enforcement: brings the policies of a vhost into force for its queues and exchanges.

    Enforcement(exchanges, queues, timers, changed)
        .policies                        what is set; see `policy`
        .put(policy, operator)  .delete(name, operator)
        .enter_exchange(exchange)  .enter_queue(queue)      a new one, before anybody uses it
        .refresh(queue)                  see to it that the queue knows the policies of now

A change of policies is worked off at once for the first names and by the clock for the others,
`STEPS` a slice, so that no number of queues and no pattern holds the loop up. Whoever finds
a queue by its name refreshes it first, so that nobody sees one which the slices have not
reached. All of it costs a comparison of two integers where nothing has changed.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

from amqpd.broker.policy import Policies, effective_exchange, effective_queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from amqpd.broker.exchange import Exchange
    from amqpd.broker.policy import Policy
    from amqpd.broker.queue import Queue
    from amqpd.broker.timers import Timers

#: Steps of matching in one slice. Measured: 5 ms where all patterns are simple (25 us for
#: a queue that changes), 20 ms with the slowest pattern there can be.
STEPS: Final = 8000
#: What a queue costs besides matching, in such steps: 250 queues a slice.
STEPS_EACH: Final = 32


class Enforcement:
    """What has the policies of one vhost applied; `changed()` is called when a route may be old."""

    def __init__(
        self,
        exchanges: Mapping[str, Exchange],
        queues: Mapping[str, Queue],
        timers: Timers,
        changed: Callable[[], None],
    ) -> None:
        self.policies = Policies()
        self._exchanges = exchanges
        self._queues = queues
        self._timers = timers
        self._changed = changed
        self._left: Iterator[tuple[bool, str]] = iter(())
        self._is_sweeping = False

    def put(self, policy: Policy, *, operator: bool, now_ms: int) -> None:
        """Set a policy and begin to apply it."""
        self.policies.put(policy, operator=operator)
        self._begin(now_ms)

    def delete(self, name: str, *, operator: bool, now_ms: int) -> None:
        """Remove a policy and begin to apply those that are left."""
        self.policies.delete(name, operator=operator)
        self._begin(now_ms)

    # -- one by one ----------------------------------------------------------------------

    def enter_exchange(self, exchange: Exchange) -> None:
        """Give an exchange what its policies say; its own arguments win."""
        exchange.use_policy(effective_exchange(self.policies.for_exchange(exchange.name)))

    def enter_queue(self, queue: Queue) -> None:
        """Give a queue what is in force by its own arguments and its policies."""
        queue.policy_revision = self.policies.revision
        match = self.policies.for_queue(queue.name, queue.own.queue_type)
        if match != queue.match:
            effective = effective_queue(queue.own, queue.declared, match)
            queue.use_policies(match, effective.arguments)

    def refresh(self, queue: Queue) -> None:
        """The same, if the policies have changed since it was last done."""
        if queue.policy_revision != self.policies.revision:
            before, events = queue.match, queue.around.events
            self.enter_queue(queue)
            if events.on and queue.match != before:
                events.policies(queue, before)

    # -- all of them ---------------------------------------------------------------------

    def _begin(self, now_ms: int) -> None:
        """Start again from the first name: what was left of an older change is in this one."""
        self._changed()
        exchanges = [(True, name) for name in self._exchanges]
        self._left = chain(exchanges, [(False, name) for name in self._queues])
        if not self._is_sweeping:
            self._sweep(now_ms)

    def _sweep(self, now_ms: int) -> None:
        """Work off one slice."""
        steps = STEPS
        for is_exchange, name in self._left:
            self._apply(is_exchange, name)
            steps -= STEPS_EACH + self.policies.cost(name)
            if steps <= 0:
                self._is_sweeping = True
                self._timers.at(now_ms + 1, self._sweep)
                break
        else:
            self._is_sweeping = False
        # Routes go by alternate exchanges, and by what the queues at their ends refuse.
        self._changed()

    def _apply(self, is_exchange: bool, name: str) -> None:
        if is_exchange:
            exchange = self._exchanges.get(name)
            if exchange is not None:
                self.enter_exchange(exchange)
        else:
            queue = self._queues.get(name)
            if queue is not None:
                self.refresh(queue)
