"""What has brought other brokers down or open: one test for each class of published flaws.

The numbers are those of the table in `amqpd/docs/security.md`. Rows that need a socket, a file
or HTTP are in other files; the table names the test of each.
"""

from __future__ import annotations

import itertools
import struct
import time
import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from pamqp import frame
from pamqp.commands import Basic, Confirm, Exchange, Queue, Tx
from pamqp.commands import Channel as ChannelClass
from pamqp.commands import Connection as ConnectionClass

from amqpd.amqp import frames, methods
from amqpd.amqp.commands import make
from amqpd.amqp.gathering import MAX_ROUTES
from amqpd.amqp.phase import BEFORE_LOGIN, Phase
from amqpd.broker.definitions import PutPermission, PutVhost
from tests.wire.malformed import body_frame, declare, header_frame, nested, with_table
from tests.wire.wire import HEADER, World, bodies, method_frame, published

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pamqp.base import Frame as Command

    from tests.wire.wire import Client

KIB = 1024
START_OK = b"\x00\x0a\x00\x0b"


@contextmanager
def peak_at_most(octets: int) -> Iterator[None]:
    """What is done in the block must not take more memory than that, at any time."""
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before <= octets, f"{peak - before:,} octets"


def stranger() -> Client:
    """Somebody who has said no more than the protocol header."""
    client = World().connect()
    client.say(HEADER)
    client.hear()
    return client


def closed(client: Client) -> tuple[int, str]:
    """With what code the broker ends channel or connection; (0, "") for no word."""
    for one in client.hear():
        if isinstance(one, (ChannelClass.Close, ConnectionClass.Close)):
            return one.reply_code or 0, one.reply_text or ""
    return 0, ""


def start_ok(table: bytes = b"", response: bytes = b"", mechanism: bytes = b"PLAIN") -> bytes:
    """connection.start-ok of raw parts."""
    payload = (
        START_OK
        + struct.pack(">I", len(table)) + table
        + bytes((len(mechanism),)) + mechanism
        + struct.pack(">I", len(response)) + response
        + b"\x05en_US"
    )  # fmt: skip
    return method_frame(payload, 0)


# -- 1 to 7: octets --------------------------------------------------------------------------


# RabbitMQ lets the payload alone be as large as the frame.
@pytest.mark.parametrize("size", [8192, 8193, 65_536, 2**24, 2**31, 2**32 - 1])
def test_01_a_frame_larger_than_8192_before_the_login_is_the_end(size: int) -> None:
    warm, client = stranger(), stranger()
    begin = b"\x01\x00\x00" + struct.pack(">I", size) + START_OK + bytes(4096)
    warm.say(begin)

    with peak_at_most(64 * KIB):
        client.say(begin)
        for _ in range(20):
            client.say(bytes(4096))

    client.wait(11)
    assert client.session.closing
    assert client.session._incoming._parser.held_bytes <= 16 * KIB


@pytest.mark.parametrize("size", [2**63, 2**64 - 1, 2**40, 512 * 1024 * KIB])
def test_02_nothing_is_allocated_for_a_declared_body(size: int) -> None:
    client = World().client()
    client.declare("q")
    publish = published(b"", "q").partition(b"\xce")[0] + b"\xce"

    with peak_at_most(64 * KIB):
        client.say(publish + header_frame(size))

    assert closed(client)[0] in (501, 406)


def test_02_nothing_is_allocated_for_a_declared_text() -> None:
    client = stranger()
    payload = START_OK + bytes(4) + b"\x05PLAIN" + struct.pack(">I", 2**32 - 1) + b"x"

    with peak_at_most(64 * KIB):
        client.say(method_frame(payload, 0))

    client.wait(4)
    assert client.session.closing


def test_03_a_body_is_never_longer_than_declared() -> None:
    client = World().client()
    client.declare("q")
    publish = published(b"", "q").partition(b"\xce")[0] + b"\xce"

    client.say(publish + header_frame(3) + body_frame(b"1234"))

    assert closed(client)[0] == 501


