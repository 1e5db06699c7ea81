"""Sessions as lists of frames: legal ones by chance, and what can be done to them.

Everything follows from the seed of the random generator that is handed in.
"""

from __future__ import annotations

import itertools
import struct
from typing import TYPE_CHECKING, Final

from tests.fuzz.octets import (
    BODY,
    CHANNEL_OPEN,
    CONTENT,
    HEARTBEAT,
    METHOD,
    content,
    frame,
    handshake,
    long,
    method,
    short,
    table,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

NAMES: Final = (
    b"q1",
    b"q2",
    b"q1",
    b"q2",
    b"",
    b"x1",
    b"amq.direct",
    b"amq.topic",
    b"amq.fanout",
    b"amq.headers",
    b"amq.none",
    b"amq.rabbitmq.reply-to",
    b"n" * 255,
    b"nul\0name",
    b"line\r\nname",
    b'"quoted\' name"',
    b"../../name",
    "größe ☃".encode(),
    b"\xff\xfe\x80",
    b"%s%n{}$(x)",
)
KEYS: Final = (b"a", b"a.b.c", b"", b"#", b"*.b.#", b"#.#.#.#.a", b"." * 255, b"k" * 255)
KINDS: Final = (b"direct", b"fanout", b"topic", b"headers", b"", b"x-unknown", b"\xff")
NUMBERS: Final = (0, 1, 2, 3, 255, 65_535, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
X_ARGUMENTS: Final = (
    b"x-message-ttl",
    b"x-expires",
    b"x-max-length",
    b"x-max-length-bytes",
    b"x-overflow",
    b"x-dead-letter-exchange",
    b"x-dead-letter-routing-key",
    b"x-max-priority",
    b"x-queue-mode",
    b"x-queue-type",
    b"x-single-active-consumer",
    b"x-delivery-limit",
    b"x-priority",
    b"x-match",
    b"alternate-exchange",
    b"CC",
    b"BCC",
    b"x-death",
)
CHANNELS: Final = (1, 1, 1, 1, 2, 2)


class Sessions:
    """Makes sessions, one after the other."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self._operations: tuple[Callable[[int], list[bytes]], ...] = (
            self._declare_queue,
            self._declare_queue,
            self._declare_exchange,
            self._bind,
            self._unbind,
            self._exchange_bind,
            self._delete,
            self._publish,
            self._publish,
            self._publish,
            self._publish,
            self._consume,
            self._consume,
            self._get,
            self._answer,
            self._answer,
            self._mode,
            self._rare,
        )
        self._mutations: tuple[Callable[[list[bytes]], None], ...] = (
            self._drop,
            self._double,
            self._swap,
            self._other_channel,
            self._other_method,
            self._other_length,
            self._no_end,
            self._flip,
            self._flip,
            self._cut_short,
            self._insert_rubbish,
            self._lie_about_size,
            self._many_empty_bodies,
            self._heartbeat_on_a_channel,
            self._other_type,
        )

    # -- whole sessions

    def legal(self) -> list[bytes]:
        """The frames of a session that any broker must understand."""
        frames = handshake()
        frames += [method(channel, 20, 10, CHANNEL_OPEN) for channel in (1, 2)]
        for _ in range(self.chance.randint(1, 12)):
            frames += self.chance.choice(self._operations)(self.chance.choice(CHANNELS))
        if self.chance.random() < 0.5:
            goodbye = struct.pack(">H", 200) + short(b"bye") + struct.pack(">HH", 0, 0)
            frames.append(method(0, 10, 50, goodbye))
        return frames

    def mutated(self, begin: int = 0) -> list[bytes]:
        """The same from frame `begin` on with one to five things wrong, cut into reads."""
        frames = self.legal()[begin:]
        for _ in range(self.chance.randint(1, 5)):
            self.chance.choice(self._mutations)(frames)
        return self.reads(b"".join(frames))

    def reads(self, octets: bytes) -> list[bytes]:
        """The same bytes in other pieces: mostly few, sometimes one by one."""
        way = self.chance.random()
        if way < 0.4:
            return [octets]
        if way < 0.45:
            return [octets[at : at + 1] for at in range(min(len(octets), 2000))]
        count = self.chance.randint(1, 8)
        cuts = sorted(
            {0, len(octets), *(self.chance.randint(0, len(octets)) for _ in range(count))}
        )
        return [octets[begin:end] for begin, end in itertools.pairwise(cuts)]

    # -- legal parts

    def _name(self) -> bytes:
        return self.chance.choice(NAMES)

    def _bits(self, count: int) -> bytes:
        """Flags, each rarely set; never `nowait` for all."""
        return bytes([sum(1 << bit for bit in range(count) if self.chance.random() < 0.2)])

    def _value(self, depth: int = 0) -> bytes:
        """A field value of any type."""
        chance = self.chance
        kind = chance.choice(b"tbBsuIilLfdDSxTVAF")
        match chr(kind):
            case "t":
                octets = bytes([chance.randint(0, 2)])
            case "b" | "B":
                octets = chance.randbytes(1)
            case "s" | "u":
                octets = chance.randbytes(2)
            case "I" | "i" | "f":
                octets = chance.choice(
                    (struct.pack(">i", chance.randint(-2, 100)), b"\x7f\xc0\0\0")
                )
            case "l" | "L" | "d" | "T":
                octets = struct.pack(">q", chance.choice((0, 1, 1000, -1, 2**62)))
            case "D":
                octets = chance.randbytes(5)
            case "S" | "x":
                octets = long(chance.choice((b"", b"text", self._name(), b"\xff" * 40)))
            case "A" if depth < 3:
                octets = long(b"".join(self._value(depth + 1) for _ in range(chance.randint(0, 3))))
            case "F" if depth < 3:
                octets = self._table(depth + 1)
            case _:
                return b"V"
        return bytes([kind]) + octets

    def _table(self, depth: int = 0) -> bytes:
        """A field table: empty, of known arguments, or nested deeper than allowed."""
        way = self.chance.random()
        if way < 0.4:
            return table()
        if way < 0.43:
            nested = table()
            for _ in range(self.chance.choice((31, 32, 33, 200))):
                nested = table((b"n", b"F" + nested))
            return nested
        names = self.chance.choices(X_ARGUMENTS, k=self.chance.randint(1, 4))
        return table(*((name, self._value(depth)) for name in names))

    def _declare_queue(self, channel: int) -> list[bytes]:
        text = b"\0\0" + short(self._name()) + self._bits(5) + self._table()
        return [method(channel, 50, 10, text)]

    def _declare_exchange(self, channel: int) -> list[bytes]:
        text = short(self._name()) + short(self.chance.choice(KINDS)) + self._bits(5)
        return [method(channel, 40, 10, b"\0\0" + text + self._table())]

    def _bind(self, channel: int) -> list[bytes]:
        text = short(self._name()) + short(self._name()) + short(self.chance.choice(KEYS))
        return [method(channel, 50, 20, b"\0\0" + text + self._bits(1) + self._table())]

    def _unbind(self, channel: int) -> list[bytes]:
        text = short(self._name()) + short(self._name()) + short(self.chance.choice(KEYS))
        return [method(channel, 50, 50, b"\0\0" + text + self._table())]

    def _exchange_bind(self, channel: int) -> list[bytes]:
        text = short(self._name()) + short(self._name()) + short(self.chance.choice(KEYS))
        number = self.chance.choice((30, 40))
        return [method(channel, 40, number, b"\0\0" + text + self._bits(1) + self._table())]

    def _delete(self, channel: int) -> list[bytes]:
        where = self.chance.choice(((50, 40), (40, 20), (50, 30)))
        return [method(channel, *where, b"\0\0" + short(self._name()) + self._bits(3))]

    def _publish(self, channel: int) -> list[bytes]:
        text = short(self.chance.choice((b"", b"", *NAMES))) + short(self._name())
        size = self.chance.choice((0, 1, 16, 200, 5000, 70_000))
        octets = self.chance.randbytes(min(size, 64)) * (size // 64 + 1)
        octets = octets[:size]
        step = self.chance.choice((100_000, 4096, 1000))
        frames = [method(channel, 60, 40, b"\0\0" + text + self._bits(2))]
        frames.append(content(channel, size, *self._properties()))
        return frames + [
            frame(BODY, channel, octets[at : at + step]) for at in range(0, size, step)
        ]

    def _properties(self) -> tuple[int, bytes]:
        """Property flags with the values they promise."""
        chance = self.chance
        flags, octets = 0, b""
        written: tuple[tuple[int, Callable[[], bytes]], ...] = (
            (15, lambda: short(b"text/plain")),
            (14, lambda: short(b"gzip")),
            (13, self._table),
            (12, lambda: bytes([chance.choice((0, 1, 2, 2, 2, 255))])),
            (11, lambda: bytes([chance.randint(0, 255)])),
            (10, lambda: short(b"correlation")),
            (9, lambda: short(chance.choice((b"amq.rabbitmq.reply-to", b"reply")))),
            (8, lambda: short(chance.choice((b"1000", b"0", b"-1", b"x", b"9" * 30)))),
            (7, lambda: short(b"id")),
            (6, lambda: chance.randbytes(8)),
            (5, lambda: short(b"type")),
            (4, lambda: short(chance.choice((b"guest", b"other")))),
            (3, lambda: short(b"app")),
            (2, lambda: short(b"cluster")),
        )
        for bit, write in written:
            if chance.random() < 0.15:
                flags |= 1 << bit
                octets += write()
        return flags, octets

    def _consume(self, channel: int) -> list[bytes]:
        tag = self.chance.choice((b"", b"t1", b"t2"))
        text = short(self._name()) + short(tag) + self._bits(4) + self._table()
        frames = [method(channel, 60, 20, b"\0\0" + text)]
        if self.chance.random() < 0.3:
            frames.append(method(channel, 60, 30, short(tag) + b"\0"))
        return frames

    def _get(self, channel: int) -> list[bytes]:
        return [method(channel, 60, 70, b"\0\0" + short(self._name()) + self._bits(1))]

    def _answer(self, channel: int) -> list[bytes]:
        number = self.chance.choice((80, 90, 120))
        tag = struct.pack(">Q", self.chance.choice((1, 1, 2, 3, *NUMBERS)))
        return [method(channel, 60, number, tag + self._bits(2))]

    def _mode(self, channel: int) -> list[bytes]:
        where = self.chance.choice(((85, 10), (90, 10), (90, 20), (90, 30)))
        return [method(channel, *where, b"\0" if where == (85, 10) else b"")]

    def _rare(self, channel: int) -> list[bytes]:
        """Methods that are seldom seen, on the channels they belong to."""
        chance = self.chance
        prefetch = struct.pack(">IH", chance.choice((0, 0, 1)), chance.choice((0, 1, 10)))
        close = struct.pack(">H", 200) + short(b"") + struct.pack(">HH", 0, 0)
        return [
            chance.choice(
                (
                    method(channel, 60, 10, prefetch + self._bits(1)),
                    method(channel, 60, 110, self._bits(1)),
                    method(channel, 60, 100, self._bits(1)),
                    method(channel, 20, 20, self._bits(1)),
                    method(channel, 20, 40, close),
                    method(channel, 20, 10, CHANNEL_OPEN),
                    method(channel, 20, 41),
                    method(channel, 30, 10, short(b"/") + self._bits(5)),
                    method(channel, 50, 30, b"\0\0" + short(self._name()) + b"\0"),
                    method(0, 10, 70, long(b"secret") + short(b"because")),
                    frame(HEARTBEAT, 0, b""),
                )
            )
        ]

    # -- what can go wrong: each changes the list of frames in place

    def _index(self, frames: list[bytes]) -> int:
        """A frame to change; mostly one after the handshake."""
        first = 0 if self.chance.random() < 0.15 else min(6, len(frames) - 1)
        return self.chance.randrange(first, len(frames))

    def _change(self, frames: list[bytes], at: int, octets: bytes) -> None:
        """Write over some bytes of one frame."""
        index = self._index(frames)
        old = frames[index]
        frames[index] = old[:at] + octets + old[at + len(octets) :]

    def _drop(self, frames: list[bytes]) -> None:
        if len(frames) > 1:
            del frames[self._index(frames)]

    def _double(self, frames: list[bytes]) -> None:
        index = self._index(frames)
        frames.insert(index, frames[index])

    def _swap(self, frames: list[bytes]) -> None:
        one, other = self._index(frames), self._index(frames)
        frames[one], frames[other] = frames[other], frames[one]

    def _other_channel(self, frames: list[bytes]) -> None:
        number = self.chance.choice((0, 1, 2, 3, 2047, 2048, 65_535))
        self._change(frames, 1, struct.pack(">H", number))

    def _other_method(self, frames: list[bytes]) -> None:
        class_id = self.chance.choice((0, 10, 20, 30, 40, 50, 60, 85, 90, 1000))
        number = self.chance.choice((0, 10, 11, 20, 21, 30, 31, 40, 41, 50, 51, 60, 61, 70, 999))
        self._change(frames, 7, struct.pack(">HH", class_id, number))

    def _other_length(self, frames: list[bytes]) -> None:
        index = self._index(frames)
        true = len(frames[index]) - 8
        lies = (true - 1, true + 1, 0, 2**31, 2**32 - 1, 131_072, 131_064, 131_073)
        octets = struct.pack(">I", max(0, self.chance.choice(lies)))
        frames[index] = frames[index][:3] + octets + frames[index][7:]

    def _no_end(self, frames: list[bytes]) -> None:
        index = self._index(frames)
        frames[index] = frames[index][:-1] + self.chance.choice((b"\0", b"\xcd", b""))

    def _flip(self, frames: list[bytes]) -> None:
        index = self._index(frames)
        octets = bytearray(frames[index])
        for _ in range(self.chance.randint(1, 4)):
            if octets:
                octets[self.chance.randrange(len(octets))] ^= 1 << self.chance.randrange(8)
        frames[index] = bytes(octets)

    def _cut_short(self, frames: list[bytes]) -> None:
        """A payload that ends early, in a frame that is right about its length."""
        index = self._index(frames)
        kind, channel = frames[index][:1], frames[index][1:3]
        payload = frames[index][7:-1]
        payload = payload[: self.chance.randint(0, len(payload))]
        frames[index] = kind + channel + struct.pack(">I", len(payload)) + payload + b"\xce"

    def _insert_rubbish(self, frames: list[bytes]) -> None:
        octets = self.chance.randbytes(self.chance.randint(1, 40))
        if self.chance.random() < 0.5:
            octets = frame(self.chance.randint(0, 9), self.chance.choice(CHANNELS), octets)
        frames.insert(self._index(frames), octets)

    def _lie_about_size(self, frames: list[bytes]) -> None:
        headers = [index for index, octets in enumerate(frames) if octets[:1] == bytes([CONTENT])]
        if headers:
            index = self.chance.choice(headers)
            size = struct.pack(">Q", self.chance.choice((*NUMBERS, 20_000_000, 536_870_913)))
            frames[index] = frames[index][:11] + size + frames[index][19:]

    def _many_empty_bodies(self, frames: list[bytes]) -> None:
        bodies = [index for index, octets in enumerate(frames) if octets[:1] == bytes([BODY])]
        if bodies:
            index = self.chance.choice(bodies)
            empty = frames[index][:3] + b"\0\0\0\0\xce"
            frames[index:index] = [empty] * self.chance.choice((1, 10, 1100))

    def _heartbeat_on_a_channel(self, frames: list[bytes]) -> None:
        octets = frame(HEARTBEAT, self.chance.choice((0, 1)), self.chance.choice((b"", b"\1")))
        frames.insert(self._index(frames), octets)

    def _other_type(self, frames: list[bytes]) -> None:
        kind = self.chance.choice((0, METHOD, CONTENT, BODY, 4, HEARTBEAT, 255, ord("A")))
        self._change(frames, 0, bytes([kind]))
