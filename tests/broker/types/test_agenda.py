"""Agendas: on time and in order, most of it on disk."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from amqpd.broker.content import body
from amqpd.broker.exchange import Exchange
from amqpd.broker.message import a_run
from amqpd.broker.types import agenda as module
from amqpd.broker.types.agenda import HOURS_BITS, Agenda
from amqpd.properties import Properties
from tests.broker.types.exchanges import declare
from tests.broker.types.living import Living

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amqpd.broker.binding import Destination
    from amqpd.broker.exchange import Host
    from amqpd.broker.shelf import Kept, Shelf
    from amqpd.fields import Table

HOURS = 1 << HOURS_BITS


class DiaryExchange(Exchange):
    """An exchange with an agenda and nothing else."""

    kind = "x-diary"
    keeps = True

    def attach(self, host: Host) -> None:
        self.host = host
        self.agenda = Agenda(self, host, self.due)
        self.heard: list[tuple[int, bytes]] = []

    def match(self, keys: Sequence[str], headers: Table | None) -> list[Destination]:
        return []

    def take_over(self, shelf: Shelf) -> None:
        self.agenda.take_over(shelf)

    def due(self, shelf: Shelf, kept: Kept) -> None:
        self.heard.append((self.host.now_ms, body(kept.run.contents[0])))
        shelf.remove(kept)


class Diary(Living):
    """A model with one such exchange."""

    def __init__(self, *, durable: bool = True) -> None:
        super().__init__(diary=DiaryExchange)
        declare(self, "x-diary", durable=durable)

    @property
    def exchange(self) -> DiaryExchange:
        exchange = self.vhost.exchanges["x"]
        assert isinstance(exchange, DiaryExchange)
        return exchange

    @property
    def agenda(self) -> Agenda:
        return self.exchange.agenda

    def add(self, octets: bytes, delay_ms: int, *, mode: int = 2) -> None:
        run = a_run(b"\0\0", Properties(delivery_mode=mode), octets)
        self.agenda.add(run, self.broker.around.now_ms + delay_ms)

    def heard(self) -> list[bytes]:
        return [octets for _, octets in self.exchange.heard]

    def shelves(self) -> int:
        return len(list(self.vhost.shelves))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window of ten messages, read by fives, handed over by threes."""
    monkeypatch.setattr(module, "WINDOW", 10)
    monkeypatch.setattr(module, "READ_MESSAGES", 5)
    monkeypatch.setattr(module, "BURST", 3)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("mode", "durable"), [(1, True), (2, True), (2, False)])
def test_most_is_on_disk_and_all_comes_in_order_and_on_time(mode: int, durable: bool) -> None:
    diary = Diary(durable=durable)
    chance = Random(1)  # noqa: S311 - no secrets
    delays = [chance.randrange(1, 60_000) for _ in range(300)]
    begin = diary.broker.around.now_ms
    for delay in delays:
        diary.add(b"%d" % delay, delay, mode=mode)
        if chance.random() < 0.3:
            diary.commit()
        assert diary.agenda.in_memory <= 60
    diary.commit()

    for _ in range(1250):
        diary.turn(50)
        assert diary.agenda.in_memory <= 60

    assert diary.heard() == [b"%d" % delay for delay in sorted(delays)]
    assert all(-60 < begin + int(octets) - at <= 0 for at, octets in diary.exchange.heard)
    assert diary.agenda.count == 0


@pytest.mark.usefixtures("small")
def test_what_comes_later_and_is_due_earlier_goes_first() -> None:
    diary = Diary()
    chance = Random(2)  # noqa: S311 - no secrets
    expected: list[tuple[int, bytes]] = []
    for _ in range(400):
        delay = chance.choice([20, 700, 3_000, 30_000])
        due = diary.broker.around.now_ms + delay
        expected.append((due, b"%d" % len(expected)))
        diary.add(expected[-1][1], delay)
        diary.turn(chance.randrange(20))

    for _ in range(3300):
        diary.turn(10)

    assert diary.heard() == [octets for _, octets in sorted(expected, key=lambda one: one[0])]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("passed_ms", [0, 30_000, 100_000])
def test_after_a_restart_all_goes_on(passed_ms: int) -> None:
    diary = Diary()
    chance = Random(3)  # noqa: S311 - no secrets
    delays = [chance.randrange(1, 60_000) for _ in range(100)]
    for delay in delays:
        diary.add(b"%d" % delay, delay)
    diary.add(b"transient", 30_000, mode=1)
    diary.commit()

    diary.restart(passed_ms)
    assert diary.agenda.count == 100 - len(diary.heard())
    diary.add(b"new", 70_000)
    for _ in range(1500):
        diary.turn(50)

    assert diary.heard() == [*(b"%d" % delay for delay in sorted(delays)), b"new"]
    assert diary.agenda.count == 0
    diary.commit()
    diary.restart()
    diary.turn(HOURS)
    assert diary.heard() == []
    assert diary.shelves() == 0


