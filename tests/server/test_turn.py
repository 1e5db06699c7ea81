"""What happens once per turn of the loop."""

from __future__ import annotations

import asyncio

import pytest

from amqpd.server.turn import LEAST_BYTES, LEAST_S, READ_BYTES, READ_S, TURN_S, Turn


class Journalled:
    """Writes down in which order a turn does things."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.turn = Turn(
            asyncio.get_running_loop(),
            self.dispatch,
            lambda: self.done.append("journal"),
            lambda: self.done.append("time"),
        )
        #: Whom the next dispatch gives something to write.
        self.served: list[Connection] = []

    def dispatch(self) -> None:
        """Hand messages out."""
        self.done.append("dispatch")
        for one in self.served:
            self.turn.touch(one)
        self.served = []


class Connection:
    """Something to write."""

    def __init__(self, name: str, into: Journalled) -> None:
        self.name = name
        self.into = into
        self.again = 0
        self.fails = False

    def abort(self) -> None:
        """Be cut off."""
        self.into.done.append(f"{self.name} cut off")

    def flush(self) -> None:
        """Write; some have more to say after that."""
        if self.fails:
            raise ZeroDivisionError
        self.into.done.append(self.name)
        if self.again:
            self.again -= 1
            self.into.turn.touch(self)


async def test_the_first_read_of_a_turn_brings_the_time() -> None:
    log = Journalled()

    for _ in range(2):
        log.turn.read()
        log.turn.read()
        assert log.turn.is_dated
        log.turn.wake()
        await asyncio.sleep(0)
        assert not log.turn.is_dated

    assert log.done == ["time", "dispatch", "journal"] * 2


async def test_a_turn_dispatches_then_gives_the_journal_to_the_store_then_writes() -> None:
    log = Journalled()

    log.served = [Connection("a", log), Connection("b", log)]
    log.turn.wake()
    assert log.done == []
    await asyncio.sleep(0)

    assert log.done == ["dispatch", "journal", "a", "b"]


async def test_what_is_there_to_write_does_not_wait_for_messages_of_others() -> None:
    log = Journalled()
    publisher, consumer = Connection("publisher", log), Connection("consumer", log)

    log.turn.touch(publisher)
    log.served = [consumer]
    await asyncio.sleep(0)

    assert log.done == ["publisher", "dispatch", "journal", "consumer"]


async def test_nothing_happens_without_a_reason() -> None:
    log = Journalled()
    log.turn.wake()

    for _ in range(5):
        await asyncio.sleep(0)

    assert log.done == ["dispatch", "journal"]


async def test_where_many_have_much_to_say_each_is_read_less() -> None:
    turn = Journalled().turn

    sizes = []
    for floods in (8, 16, 100, 100, 2, 0):
        turn.full_reads = floods
        turn.wake()
        await asyncio.sleep(0)
        sizes.append(turn.read_bytes)

    assert sizes == [READ_BYTES, READ_BYTES // 2, LEAST_BYTES, LEAST_BYTES, READ_BYTES, READ_BYTES]


async def test_what_is_touched_while_writing_is_written_next_time() -> None:
    log = Journalled()
    connection = Connection("a", log)
    connection.again = 2

    log.turn.touch(connection)
    await asyncio.sleep(0)
    assert log.done == ["a", "dispatch", "journal", "a"]
    await asyncio.sleep(0)

    assert log.done == ["a", "dispatch", "journal", "a", "a", "dispatch", "journal"]


async def test_a_failing_dispatch_does_not_stop_the_writing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = Journalled()

    connection = Connection("a", log)

    def fail() -> None:
        turn.touch(connection)
        raise ZeroDivisionError

    turn = Turn(asyncio.get_running_loop(), fail, lambda: log.done.append("journal"), lambda: None)
    turn.touch(connection)
    await asyncio.sleep(0)

    assert log.done == ["a", "journal", "a"]
    assert "ZeroDivisionError" in caplog.text


async def test_a_connection_that_cannot_be_written_is_cut_off_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = Journalled()
    broken = Connection("a", log)
    broken.fails = True

    log.turn.touch(broken)
    log.turn.touch(Connection("b", log))
    await asyncio.sleep(0)

    assert log.done == ["a cut off", "b", "dispatch", "journal"]
    assert "ZeroDivisionError" in caplog.text


async def test_a_read_has_its_time_and_those_that_are_behind_share_theirs() -> None:
    loop = Ticking()
    turn = Turn(loop, lambda: None, lambda: None, lambda: None)  # type: ignore[arg-type]  # a clock

    def time_of_a_read() -> float:
        turn.read()
        began = loop.now_s
        while not turn.is_late():
            loop.now_s += 0.0001
        return round(loop.now_s - began, 4)

    assert time_of_a_read() == pytest.approx(READ_S, abs=0.0002)
    for behind, expected in ((1, READ_S), (4, TURN_S / 4), (1000, LEAST_S), (0, READ_S)):
        turn.behind = behind
        turn._run()
        assert time_of_a_read() == pytest.approx(expected, abs=0.0002)
        assert turn.behind == 0


class Ticking:
    """A loop of which nothing but the time is wanted."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def time(self) -> float:
        """As it is set."""
        return self.now_s
