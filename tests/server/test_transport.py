"""A socket and a session, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import weakref
from typing import TYPE_CHECKING

import pytest

from amqpd.server.room import Place, Room
from amqpd.server.transport import GRACE_S, HIGH_WATER_BYTES, Transport
from amqpd.server.turn import READ_BYTES, Turn
from tests.server.waiting import turns, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sized

    from amqpd.broker.queue import Queue


class Echo:
    """A session that says what it hears; `boom` makes it fail, `bye` end."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.closing = False
        self.peer_closes = False
        self.logged_in = False
        self.reading_paused = False
        self.wants_reading = True
        self.is_behind = False
        self.caught_up = 0
        self.crowding: Queue | None = None
        self.channels: Sized = ()
        self.reads: list[int] = []
        self.room: list[bool] = []
        self.ticks: list[int] = []
        self.lost: list[str] = []
        self.cannot_close = False
        self._out = b""

    def receive_data(self, data: bytes, /) -> None:
        """Echo it at the end of the turn."""
        self.reads.append(len(data))
        if data == b"boom":
            raise ZeroDivisionError
        self.say(data)
        self.closing = b"bye" in data

    def catch_up(self) -> None:
        """There is as much to do as for three turns; a fourth is a bug."""
        self.caught_up += 1
        self.is_behind = self.caught_up < 3
        self.wants_reading = not self.is_behind
        if self.caught_up > 3:
            raise ZeroDivisionError
        self.say(b"%d" % self.caught_up)

    def say(self, data: bytes) -> None:
        """Have something to send."""
        self._out += data
        self.transport.touch()

    def data_to_send(self) -> bytes:
        """All of it."""
        out, self._out = self._out, b""
        return out

    def writable(self, yes: bool) -> None:
        """Remember."""
        self.room.append(yes)

    def tick(self, now_ms: int) -> None:
        """Remember; the time 0 is a bug."""
        self.ticks.append(1 // now_ms and now_ms)

    def access_changed(self) -> None:
        """Nothing depends on it here."""

    def fail(self) -> None:
        """Say so and end."""
        if self.cannot_close:
            raise ZeroDivisionError
        self.say(b"541")
        self.closing = True

    def shut_down(self) -> None:
        """Say so and end."""
        self.say(b"320")
        self.closing = True

    def connection_lost(self, reason: str) -> None:
        """Remember."""
        self.lost.append(reason)


class Joined:
    """A transport with an echo session, and the client's end of its socket."""

    session: Echo
    transport: Transport
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    gone: int = 0

    def __init__(self) -> None:
        self.room = Room(10)
        place = self.room.enter("192.0.2.1")
        assert isinstance(place, Place)
        self.place = place


@contextlib.asynccontextmanager
async def joined() -> AsyncIterator[Joined]:
    """Both ends of one connection."""
    it = Joined()
    loop = asyncio.get_running_loop()
    turn = Turn(loop, lambda: None, lambda: None, lambda: None)

    def make_session(transport: Transport) -> Echo:
        it.session = Echo(transport)
        return it.session

    def gone(transport: Transport) -> None:
        it.gone += 1

    def protocol() -> Transport:
        it.transport = Transport(
            loop, turn, it.place, make_session=make_session, gone=gone, was_read=lambda _: None
        )
        return it.transport

    server = await loop.create_server(protocol, "127.0.0.1", 0)
    it.reader, it.writer = await asyncio.open_connection(
        "127.0.0.1", server.sockets[0].getsockname()[1]
    )
    await until(lambda: hasattr(it, "session"))
    yield it
    it.writer.close()
    it.transport.abort()
    server.close()
    await until(lambda: it.gone == 1)
    with contextlib.suppress(ConnectionError):
        await it.writer.wait_closed()


async def test_a_place_is_that_of_a_known_client_from_the_login_on() -> None:
    async with joined() as it:
        it.writer.write(b"hello")
        await it.reader.readexactly(5)
        assert it.room.unknown == 1

        it.session.logged_in = True
        it.writer.write(b"hello")
        await it.reader.readexactly(5)

        assert it.room.unknown == 0


async def test_bytes_go_in_and_come_out() -> None:
    async with joined() as it:
        it.writer.write(b"hello")

        assert await it.reader.readexactly(5) == b"hello"


async def test_reads_come_in_pieces_of_limited_size() -> None:
    async with joined() as it:
        sent = bytes(1_000_000)
        it.writer.write(sent)

        assert await it.reader.readexactly(len(sent)) == sent

        assert sum(it.session.reads) == len(sent)
        assert max(it.session.reads) <= READ_BYTES


async def test_small_writes_go_out_at_once() -> None:
    async with joined() as it:
        raw = it.transport.socket.get_extra_info("socket")

        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


async def test_a_peer_that_does_not_read_makes_the_session_hold_back() -> None:
    async with joined() as it:
        client = it.writer.transport
        assert isinstance(client, asyncio.Transport)
        client.pause_reading()

        while not it.session.room:
            it.session.say(bytes(HIGH_WATER_BYTES))
            await asyncio.sleep(0)
        assert it.session.room == [False]
        client.resume_reading()
        reading = asyncio.ensure_future(it.reader.read(-1))
        await until(lambda: it.session.room == [False, True])

        it.transport.shut_down()
        await reading


async def test_an_error_in_a_session_closes_its_connection_with_541(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with joined() as it:
        it.writer.write(b"boom")

        assert await it.reader.read(-1) == b"541"

        assert "ZeroDivisionError" in caplog.text


async def test_an_error_while_the_time_passes_does_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with joined() as it:
        it.transport.tick(1)
        it.transport.tick(0)

        assert await it.reader.read(-1) == b"541"

        assert "ZeroDivisionError" in caplog.text


async def test_a_session_that_cannot_even_close_is_cut_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with joined() as it:
        it.session.cannot_close = True
        it.writer.write(b"boom")

        with contextlib.suppress(ConnectionError):
            assert await it.reader.read(-1) == b""
        await until(lambda: it.gone == 1)

        assert "cannot even be closed" in caplog.text


async def test_last_words_reach_a_peer_that_is_still_sending() -> None:
    async with joined() as it:
        it.writer.write(b"x" * 500_000)
        await it.reader.readexactly(500_000)
        it.writer.write(b"bye")
        for _ in range(100):
            it.writer.write(bytes(10_000))
            await asyncio.sleep(0)

        assert (await it.reader.read(-1)).startswith(b"bye")


async def test_a_peer_that_asked_to_close_is_the_first_to_do_so() -> None:
    async with joined() as it:
        it.session.peer_closes = True
        it.writer.write(b"bye")
        assert await it.reader.readexactly(3) == b"bye"

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(it.reader.read(1), GRACE_S / 4)

        it.writer.close()
        await until(lambda: it.gone == 1)


async def test_a_peer_that_asked_to_close_and_does_not_is_closed() -> None:
    async with joined() as it:
        it.session.peer_closes = True
        it.writer.write(b"bye")

        assert await it.reader.read() == b"bye"


async def test_after_last_words_nothing_reaches_the_session() -> None:
    async with joined() as it:
        it.writer.write(b"bye")
        await it.reader.read(-1)

        it.writer.write(b"more")
        it.transport.tick(1)
        it.transport.shut_down()
        it.transport.fail()
        await turns()

        assert it.session.reads == [3]
        assert it.session.ticks == []
        assert it.session.data_to_send() == b""


async def test_the_session_hears_of_the_end_once() -> None:
    async with joined() as it:
        it.writer.close()

        await until(lambda: it.gone == 1)

        assert it.session.lost == [""]


async def test_a_session_that_wants_no_reading_is_not_given_any() -> None:
    async with joined() as it:
        it.writer.write(b"first")
        await it.reader.readexactly(5)
        it.session.wants_reading = False
        it.transport.look()

        it.writer.write(b"second")
        await turns()
        assert it.session.reads == [5]

        it.session.wants_reading = True
        it.transport.look()
        assert await it.reader.readexactly(6) == b"second"


async def test_a_held_connection_is_read_when_both_reasons_are_gone() -> None:
    async with joined() as it:
        it.transport.hold(True)
        it.session.wants_reading = False
        it.transport.hold(False)
        it.writer.write(b"hello")
        await turns()
        assert it.session.reads == []
        assert it.session.reading_paused is False

        it.session.wants_reading = True
        it.transport.look()

        assert await it.reader.readexactly(5) == b"hello"


async def test_it_is_named_after_its_peer() -> None:
    async with joined() as it:
        host, port = it.writer.get_extra_info("sockname")

        assert str(it.transport) == f"{host}:{port}"


async def test_a_stopping_broker_and_a_failed_store_close_with_their_own_words() -> None:
    async with joined() as stopped, joined() as failed:
        stopped.transport.shut_down()
        failed.transport.fail()

        assert await stopped.reader.read(-1) == b"320"
        assert await failed.reader.read(-1) == b"541"


async def test_what_is_too_much_for_a_turn_is_done_in_more_and_reading_goes_on_then() -> None:
    async with joined() as it:
        it.session.is_behind, it.session.wants_reading = True, False
        it.writer.write(b"first ")
        await it.reader.readexactly(6)
        it.writer.write(b" second")

        assert await it.reader.readexactly(10) == b"123 second"

        assert it.session.caught_up == 3
        assert it.session.reads == [6, 7]


async def test_a_session_that_fails_in_a_later_turn_is_closed() -> None:
    async with joined() as it:
        it.session.caught_up = 3
        it.session.is_behind = True
        it.writer.write(b"first")

        assert await it.reader.read() == b"first541"


async def test_a_connection_at_its_end_has_no_more_turns() -> None:
    async with joined() as it:
        it.session.is_behind = True
        it.writer.write(b"bye")

        assert await it.reader.read() == b"bye"
        assert it.session.caught_up == 0


class Costly(asyncio.Transport):
    """As the transport of TLS, of which 256 KiB depend."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is nothing to write."""


async def test_what_a_socket_needs_goes_with_it_and_not_with_the_next_look_for_garbage() -> None:
    loop = asyncio.get_running_loop()
    room = Joined()
    transport = Transport(
        loop,
        Turn(loop, lambda: None, lambda: None, lambda: None),
        room.place,
        make_session=Echo,
        gone=lambda _: None,
        was_read=lambda _: None,
    )
    costly = Costly({"peername": ("127.0.0.1", 5)})
    is_there = weakref.ref(costly)
    transport.connection_made(costly)
    del costly

    transport.connection_lost(None)
    await turns(2)

    assert is_there() is None
    assert str(transport) == "127.0.0.1:5"
    transport.abort()
    transport.look()