def test_an_empty_shelf_stays_until_its_hours_are_over() -> None:
    diary = Diary()
    diary.add(b"1", 10)
    diary.wait(20)
    assert (diary.heard(), diary.shelves()) == ([b"1"], 1)

    diary.turn(HOURS)

    assert diary.shelves() == 0
    diary.commit()
    diary.restart()
    assert diary.shelves() == 0


def test_a_shelf_of_a_former_life_goes_when_it_is_empty() -> None:
    diary = Diary()
    diary.add(b"1", 10)
    diary.wait(20)
    diary.restart()
    diary.wait(20)

    assert diary.shelves() == 0


def test_other_hours_have_other_shelves() -> None:
    diary = Diary()
    for number in range(3):
        diary.add(b"%d" % number, number * HOURS + 10)
    assert diary.shelves() == 3

    for _ in range(3):
        diary.turn(HOURS)
        diary.wait(10)

    assert diary.heard() == [b"0", b"1", b"2"]
    assert diary.shelves() <= 1


def test_when_the_slots_are_used_up_there_is_another_shelf(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SLOT_BITS", 2)
    diary = Diary()
    for number in range(10):
        diary.add(b"%d" % number, 100)
    assert diary.shelves() == 3

    diary.wait(120)

    assert diary.heard() == [b"%d" % number for number in range(10)]
    assert diary.shelves() == 1


def test_large_messages_fill_the_window_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW_BYTES", 100_000)
    diary = Diary()
    for number in range(50):
        diary.add(bytes([number]) * 10_000, 1_000 + number)
        diary.commit()
        assert diary.agenda.in_memory <= 21

    diary.wait(1_100)

    assert [octets[0] for octets in diary.heard()] == list(range(50))


@pytest.mark.usefixtures("small")
def test_while_a_read_is_under_way_nothing_leaves_and_no_other_begins() -> None:
    diary = Diary()
    for number in range(60):
        diary.add(b"%02d" % number, 10_000 + number)
        diary.commit()
    diary.reads = 0
    now_ms = diary.broker.around.now_ms
    for passed_ms in range(10_000, 10_100, 5):
        diary.broker.tick(now_ms + passed_ms)
    assert diary.reads == 1
    assert 0 < len(diary.heard()) < 30

    for number in range(60, 90):
        diary.add(b"%02d" % number, 1_000 + number)
    diary.broker.tick(now_ms + 11_200)
    assert diary.reads == 1
    diary.wait(2_000)

    assert diary.heard() == [b"%02d" % number for number in range(90)]
    assert diary.agenda.count == 0


@pytest.mark.usefixtures("small")
def test_nothing_is_read_before_it_is_wanted() -> None:
    diary = Diary()
    for number in range(40):
        diary.add(b"%d" % number, 100_000 + number)
        diary.commit()
    diary.reads = 0
    timers = len(diary.broker.timers)

    diary.wait(50_000, 100)

    assert diary.reads == 0
    assert len(diary.broker.timers) <= timers
    diary.wait(60_000, 100)
    assert len(diary.heard()) == 40


def test_what_was_set_aside_as_damaged_is_not_waited_for() -> None:
    diary = Diary()
    for number in range(3):
        diary.add(b"%d" % number, 100 + number)
    diary.commit()
    shelf = next(iter(diary.vhost.shelves))
    rows = diary.disk._rows[int(shelf.lane.id)]
    del rows[min(rows)]

    diary.restart(200)
    diary.wait(20)

    assert diary.heard() == [b"1", b"2"]
    assert diary.agenda.count == 0


def test_deleting_the_exchange_ends_it() -> None:
    diary = Diary()
    diary.add(b"1", 100)
    diary.commit()
    exchange = diary.exchange
    diary.vhost.delete_exchange(diary.access, "x", if_unused=False)

    diary.wait(200)

    assert exchange.heard == []


@pytest.mark.usefixtures("small")
def test_what_arrives_after_the_exchange_was_deleted_is_not_looked_at() -> None:
    diary = Diary()
    for number in range(3):
        diary.add(b"%d" % number, 100)
    diary.commit()
    diary.disk.crash()
    diary.start(diary.broker.around.now_ms)
    diary.vhost, diary.access = diary.broker.open_vhost("/", "u")
    exchange = diary.exchange
    diary.broker.tick(diary.broker.around.now_ms)
    assert diary.reads == 1

    diary.vhost.delete_exchange(diary.access, "x", if_unused=False)
    diary.wait(200)

    assert exchange.heard == []


@pytest.mark.usefixtures("small")
def test_what_is_not_on_disk_yet_stays_in_memory() -> None:
    diary = Diary()
    bodies = [b"%02d" % number for number in range(40)]
    for number, octets in enumerate(bodies):
        diary.add(octets, 1_000 + number)

    assert diary.agenda.in_memory == 40
    for _ in range(40):
        diary.turn(100)

    assert diary.heard() == bodies
