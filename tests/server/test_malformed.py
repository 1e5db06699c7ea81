"""Bad input over sockets: every kind of it has its code and text, and harms nobody."""

from __future__ import annotations

import ast
import contextlib
import socket
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
from pamqp import frame
from pamqp.commands import Basic, Exchange, Queue
from pamqp.commands import Channel as ChannelClass
from pamqp.commands import Connection as ConnectionClass

from amqpd.amqp.commands import make
from tests.client import Channel, Client
from tests.server.running import ROOT, Program
from tests.wire.malformed import ROWS, Row, octets
from tests.wire.wire import HEADER, published

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pamqp.base import Frame as Command
    from pamqp.common import FieldTable

#: Kinds of bad input, and the rows or tests that are about each.
TABLE = {
    "other protocols": "test_another_protocol_gets_our_header_and_the_end",
    "other versions": "test_another_protocol_gets_our_header_and_the_end",
    "0-9": "test_the_header_of_0_9_is_served",
    "no open in time": "tests/wire/test_handshake.py::"
    "test_a_handshake_that_takes_too_long_is_ended_without_a_word",
    "unknown mechanism": "test_what_makes_no_sense_before_the_login_is_told",
    "malformed response": "test_what_makes_no_sense_before_the_login_is_told",
    "wrong password": "test_a_wrong_password_is_told_to_those_who_understand_it",
    "wrong password, no capability": "test_others_get_silence_and_the_end",
    "errors before the login": "test_others_get_silence_and_the_end",
    "tune-ok": "test_more_than_was_offered_is_refused",
    "vhost": "tests/wire/test_malformed.py::test_nobody_learns_which_vhosts_there_are",
    "channel 0": ("connection's method in the wrong state", "channel's method on channel 0"),
    "content on channel 0": ("content header on channel 0", "content body on channel 0"),
    "heartbeat on a channel": "heartbeat on a channel",
    "frames that are none": ("heartbeat with payload", "unknown frame type",
                             "method frame of three octets", "content header of eleven octets"),
    "channels before open-ok": "tests/wire/test_malformed.py::"
    "test_channels_before_connection_open_are_505",
    "frame too large": "frame larger than agreed",
    "frame end": "wrong end octet",
    "unknown methods": ("unknown class", "unknown method"),
    "arguments": ("arguments cut short", "octets after the arguments", "basic.publish cut short"),
    "UTF-8": "text that is not UTF-8",
    "tables": ("field of unknown type", "table cut short", "table longer than the frame"),
    "properties": ("malformed properties", "reserved property flags"),
    "nesting": "table nested too deeply",
    "channel not open": ("method on a channel that is not open",
                         "publish on a channel that is not open",
                         "close of a channel that is not open"),
    "acks on no channel": "tests/wire/test_malformed.py::"
    "test_acks_on_a_channel_that_is_not_open_are_ignored",
    "second open": "second channel.open",
    "during a commit": "tests/wire/test_malformed.py::"
    "test_any_command_while_a_commit_is_on_its_way_is_504",
    "too many channels": "test_more_channels_than_agreed_are_refused",
    "methods of others": ("connection's method on a channel", "server's method"),
    "content without a method": ("header without a method", "body without a method"),
    "no header": ("method where a header is due", "body where a header is due", "weight"),
    "header of another class": "header of another class",
    "no body": ("method where a body is due", "header where a body is due"),
    "more than declared": "body larger than declared",
    "512 MiB": "body above 512 MiB",
    "max_message_size": "message above the limit",
    "empty bodies": "endless empty bodies",
    "immediate": ("immediate", "immediate comes before the size"),
    "prefetch size": "prefetch size",
    "recover": "recover without requeue",
    "flow": "tests/wire/test_basic.py::test_flow_pauses_and_resumes_deliveries",
    "modes": ("tx after confirm", "confirm after tx", "commit without select",
              "rollback without select"),
    "delivery tags": ("ack of an unknown tag", "ack of a tag that no counter reaches",
                      "reject of a tag that no counter reaches", "nack of an unknown tag",
                      "reject of an unknown tag", "multiple ack of an unknown tag"),
    "consumer tags": "consumer tag used twice",
    "consumers per channel": "tests/wire/test_malformed.py::"
    "test_more_consumers_than_allowed_are_530",
    "what is not there": "test_what_is_not_there_can_be_cancelled_and_deleted",
    "missing": ("unknown queue", "unknown exchange", "unknown exchange comes before properties"),
    "no name": "no queue declared",
    "permission": "tests/wire/test_permission_matrix.py::"
    "test_without_any_one_of_them_it_is_refused_by_name",
    "reserved names": ("reserved queue name", "reserved exchange name", "default exchange",
                       "internal exchange", "deleting a system exchange"),
    "redeclared": "redeclared otherwise",
    "exchange type": "unknown exchange type",
    "arguments of queues": ("dead letter exchange of the wrong type", "argument of the wrong type",
                            "alternate exchange of the wrong type",
                            "consumer argument of the wrong type"),
    "limit of queues": "tests/broker/test_capacity.py::"
    "test_a_vhost_takes_as_many_queues_as_its_limit_says",
    "exclusive elsewhere": "test_what_is_anothers_own_is_locked",
    "exclusive consumer": ("exclusive consumer beside another",
                           "get from a quorum queue with a single active consumer"),
    "in use": ("deleting a queue in use", "deleting a queue with messages",
               "deleting an exchange in use"),
    "properties of messages": ("expiration", "somebody else's user-id", "CC that is no array",
                               "direct reply-to without a consumer",
                               "expiration comes before user-id"),
    "line breaks in names": "test_line_breaks_in_names_are_taken_out_wherever_a_thing_is_named",
    "hash words": "tests/broker/test_topic.py::test_no_binding_key_of_255_octets_is_expensive",
    "store stopped": "tests/wire/test_connection.py::test_our_own_failure_is_541_without_details",
}  # fmt: skip