def test_03_a_message_above_the_limit_is_refused_at_its_header() -> None:
    client = World().client()
    client.declare("q")
    publish = published(b"", "q").partition(b"\xce")[0] + b"\xce"

    client.say(publish + header_frame(client.session.settings.max_message_size_bytes + 1))

    assert closed(client)[0] == 406


def test_03_empty_body_frames_do_not_go_on_for_ever() -> None:
    client = World().client()
    client.declare("q")
    publish = published(b"", "q").partition(b"\xce")[0] + b"\xce"

    client.say(publish + header_frame(3) + body_frame(b"") * 1001)

    assert closed(client)[0] == 505


def test_04_client_properties_of_nothing_but_void_cost_little() -> None:
    client = stranger()
    voids = b"".join(b"\x02%02dV" % (n % 100) for n in range(1990))

    with peak_at_most(1024 * KIB):
        client.say(start_ok(b"\x01aA" + struct.pack(">I", 8000) + b"V" * 8000, b"\0guest\0guest"))
    other = stranger()
    with peak_at_most(1024 * KIB):
        other.say(start_ok(voids, b"\0guest\0guest"))

    assert [type(one) for one in other.hear()] == [ConnectionClass.Tune]


def test_04_an_argument_of_nothing_but_void_is_linear() -> None:
    client = World().client()
    fields = b"\x01aA" + struct.pack(">I", 130_000) + b"V" * 130_000

    began = time.thread_time()
    with peak_at_most(40 * 131_072):
        client.say(with_table(fields))

    assert time.thread_time() - began < 1.0
    client.hear()


@pytest.mark.parametrize("depth", [33, 1000, 16_000])
def test_05_nesting_ends_before_the_stack_does(depth: int) -> None:
    deep = b"".join(b"A\x00\x00\x00\x04" for _ in range(depth))
    array = b"\x01a" + deep
    before, after = stranger(), World().client()

    before.say(start_ok(array[:8000], b"\0guest\0guest"))
    after.say(with_table(array))

    before.wait(31)
    assert before.session.closing
    assert closed(after)[0] in (501, 502)
    assert World().client().session.phase.name == "RUNNING"


def test_05_tables_in_tables_are_refused_beyond_a_depth() -> None:
    client = World().client()

    client.say(with_table(nested(40)))

    assert closed(client)[0] in (501, 502)


@pytest.mark.parametrize(
    "octets",
    [
        declare(b"q" * 255, struct.pack(">I", 1)),
        declare(b"q", struct.pack(">i", -1)),
        declare(b"q", struct.pack(">I", 2**31)),
        declare(b"q", struct.pack(">I", 8) + b"\x01aI" + bytes(4)),
        declare(b"q", struct.pack(">I", 7) + b"\xffaI" + bytes(4)),
        method_frame(b"\x00\x32\x00\x0a\x00\x00\xff" + b"q" * 254),
        with_table(b"\x01aS\xff\xff\xff\xff"),
        with_table(b"\x01aA\x80\x00\x00\x00"),
    ],
)
def test_06_lengths_that_do_not_add_up_are_the_end_and_never_the_start_of_another_frame(
    octets: bytes,
) -> None:
    client = World().client()
    smuggled = frame.marshal(Queue.Declare(queue="smuggled"), 1)

    client.say(octets[:-1] + b"\xce" + smuggled)

    assert closed(client)[0] in (501, 502)
    assert "smuggled" not in client.world.broker.vhosts["/"].queues


