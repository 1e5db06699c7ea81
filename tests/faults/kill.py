"""Kills a broker at random moments while clients work, then judges the whole history.

python -m tests.faults.kill --rounds 100 --seed 7
python -m tests.faults.kill --rounds 5 --broker rabbitmq     (port 5672 must be free)
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.client import ChannelClosed, Client
from tests.faults import history
from tests.faults.history import Crashed, Drained, Linked, Missing
from tests.faults.subject import Amqpd, RabbitMQ
from tests.faults.worker import (
    DEAD_LETTERS,
    EXCHANGES,
    QUEUES,
    Consumer,
    Definer,
    Log,
    Publisher,
    Transactor,
    Worker,
    topology,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.history import Report
    from tests.faults.subject import Subject

#: Queues that have consumers; the others only grow, until the drain.
CONSUMED: Final = (
    "kill.direct",
    "kill.direct",
    "kill.fan.1",
    "kill.all",
    "kill.tx.1",
    "kill.dying",
)
#: How long a broker lives in a round.
LIFE_S: Final = (0.1, 1.2)
JOIN_S: Final = 20.0


@dataclass(slots=True)
class Campaign:
    """So many lives of one broker over one data directory."""

    subject: Subject
    path: Path
    seed: int
    definitions: dict[str, bool | None] = field(default_factory=dict)

    def run(self, rounds: int) -> Report:
        """Kill it `rounds` times, let it live once more in peace, drain, judge."""
        chance = random.Random(self.seed)  # noqa: S311 - repeatable, not secret
        log = Log(self.path)
        log.add(lambda at: Linked(at, *DEAD_LETTERS))
        try:
            with Client(self.subject.start()) as client:
                topology(client.channel())
                client.close()
            self.subject.stop()
            for life in range(rounds + 1):
                self._live(life, log, chance, killed=life < rounds)
        finally:
            log.close()
        return history.check(history.read(self.path))

    def _live(self, life: int, log: Log, chance: random.Random, *, killed: bool) -> None:
        port = self.subject.start()
        try:
            self._check_definitions(port, log)
            workers = list(self._workers(port, life, log, chance))
            for worker in workers:
                worker.thread.start()
            threading.Event().wait(chance.uniform(*LIFE_S))
            if not killed:
                _end(workers)
                _drain(port, log)
        finally:
            self.subject.kill()
        if killed:
            _end(workers)
            log.add(Crashed)

    def _workers(self, port: int, life: int, log: Log, chance: random.Random) -> Iterator[Worker]:
        def own() -> random.Random:
            return random.Random(chance.random())  # noqa: S311 - repeatable, not secret

        for number in range(2):
            yield Publisher(f"p{number}.{life}", Client(port), log, own())
        for number, queue in enumerate(CONSUMED):
            yield Consumer(f"c{number}.{life}", Client(port), log, own(), queue)
        yield Transactor(f"t.{life}", Client(port), log, own())
        yield Definer(f"d.{life}", Client(port), log, own(), self.definitions)

    def _check_definitions(self, port: int, log: Log) -> None:
        with Client(port) as client:
            for queue, exists in [*self.definitions.items(), *((q, True) for q in QUEUES)]:
                found = _exists(client, queue)
                if exists is not None and found is not exists:
                    what = f"queue {queue!r}" if exists else f"deletion of queue {queue!r}"
                    log.add(lambda at, what=what: Missing(at, what))  # type: ignore[misc]
                if queue in self.definitions:
                    self.definitions[queue] = found
            channel = client.channel()
            for name, kind in EXCHANGES.items():
                channel.declare_exchange(name, kind, durable=True)


def _exists(client: Client, queue: str) -> bool:
    channel = client.channel()
    try:
        channel.declare_queue(queue, passive=True)
    except ChannelClosed as closed:
        if closed.code != 404:
            raise
        return False
    channel.close()
    return True


def _end(workers: list[Worker]) -> None:
    for worker in workers:
        worker.stopping.set()
    for worker in workers:
        worker.thread.join(JOIN_S)
        assert not worker.thread.is_alive(), f"{worker.name} hangs"
        assert worker.problem is None, f"{worker.name}: {worker.problem}"


def _drain(port: int, log: Log) -> None:
    """Take everything out of every queue, twice."""
    with Client(port, timeout_s=30.0) as client:
        drainer = Worker("drain", client, log, random.Random(0))  # noqa: S311 - not secret
        for turn in (1, 2):
            for queue in QUEUES:
                count = 0
                while delivery := drainer.channel.get(queue, no_ack=True):
                    drainer.note_delivery(queue, delivery, turn)
                    count += 1
                log.add(
                    lambda at, queue=queue, turn=turn, count=count: Drained(  # type: ignore[misc]
                        at, queue, turn, count
                    )
                )


def main() -> int:
    """Run a campaign from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--broker", choices=("amqpd", "rabbitmq"), default="amqpd")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="amqpd-kill-"))
    subject: Subject
    subject = RabbitMQ(folder / "data") if options.broker == "rabbitmq" else Amqpd(folder / "data")
    report = Campaign(subject, folder / "history.jsonl", options.seed).run(options.rounds)
    sys.stdout.write(f"{report.text()}\nhistory in {folder}\n")
    return 0 if report.clean else 1


if __name__ == "__main__":
    sys.exit(main())
