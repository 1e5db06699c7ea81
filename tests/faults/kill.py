"""Ends a broker at random moments while clients work, then judges the whole history.

python -m tests.faults.kill --rounds 100 --seed 7
python -m tests.faults.kill --rounds 100 --workload 'dead letters'
python -m tests.faults.kill --rounds 5 --broker rabbitmq     (port 5672 must be free)

Most lives end by SIGKILL, some by SIGTERM, the last one in peace.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.client import ChannelClosed, Client, Closed, Gone
from tests.faults import history
from tests.faults.events import Crashed, Drained, Kind, Linked, Missing, Removed, Stopped, read
from tests.faults.policies import Administrator, Policies, delayed, removed
from tests.faults.subject import Amqpd, RabbitMQ, injected
from tests.faults.worker import Consumer, Definer, Log, Publisher, Transactor, Worker
from tests.faults.workloads import MIXED, WORKLOADS, Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.history import Report
    from tests.faults.subject import Subject

PUBLISHERS: Final = 2


@dataclass(frozen=True, slots=True)
class End:
    """How a life ends; `come` waits for it or brings it about, and tells the exit code.

    `wrapper` makes calls of the broker fail, so that it ends by itself.
    """

    wrapper: tuple[str, ...] = ()
    codes: frozenset[int] = frozenset((0,))
    endings: frozenset[int] = frozenset()
    how: str = "fault"

    @property
    def is_fault(self) -> bool:
        """Nobody ends it: it does so by itself."""
        return self.how == "fault"

    def come(self, subject: Subject) -> int:
        """End it, or see it end."""
        if self.is_fault:
            return subject.wait(FAULT_S)
        if self.how == "stop":
            return subject.stop()
        subject.kill()
        return 0


KILL: Final = End(how="kill")
STOP: Final = End(how="stop")


def fault(*faults: str, code: int) -> End:
    """It ends with this code because of faults (`subject.injected`)."""
    return End(injected(*faults), frozenset((code,)), frozenset((INTERNAL_ERROR,)))


#: How much a broker lives through in a round: events of the history.
LIFE_EVENTS: Final = (20, 1500)
JOIN_S: Final = 60.0
#: For a broker that ends by itself.
FAULT_S: Final = 60.0
#: The reply code of a broker whose store has failed.
INTERNAL_ERROR: Final = 541
#: For queues that empty themselves.
PASSING_S: Final = 60.0


@dataclass(slots=True)
class Campaign:
    """So many lives of one broker over one data directory."""

    subject: Subject
    path: Path
    seed: int
    workload: Workload = MIXED
    #: Share of the lives that end in good order.
    stops: float = 0.2
    definitions: dict[str, bool | None] = field(default_factory=dict)
    policies: Policies = field(default_factory=Policies)
    make_log: Callable[[Path], Log] = Log

    def run(self, rounds: int) -> Report:
        """End it `rounds` times, let it live once more in peace, drain, judge."""
        chance = random.Random(self.seed)  # noqa: S311 - repeatable, not secret
        return self.run_under(
            *(STOP if chance.random() < self.stops else KILL for _ in range(rounds))
        )

    def _open(self) -> Log:
        """Begin the history; everything that is durable is declared."""
        log = self.make_log(self.path)
        self._note_queues(log)
        try:
            with Client(self.subject.start()) as client:
                self.workload.declare(client.channel())
                client.close()
            self.subject.stop()
        except BaseException:
            self.subject.kill()
            log.close()
            raise
        return log

    def run_under(self, *ends: End) -> Report:
        """One life for each end, then one in peace, drain, judge."""
        chance = random.Random(self.seed)  # noqa: S311 - repeatable, not secret
        log = self._open()
        try:
            for life, end in enumerate(ends):
                self._live(life, log, chance, end)
            self._live_in_peace(len(ends), log, chance)
        finally:
            log.close()
        return history.check(read(self.path))

    def _note_queues(self, log: Log) -> None:
        workload = self.workload
        for link in workload.links:
            log.add(lambda at, link=link: Linked(at, link.source, link.target, link.reasons))  # type: ignore[misc]
        for queue in workload.queues:
            levels, limit = workload.levels(queue), workload.limit(queue)
            refuses, loose = workload.refuses(queue), queue in workload.loose
            counts, delay_ms = workload.counts(queue), workload.delay_ms(queue)
            if levels > 1 or limit or refuses or counts:
                kind = (queue, levels, limit, refuses, loose, counts, delay_ms)
                log.add(lambda at, kind=kind: Kind(at, *kind))  # type: ignore[misc]

    def _begin(self, log: Log, wrapper: tuple[str, ...] = ()) -> int | None:
        """Start it; None if a fault kept it from becoming ready."""
        self.subject.wrapper = wrapper
        try:
            port = self.subject.start()
        except AssertionError:
            if not wrapper:
                raise
            return None
        try:
            self.check_definitions(port, log)
        except (Closed, Gone, OSError):
            if not wrapper:
                raise
            return None
        except BaseException:
            self.subject.kill()
            raise
        return port

    def _live(self, life: int, log: Log, chance: random.Random, end: End) -> None:
        port = self._begin(log, end.wrapper)
        code = 0
        workers: list[Worker | Administrator] = []
        try:
            if port is not None:
                workers = self._start_workers(port, life, log, chance, end.endings)
                if not end.is_fault:
                    _live_on(log, workers, chance)
            code = end.come(self.subject)
        finally:
            self.subject.kill()
        _end(workers)
        log.add(Stopped if end is STOP else Crashed)
        assert code in end.codes, f"ended with {code}, not one of {sorted(end.codes)}"

    def _live_in_peace(self, life: int, log: Log, chance: random.Random) -> None:
        port = self._begin(log)
        assert port is not None
        try:
            workers = self._start_workers(port, life, log, chance)
            _live_on(log, workers, chance)
            _end(workers)
            self.drain(port, log)
            if not life:
                _note_removed(self.subject.http_port, log)
        finally:
            self.subject.kill()

    def _start_workers(
        self,
        port: int,
        life: int,
        log: Log,
        chance: random.Random,
        endings: frozenset[int] = frozenset(),
    ) -> list[Worker | Administrator]:
        started: list[Worker | Administrator] = []
        try:
            for worker in self._workers(port, life, log, chance):
                worker.endings |= endings
                started.append(worker)
        except (Closed, Gone, OSError):
            if not endings:
                raise
        started += self._administrators(chance)
        for one in started:
            one.thread.start()
        return started

    def _workers(self, port: int, life: int, log: Log, chance: random.Random) -> Iterator[Worker]:
        def own() -> random.Random:
            return random.Random(chance.random())  # noqa: S311 - repeatable, not secret

        workload = self.workload
        for number in range(PUBLISHERS):
            yield Publisher(f"p{number}.{life}", Client(port), log, own(), workload)
        for number, (queue, answers) in enumerate(workload.consumed):
            yield Consumer(f"c{number}.{life}", Client(port), log, own(), queue, answers)
        if workload.tx_source:
            yield Transactor(f"t.{life}", Client(port), log, own(), workload)
        if workload.defines:
            yield Definer(f"d.{life}", Client(port), log, own(), self.definitions)

    def _administrators(self, chance: random.Random) -> Iterator[Administrator]:
        if self.workload.policies:
            port, choices = self.subject.http_port, self.workload.policies
            yield Administrator(port, self.policies, choices, chance)

    def check_definitions(self, port: int, log: Log) -> None:
        """Note what is missing of what must be there."""
        if self.workload.policies:
            for what in self.policies.missing(self.subject.http_port):
                log.add(lambda at, what=what: Missing(at, what))  # type: ignore[misc]
        queues = self.workload.queues
        with Client(port) as client:
            for queue, exists in [*self.definitions.items(), *((q, True) for q in queues)]:
                found = _exists(client, queue)
                if exists is not None and found is not exists:
                    what = f"queue {queue!r}" if exists else f"deletion of queue {queue!r}"
                    log.add(lambda at, what=what: Missing(at, what))  # type: ignore[misc]
                if queue in self.definitions:
                    self.definitions[queue] = found
            channel = client.channel()
            for name, kind in self.workload.exchanges.items():
                channel.declare_exchange(name, kind, durable=True)

    def drain(self, port: int, log: Log) -> None:
        """Take everything out of every queue, twice."""
        with Client(port, timeout_s=30.0) as client:
            drainer = Worker("drain", client, log, random.Random(0))  # noqa: S311 - not secret
            drainer.stopping.wait(self.workload.settle_s)
            for queue in self.workload.passing:
                _wait_empty(drainer, queue)
            if any(map(self.workload.delay_ms, self.workload.queues)):
                _wait_for_returns(drainer, self.subject.http_port, self.workload)
            for turn in (1, 2):
                for queue in self.workload.queues:
                    _drain_queue(drainer, queue, turn)


def _live_on(log: Log, workers: list[Worker | Administrator], chance: random.Random) -> None:
    """Let some work be done, unless a worker has met its end."""
    log.wait_for(
        chance.randint(*LIFE_EVENTS), lambda: all(one.thread.is_alive() for one in workers)
    )


def _wait_empty(drainer: Worker, queue: str) -> None:
    deadline = time.monotonic() + PASSING_S
    while drainer.channel.declare_queue(queue, passive=True).message_count:
        assert time.monotonic() < deadline, f"{queue} does not empty itself"
        drainer.stopping.wait(0.02)


def _wait_for_returns(drainer: Worker, http_port: int, workload: Workload) -> None:
    """Until nothing waits for its time any more."""
    deadline = time.monotonic() + PASSING_S
    for queue in workload.queues:
        while workload.delay_ms(queue) and delayed(http_port, queue):
            assert time.monotonic() < deadline, f"{queue} keeps what came back"
            drainer.stopping.wait(0.05)


def _drain_queue(drainer: Worker, queue: str, turn: int) -> None:
    count = 0
    while delivery := drainer.channel.get(queue, no_ack=True):
        drainer.note_delivery(queue, delivery, turn)
        count += 1
    drainer.log.add(lambda at: Drained(at, queue, turn, count))


def _note_removed(http_port: int, log: Log) -> None:
    """What the broker has counted; in its first life that is all there is."""
    counted = removed(http_port)
    for rule in ("expired", "maxlen", "rejected"):
        count = counted.get(rule, 0)
        log.add(lambda at, rule=rule, count=count: Removed(at, rule, count))  # type: ignore[misc]


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


def _end(workers: list[Worker | Administrator]) -> None:
    for worker in workers:
        worker.stopping.set()
    for worker in workers:
        worker.thread.join(JOIN_S)
        assert not worker.thread.is_alive(), f"{worker.name} hangs"
        assert worker.problem is None, f"{worker.name}: {worker.problem}"


def main() -> int:
    """Run a campaign from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workload", choices=tuple(WORKLOADS), default="mixed")
    parser.add_argument("--broker", choices=("amqpd", "rabbitmq"), default="amqpd")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="amqpd-kill-"))
    subject: Subject
    if options.broker == "rabbitmq":
        subject = RabbitMQ(folder / "data")
    else:
        subject = Amqpd(folder / "data", "--http-port", "0")
    workload = WORKLOADS[options.workload]
    campaign = Campaign(subject, folder / "history.jsonl", options.seed, workload)
    report = campaign.run(options.rounds)
    sys.stdout.write(f"{report.text()}\nhistory in {folder}\n")
    return 0 if report.clean else 1


if __name__ == "__main__":
    sys.exit(main())