@pytest.mark.parametrize("piece", [b"\x01", HEADER, frames.HEARTBEAT_FRAME, bytes(1000)])
def test_07_there_is_only_so_much_to_say_before_the_login(piece: bytes) -> None:
    client = stranger()

    for _ in range(200_000 // len(piece)):
        client.session.receive_data(piece)
        if client.session.closing:
            break

    # Long before the login has taken too long.
    client.wait(3)
    assert client.session.closing
    assert len(client.session._early) + len(client.session._incoming._early) <= 65_536


# -- 9 to 13: logins -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mechanism", [b"PLAIN", b"AMQPLAIN", b"EXTERNAL", b"", b"\xff\xfe", b"plain"]
)
@pytest.mark.parametrize(
    "response",
    [
        b"", b"guest", b"\0", b"\0\0", b"\0\0\0", b"\0\0\0\0", b"\0guest", b"\0guest\0",
        b"\0\xff\0\xff", b"admin\0guest\0guest", bytes(7000),
        b"\x05LOGINS" + struct.pack(">I", 2**31),
        b"\x05LOGINV\x08PASSWORDV", b"\x05LOGINt\x01", b"\x08PASSWORDS\x00\x00\x00\x00",
    ],
)  # fmt: skip
def test_09_no_response_breaks_a_mechanism(mechanism: bytes, response: bytes) -> None:
    world = World()
    client = world.connect()
    client.say(HEADER)
    client.hear()

    client.say(start_ok(response=response, mechanism=mechanism))

    assert not client.session.logged_in
    code, text = closed(client)
    assert code != 541
    assert "guest" not in text
    client.wait(4)
    assert client.session.closing or code


EVERYTHING: tuple[Command, ...] = (
    ConnectionClass.Open("/"), ConnectionClass.TuneOk(9, 4096, 0), ConnectionClass.SecureOk("x"),
    ConnectionClass.Close(200, "", 0, 0), ConnectionClass.CloseOk(),
    ConnectionClass.UpdateSecret("x", ""), ChannelClass.Open(), ChannelClass.Close(200, "", 0, 0),
    Queue.Declare(queue="q"), Queue.Delete(queue="old"), Queue.Purge(queue="old"),
    Queue.Declare(queue="old", passive=True), Exchange.Declare(exchange="e"),
    Basic.Get(queue="old"), Basic.Consume(queue="old"), Basic.Publish(routing_key="old"),
    Basic.Ack(1), Tx.Select(), Confirm.Select(),
)  # fmt: skip


@pytest.mark.parametrize("method", EVERYTHING, ids=lambda one: str(one.name))
@pytest.mark.parametrize("channel", [0, 1])
def test_10_nothing_works_before_the_login(method: Command, channel: int) -> None:
    world = World()
    owner = world.client()
    owner.declare("old")
    owner.publish(b"secret", "old")
    vhost = world.broker.vhosts["/"]
    before = (set(vhost.queues), set(vhost.exchanges), vhost.queues["old"].ready)
    client = world.connect()
    client.say(HEADER)
    client.hear()

    client.send(method, channel)
    heard = client.hear() + client.wait(11)

    assert (set(vhost.queues), set(vhost.exchanges), vhost.queues["old"].ready) == before
    assert client.session.closing
    assert bodies(heard) == []
    assert not any(
        "old" in str(vars(type(one))) for one in heard if isinstance(one, Queue.DeclareOk)
    )


@pytest.mark.parametrize(
    "methods", [*itertools.permutations(EVERYTHING[:4], 2)], ids=lambda each: str([*map(str, each)])
)
def test_10_nor_does_one_thing_after_the_other(methods: tuple[Command, ...]) -> None:
    client = World().connect()
    client.say(HEADER)
    client.hear()

    for method in methods:
        client.send(method, 0)

    assert client.hear() == []
    assert client.session.phase in BEFORE_LOGIN | {Phase.CLOSING}
    client.wait(3)
    assert client.session.closing


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\0\0\x01\x7f\0\0\x01\0\1\0\2",
    ],
)
def test_13_nobody_takes_another_address_by_saying_so(line: bytes) -> None:
    client = World().connect()

    client.say(line + HEADER)

    assert client.hear_octets() == HEADER
    assert client.session.closing


# -- 22 to 26: between clients ---------------------------------------------------------------


