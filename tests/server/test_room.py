"""Room: who is refused, and that every place is given back once."""

from __future__ import annotations

import pytest

from amqpd.server.room import Place, Room, source_of


def enter(room: Room, host: str = "192.0.2.1", *, tls: bool = False) -> Place:
    place = room.enter(host, tls=tls)
    assert isinstance(place, Place), place
    return place


def test_connections_are_limited() -> None:
    room = Room(1)
    place = enter(room)

    assert room.enter("192.0.2.2") == "limit of 1 reached"
    assert room.refused == 1
    place.leave()
    enter(room)


def test_handshakes_are_limited_until_they_are_done() -> None:
    room = Room(10, 1)
    place = enter(room, tls=True)

    assert room.enter("192.0.2.2", tls=True) == "1 TLS handshakes are under way"
    enter(room)
    place.shook_hands()
    enter(room, tls=True)


def test_the_unknown_are_limited_until_they_have_logged_in() -> None:
    room = Room(10, 0, 2)
    place = enter(room, "127.0.0.1")
    enter(room)

    assert room.enter("192.0.2.2") == "2 connections have not logged in"
    place.known()
    enter(room)


def test_the_unknown_of_one_source_are_limited_and_nobody_else() -> None:
    room = Room(20, 0, 0, 2)
    place = enter(room)
    enter(room)

    assert room.enter("192.0.2.1") == "2 connections from 192.0.2.1 have not logged in"
    for host in ("192.0.2.2", "127.0.0.1", "127.0.0.1", "127.0.0.1"):
        enter(room, host)
    place.known()
    enter(room)


def test_places_are_given_back_once() -> None:
    room = Room(10, 5, 5, 5)
    places = [enter(room, tls=True) for _ in range(3)]
    places[0].known()
    places[1].shook_hands()

    for place in places * 2:
        place.leave()
        place.known()
        place.shook_hands()

    assert (room.connections, room.handshakes, room.unknown) == (0, 0, 0)
    assert room._unknown_of == {}


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.8.9.10", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("?", "?"),
    ],
)
def test_a_source_is_an_address_or_a_network(host: str, source: str) -> None:
    assert source_of(host) == source
