"""Bad input, row by row: what a client sends, and the code and text it must get."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pamqp.commands import Basic, Confirm, Exchange, Queue, Tx
from pamqp.commands import Channel as ChannelClass
from pamqp.commands import Connection as ConnectionClass

from amqpd.amqp import frames, methods
from amqpd.amqp.commands import make
from tests.wire.wire import method_frame, published

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
    hard("basic.publish cut short",
         method_frame(b"\x00\x3c\x00\x28\x00\x00\x00\x02\xff\x00") + header_frame(0), 501,
         "FRAME_ERROR - cannot decode <<0,0,0,2,255,0>>"),
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
    soft("get from a quorum queue with a single active consumer",
         octets(Queue.Declare(queue="s", durable=True, arguments={
             "x-queue-type": "quorum", "x-single-active-consumer": True}))
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
