"""What is to be sent: one signal for all of it, and room for more."""

from __future__ import annotations

import pytest
from pamqp.commands import Tx

from amqpd.amqp import wire
from amqpd.amqp.output import Output

SELECT_OK = b"\x01\x00\x03\x00\x00\x00\x04\x00\x5a\x00\x0b\xce"


class Told:
    """An output with room for 100 bytes, and how often it was touched."""

    def __init__(self) -> None:
        self.touched = 0
        self.woken = 0
        self.output = Output(wire.select().Outbox(), 100, self.touch)

    def touch(self) -> None:
        self.touched += 1

    def wake(self) -> None:
        self.woken += 1


@pytest.fixture
def told() -> Told:
    return Told()


def test_it_is_touched_once_until_it_is_taken(told: Told) -> None:
    told.output.send(Tx.SelectOk(), 3)
    told.output.raw(b"more")
    assert told.touched == 1

    assert told.output.take() == SELECT_OK + b"more"
    assert told.output.sent == len(SELECT_OK) + 4
    told.output.raw(b"again")

    assert told.touched == 2


def test_it_is_full_beyond_its_limit_or_while_the_transport_is(told: Told) -> None:
    found = [told.output.is_full]
    told.output.writable = False
    found.append(told.output.is_full)
    told.output.writable = True
    found.append(told.output.is_full)
    told.output.raw(bytes(100))

    assert [*found, told.output.is_full] == [False, True, False, True]


def test_who_waits_for_room_is_woken_once(told: Told) -> None:
    told.output.raw(bytes(100))
    told.output.when_room(told.wake)
    told.output.relieve()
    assert told.woken == 0

    told.output.take()
    told.output.take()

    assert told.woken == 1


def test_taking_makes_no_room_while_the_transport_is_full(told: Told) -> None:
    told.output.writable = False
    told.output.when_room(told.wake)
    told.output.take()
    assert told.woken == 0

    told.output.writable = True
    told.output.relieve()

    assert told.woken == 1
