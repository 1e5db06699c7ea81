"""Generated AMQP: tables, properties, methods, and streams of frames as clients send them."""

from __future__ import annotations

import itertools
import struct
from decimal import Decimal
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from pamqp import commands

from amqpd.amqp import frames, methods
from amqpd.fields import Field, Table
from amqpd.properties import Properties, encode_header
from tests.amqp.recorder import FRAME_MAX, publish_method

if TYPE_CHECKING:
    from collections.abc import Callable

    from pamqp.base import Frame as Command

SHORT = st.text(max_size=12)


def integers(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    """All integers of a width."""
    if signed:
        return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)
    return st.integers(0, (1 << bits) - 1)


def fields_of(kind: str, values: st.SearchStrategy[object]) -> st.SearchStrategy[Field]:
    """Fields of one type."""
    return values.map(lambda value: Field(kind, value))  # type: ignore[arg-type]


def decimals(scale: int, unscaled: int) -> Decimal:
    """What a decimal on the wire can be."""
    return Decimal((0, tuple(map(int, str(unscaled))), -scale))


SCALARS = st.one_of(
    fields_of("t", st.booleans()),
    fields_of("b", integers(8, signed=True)),
    fields_of("B", integers(8, signed=False)),
    fields_of("s", integers(16, signed=True)),
    fields_of("u", integers(16, signed=False)),
    fields_of("I", integers(32, signed=True)),
    fields_of("i", integers(32, signed=False)),
    fields_of("l", integers(64, signed=True)),
    fields_of("T", integers(64, signed=False)),
    fields_of("d", st.floats(allow_nan=False)),
    fields_of("f", st.floats(width=32, allow_nan=False)),
    fields_of("D", st.builds(decimals, st.integers(0, 255), integers(32, signed=False))),
    fields_of("S", st.text(max_size=20)),
    fields_of("x", st.binary(max_size=20)),
    fields_of("V", st.none()),
)
KEYS = SHORT | st.sampled_from(["CC", "BCC", "x-death", "C", "CCC"])


def tables_of(fields: st.SearchStrategy[Field]) -> st.SearchStrategy[Table]:
    """Tables with such fields."""
    return st.dictionaries(KEYS, fields, max_size=4)


FIELDS = st.recursive(
    SCALARS,
    lambda inner: fields_of("A", st.lists(inner, max_size=3)) | fields_of("F", tables_of(inner)),
    max_leaves=8,
)
TABLES = tables_of(FIELDS)

PROPERTIES = st.builds(
    Properties,
    content_type=st.none() | SHORT,
    content_encoding=st.none() | SHORT,
    headers=st.none() | TABLES,
    delivery_mode=st.none() | st.integers(0, 255) | st.just(2),
    priority=st.none() | st.integers(0, 255),
    correlation_id=st.none() | SHORT,
    reply_to=st.none() | SHORT | st.just("amq.rabbitmq.reply-to"),
    expiration=st.none() | SHORT,
    message_id=st.none() | SHORT,
    timestamp=st.none() | integers(64, signed=False),
    type=st.none() | SHORT,
    user_id=st.none() | SHORT,
    app_id=st.none() | SHORT,
    cluster_id=st.none() | SHORT,
)
#: What most messages have: stays in the fast path, and pamqp can read it.
COMMON = st.builds(
    Properties,
    content_type=st.none() | st.just("text/plain"),
    delivery_mode=st.sampled_from([None, None, 1, 2]),
    message_id=st.none() | st.sampled_from(["m", "mm"]),
    app_id=st.none() | st.just("app"),
)

ARGUMENTS: dict[str, st.SearchStrategy[object]] = {
    "octet": integers(8, signed=False),
    "short": integers(16, signed=False),
    "long": integers(32, signed=False),
    "longlong": integers(64, signed=False),
    "shortstr": st.text(max_size=30),
    "longstr": st.binary(max_size=30),
    "bit": st.booleans(),
    "table": TABLES,
}


@st.composite
def any_command(draw: st.DrawFn) -> Command:
    """Any method with any arguments."""
    kind: type[Command] = draw(st.sampled_from(list(commands.INDEX_MAPPING.values())))
    command = kind.__new__(kind)
    for name in kind.__slots__:
        setattr(command, name, draw(ARGUMENTS[kind.amqp_type(name)]))
    return command


