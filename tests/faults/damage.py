"""Stores that are damaged while nobody looks: what is delivered is whole, what is missing is told.

A store is made once, and stopped. Then its files are damaged in one way after the other; each
time a broker is started on a copy and every queue is drained. Allowed is to refuse, with the
file's name, or to hand out what was published, each message in its own queue, once, and to say
of how many that is not possible.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from amqpd.testing import EmbeddedBroker
from amqpd.testing.address import StartFailed
from tests.client import Client, Closed, Gone
from tests.server.running import Program

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

QUEUES: Final = ("one", "two", "both.1", "both.2")
SIZES: Final = (0, 10, 10, 300, 300, 5000, 40_000)
MESSAGES: Final = 400

#: What is in each queue, in order.
Contents = dict[str, list[bytes]]


@dataclass(slots=True)
class Outcome:
    """What became of the damages."""

    refused: int = 0
    whole: int = 0
    told: int = 0
    hidden: list[str] = field(default_factory=list)


def filled(directory: Path, chance: random.Random) -> Contents:
    """A store with messages in some queues, stopped in good order."""
    contents: Contents = {queue: [] for queue in QUEUES}
    with Program(directory) as program:
        with Client(program.wait_ready().port, timeout_s=60.0) as client:
            channel = client.channel()
            for queue in QUEUES:
                channel.declare_queue(queue, durable=True)
            channel.declare_exchange("both", "fanout", durable=True)
            for queue in QUEUES[2:]:
                channel.bind(queue, "both", "")
            channel.select_confirms()
            for number in range(MESSAGES):
                body = b"%06d" % number + chance.randbytes(chance.choice(SIZES))
                queues = chance.choice((QUEUES[:1], QUEUES[1:2], QUEUES[2:]))
                alone = len(queues) == 1
                channel.publish("" if alone else "both", queues[0], body, persistent=True)
                for queue in queues:
                    contents[queue].append(body)
                if number % 50 == 0:
                    channel.wait_confirms()
            channel.wait_confirms()
        assert program.stop() == 0
    return contents


def judged(
    directory: Path,
    contents: Contents,
    damages: int,
    damage: Callable[[Path], str],
) -> Outcome:
    """Damage a copy so often, each time in one place that `damage` chooses and tells."""
    outcome = Outcome()
    for number in range(damages):
        copy = directory.with_name(f"damaged{number}")
        shutil.copytree(directory, copy)
        what = damage(copy)
        told = Told()
        try:
            with told:
                found = drained(copy)
        except StartFailed as failed:
            if str(copy) in str(failed):
                outcome.refused += 1
            else:
                outcome.hidden.append(f"{what}: refused without saying where: {failed}")
        except (Closed, Gone, OSError):
            # It has noticed while it ran, and has ended.
            outcome.told += 1
        else:
            _compare(outcome, what, contents, found, max(told.missing, set_aside(copy)))
        shutil.rmtree(copy)
    return outcome


class Told(logging.Handler):
    """How many messages the log says are missing; a context manager."""

    missing = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Look at a line."""
        if "are not in the store" in record.msg and isinstance(record.args, tuple):
            self.missing += int(str(record.args[2]))

    def __enter__(self) -> Self:
        logging.getLogger("amqpd.broker").addHandler(self)
        return self

    def __exit__(self, *exc: object) -> None:
        logging.getLogger("amqpd.broker").removeHandler(self)


def _compare(outcome: Outcome, what: str, contents: Contents, found: Contents, aside: int) -> None:
    missing = 0
    for queue, wanted in contents.items():
        came = found.get(queue, [])
        if [body for body in wanted if body in set(came)] != came:
            outcome.hidden.append(f"{what}: {queue} gave something else than was put into it")
            return
        missing += len(wanted) - len(came)
    if not missing:
        outcome.whole += 1
    elif aside >= missing:
        outcome.told += 1
    else:
        outcome.hidden.append(f"{what}: {missing} messages are missing, {aside} are told")


def drained(directory: Path) -> Contents:
    """Everything that a broker hands out."""
    found: Contents = {}
    with EmbeddedBroker(directory) as broker, Client(broker.port, timeout_s=10.0) as client:
        for queue in QUEUES:
            channel = client.channel()
            channel.declare_queue(queue, durable=True)
            found[queue] = []
            while delivery := channel.get(queue, no_ack=True):
                found[queue].append(delivery.body)
    return found


def set_aside(directory: Path) -> int:
    """How many messages the store says that it could not hand out."""
    try:
        with closing(sqlite3.connect(directory / "amqpd.db")) as connection:
            return int(connection.execute("SELECT count(*) FROM quarantine").fetchone()[0])
    except sqlite3.Error:
        return 0


def flipped(chance: random.Random) -> Callable[[Path], str]:
    """One bit of the database is another."""

    def flip(directory: Path) -> str:
        path = directory / "amqpd.db"
        octets = bytearray(path.read_bytes())
        at, bit = chance.randrange(len(octets)), chance.randrange(8)
        octets[at] ^= 1 << bit
        path.write_bytes(octets)
        return f"bit {bit} of octet {at} flipped"

    return flip


def cut(chance: random.Random) -> Callable[[Path], str]:
    """The database ends too early."""

    def shorten(directory: Path) -> str:
        path = directory / "amqpd.db"
        size = path.stat().st_size
        at = chance.randrange(size)
        with path.open("r+b") as file:
            file.truncate(at)
        return f"cut at {at} of {size}"

    return shorten
