"""Guard: everything is passed on to whoever has found a place, and nothing otherwise."""

from __future__ import annotations

import asyncio

import pytest

from amqpd.server.guard import Guarded
from amqpd.server.room import Place, Room


class Inner(asyncio.Protocol):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(exc)

    def data_received(self, data: bytes) -> None:
        self.told.append(data)

    def eof_received(self) -> bool:
        self.told.append("eof")
        return True

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")


class Socket(asyncio.Transport):
    """May be cut off."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 5)})
        self.aborted = 0

    def abort(self) -> None:
        self.aborted += 1


def life(guarded: asyncio.Protocol, socket: Socket, lost: Exception | None) -> bool | None:
    guarded.connection_made(socket)
    guarded.data_received(b"a")
    guarded.pause_writing()
    guarded.resume_writing()
    kept_open = guarded.eof_received()
    guarded.connection_lost(lost)
    return kept_open


@pytest.mark.parametrize("lost", [None, ConnectionResetError("gone")])
async def test_whoever_has_a_place_hears_everything_and_gives_it_back(
    lost: Exception | None,
) -> None:
    inner, socket, room = Inner(), Socket(), Room(1)

    kept_open = life(Guarded.around(lambda: inner, room)(), socket, lost)

    assert inner.told == [socket, b"a", "pause", "resume", "eof", lost]
    assert kept_open is True
    assert (socket.aborted, room.connections, room.refused) == (0, 0, 0)


async def test_whoever_has_none_is_cut_off_and_hears_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Guarded, "_told_s", float("-inf"))
    inner, socket, room = Inner(), Socket(), Room(0)

    for _ in range(3):
        assert life(Guarded.around(lambda: inner, room)(), socket, None) is None

    assert inner.told == []
    assert (socket.aborted, room.connections, room.refused) == (3, 0, 3)
    # Once a second.
    assert caplog.messages == [
        "HTTP connection from 192.0.2.1 refused: limit of 0 reached (1 in all)"
    ]


async def test_a_place_that_somebody_else_found_is_given_back_too() -> None:
    inner, room = Inner(), Room(1)
    place = room.enter("192.0.2.1")
    assert isinstance(place, Place)

    life(Guarded.seated(lambda: inner)(place), Socket(), None)

    assert len(inner.told) == 6
    assert room.connections == 0
