"""Bad input: every row gets its reply code and text, and other connections go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pamqp import commands, frame
from pamqp.commands import Basic, Queue, Tx
from pamqp.commands import Channel as ChannelClass
from pamqp.commands import Connection as ConnectionClass

from amqpd.amqp import frames
from amqpd.amqp.settings import AmqpSettings
from amqpd.broker.definitions import PutParameter, PutUser, PutVhost
from tests.wire.malformed import PUBLISH, ROWS, Row, body_frame, header_frame, octets
from tests.wire.wire import HEADER, World, published

if TYPE_CHECKING:
    from pamqp.base import Frame as Command


@pytest.mark.parametrize("how", ["whole", "byte by byte", "in turns"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_bad_input_gets_its_code_and_text_and_harms_nobody_else(row: Row, how: str) -> None:
    world = World()
    other = world.client()
    client = world.client()
    client.declare("q")
    world.late = how == "in turns"

    pieces = [bytes((one,)) for one in row.sent] if how == "byte by byte" else [row.sent]
    for piece in pieces:
        client.say(piece)
    client.catch_up()

    close = client.hear()[-1]
    expected = ChannelClass.Close if row.closes_channel else ConnectionClass.Close
    assert isinstance(close, expected), close
    assert close.reply_code == row.code
    assert close.reply_text.startswith(row.text)
    other.declare("mine")


@pytest.mark.parametrize(
    ("sent", "method"),
    [
        (PUBLISH + octets(Basic.Get(queue="q")), (60, 40)),
        (PUBLISH + body_frame(b"x"), (60, 40)),
        (PUBLISH + header_frame(0, class_id=50), (60, 40)),
        (PUBLISH + header_frame(0, weight=1), (60, 40)),
        (PUBLISH + header_frame(3) + header_frame(3), (60, 40)),
        (PUBLISH + header_frame(3) + body_frame(b"four"), (60, 40)),
        (PUBLISH + header_frame(600 << 20), (60, 40)),
        (header_frame(0), (0, 0)),
        (octets(Basic.Ack(5)), (60, 80)),
        (octets(Basic.Reject(5)), (60, 90)),
        (octets(Basic.Nack(5)), (60, 120)),
    ],
)
def test_an_error_names_the_method_that_it_is_about(sent: bytes, method: tuple[int, int]) -> None:
    client = World().client()
    client.declare("q")

    client.say(sent)

    close = client.hear()[-1]
    assert isinstance(close, (ChannelClass.Close, ConnectionClass.Close))
    assert (close.class_id, close.method_id) == method


def test_a_message_keeps_names_that_are_not_utf_8() -> None:
    client = World().client()
    client.declare("dead")
    client.ask(Queue.Bind(queue="dead", exchange="amq.fanout"), Queue.BindOk)
    client.declare("q", arguments={"x-dead-letter-exchange": "amq.fanout", "x-max-length": 0})
    client.ask(Queue.Bind(queue="q", exchange="amq.topic", routing_key="#"), Queue.BindOk)

    client.say(published(b"x", "key", "amq.topic").replace(b"key", b"k\xff\xfe"))

    client.say(octets(Basic.Get(queue="dead", no_ack=True)))
    heard = client.hear_octets()
    assert b"\x0aamq.fanout\x03k\xff\xfe" in heard  # in basic.get-ok
    assert b"S\x00\x00\x00\x03k\xff\xfe" in heard  # in x-death


def test_a_closed_channel_ignores_everything_until_close_ok_and_can_then_be_reopened() -> None:
    client = World().client()
    client.declare("q")
    client.send(Basic.Get(queue="nope"))
    client.hear()

    client.say(octets(Queue.Delete(queue="q")) + published(b"x", "q") + octets(Basic.Ack(9)))
    client.say(octets(Tx.Commit())[:9])
    client.say(octets(Tx.Commit())[9:])
    assert client.hear() == []
    client.say(octets(ChannelClass.CloseOk()))

    client.open(1)
    assert client.ask(Queue.Purge(queue="q"), Queue.PurgeOk).message_count == 0


def test_a_closed_channel_ignores_messages_above_the_limit_too() -> None:
    client = World().client()
    client.say(PUBLISH + header_frame(16_777_217))
    client.hear()

    client.say(octets(Tx.Select()) + PUBLISH + header_frame(16_777_217))

    assert client.hear() == []


def test_a_connection_may_end_while_a_channel_is_closing() -> None:
    client = World().client()
    client.send(Basic.Get(queue="nope"))
    client.hear()

    client.ask(ConnectionClass.Close(200, "", 0, 0), ConnectionClass.CloseOk, 0)


def test_nothing_but_the_end_is_answered_while_closing() -> None:
    client = World().client()
    client.send(Tx.Select(), 9)
    client.hear()

    client.send(ConnectionClass.TuneOk(), 0)

    assert client.hear() == []


def test_channel_close_by_the_client_is_answered_while_we_are_closing_it() -> None:
    client = World().client()
    client.send(Basic.Get(queue="nope"))
    client.hear()

    client.ask(ChannelClass.Close(200, "", 0, 0), ChannelClass.CloseOk)


def test_a_content_begun_before_the_error_is_thrown_away() -> None:
    client = World().client()
    client.declare("q")
    client.say(PUBLISH + header_frame(16_777_217) + body_frame(b"x" * 100_000))
    client.hear()

    client.say(body_frame(b"x" * 100_000))
    client.say(octets(ChannelClass.CloseOk()))
    client.open(1)

    assert client.get("q") is None


@pytest.mark.parametrize("method", [Basic.Ack(1), Basic.Nack(1), Basic.Reject(1)])
def test_acks_on_a_channel_that_is_not_open_are_ignored(method: Command) -> None:
    client = World().client()

    client.send(method, 7)
    client.send(ChannelClass.CloseOk(), 7)

    assert client.hear() == []


def test_after_an_error_the_connection_ends_with_the_clients_close_ok() -> None:
    client = World().client()
    client.send(Tx.Select(), 9)
    client.hear()
    client.say(published(b"x", "q") + octets(Tx.Select()) + octets(Basic.Ack(1)))
    assert client.hear() == []
    assert not client.session.closing

    client.send(ConnectionClass.CloseOk(), 0)

    assert client.session.closing


def test_close_ok_is_understood_even_when_frames_are_not() -> None:
    client = World().client()
    client.say(b"\x08\x00\x00\x00\x00\x00\x00\x00")
    close_ok = b"garbage" + octets(ConnectionClass.CloseOk(), 0)

    client.say(close_ok[:12])
    assert not client.session.closing
    client.say(close_ok[12:])

    assert client.session.closing


def test_a_second_frame_error_while_closing_is_not_answered() -> None:
    client = World().client()
    client.say(PUBLISH + header_frame(1, weight=1) + PUBLISH + header_frame(1, weight=1))
    client.hear()

    client.say(b"")
    client.say(PUBLISH)
    assert client.hear() == []
    client.say(octets(ConnectionClass.CloseOk(), 0))

    assert client.session.closing


@pytest.mark.parametrize(
    ("sent", "seconds"), [(b"\x08" + bytes(7), 1), (octets(Tx.Select(), 9), 30)]
)
def test_a_client_that_does_not_agree_is_cut_off(sent: bytes, seconds: int) -> None:
    client = World().client()
    client.say(sent)

    client.wait(seconds - 0.5)
    assert not client.session.closing
    client.wait(0.5)

    assert client.session.closing


def test_the_wait_for_close_ok_is_no_longer_than_the_heartbeat() -> None:
    client = World().connect()
    client.log_in(heartbeat_s=2)
    client.send(Tx.Select(), 9)

    client.wait(2)

    assert client.session.closing


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01", b"AMQP\x00\x00\x09\x00",
     b"AMQP\x03\x01\x00\x00", b"AMQP\x00\x00\x0a\x01", b"X"],
)  # fmt: skip
def test_another_protocol_gets_our_header_and_the_end(sent: bytes) -> None:
    client = World().connect()

    client.say(sent)

    assert client.hear_octets() == HEADER
    assert client.session.closing
    client.say(HEADER)
    assert client.hear_octets() == b""


BEFORE_LOGIN = [
    pytest.param(frame.marshal(ConnectionClass.Open(), 0), id="wrong method"),
    pytest.param(frame.marshal(ChannelClass.Open(), 1), id="channel"),
    pytest.param(frames.frame(4, 0, b""), id="unknown frame"),
    pytest.param(published(b"x", "q"), id="publish"),
    pytest.param(frame.marshal(Basic.Ack(1), 1), id="ack"),
    pytest.param(b"\x01\x00\x00\x00\x00\x30\x00", id="larger than 8192"),
]


@pytest.mark.parametrize("sent", BEFORE_LOGIN)
def test_before_the_login_errors_are_met_with_silence_and_the_end(sent: bytes) -> None:
    client = World().connect()
    client.say(HEADER)
    client.hear()

    client.say(sent)

    assert client.wait(2.5) == []
    assert not client.session.closing
    client.wait(0.5)
    assert client.session.closing


def test_too_much_before_the_login_ends_the_connection() -> None:
    client = World().connect()
    client.say(HEADER)
    client.say(frames.HEARTBEAT_FRAME * 8000)
    assert not client.session.closing

    client.say(frames.HEARTBEAT_FRAME * 300)

    assert client.session.closing


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (frame.marshal(ChannelClass.Open(), 1), "UNEXPECTED_FRAME - "),
        (published(b"x", "q"), "UNEXPECTED_FRAME - "),
        (frame.marshal(Basic.Nack(1), 1), "UNEXPECTED_FRAME - "),
    ],
)
def test_channels_before_connection_open_are_505(sent: bytes, text: str) -> None:
    client = World().connect()
    client.start()
    client.hear()

    client.say(sent)

    (close,) = client.hear()
    assert isinstance(close, ConnectionClass.Close)
    assert close.reply_code == 505
    assert close.reply_text.startswith(text)


TUNES = [
    ((10, 100, 0), "negotiated frame_max = 100 is lower than the minimum allowed value (4096)"),
    ((10, 0, 0), "negotiated frame_max = 0 is higher than the maximum allowed value (131072)"),
    ((10, 200_000, 0),
     "negotiated frame_max = 200000 is higher than the maximum allowed value (131072)"),
    ((0, 131_072, 0),
     "negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)"),
    ((3000, 131_072, 0),
     "negotiated channel_max = 3000 is higher than the maximum allowed value (2047)"),
]  # fmt: skip


@pytest.mark.parametrize(("tune", "text"), TUNES)
def test_a_client_may_not_ask_for_more_than_was_offered(
    tune: tuple[int, int, int], text: str
) -> None:
    client = World().connect()
    client.start()
    client.hear()

    client.send(ConnectionClass.TuneOk(*tune), 0)

    (close,) = client.hear()
    assert isinstance(close, ConnectionClass.Close)
    assert (close.reply_code, close.reply_text) == (530, f"NOT_ALLOWED - {text}")
    assert (close.class_id, close.method_id) == (10, 30)


def refusal_of(world: World, user: str, vhost: str) -> str:
    """What a user is told that may not enter a vhost."""
    client = world.connect()
    client.start(response=f"\0{user}\0{user}")
    client.send(ConnectionClass.TuneOk(10, 131_072, 0), 0)
    client.hear()

    client.send(ConnectionClass.Open(vhost), 0)

    (close,) = client.hear()
    assert isinstance(close, ConnectionClass.Close)
    assert close.reply_code == 530
    return close.reply_text.replace(f"'{vhost}'", "'…'")


def test_nobody_learns_which_vhosts_there_are() -> None:
    world = World()
    world.broker.apply(PutUser("stranger", "", "", ("management",)))
    world.broker.apply(PutVhost("full"))
    limits = '{"max-connections": 0}'
    world.broker.apply(PutParameter("vhost-limits", "full", "limits", limits))

    texts = {refusal_of(world, "stranger", vhost) for vhost in ("nowhere", "full")}

    assert texts == {"NOT_ALLOWED - access to vhost '…' refused for user 'stranger'"}


def test_whoever_sees_all_vhosts_is_told_that_there_is_none() -> None:
    assert refusal_of(World(), "guest", "nowhere") == "NOT_ALLOWED - vhost nowhere not found"


def test_the_number_of_channels_is_limited_not_their_numbers() -> None:
    client = World().connect()
    client.log_in(channel_max=2)

    client.open(3000)

    client.ask(Queue.Declare(queue="q"), Queue.DeclareOk, 3000)


def test_more_channels_than_agreed_are_530() -> None:
    client = World().connect()
    client.log_in(channel_max=2)
    client.open(1)
    client.open(2)

    client.send(ChannelClass.Open(), 3)

    (close,) = client.hear()
    assert isinstance(close, ConnectionClass.Close)
    assert close.reply_code == 530
    assert close.reply_text == (
        "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)"
    )


def test_more_consumers_than_allowed_are_530() -> None:
    client = World(AmqpSettings(consumers_per_channel=1)).client()
    client.declare("q")
    client.consume("q")

    client.send(Basic.Consume(queue="q"))

    (close,) = client.hear()
    assert isinstance(close, ConnectionClass.Close)
    assert close.reply_code == 530
    assert close.reply_text == "NOT_ALLOWED - reached maximum (1) of consumers per channel"


def test_any_command_while_a_commit_is_on_its_way_is_504() -> None:
    world = World()
    client = world.client()
    client.declare("q", durable=True)
    client.tx()
    world.disk = False
    client.publish(b"x", "q", properties=Basic.Properties(delivery_mode=2))
    client.send(Tx.Commit())

    client.send(commands.Tx.Select())
    world.commit()

    heard = client.hear()
    assert isinstance(heard[-1], ConnectionClass.Close)
    assert heard[-1].reply_code == 504
    assert heard[-1].reply_text == (
        "CHANNEL_ERROR - unexpected command while processing 'tx.commit'"
    )


def test_permissions_are_checked_before_existence() -> None:
    world = World()
    world.user("nobody", configure="", write="", read="")
    client = world.client(user="nobody")

    client.send(Basic.Get(queue="nope"))

    (close,) = client.hear()
    assert isinstance(close, ChannelClass.Close)
    assert close.reply_code == 403
    assert close.reply_text == (
        "ACCESS_REFUSED - read access to queue 'nope' in vhost '/' refused for user 'nobody'"
    )


def test_an_exclusive_queue_of_another_connection_is_405() -> None:
    world = World()
    world.client().declare("mine", exclusive=True)
    client = world.client()

    client.send(Basic.Consume(queue="mine"))

    (close,) = client.hear()
    assert isinstance(close, ChannelClass.Close)
    assert close.reply_code == 405
    assert close.reply_text.startswith(
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine' in vhost '/'. "
    )
