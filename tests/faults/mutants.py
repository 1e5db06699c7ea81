"""Brokers with one promise broken on purpose, for the history checker to find out.

python -m tests.faults.mutants NAME start --data-dir DIR …

The broker runs as plain Python, because compiled classes cannot be changed, and one method of
it is replaced. Nothing of this is in the product.
"""

from __future__ import annotations

import contextlib
import random
import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from amqpd.broker.definitions import Command
    from amqpd.broker.journal import Journal
    from amqpd.broker.lane import Lane
    from amqpd.broker.queue import Queue
    from amqpd.broker.stretch import Stretch

ROOT: Final = Path(__file__).resolve().parents[2]
CHANCE: Final = random.Random(1)  # noqa: S311 - repeatable, not secret

# Everything is replaced by something of the same shape, whatever that is.
Anything = Any


def plain_python() -> None:
    """Have the broker imported from its sources, as if nothing had been compiled."""
    sources = FileFinder.path_hook((SourceFileLoader, SOURCE_SUFFIXES))

    def hook(path: str) -> FileFinder:
        if not Path(path).is_relative_to(ROOT / "amqpd"):
            raise ImportError(path)
        found = sources(path)
        assert isinstance(found, FileFinder)
        return found

    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()


def confirm_before_commit() -> None:
    """Publishers are told before anything is on disk."""
    from amqpd.amqp.confirms import Waiting

    Waiting.is_done = lambda self, safe: True  # type: ignore[method-assign]


def drop_on_requeue() -> None:
    """What a client gives back is gone."""
    from amqpd.broker.queue import Queue

    def requeue(self: Queue, lane: Lane, pieces: list[Stretch], *, failed: bool) -> int:
        for one in pieces:
            lane.done(one.run, one.base, one.lo, one.hi)
        return 0

    Queue.requeue = requeue  # type: ignore[method-assign]


def requeue_at_tail() -> None:
    """What a client gives back comes last."""
    from amqpd.broker.lane import Lane

    Lane._insert = lambda self, piece: self._stretches.append(piece)  # type: ignore[method-assign]
    Lane._insert_all = lambda self, pieces: self._stretches.extend(pieces)  # type: ignore[method-assign]


def forget_a_target() -> None:
    """Of several queues one sometimes gets nothing."""
    from amqpd.broker.publishing import Publishing

    store = Publishing._store

    def forgetful(self: Anything, stored: Anything, run: Anything, ttl: Anything) -> Anything:
        if len(stored) > 1 and CHANCE.random() < 0.3:
            stored = stored[:-1]
        return store(self, stored, run, ttl)

    Publishing._store = forgetful  # type: ignore[method-assign,assignment]


def lose_the_last_batch() -> None:
    """SIGTERM ends it at once, whatever has not been written."""
    from amqpd.server.app import BrokerServer

    async def farewell(self: Anything) -> None:
        self.commits.push = lambda: None
        await self.connections.shut_down(0)

    async def flush(self: Anything) -> None:
        return

    BrokerServer._farewell = farewell  # type: ignore[method-assign]
    BrokerServer._flush = flush  # type: ignore[method-assign]


def fresh_after_crash() -> None:
    """What was handed out before a crash looks new after it."""
    from amqpd.broker.lane import Lane

    recover = Lane.recover

    def recovered(self: Lane, *state: Anything) -> None:
        recover(self, *state)
        self.redelivered_below = 0

    Lane.recover = recovered  # type: ignore[method-assign,assignment]


def confirm_twice() -> None:
    """Some confirms come twice."""
    from amqpd.amqp.channel import Channel

    write = Channel.write_confirm

    def twice(self: Channel, sequence: int, multiple: bool, refused: bool) -> None:
        write(self, sequence, multiple, refused)
        if CHANCE.random() < 0.2:
            write(self, sequence, multiple, refused)

    Channel.write_confirm = twice  # type: ignore[method-assign]


def uncounted() -> None:
    """What expires is not counted."""
    from amqpd.broker.deadletter import EXPIRED
    from amqpd.broker.publishing import Publishing

    drop = Publishing.drop

    def silent(self: Publishing, reason: str, messages: int, queue: Queue | None = None) -> None:
        if reason != EXPIRED:
            drop(self, reason, messages, queue)

    Publishing.drop = silent  # type: ignore[method-assign]


def copy_dead_letters() -> None:
    """Dead letters stay on disk where they died."""
    from amqpd.broker.burial import Funeral
    from amqpd.broker.publishing import Publishing

    bury = Publishing.bury

    def copied(
        self: Publishing, queue: Queue, dead: Sequence[tuple[Lane, Stretch]], reason: str
    ) -> None:
        if queue.arguments.dead_letter_exchange is None:
            bury(self, queue, dead, reason)
            return
        for _, piece in dead:
            funeral = Funeral(self.burials, queue, reason)
            funeral.add(piece.run, int(piece.lo), int(piece.hi))
            funeral.end()

    Publishing.bury = copied  # type: ignore[method-assign]


def _forget_commands(*kinds: str) -> None:
    from amqpd.broker.journal import Journal

    define = Journal.define

    def forgetful(self: Journal, command: Command) -> int:
        return self.last if type(command).__name__ in kinds else define(self, command)

    Journal.define = forgetful  # type: ignore[method-assign]


def delete_in_memory() -> None:
    """A deleted queue comes back."""
    _forget_commands("DeleteQueue")


def policies_in_memory() -> None:
    """Policies are as they were when the broker was new."""
    _forget_commands("PutParameter", "DeleteParameter")


def swap_in_batch() -> None:
    """Messages that arrive together change places."""
    from amqpd.broker.publishing import Publishing

    publish = Publishing.publish

    def swapped(self: Anything, path: Anything, run: Anything, **more: Anything) -> Anything:
        if len(run.contents) > 1:
            run.contents[0], run.contents[-1] = run.contents[-1], run.contents[0]
        return publish(self, path, run, **more)

    Publishing.publish = swapped  # type: ignore[method-assign]


def commit_in_halves() -> None:
    """What belongs together is written in pieces."""
    from amqpd.broker import journal

    @contextlib.contextmanager
    def apart(self: Journal) -> Iterator[None]:
        yield

    journal.Journal.atomic = apart  # type: ignore[method-assign]
    journal.BATCH_MESSAGES = 1


MUTANTS: Final[dict[str, Callable[[], None]]] = {
    each.__name__: each
    for each in (
        confirm_before_commit,
        drop_on_requeue,
        requeue_at_tail,
        forget_a_target,
        lose_the_last_batch,
        fresh_after_crash,
        confirm_twice,
        uncounted,
        copy_dead_letters,
        delete_in_memory,
        policies_in_memory,
        swap_in_batch,
        commit_in_halves,
    )
}


def main() -> None:
    """Break one promise, then be the broker."""
    _, name, *arguments = sys.argv
    plain_python()
    MUTANTS[name]()
    from amqpd.cli import main as amqpd

    amqpd(arguments)


if __name__ == "__main__":
    main()