class Peer:
    """A client that says what it wants, and takes what comes as it is."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._heard = b""
        #: The channel of what was heard last.
        self.number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def say(self, sent: bytes) -> None:
        self._socket.sendall(sent)

    def rest(self) -> bytes:
        """All that comes up to the end of the connection."""
        while more := self._read():
            self._heard += more
        return self._heard

    def hear(self, *kinds: type[Command]) -> Command:
        """The next method of one of these kinds; what comes before it is passed over."""
        while True:
            size, self.number, value = (
                frame.unmarshal(self._heard) if self._whole() else (0, self.number, None)
            )
            self._heard = self._heard[size:]
            if isinstance(value, kinds):
                return value
            if not size:
                more = self._read()
                assert more, "the connection has ended"
                self._heard += more

    def _whole(self) -> bool:
        return len(self._heard) >= 7 and (
            len(self._heard) >= 8 + int.from_bytes(self._heard[3:7], "big")
        )

    def _read(self) -> bytes:
        try:
            return self._socket.recv(65_536)
        except ConnectionResetError:
            return b""

    def start(
        self, mechanism: str = "PLAIN", response: str = "\0guest\0guest", **can: bool
    ) -> Self:
        """Up to the login."""
        self.say(HEADER)
        self.hear(ConnectionClass.Start)
        properties: FieldTable = {"capabilities": {**can}}
        self.say(octets(ConnectionClass.StartOk(properties, mechanism, response, "en_US"), 0))
        return self

    def log_in(self, user: str = "guest") -> Self:
        """Up to channel 1 with queue q."""
        self.start(response=f"\0{user}\0{user}", consumer_cancel_notify=True)
        self.hear(ConnectionClass.Tune)
        self.say(octets(ConnectionClass.TuneOk(7, 131_072, 0), 0))
        return self

    def open(self) -> Self:
        self.say(octets(ConnectionClass.Open(), 0) + octets(ChannelClass.Open()))
        self.hear(ChannelClass.OpenOk)
        return self


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("malformed")
    settings = folder / "amqpd.toml"
    settings.write_text("[amqp]\nchannel_max = 7\n")
    with Program(folder / "data", "--config", str(settings)) as made:
        yield made.wait_ready()


@pytest.fixture(scope="module")
def sentinel(broker: Program) -> Iterator[Channel]:
    """A client that does nothing wrong, all the time."""
    with Client(broker.port) as client:
        channel = client.channel()
        channel.declare_queue("sentinel", exclusive=True)
        channel.select_confirms()
        yield channel


@pytest.fixture(autouse=True)
def _nobody_is_harmed(sentinel: Channel) -> Iterator[None]:
    yield
    sentinel.publish("", "sentinel", b"still here")
    assert len(sentinel.wait_confirms()) == 1
    one = sentinel.get("sentinel", no_ack=True)
    assert one is not None
    assert one.body == b"still here"


@cache
def defined_in(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    return frozenset(one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef))


def test_every_kind_of_bad_input_has_its_rows_and_every_row_its_kind() -> None:
    named = [one for each in TABLE.values() for one in ((each,) if isinstance(each, str) else each)]
    rows = {row.name for row in ROWS}

    assert rows <= set(named)
    for one in set(named) - rows:
        path, _, name = one.rpartition("::")
        assert name in defined_in(ROOT / path if path else Path(__file__)), one


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_bad_input_gets_its_code_and_text(broker: Program, sentinel: Channel, row: Row) -> None:
    with Peer(broker.port).log_in().open() as peer:
        peer.say(octets(Queue.Declare(queue="q")))
        peer.hear(Queue.DeclareOk)

        peer.say(row.sent)

        close = peer.hear(ChannelClass.Close, ConnectionClass.Close)
        assert isinstance(
            close, ChannelClass.Close if row.closes_channel else ConnectionClass.Close
        )
        assert (close.reply_code, close.reply_text[: len(row.text)]) == (row.code, row.text)
        if row.closes_channel:
            peer.say(octets(ChannelClass.CloseOk(), peer.number) + octets(ChannelClass.Open(), 5))
            peer.hear(ChannelClass.OpenOk)
        else:
            peer.say(octets(ConnectionClass.CloseOk(), 0))
            assert peer.rest() == b""
    for name in ("q", "q2", "s"):
        sentinel.delete_queue(name)
    for name in ("x", "in"):
        sentinel.call(Exchange.Delete(exchange=name), Exchange.DeleteOk)


# -- before the login --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01", b"AMQP\x00\x00\x09\x00",
     b"AMQP\x03\x01\x00\x00", b"AMQP\x00\x01\x00\x00"],
)  # fmt: skip
def test_another_protocol_gets_our_header_and_the_end(broker: Program, sent: bytes) -> None:
    with Peer(broker.port) as peer:
        peer.say(sent)
        assert peer.rest() == HEADER


def test_the_header_of_0_9_is_served(broker: Program) -> None:
    with Peer(broker.port) as peer:
        peer.say(b"AMQP\x01\x01\x00\x09")
        peer.hear(ConnectionClass.Start)


@pytest.mark.parametrize(
    ("mechanism", "response", "code", "text"),
    [
        ("SCRAM", "\0guest\0guest", 503,
         "COMMAND_INVALID - unknown authentication mechanism 'SCRAM'"),
        ("EXTERNAL", "", 503, "COMMAND_INVALID - invalid authentication mechanism 'EXTERNAL'"),
        ("PLAIN", "canary-secret", 502, "SYNTAX_ERROR - response of mechanism PLAIN is invalid"),
        ("AMQPLAIN", "canary-secret", 502,
         "SYNTAX_ERROR - response of mechanism AMQPLAIN is invalid"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_before_the_login_is_told(
    broker: Program, mechanism: str, response: str, code: int, text: str
) -> None:
    with Peer(broker.port).start(mechanism, response) as peer:
        close = peer.hear(ConnectionClass.Close)
        assert isinstance(close, ConnectionClass.Close)
        assert (close.reply_code, close.reply_text) == (code, text)
    assert "canary" not in broker.log


def test_a_wrong_password_is_told_to_those_who_understand_it(broker: Program) -> None:
    with Peer(broker.port).start(response="\0guest\0x", authentication_failure_close=True) as peer:
        close = peer.hear(ConnectionClass.Close)
        assert isinstance(close, ConnectionClass.Close)
        assert (close.reply_code, close.reply_text) == (
            403,
            "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. "
            "For details see the broker logfile.",
        )


def test_others_get_silence_and_the_end(broker: Program) -> None:
    with contextlib.ExitStack() as block:
        peers = [block.enter_context(Peer(broker.port)) for _ in range(4)]
        peers[0].start(response="\0guest\0x")
        wrong = (octets(ConnectionClass.Open(), 0), published(b"x", "q"), b"\x04" + bytes(7))
        for peer, sent in zip(peers[1:], wrong, strict=True):
            peer.say(HEADER)
            peer.hear(ConnectionClass.Start)
            peer.say(sent)

        assert [peer.rest() for peer in peers] == [b""] * 4


@pytest.mark.parametrize(
    ("channels", "size", "text"),
    [
        (7, 100, "negotiated frame_max = 100 is lower than the minimum allowed value (4096)"),
        (7, 0, "negotiated frame_max = 0 is higher than the maximum allowed value (131072)"),
        (8, 4096, "negotiated channel_max = 8 is higher than the maximum allowed value (7)"),
        (0, 4096,
         "negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (7)"),
    ],
)  # fmt: skip
def test_more_than_was_offered_is_refused(
    broker: Program, channels: int, size: int, text: str
) -> None:
    with Peer(broker.port).start() as peer:
        peer.hear(ConnectionClass.Tune)
        peer.say(octets(ConnectionClass.TuneOk(channels, size, 0), 0))
        refused(peer, 530, f"NOT_ALLOWED - {text}")


def refused(peer: Peer, code: int, text: str) -> None:
    close = peer.hear(ConnectionClass.Close, ChannelClass.Close)
    assert isinstance(close, ConnectionClass.Close | ChannelClass.Close)
    assert (close.reply_code, close.reply_text[: len(text)]) == (code, text)


# -- what needs more than one thing to be there ------------------------------------------------


def test_more_channels_than_agreed_are_refused(broker: Program) -> None:
    with Peer(broker.port).log_in().open() as peer:
        for number in range(2, 9):
            peer.say(octets(ChannelClass.Open(), number))
        refused(
            peer,
            530,
            "NOT_ALLOWED - number of channels opened (7) has reached the negotiated "
            "channel_max (7)",
        )


def test_what_is_not_there_can_be_cancelled_and_deleted(broker: Program) -> None:
    with Peer(broker.port).log_in().open() as peer:
        for command, reply in (
            (Basic.Cancel("nope"), Basic.CancelOk),
            (Queue.Delete(queue="nope"), Queue.DeleteOk),
            (Exchange.Delete(exchange="nope"), Exchange.DeleteOk),
        ):
            peer.say(octets(command))
            peer.hear(reply)


@pytest.mark.parametrize(
    "command",
    [Queue.Declare(queue="own", passive=True), Queue.Declare(queue="own"), Basic.Get(queue="own"),
     Basic.Consume(queue="own"), Queue.Purge(queue="own"), Queue.Delete(queue="own"),
     Queue.Bind(queue="own", exchange="amq.fanout")],
)  # fmt: skip
def test_what_is_anothers_own_is_locked(broker: Program, command: Command) -> None:
    with Peer(broker.port).log_in().open() as one, Peer(broker.port).log_in().open() as other:
        one.say(octets(Queue.Declare(queue="own", exclusive=True)))
        one.hear(Queue.DeclareOk)

        other.say(octets(command))

        refused(
            other,
            405,
            "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'own' in vhost '/'. "
            "It could be originally declared on another connection",
        )


def test_line_breaks_in_names_are_taken_out_wherever_a_thing_is_named(broker: Program) -> None:
    with Peer(broker.port).log_in().open() as peer:
        declare = make(Queue.Declare, ticket=0, queue="a\r\nb", passive=False, durable=False,
                       exclusive=True, auto_delete=False, nowait=False, arguments={})  # fmt: skip
        peer.say(octets(declare))
        found = peer.hear(Queue.DeclareOk)
        assert isinstance(found, Queue.DeclareOk)
        assert found.queue == "ab"
        for command, reply in (
            (make(Queue.Purge, ticket=0, queue="a\nb", nowait=False), Queue.PurgeOk),
            (make(Queue.Delete, ticket=0, queue="a\rb", if_unused=False, if_empty=False,
                  nowait=False), Queue.DeleteOk),
        ):  # fmt: skip
            peer.say(octets(command))
            peer.hear(reply)
