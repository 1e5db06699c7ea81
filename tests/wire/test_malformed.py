"""Bad input: every row gets its reply code and text, and other connections go on."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from pamqp import commands, frame
from pamqp.commands import Basic, Confirm, Exchange, Queue, Tx
from pamqp.commands import Channel as ChannelClass
from pamqp.commands import Connection as ConnectionClass

from amqpd.amqp import frames, methods
from amqpd.amqp.commands import make
from amqpd.amqp.settings import AmqpSettings
from tests.wire.wire import HEADER, World, method_frame, published

if TYPE_CHECKING:
    from pamqp.base import Frame as Command


def octets(command: Command, channel: int = 1) -> bytes:
    """A method frame, names unchecked."""
    return methods.encode(command, channel)


def header_frame(
    size: int, flags: int = 0, tail: bytes = b"", class_id: int = 60, weight: int = 0
) -> bytes:
    """A content header frame, of whatever is wanted."""
    payload = struct.pack(">HHQH", class_id, weight, size, flags) + tail
    return frames.frame(frames.HEADER, 1, payload)


def body_frame(body: bytes) -> bytes:
    """A content body frame."""
    return frames.frame(frames.BODY, 1, body)


PUBLISH = octets(make(Basic.Publish, ticket=0, exchange="", routing_key="q",
                      mandatory=False, immediate=False))  # fmt: skip
DECLARE_HEAD = b"\x00\x32\x00\x0a\x00\x00"


def declare(name: bytes, table: bytes) -> bytes:
    """queue.declare with a raw name and a raw table."""
    return method_frame(DECLARE_HEAD + bytes((len(name),)) + name + b"\x00" + table)


def with_table(fields: bytes) -> bytes:
    """queue.declare with the octets of a table, without its length."""
    return declare(b"q2", struct.pack(">I", len(fields)) + fields)


def nested(depth: int) -> bytes:
    """A table within a table within a table…"""
    table = b""
    for _ in range(depth):
        table = b"\x01aF" + struct.pack(">I", len(table)) + table
    return table


def consume(**arguments: object) -> bytes:
    """basic.consume of q, with tag t."""
    return octets(Basic.Consume(queue="q", consumer_tag="t", **arguments))  # type: ignore[arg-type]  # what tests give is right


def properties(**values: object) -> Basic.Properties:
    """Properties as pamqp writes them."""
    return Basic.Properties(**values)  # type: ignore[arg-type]  # as above


@dataclass(frozen=True)
class Row:
    """What is sent on a running connection with channel 1 and queue q, and what must come."""

    name: str
    sent: bytes
    code: int
    text: str
    closes_channel: bool = False


def hard(name: str, sent: bytes, code: int, text: str) -> Row:
    """A row that closes the connection."""
    return Row(name, sent, code, text)


def soft(name: str, sent: bytes, code: int, text: str) -> Row:
    """A row that closes the channel."""
    return Row(name, sent, code, text, closes_channel=True)


ROWS = [
    # -- frames ----------------------------------------------------------------------------
    hard("content header on channel 0", frames.frame(2, 0, bytes(14)), 505,
         "UNEXPECTED_FRAME - type 2, all octets = <<0,0,0,0,0,0,0,0,0,0,0,0,0,0>>"),
    hard("content body on channel 0", frames.frame(3, 0, b"\x01"), 505,
         "UNEXPECTED_FRAME - type 3, all octets = <<1>>"),
    hard("heartbeat on a channel", frames.frame(8, 1, b""), 505,
         "UNEXPECTED_FRAME - type 8, all octets = <<>>"),
    hard("heartbeat with payload", frames.frame(8, 0, b"\x01"), 501,
         "FRAME_ERROR - type 8, all octets = <<1>>: unknown_frame"),
    hard("unknown frame type", frames.frame(4, 1, b"\x01\x02"), 501,
         "FRAME_ERROR - type 4, all octets = <<1,2>>: unknown_frame"),
    hard("method frame of three octets", frames.frame(1, 1, b"\x00\x3c\x00"), 501,
         "FRAME_ERROR - type 1, all octets = <<0,60,0>>: unknown_frame"),
    hard("content header of eleven octets", PUBLISH + frames.frame(2, 1, bytes(11)), 501,
         "FRAME_ERROR - type 2, all octets = <<0,0,0,0,0,0,0,0,0,0,0>>: unknown_frame"),
    hard("frame larger than agreed", b"\x03\x00\x01\x00\x02\x00\x01\x00", 501,
         "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,131073,131064}"),
    hard("wrong end octet", b"\x08\x00\x00\x00\x00\x00\x00\x00", 501,
         "FRAME_ERROR - type 8, all octets = <<>>: {invalid_frame_end_marker,0}"),
    # -- methods ---------------------------------------------------------------------------
    hard("unknown class", method_frame(b"\x00\x63\x00\x01"), 540, "NOT_IMPLEMENTED - "),
    hard("unknown method", method_frame(b"\x00\x32\x00\x63"), 540, "NOT_IMPLEMENTED - "),
    hard("arguments cut short", method_frame(b"\x00\x3c\x00\x0a\x00"), 501,
         "FRAME_ERROR - cannot decode <<"),
    hard("octets after the arguments", method_frame(b"\x00\x5a\x00\x0a\x00"), 501,
         "FRAME_ERROR - cannot decode <<"),
    hard("text that is not UTF-8", declare(b"\xff\xfe", bytes(4)), 501,
         "FRAME_ERROR - Malformed UTF-8 in shortstr"),
    hard("text that is not UTF-8 in basic.publish",
         method_frame(b"\x00\x3c\x00\x28\x00\x00\x00\x01\xff\x00") + header_frame(0), 501,
         "FRAME_ERROR - Malformed UTF-8 in shortstr"),
    hard("field of unknown type", with_table(b"\x01aQ"), 502, "SYNTAX_ERROR - "),
    hard("table cut short", with_table(b"\x01aI\x00"), 502, "SYNTAX_ERROR - "),
    hard("table longer than the frame", declare(b"q2", b"\x00\x00\xff\xff"), 502,
         "SYNTAX_ERROR - "),
    hard("table nested too deeply", with_table(nested(33)), 502, "SYNTAX_ERROR - "),
    hard("connection's method on a channel", octets(ConnectionClass.CloseOk(), 1), 503,
         "COMMAND_INVALID - unimplemented method"),
    hard("server's method", octets(Tx.SelectOk(), 1), 503,
         "COMMAND_INVALID - unimplemented method"),
    hard("connection's method in the wrong state", octets(ConnectionClass.TuneOk(), 0), 504,
         "CHANNEL_ERROR - unexpected method in connection state running"),
    hard("channel's method on channel 0", octets(Tx.Select(), 0), 504,
         "CHANNEL_ERROR - unexpected method in connection state running"),
    # -- channels --------------------------------------------------------------------------
    hard("method on a channel that is not open", octets(Tx.Select(), 2), 504,
         "CHANNEL_ERROR - expected 'channel.open'"),
    hard("publish on a channel that is not open", published(b"x", "q", channel=2), 504,
         "CHANNEL_ERROR - expected 'channel.open'"),
    hard("close of a channel that is not open",
         octets(ChannelClass.Close(0, "", 0, 0), 2), 504,
         "CHANNEL_ERROR - expected 'channel.open'"),
    hard("second channel.open", octets(ChannelClass.Open()), 504,
         "CHANNEL_ERROR - second 'channel.open' seen"),
    hard("channel number above the limit", octets(ChannelClass.Open(), 3000), 504,
         "CHANNEL_ERROR - channel number 3000 is higher than the negotiated channel_max (2047)"),
    # -- contents --------------------------------------------------------------------------
    hard("header without a method", header_frame(1), 505,
         "UNEXPECTED_FRAME - expected method frame, got non method frame instead"),
    hard("body without a method", body_frame(b"x"), 505,
         "UNEXPECTED_FRAME - expected method frame, got non method frame instead"),
    hard("method where a header is due", PUBLISH + octets(Tx.Select()), 505,
         "UNEXPECTED_FRAME - expected content header for class 60, "
         "got non content header frame instead"),
    hard("body where a header is due", PUBLISH + body_frame(b"x"), 505,
         "UNEXPECTED_FRAME - expected content header for class 60, "
         "got non content header frame instead"),
    hard("weight", PUBLISH + header_frame(1, weight=1), 505,
         "UNEXPECTED_FRAME - expected content header for class 60, "
         "got non content header frame instead"),
    hard("header of another class", PUBLISH + header_frame(1, class_id=10), 505,
         "UNEXPECTED_FRAME - expected content header for class 60, "
         "got one for class 10 instead"),
    hard("method where a body is due", PUBLISH + header_frame(1) + octets(Tx.Select()), 505,
         "UNEXPECTED_FRAME - expected content body, got non content body frame instead"),
    hard("header where a body is due", PUBLISH + header_frame(1) + header_frame(1), 505,
         "UNEXPECTED_FRAME - expected content body, got non content body frame instead"),
    hard("body larger than declared", PUBLISH + header_frame(1) + body_frame(b"xx"), 501,
         "FRAME_ERROR - content body frame exceeds remaining content size"),
    hard("body above 512 MiB", PUBLISH + header_frame(536_870_913), 501,
         "FRAME_ERROR - content body size 536870913 exceeds maximum allowed size 536870912"),
    hard("endless empty bodies", PUBLISH + header_frame(1) + body_frame(b"") * 1001, 505,
         "UNEXPECTED_FRAME - "),
    hard("malformed properties", PUBLISH + header_frame(0, 0x8000, b"\x05ab"), 502,
         "SYNTAX_ERROR - "),
    hard("reserved property flags", PUBLISH + header_frame(0, 0x0001, b"\x00\x00"), 502,
         "SYNTAX_ERROR - "),
    soft("message above the limit", PUBLISH + header_frame(16_777_217), 406,
         "PRECONDITION_FAILED - message size 16777217 is larger than configured max size 16777216"),
    # -- what is not done --------------------------------------------------------------------
    hard("immediate", octets(make(Basic.Publish, ticket=0, exchange="", routing_key="q",
                                  mandatory=False, immediate=True)) + header_frame(0), 540,
         "NOT_IMPLEMENTED - immediate=true"),
    hard("immediate comes before the size",
         octets(make(Basic.Publish, ticket=0, exchange="nowhere", routing_key="q",
                     mandatory=False, immediate=True)) + header_frame(16_777_217), 540,
         "NOT_IMPLEMENTED - immediate=true"),
    hard("prefetch size", octets(Basic.Qos(prefetch_size=7)), 540,
         "NOT_IMPLEMENTED - prefetch_size!=0 (7)"),
    hard("recover without requeue", octets(Basic.Recover(requeue=False)), 540,
         "NOT_IMPLEMENTED - requeue=false"),
    # -- modes -----------------------------------------------------------------------------
    soft("tx after confirm", octets(Confirm.Select()) + octets(Tx.Select()), 406,
         "PRECONDITION_FAILED - cannot switch from confirm to tx mode"),
    soft("confirm after tx", octets(Tx.Select()) + octets(Confirm.Select()), 406,
         "PRECONDITION_FAILED - cannot switch from tx to confirm mode"),
    soft("commit without select", octets(Tx.Commit()), 406,
         "PRECONDITION_FAILED - channel is not transactional"),
    soft("rollback without select", octets(Tx.Rollback()), 406,
         "PRECONDITION_FAILED - channel is not transactional"),
    # -- tags ------------------------------------------------------------------------------
    soft("ack of an unknown tag", octets(Basic.Ack(5)), 406,
         "PRECONDITION_FAILED - unknown delivery tag 5"),
    soft("ack of a tag that no counter reaches", octets(Basic.Ack(2**64 - 1)), 406,
         "PRECONDITION_FAILED - unknown delivery tag 18446744073709551615"),
    soft("reject of a tag that no counter reaches", octets(Basic.Reject(2**63)), 406,
         "PRECONDITION_FAILED - unknown delivery tag 9223372036854775808"),
    soft("nack of an unknown tag", octets(Basic.Nack(5)), 406,
         "PRECONDITION_FAILED - unknown delivery tag 5"),
    soft("reject of an unknown tag", octets(Basic.Reject(5)), 406,
         "PRECONDITION_FAILED - unknown delivery tag 5"),
    soft("multiple ack of an unknown tag", octets(Basic.Ack(5, multiple=True)), 406,
         "PRECONDITION_FAILED - unknown delivery tag 5"),
    hard("consumer tag used twice", consume() + consume(), 530,
         "NOT_ALLOWED - attempt to reuse consumer tag 't'"),
    # -- names and resources -----------------------------------------------------------------
    soft("unknown queue", octets(Basic.Get(queue="nope")), 404,
         "NOT_FOUND - no queue 'nope' in vhost '/'"),
    soft("unknown exchange", published(b"x", "k", "nope"), 404,
         "NOT_FOUND - no exchange 'nope' in vhost '/'"),
    soft("no queue declared",
         octets(ChannelClass.Open(), 2) + octets(Queue.Bind(queue="", exchange="amq.direct"), 2),
         404,
         "NOT_FOUND - no previously declared queue"),
    soft("reserved queue name", octets(Queue.Declare(queue="amq.x")), 403,
         "ACCESS_REFUSED - queue name 'amq.x' contains reserved prefix 'amq.*'"),
    soft("default exchange", octets(Queue.Bind(queue="q", exchange="")), 403,
         "ACCESS_REFUSED - operation not permitted on the default exchange"),
    soft("redeclared otherwise", octets(Queue.Declare(queue="q", auto_delete=True)), 406,
         "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'q' in vhost '/': "
         "received 'true' but current is 'false'"),
    soft("unknown exchange type", octets(Exchange.Declare(exchange="x", exchange_type="t")), 406,
         "PRECONDITION_FAILED - unknown exchange type 't'"),
    soft("internal exchange",
         octets(Exchange.Declare(exchange="in", internal=True)) + published(b"x", "k", "in"), 403,
         "ACCESS_REFUSED - cannot publish to internal exchange 'in' in vhost '/'"),
    soft("deleting a queue in use", consume() + octets(Queue.Delete(queue="q", if_unused=True)),
         406, "PRECONDITION_FAILED - queue 'q' in vhost '/' in use"),
    soft("deleting a queue with messages",
         published(b"x", "q") + octets(Queue.Delete(queue="q", if_empty=True)), 406,
         "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty"),
    soft("deleting an exchange in use",
         octets(Exchange.Declare(exchange="x")) + octets(Queue.Bind(queue="q", exchange="x"))
         + octets(Exchange.Delete(exchange="x", if_unused=True)), 406,
         "PRECONDITION_FAILED - exchange 'x' in vhost '/' in use"),
    soft("deleting a system exchange", octets(Exchange.Delete(exchange="amq.direct")), 403,
         "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed"),
    soft("reserved exchange name", octets(Exchange.Declare(exchange="amq.x")), 403,
         "ACCESS_REFUSED - exchange name 'amq.x' contains reserved prefix 'amq.*'"),
    soft("exclusive consumer beside another",
         consume() + octets(Basic.Consume(queue="q", consumer_tag="u", exclusive=True)), 403,
         "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"),
    soft("get from a queue with a single active consumer",
         octets(Queue.Declare(queue="s", arguments={"x-single-active-consumer": True}))
         + octets(Basic.Get(queue="s")), 405,
         "RESOURCE_LOCKED - cannot obtain access to locked queue 's' in vhost '/'. "),
    soft("dead letter exchange of the wrong type",
         octets(Queue.Declare(queue="q2", arguments={"x-dead-letter-exchange": 1})), 406,
         "PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' in "),
    soft("alternate exchange of the wrong type",
         octets(Exchange.Declare(exchange="x", arguments={"alternate-exchange": True})), 406,
         "PRECONDITION_FAILED - invalid type 'bool' for arg 'alternate-exchange' in "),
    soft("argument of the wrong type",
         octets(Queue.Declare(queue="q2", arguments={"x-expires": "soon"})), 406,
         "PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'q2' in vhost '/': "),
    soft("consumer argument of the wrong type", consume(arguments={"x-priority": "high"}), 406,
         "PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': "),
    # -- properties ------------------------------------------------------------------------
    soft("expiration", published(b"x", "q", properties=properties(expiration="soon")), 406,
         "PRECONDITION_FAILED - invalid expiration 'soon': no_integer"),
    soft("somebody else's user-id", published(b"x", "q", properties=properties(user_id="eve")),
         406, "PRECONDITION_FAILED - user_id property set to 'eve' but authenticated user was "
         "'guest'"),
    soft("CC that is no array", published(b"x", "q", properties=properties(headers={"CC": "k"})),
         406, 'PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}'),
    soft("direct reply-to without a consumer",
         published(b"x", "q", properties=properties(reply_to="amq.rabbitmq.reply-to")), 406,
         "PRECONDITION_FAILED - fast reply consumer does not exist"),
    soft("expiration comes before user-id",
         published(b"x", "q", properties=properties(expiration="-1", user_id="eve")), 406,
         "PRECONDITION_FAILED - invalid expiration '-1': {value_negative,-1}"),
    soft("unknown exchange comes before properties",
         published(b"x", "q", "nope", properties=properties(expiration="-1")), 404,
         "NOT_FOUND - no exchange 'nope' in vhost '/'"),
]  # fmt: skip


@pytest.mark.parametrize("chunk", [0, 1], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_bad_input_gets_its_code_and_text_and_harms_nobody_else(row: Row, chunk: int) -> None:
    world = World()
    other = world.client()
    client = world.client()
    client.declare("q")

    pieces = [row.sent] if not chunk else [bytes((one,)) for one in row.sent]
    for piece in pieces:
        client.say(piece)

    close = client.hear()[-1]
    expected = ChannelClass.Close if row.closes_channel else ConnectionClass.Close
    assert isinstance(close, expected), close
    assert close.reply_code == row.code
    assert close.reply_text.startswith(row.text)
    other.declare("mine")


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


@pytest.mark.parametrize("user", ["guest", "stranger"])
def test_a_vhost_that_is_not_there_or_not_for_this_user_is_530(user: str) -> None:
    world = World()
    client = world.connect()
    client.start(response=f"\0{user}\0{user}")
    client.send(ConnectionClass.TuneOk(10, 131_072, 0), 0)
    client.hear()

    client.send(ConnectionClass.Open("/" if user == "stranger" else "nowhere"), 0)

    (close,) = client.hear()
    assert isinstance(close, ConnectionClass.Close)
    assert close.reply_code == 530


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
