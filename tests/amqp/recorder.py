"""A session that writes down what its parser tells it, and streams to feed the parser with."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from pamqp import commands

from amqpd.amqp import frames, methods
from amqpd.amqp.gathering import ChannelCount, Group, Route, Slot
from amqpd.errors import ChannelStateError
from amqpd.properties import Properties, encode_header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pamqp.base import Frame as Command

    from amqpd.amqp.wire import Codec, Parser

FRAME_MAX = 4096


class Message(NamedTuple):
    """What a queue got."""

    names: bytes
    content: bytes
    persistent: bool | None  # None: the session had to look
    expiration_ms: int = -1


class Recorder:
    """Routes by the letters of the routing key: each of a to h is a queue of that name.

    Keys with `!` have no group, with `?` have no route, with `^` want the priority, with `x`
    raise: their channel is not open.
    """

    def __init__(self) -> None:
        self.log: list[tuple[object, ...]] = []
        self.queues: dict[tuple[int, str], list[Message]] = defaultdict(list)
        self.counts: dict[int, ChannelCount] = {}
        self.resolved: list[bytes] = []
        self.numbers: dict[tuple[int, str], list[int]] = defaultdict(list)
        self._groups: dict[tuple[int, str], Group] = {}
        self._slots: dict[tuple[int, str], Slot] = defaultdict(Slot)

    def resolve(self, method_frame: bytes, channel: int) -> Route | None:
        command = methods.decode(method_frame[7:-1])
        assert isinstance(command, commands.Basic.Publish)
        key = command.routing_key
        self.resolved.append(method_frame)
        if "x" in key:
            raise ChannelStateError("expected 'channel.open'")
        if "?" in key:
            return None
        count = self.counts.setdefault(channel, ChannelCount(channel))
        queues = "".join(letter for letter in key if letter in "abcdefgh")
        group = None
        if "!" not in key:
            group = self._groups.get((channel, queues))
            if group is None:
                slots = [self._slots[channel, queue] for queue in queues]
                # Queues a to d want to know which messages they get.
                numbered = queues[:1] in set("abcd")
                group = self._groups[channel, queues] = Group(count, queues, slots, numbered)
        names = methods.names(command.exchange, key)
        return Route(names, group, count, "^" in key, queues)

    def level(self, group: Group, priority: int) -> Group:
        """Each priority is a group of its own, with its own order."""
        channel, queues = group.channel.number, str(group.target)
        slots = [self._slots[channel, f"{queue}{priority}"] for queue in queues]
        self.resolved.append(b"level %d" % priority)
        return Group(group.channel, queues, slots, group.numbers is not None, priority)

    def publish(self, group: Group) -> None:
        contents, names_each = group.contents, group.names_each
        assert contents
        assert group.size_bytes == sum(map(len, contents))
        names = [group.names] * len(contents) if names_each is None else names_each
        assert len(names) == len(contents)
        channel = group.channel.number
        if group.numbers is not None:
            assert len(group.numbers) == len(contents)
            self.numbers[channel, str(group.target)] += group.numbers
        self.log.append(("publish", channel, group.target, tuple(names), tuple(contents)))
        times = group.expirations or [int(group.expiration_ms)] * len(contents)
        assert len(times) == len(contents)
        messages = [
            Message(name, content, group.persistent, time)
            for name, content, time in zip(names, contents, times, strict=True)
        ]
        parts = group.parts or [(int(group.priority), 0, len(contents))]
        assert [priority for priority, _, _ in parts] == sorted({one[0] for one in parts})[::-1]
        for priority, low, high in parts:
            level = "" if priority < 0 else str(priority)
            for queue in str(group.target):
                self.queues[channel, queue + level] += messages[low:high]
        assert sum(high - low for _, low, high in parts) == len(contents)

    def special(self, route: Route, content: bytes) -> None:
        self.log.append(("special", route.channel.number, route.names, content))
        for queue in str(route.target):
            message = Message(route.names, content, None)
            self.queues[route.channel.number, queue].append(message)

    def content(self, channel: int, method_payload: bytes, content: bytes) -> None:
        self.log.append(("content", channel, method_payload, content))

    def too_large(self, channel: int, method_payload: bytes, size: int) -> None:
        self.log.append(("too large", channel, method_payload, size))

    def ack(self, channel: int, first_tag: int, last_tag: int, multiple: bool) -> None:
        self.log.append(("ack", channel, first_tag, last_tag, multiple))

    def reject(self, channel: int, tag: int, requeue: bool) -> None:
        self.log.append(("reject", channel, tag, requeue))

    def nack(self, channel: int, tag: int, multiple: bool, requeue: bool) -> None:
        self.log.append(("nack", channel, tag, multiple, requeue))

    def method(self, channel: int, payload: bytes) -> None:
        self.log.append(("method", channel, payload))

    def heartbeat(self) -> None:
        self.log.append(("heartbeat",))

    def kinds(self) -> list[object]:
        """The names of the events, in order."""
        return [event[0] for event in self.log]

    def bodies(self, channel: int, queue: str) -> list[bytes]:
        """What a queue got, without framing."""
        return [body_of(message.content) for message in self.queues[channel, queue]]


def a_parser(codec: Codec, frame_max: int = FRAME_MAX) -> tuple[Parser, Recorder]:
    """A parser and what it tells."""
    recorder = Recorder()
    return codec.Parser(recorder, frame_max), recorder


def method(command: Command, channel: int = 1) -> bytes:
    """A method frame."""
    return methods.encode(command, channel)


def publish_method(key: str, channel: int = 1, *, mandatory: bool = False) -> bytes:
    """The method frame of a basic.publish to the default exchange."""
    command = commands.Basic.Publish(routing_key=key, mandatory=mandatory)
    return methods.encode(command, channel)


def a_content(
    body: bytes, channel: int = 1, properties: Properties | None = None, most: int = FRAME_MAX - 8
) -> bytes:
    """Header frame and body frames."""
    header = encode_header(properties or Properties(), len(body))
    parts = [body[at : at + most] for at in range(0, len(body), most)]
    return frames.frame(frames.HEADER, channel, header) + b"".join(
        frames.frame(frames.BODY, channel, part) for part in parts
    )


def a_publish(
    key: str, body: bytes = b"body", channel: int = 1, properties: Properties | None = None
) -> bytes:
    """Method, header and body frames."""
    return publish_method(key, channel) + a_content(body, channel, properties)


def an_ack(tag: int, channel: int = 1, *, multiple: bool = False) -> bytes:
    """The frame of a basic.ack."""
    return method(commands.Basic.Ack(tag, multiple), channel)


def cut_all(octets: bytes) -> list[frames.Frame]:
    """All frames of a stream."""
    found = []
    at = 0
    while at < len(octets):
        assert frames.missing(octets, at, 0) == 0
        found.append(frames.cut(octets, at))
        at = found[-1].end
    return found


def body_of(content: bytes) -> bytes:
    """The body of a content."""
    parts: Sequence[frames.Frame] = cut_all(content)
    assert parts[0].kind == frames.HEADER
    assert all(part.kind == frames.BODY for part in parts[1:])
    return b"".join(part.payload for part in parts[1:])