ROUTING_KEYS = ["a", "a", "a.", "b", "ab", "a!", "?", "a^", "-"]
CHANNELS = st.integers(1, 3)


@st.composite
def publishes(
    draw: st.DrawFn, properties: st.SearchStrategy[Properties], routing_keys: list[str]
) -> tuple[int, list[bytes]]:
    """The frames of one publish; the body may be in several."""
    channel = draw(CHANNELS)
    body = draw(st.binary(max_size=30) | st.integers(0, 6000).map(bytes))
    most = draw(st.sampled_from([FRAME_MAX - 8, FRAME_MAX - 8, 10, 1000]))
    if len(body) > most * 20:
        most = FRAME_MAX - 8
    header = encode_header(draw(properties), len(body))
    parts = [body[at : at + most] for at in range(0, len(body), most)]
    if parts and draw(st.integers(0, 9)) == 0:
        parts.insert(0, b"")
    return channel, [
        publish_method(draw(st.sampled_from(routing_keys)), channel),
        frames.frame(frames.HEADER, channel, header),
        *(frames.frame(frames.BODY, channel, part) for part in parts),
    ]


def single(channel: int, command: Command) -> tuple[int, list[bytes]]:
    """A method frame."""
    return channel, [methods.encode(command, channel)]


TAGS = st.integers(1, 5) | integers(64, signed=False)
OTHERS = st.one_of(
    st.builds(single, CHANNELS, st.builds(commands.Basic.Ack, TAGS, st.booleans())),
    st.builds(single, CHANNELS, st.builds(commands.Basic.Ack, st.integers(1, 5), st.just(False))),
    st.builds(single, CHANNELS, st.builds(commands.Basic.Nack, TAGS, st.booleans(), st.booleans())),
    st.builds(single, CHANNELS, st.builds(commands.Basic.Reject, TAGS, st.booleans())),
    st.builds(single, CHANNELS, st.just(commands.Queue.Declare(queue="q", arguments={"x": 1}))),
    st.builds(single, CHANNELS, st.just(commands.Channel.CloseOk())),
    st.just((0, [frames.HEARTBEAT_FRAME])),
    st.just(single(0, commands.Connection.CloseOk())),
)


@st.composite
def streams(
    draw: st.DrawFn,
    properties: st.SearchStrategy[Properties] = PROPERTIES,
    routing_keys: list[str] = ROUTING_KEYS,
) -> bytes:
    """Everything three channels send, in turn; contents may be interrupted by other channels."""
    items = draw(st.lists(publishes(properties, routing_keys) | OTHERS, max_size=20))
    if draw(st.booleans()):
        items = [item for item in items for _ in range(draw(st.integers(1, 4)))]
    if draw(st.booleans()):
        return b"".join(b"".join(parts) for _, parts in items)
    waiting: dict[int, list[bytes]] = {}
    for channel, parts in items:
        waiting.setdefault(channel, []).extend(parts)
    stream = b""
    while waiting:
        channel = draw(st.sampled_from(sorted(waiting)))
        for _ in range(draw(st.integers(1, 3))):
            if waiting[channel]:
                stream += waiting[channel].pop(0)
        if not waiting[channel]:
            del waiting[channel]
    return stream


@st.composite
def cut(draw: st.DrawFn, octets: bytes) -> list[bytes]:
    """The octets in pieces, as reads bring them."""
    places = draw(st.lists(st.integers(0, len(octets)), max_size=12))
    edges = [0, *sorted(places), len(octets)]
    return [octets[low:high] for low, high in itertools.pairwise(edges)]


CHANGES: list[Callable[[bytes, int, int], bytes]] = [
    lambda octets, at, value: octets[:at] + bytes((value,)) + octets[at + 1 :],
    lambda octets, at, value: octets[:at] + bytes((value,)) + octets[at:],
    lambda octets, at, value: octets[:at] + octets[at + 1 + value % 8 :],
    lambda octets, at, value: octets[:at],
    lambda octets, at, value: octets[:at] + octets[at:] * 2,
    lambda octets, at, value: octets[:at] + struct.pack(">I", value << 23) + octets[at + 4 :],
]


@st.composite
def damaged(draw: st.DrawFn, octets: st.SearchStrategy[bytes]) -> bytes:
    """Octets with a few changes."""
    changed = draw(octets)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(changed)))
        change = draw(st.sampled_from(CHANGES))
        changed = change(changed, at, draw(st.integers(0, 255)))
    return changed
