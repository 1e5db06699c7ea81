"""Whatever a client sends, it hears a code from the list and nobody else hears anything."""

from __future__ import annotations

import gc
import itertools
import logging
import random
import time
from typing import TYPE_CHECKING, Final

import pytest
from pamqp.commands import Basic

from tests.fuzz import octets
from tests.fuzz.sessions import Sessions
from tests.wire.wire import World

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: All reply codes that bad input may have; 541 would be our own fault.
CODES: Final = frozenset((403, 404, 405, 406, 501, 502, 503, 504, 505, 506, 530, 540))
#: Longest that one session may keep the loop, in CPU time.
LONGEST_S: Final = 0.1
RETRIES: Final = 2
FAST: Final = 3_000
SLOW: Final = 200_000
#: A broker sees so many sessions before it is replaced by a new one.
SESSIONS_PER_WORLD: Final = 300


#: Who tells of errors that clients have made, which is what a fuzz does.
REFUSERS = ("amqpd.amqp.connection", "amqpd.channel")


def is_ours(record: logging.LogRecord) -> bool:
    """An error of our own has a traceback."""
    return record.exc_info is not None


class Complaints(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, with its traceback."""
        self.texts.append(self.format(record))


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """What the broker logs as an error during the test."""
    handler = Complaints()
    logger = logging.getLogger("amqpd")
    logger.addHandler(handler)
    # Thousands of refusals would hide the one that matters.
    refusers = [logging.getLogger(name) for name in REFUSERS]
    for one in refusers:
        one.addFilter(is_ours)
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield handler
    logger.setLevel(level)
    for one in refusers:
        one.removeFilter(is_ours)
    logger.removeHandler(handler)


class Broker:
    """A broker in memory, with a client beside the others that must not notice anything."""

    def __init__(self, complaints: Complaints) -> None:
        self.complaints = complaints
        self.world = World()
        self.sentinel = self.world.client()
        self.sentinel.declare("sentinel", exclusive=True)
        self.sentinel.confirms()
        self.count = 0

    def try_out(self, reads: Sequence[bytes], name: str) -> list[int]:
        """Send one session's bytes; the codes it was closed with."""
        codes, took_s = self._session(reads)
        for _ in range(RETRIES):
            if took_s >= LONGEST_S:  # A collection of garbage, or does it always take so long?
                took_s = min(took_s, self._session(reads)[1])
        assert not self.complaints.texts, f"{name}: {self.complaints.texts[0]}"
        assert set(codes) <= CODES, f"{name}: closed with {codes}"
        assert took_s < LONGEST_S, f"{name}: took {took_s:.3f} s"
        self._ask_the_sentinel(name)
        return codes

    def _session(self, reads: Sequence[bytes]) -> tuple[list[int], float]:
        """One connection from its first byte to its loss: codes heard, and CPU time taken."""
        client = self.world.connect()
        heard = b""
        begin = time.process_time()
        for read in reads:
            client.say(read)
            heard += client.hear_octets()
            if client.session.closing:
                break
        client.session.connection_lost("end of the fuzz session")
        self.world.turn()
        took_s = time.process_time() - begin
        return octets.close_codes(heard), took_s

    def _ask_the_sentinel(self, name: str) -> None:
        self.count += 1
        expected = b"%d" % self.count
        self.sentinel.publish(expected, "sentinel")
        heard = self.sentinel.hear()
        assert [type(each) for each in heard] == [Basic.Ack], f"{name}: sentinel heard {heard}"
        message = self.sentinel.get("sentinel")
        assert message is not None, f"{name}: the sentinel's message is gone"
        assert message.body == expected, name


def rounds(count: int, complaints: Complaints, *, seed: int) -> dict[int, int]:
    """Try out so many mutated sessions; how often each code was heard."""
    heard: dict[int, int] = {}
    broker = Broker(complaints)
    for number in range(count):
        if number % SESSIONS_PER_WORLD == 0:
            broker = Broker(complaints)
        name = f"seed {seed} session {number}"
        sessions = Sessions(random.Random(f"{seed}/{number}"))  # noqa: S311 - repeatable
        for code in broker.try_out(sessions.mutated(), name):
            heard[code] = heard.get(code, 0) + 1
    return heard


def test_mutated_sessions_are_refused_with_a_known_code(complaints: Complaints) -> None:
    heard = rounds(FAST, complaints, seed=1)

    assert set(heard) >= {403, 404, 406, 501, 502, 503, 504, 505, 540}


def test_legal_sessions_never_hear_of_syntax_or_frames(complaints: Complaints) -> None:
    broker = Broker(complaints)
    for number in range(300):
        sessions = Sessions(random.Random(f"legal/{number}"))  # noqa: S311 - repeatable
        codes = broker.try_out(sessions.reads(b"".join(sessions.legal())), f"legal {number}")

        assert 505 not in codes, f"legal {number}"


def test_any_bytes_at_all_end_in_a_refusal_or_in_silence(complaints: Complaints) -> None:
    chance = random.Random(3)  # noqa: S311 - repeatable
    broker = Broker(complaints)
    for number in range(1_000):
        first = octets.HEADER if chance.random() < 0.5 else b""
        rubbish = chance.randbytes(chance.choice((1, 7, 8, 9, 50, 3000)))
        broker.try_out([first + rubbish], f"rubbish {number}")


def test_the_fuzz_leaves_nothing_behind(complaints: Complaints) -> None:
    def objects_after(count: int) -> int:
        rounds(count, complaints, seed=4)
        gc.collect()
        return len(gc.get_objects())

    objects_after(SESSIONS_PER_WORLD)  # What is made once, at first use, does not count.
    few = objects_after(SESSIONS_PER_WORLD)
    more = objects_after(SESSIONS_PER_WORLD)

    assert more - few < 200


#: Frames by name, for sessions in the wrong order.
SYMBOLS: Final = {
    "header": octets.HEADER,
    "start-ok": octets.start_ok(),
    "secure-ok": octets.method(0, 10, 21, octets.long(b"x")),
    "tune-ok": octets.tune_ok(),
    "open": octets.method(0, 10, 40, octets.short(b"/") + b"\0\0"),
    "close": octets.method(0, 10, 50, b"\0\xc8\0\0\0\0\0"),
    "close-ok": octets.method(0, 10, 51),
    "start": octets.method(0, 10, 10, b"\0\x09" + octets.table() + octets.long(b"") * 2),
    "blocked": octets.method(0, 10, 60, octets.short(b"")),
    "update-secret": octets.method(0, 10, 70, octets.long(b"x") + octets.short(b"")),
    "open on 1": octets.method(1, 10, 40, octets.short(b"/") + b"\0\0"),
    "channel.open": octets.method(1, 20, 10, b"\0"),
    "channel.open on 0": octets.method(0, 20, 10, b"\0"),
    "channel.close": octets.method(1, 20, 40, b"\0\xc8\0\0\0\0\0"),
    "channel.close-ok": octets.method(1, 20, 41),
    "channel.flow-ok": octets.method(1, 20, 21, b"\1"),
    "declare": octets.method(1, 50, 10, b"\0\0\2q1\0" + octets.table()),
    "publish": octets.method(1, 60, 40, b"\0\0\0\2q1\0"),
    "content": octets.content(1, 1),
    "body": octets.frame(octets.BODY, 1, b"x"),
    "consume": octets.method(1, 60, 20, b"\0\0\2q1\0\0" + octets.table()),
    "ack": octets.method(1, 60, 80, b"\0\0\0\0\0\0\0\1\0"),
    "deliver": octets.method(1, 60, 60, b"\0\0\0\0\0\0\0\0\0\1\0\0\0"),
    "commit": octets.method(1, 90, 20),
    "heartbeat": octets.frame(octets.HEARTBEAT, 0, b""),
}


def in_every_order(complaints: Complaints, orders: Iterable[tuple[str, ...]], ready: int) -> None:
    """Try out sequences of symbols, after so many frames of a proper handshake."""
    broker = Broker(complaints)
    for number, order in enumerate(orders):
        if number % SESSIONS_PER_WORLD == 0:
            broker = Broker(complaints)
        frames = [*octets.handshake()[:ready], *(SYMBOLS[name] for name in order)]
        broker.try_out(frames, f"after {ready}: {', '.join(order)}")


@pytest.mark.parametrize("ready", [0, 1, 2, 3, 4])
def test_frames_in_any_order_are_refused_or_served(complaints: Complaints, ready: int) -> None:
    in_every_order(complaints, itertools.product(SYMBOLS, repeat=2), ready)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("ready", [0, 1, 2, 3, 4])
def test_three_frames_in_any_order_are_refused_or_served(
    complaints: Complaints, ready: int
) -> None:
    in_every_order(complaints, itertools.product(SYMBOLS, repeat=3), ready)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_very_many_mutated_sessions_are_refused_with_a_known_code(
    complaints: Complaints, request: pytest.FixtureRequest
) -> None:
    count = request.config.getoption("--fuzz-inputs") or SLOW

    heard = rounds(count, complaints, seed=7)

    assert sum(heard.values()) > count // 2
