"""CPU time of the codecs, in µs per message. No socket, no broker: 64 KiB in, octets out.

    python -m tests.bench.codec [native|pure]

Prints the best of seven for each kind of traffic; design.md's figures were taken so.
"""

from __future__ import annotations

import importlib
import sys
import time
from typing import TYPE_CHECKING

from pamqp import commands

from amqpd import fields
from amqpd.amqp import frames, methods
from amqpd.properties import Properties, encode_header

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.amqp.wire import ChannelCount, Codec, Group, Route

CHUNK = 65_536
MESSAGES = 100_000
ROUNDS = 7
FRAME_MAX = 131_072
CONSUMER_TAG = b"\x04ctag"


class Counting:
    """The smallest session: knows every exchange, counts what it gets."""

    def __init__(self, codec: Codec, routed: bool = True) -> None:
        from amqpd.amqp.gathering import ChannelCount, Group, Route, Slot

        self._route = Route
        self.channel: ChannelCount = ChannelCount(1)
        self.group: Group | None = Group(self.channel, None, [Slot()]) if routed else None
        self.messages = self.specials = self.acks = self.calls = 0
        self.kept: list[tuple[bytes, list[bytes] | None, list[bytes]]] = []

    def resolve(self, method_frame: bytes, channel: int) -> Route | None:
        payload = method_frame[7:-1]
        return self._route(payload[6:-1], self.group, self.channel)

    def level(self, group: Group, priority: int) -> Group:
        return group

    def publish(self, group: Group) -> None:
        self.calls += 1
        self.messages += len(group.contents)
        self.kept.append((group.names, group.names_each, group.contents))

    def special(self, route: Route, content: bytes) -> None:
        self.specials += 1

    def content(self, channel: int, method_payload: bytes, content: bytes) -> None:
        self.specials += 1

    def too_large(self, channel: int, method_payload: bytes, size: int) -> None:
        self.specials += 1

    def ack(self, channel: int, first_tag: int, last_tag: int, multiple: bool) -> None:
        self.calls += 1
        self.acks += last_tag - first_tag + 1

    def reject(self, channel: int, tag: int, requeue: bool) -> None:
        self.acks += 1

    def nack(self, channel: int, tag: int, multiple: bool, requeue: bool) -> None:
        self.acks += 1

    def method(self, channel: int, payload: bytes) -> None:
        self.calls += 1

    def heartbeat(self) -> None:
        self.calls += 1


def publishes(
    count: int,
    size: int = 16,
    keys: int = 1,
    properties: Callable[[int], Properties] = lambda _: Properties(),
) -> bytes:
    """A stream of publishes, as a client sends it."""
    out = bytearray()
    for number in range(count):
        command = commands.Basic.Publish(exchange="", routing_key=f"bench-{number % keys}")
        out += methods.encode(command, 1)
        out += frames.frame(frames.HEADER, 1, encode_header(properties(number), size))
        out += frames.frame(frames.BODY, 1, number.to_bytes(8, "big") + bytes(size - 8))
    return bytes(out)


def as_applications(number: int) -> Properties:
    """Flags 0xA0C0: content type, headers, message id, timestamp."""
    headers = fields.table({"x-source": "bench", "x-attempt": 1, "x-trace": f"{number:016x}"})
    return Properties(
        content_type="application/json",
        headers=headers,
        message_id=f"id-{number}",
        timestamp=1_700_000_000 + number,
    )


def as_applications_durable(number: int) -> Properties:
    """Flags 0xB0C0: the same, persistent."""
    properties = as_applications(number)
    properties.delivery_mode = 2
    return properties


def identified(number: int) -> Properties:
    """Flags 0x1080: persistent, and a message id that differs."""
    return Properties(delivery_mode=2, message_id=f"id-{number}")


def chunks(octets: bytes) -> list[bytes]:
    """A stream as it is read from a socket."""
    return [octets[at : at + CHUNK] for at in range(0, len(octets), CHUNK)]


def best(run: Callable[[], None]) -> float:
    """CPU seconds of the best round."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def parse_us(codec: Codec, octets: bytes, count: int) -> float:
    """µs per message to parse."""
    parts = chunks(octets)

    def run() -> None:
        session = Counting(codec)
        parser = codec.Parser(session, FRAME_MAX)
        for part in parts:
            parser.feed(part)
            session.kept.clear()
        assert session.messages + session.specials + session.acks == count, session.messages

    return best(run) / count * 1e6


def deliver_us(codec: Codec, octets: bytes, count: int, source_channel: int = 1) -> float:
    """µs per message to encode deliveries for what one read gave, and to take the octets."""
    session = Counting(codec)
    parser = codec.Parser(session, FRAME_MAX)
    for part in chunks(octets):
        parser.feed(part)
    kept = session.kept

    def run() -> None:
        outbox = codec.Outbox()
        tag = 1
        for names, names_each, contents in kept:
            high = len(contents)
            outbox.deliver(
                1, CONSUMER_TAG, tag, False, names, names_each, contents, 0, high,
                source_channel, FRAME_MAX,
            )  # fmt: skip
            tag += high
            outbox.take()

    return best(run) / count * 1e6


def report(name: str) -> None:
    """The table for one codec."""
    module = importlib.import_module(f"amqpd.amqp.{name}")
    file = (module.__file__ or "").rpartition("/")[2]
    print(f"{name} ({file})")  # noqa: T201
    count = MESSAGES
    rows = (
        ("no properties", publishes(count)),
        ("8 keys in turn", publishes(count, keys=8)),
        ("message id, persistent", publishes(count, properties=identified)),
        ("as applications 0xA0C0", publishes(count, properties=as_applications)),
        ("as applications 0xB0C0", publishes(count, properties=as_applications_durable)),
        ("1 KiB", publishes(count, size=1024)),
    )
    for title, octets in rows:
        parse, deliver = parse_us(module, octets, count), deliver_us(module, octets, count)
        print(f"  {title:24} parse {parse:6.3f}   deliver {deliver:6.3f}")  # noqa: T201
    other = deliver_us(module, rows[0][1], count, source_channel=2)
    print(f"  {'other channel number':24}                deliver {other:6.3f}")  # noqa: T201
    acks = b"".join(methods.encode(commands.Basic.Ack(n), 1) for n in range(1, count + 1))
    print(f"  {'single acks':24} parse {parse_us(module, acks, count):6.3f}")  # noqa: T201


if __name__ == "__main__":
    for wanted in sys.argv[1:] or ["native", "pure"]:
        report("codec" if wanted == "native" else "codec_pure")