def test_22_vhosts_with_the_same_names_have_nothing_in_common() -> None:
    world = World()
    world.broker.apply(PutVhost("other"))
    world.broker.apply(PutPermission("other", "other", ".*", ".*", ".*"))
    here = world.client()
    there = world.connect()
    there.start(response="\0other\0other")
    there.send(ConnectionClass.TuneOk(2047, 131_072, 0), 0)
    there.send(ConnectionClass.Open("other"), 0)
    there.hear()
    there.open(1)
    for client in (here, there):
        client.declare("q")
        client.ask(Exchange.Declare(exchange="e"), Exchange.DeclareOk)
        client.ask(Queue.Bind(queue="q", exchange="e", routing_key="k"), Queue.BindOk)
        client.consume("q", no_ack=True)

    here.publish(b"here", "k", "e")
    there.publish(b"there", "k", "e")

    assert bodies(here.hear()) == [b"here"]
    assert bodies(there.hear()) == [b"there"]
    there.ask(Queue.Delete(queue="q"), Queue.DeleteOk)
    there.ask(Exchange.Delete(exchange="e"), Exchange.DeleteOk)
    here.publish(b"still here", "k", "e")
    assert bodies(here.hear()) == [b"still here"]


def test_24_forged_reply_names_reach_nobody() -> None:
    world = World()
    asker, attacker = world.client(), world.client(user="other")
    asker.send(Basic.Consume(queue="amq.rabbitmq.reply-to", consumer_tag="r", no_ack=True))
    asker.hear()

    for number in range(1_000):
        attacker.session.receive_data(published(b"forged", f"amq.rabbitmq.reply-to.{number}"))
    attacker.session.receive_data(published(b"forged", "amq.rabbitmq.reply-to."))
    attacker.session.receive_data(published(b"forged", "amq.rabbitmq.reply-to"))
    world.turn()

    assert bodies(asker.hear()) == []
    attacker.send(Queue.Bind(queue="amq.rabbitmq.reply-to.1", exchange="amq.fanout"))
    assert closed(attacker)[0] == 403


def test_26_a_user_id_that_is_forged_is_refused() -> None:
    client = World().client(user="other")
    client.declare("q")

    client.publish(b"x", "q", properties=Basic.Properties(user_id="guest"))

    code, text = closed(client)
    assert code == 406
    assert text.endswith("user_id property set to 'guest' but authenticated user was 'other'")


# -- 29 to 33: amounts -----------------------------------------------------------------------

NUMBERS = (
    "x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes", "x-max-priority",
    "x-consumer-timeout",
)  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    "value", [-1, -(2**31), -(2**63), 2**63 - 1, 1.5, float("nan"), "7", True, None, [1], {"a": 1}],
    ids=str,
)  # fmt: skip
def test_29_numbers_out_of_range_are_refused(name: str, value: object) -> None:
    client = World().client()

    client.send(Queue.Declare(queue="q", arguments={name: value}))  # type: ignore[dict-item]  # on purpose

    (heard,) = client.hear()
    if isinstance(heard, ChannelClass.Close):
        assert heard.reply_code == 406
    else:
        # The largest number is no time that could be waited for, but as a limit it is fine.
        assert value == 2**63 - 1
        assert "length" in name or name == "x-consumer-timeout"


def test_29_a_prefetch_is_never_negative() -> None:
    client = World().client()

    client.say(method_frame(b"\x00\x3c\x00\x0a" + bytes(4) + b"\xff\xff" + b"\x00"))
    (heard,) = client.hear()

    assert isinstance(heard, Basic.QosOk)


def test_30_what_clients_make_up_is_not_remembered_without_end() -> None:
    world = World()
    client = world.client()
    for number in range(0, MAX_ROUTES + 5_000, 500):
        octets = b"".join(published(b"", f"key-{n}") for n in range(number, number + 500))
        client.session.receive_data(octets)
    world.turn()

    gathering = client.session._incoming._parser._reader  # type: ignore[attr-defined]  # compiled
    assert len(gathering.routes) <= MAX_ROUTES
    assert len(client.session.channels[1].publisher._groups) <= MAX_ROUTES


def test_31_a_ring_of_dead_letters_comes_to_an_end() -> None:
    world = World()
    client = world.client()
    for number in range(100):
        arguments = {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": f"q{(number + 1) % 100}",
            "x-message-ttl": 0,
        }
        client.declare(f"q{number}", arguments=arguments)

    client.publish(b"round", "q0")
    for second in range(1, 200):
        world.broker.tick(second * 1000)
        world.turn()

    assert sum(queue.ready for queue in world.broker.vhosts["/"].queues.values()) == 0


