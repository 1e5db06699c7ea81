"""A session as a function of its octets: how they are cut into reads never matters."""

from __future__ import annotations

import itertools
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st
from pamqp import frame
from pamqp.commands import Basic, Confirm, Exchange, Queue, Tx
from pamqp.commands import Channel as ChannelClass
from pamqp.commands import Connection as ConnectionClass

from tests.wire.wire import HEADER, Message, Received, World, published

#: Something that was heard on a channel: its name and what matters of it.
Heard: TypeAlias = tuple[str, dict[str, object], bytes]

PERSISTENT = Basic.Properties(delivery_mode=2)
EXPIRING = Basic.Properties(expiration="60000")

BEGIN = HEADER + b"".join(
    frame.marshal(command, channel)
    for command, channel in [
        (ConnectionClass.StartOk({}, "PLAIN", "\0guest\0guest"), 0),
        (ConnectionClass.TuneOk(2047, 4096, 0), 0),
        (ConnectionClass.Open("/"), 0),
        (ChannelClass.Open(), 1),
        (ChannelClass.Open(), 2),
        (Confirm.Select(), 1),
        (Tx.Select(), 2),
        (Queue.Declare(queue="q", durable=True), 1),
        (Queue.Declare(queue="r"), 2),
    ]
)

STEPS = [
    published(b"1", "q", properties=PERSISTENT),
    published(b"2", "r"),
    published(b"3" * 9000, "q"),
    published(b"4", "q", properties=EXPIRING),
    published(b"5", "nowhere", mandatory=True),
    published(b"6", "r", channel=2),
    published(b"7", "q", "amq.fanout"),
    frame.marshal(Queue.Bind(queue="r", exchange="amq.fanout"), 1),
    frame.marshal(Exchange.Declare(exchange="x"), 2),
    frame.marshal(Basic.Get(queue="q"), 1),
    frame.marshal(Basic.Get(queue="r", no_ack=True), 2),
    frame.marshal(Basic.Nack(0, multiple=True), 1),
    frame.marshal(Tx.Commit(), 2),
    frame.marshal(Tx.Rollback(), 2),
    frame.marshal(Queue.Purge(queue="r"), 2),
    frame.marshal(Queue.Purge(queue="nope"), 2),
    frame.marshal(ChannelClass.CloseOk(), 2),
    frame.marshal(ChannelClass.Open(), 2),
    frame.marshal(Queue.Declare(queue="s", durable=True), 1),
]  # fmt: skip


#: What closes a channel, or not. Acks are gathered past publishes: where one fails, what was
#: published after it in the same read is in its queue, as if it had come before.
ACKS = [frame.marshal(Basic.Ack(1), 1), frame.marshal(Basic.Ack(7), 2)]


def spoken(reads: list[bytes]) -> dict[int, list[Heard]]:
    """All that a client hears on each channel who sends these reads."""
    world = World()
    client = world.connect()
    for read in reads:
        client.session.receive_data(read)
        world.commit()
    heard: dict[int, list[Heard]] = {}
    for channel, one in client.hear_on():
        heard.setdefault(channel, []).append(told(one))
    failed = any(name.endswith(".Close") for some in heard.values() for name, _, _ in some)
    return {channel: in_order(some, failed) for channel, some in heard.items()}


def told(one: Received) -> Heard:
    """What matters of something heard."""
    if isinstance(one, Message):
        return one.method.name, dict(one.method), one.body
    return one.name, dict(one), b""


def in_order(heard: list[Heard], failed: bool) -> list[Heard]:
    """Without confirms, of which only the last number is kept: they come when they can.

    After an error they do not come any more for what was published in the same read.
    """
    confirmed = 0
    rest = []
    for name, fields, body in heard:
        if name == "Basic.Ack":
            confirmed = max(confirmed, int(str(fields["delivery_tag"])))
        else:
            rest.append((name, fields, body))
    if failed:
        return rest
    return [*rest, ("confirmed", {"delivery_tag": confirmed}, b"")]


@given(
    steps=st.lists(st.sampled_from(STEPS), max_size=12),
    cuts=st.lists(st.integers(0, 20_000), max_size=12),
)
def test_how_octets_are_cut_into_reads_never_matters(steps: list[bytes], cuts: list[int]) -> None:
    octets = BEGIN + b"".join(steps)
    places = sorted({0, len(octets), *(cut % (len(octets) + 1) for cut in cuts)})
    reads = [octets[start:end] for start, end in itertools.pairwise(places)]

    assert spoken(reads) == spoken([octets])


@given(st.lists(st.sampled_from(STEPS + ACKS), max_size=12))
def test_no_sequence_of_methods_is_our_fault(steps: list[bytes]) -> None:
    heard = spoken([BEGIN, *steps])

    codes = [fields.get("reply_code") for some in heard.values() for _, fields, _ in some]
    assert 541 not in codes