HOSTILE = "%s%n{0}{self}$(id)`id`\\x00'\";--<script>alert(1)</script>../../etc/passwd"


def test_33_names_are_never_formats_patterns_or_markup() -> None:
    world = World()
    client = world.client(HOSTILE)
    name = HOSTILE[:120]

    client.say(raw(Queue.Declare, 1, queue=name, arguments={}))
    client.say(raw(Exchange.Declare, 1, exchange=name, exchange_type="direct", arguments={}))
    client.say(raw(Queue.Bind, 1, queue=name, exchange=name, routing_key=name, arguments={}))
    client.say(raw(Basic.Consume, 1, queue=name, consumer_tag=name, no_ack=True, arguments={}))
    properties = Basic.Properties(headers={name: name})
    content = published(b"x", properties=properties).partition(b"\xce")[2]
    client.say(raw(Basic.Publish, 1, exchange=name, routing_key=name) + content)

    assert bodies(client.hear()) == [b"x"]
    client.say(raw(Queue.Declare, 1, queue=name, durable=True, arguments={}))
    code, text = closed(client)
    assert code == 406
    assert name[:60] in text

    stranger = world.connect()
    stranger.start()
    stranger.send(ConnectionClass.TuneOk(2047, 131_072, 0), 0)
    stranger.say(raw(ConnectionClass.Open, 0, virtual_host=name))
    (close,) = (one for one in stranger.hear() if isinstance(one, ConnectionClass.Close))
    assert (close.reply_code, name[:60] in close.reply_text) == (530, True)
    stranger.session.connection_lost(HOSTILE)


def raw(kind: type[Command], channel: int, **arguments: object) -> bytes:
    """A method frame with any names; what is not given is nothing."""
    given = {name: arguments.get(name, _nothing(kind, name)) for name in kind.__slots__}
    return methods.encode(make(kind, **given), channel)


def _nothing(kind: type[Command], name: str) -> object:
    nothing: dict[str, object] = {"bit": False, "shortstr": "", "longstr": b"", "table": {}}
    return nothing.get(kind.amqp_type(name), 0)


@pytest.mark.parametrize("overflow", ["drop-head", "reject-publish-dlx"])
def test_31_dead_letters_that_bring_about_others_do_not_end_the_stack(overflow: str) -> None:
    world = World()
    client = world.client()
    count = 250
    for number in range(count):
        arguments = {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": f"q{number + 1}",
            "x-max-length": 1,
            "x-overflow": overflow,
        }
        client.declare(f"q{number}", arguments=arguments)
    client.declare(f"q{count}")
    for number in range(count):
        client.publish(b"%d" % number, f"q{number}")

    client.publish(b"new", "q0")
    while world.broker.around.awake:
        world.turn()

    assert client.hear() == []
    queues = world.broker.vhosts["/"].queues
    assert [queue.ready for queue in queues.values()] == [1] * (count + 1)


def test_31_dead_letters_that_multiply_leave_others_their_turns() -> None:
    world = World()
    client = world.client()
    for level in range(3):
        exchange = Exchange.Declare(exchange=f"x{level}", exchange_type="fanout")
        client.ask(exchange, Exchange.DeclareOk)
        for number in range(10):
            name = f"q{level}.{number}"
            arguments = {"x-dead-letter-exchange": f"x{level + 1}", "x-max-length": 0}
            client.declare(name, arguments=arguments)
            client.ask(Queue.Bind(queue=name, exchange=f"x{level}"), Queue.BindOk)
    publishing = world.broker.vhosts["/"].publishing

    def buried() -> int:
        return sum(publishing.buried.values()) + sum(publishing.dropped.values())

    client.say(published(b"bomb", exchange="x0") * 3)
    most, before = 0, buried()
    while world.broker.around.awake:
        world.turn()
        most, before = max(most, buried() - before), buried()

    assert before == 3 * (10 + 100 + 1_000)
    assert most <= 400
