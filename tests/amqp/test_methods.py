"""Methods: every one of them, read without forgiving and written without refusing names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pamqp.frame
import pytest
from pamqp import commands

from amqpd.amqp import frames, methods
from amqpd.errors import FrameError, NotImplementedHere, ReplyCode, SyntaxError
from amqpd.fields import Field, table

if TYPE_CHECKING:
    from pamqp.base import Frame as Command

EVERY_METHOD: list[type[Command]] = list(commands.INDEX_MAPPING.values())
VALUES: dict[str, object] = {
    "octet": 7,
    "short": 65535,
    "long": 2**32 - 1,
    "longlong": 2**64 - 1,
    "shortstr": "tëxt",
    "longstr": b"\x00\xfflong",
    "bit": True,
    "table": table({"k": 1, "in": {"x": [True]}}),
}


def filled(kind: type[Command], odd_bits: bool = False) -> Command:
    """A command with a value in every argument; every other bit is set."""
    command = kind.__new__(kind)
    for number, name in enumerate(kind.__slots__):
        wire_type = kind.amqp_type(name)
        bit = bool(number % 2) == odd_bits
        setattr(command, name, bit if wire_type == "bit" else VALUES[wire_type])
    return command


def arguments(command: Command) -> dict[str, object]:
    return {name: getattr(command, name) for name in command.__slots__}


@pytest.mark.parametrize("kind", EVERY_METHOD, ids=lambda kind: kind.name)
@pytest.mark.parametrize("odd_bits", [True, False])
def test_every_method_is_read_as_it_was_written(kind: type[Command], odd_bits: bool) -> None:
    command = filled(kind, odd_bits)

    found = methods.decode(methods.encode_payload(command))

    assert type(found) is kind
    assert arguments(found) == arguments(command)


@pytest.mark.parametrize("kind", EVERY_METHOD, ids=lambda kind: kind.name)
def test_every_length_of_a_method_is_checked(kind: type[Command]) -> None:
    payload = methods.encode_payload(filled(kind))

    for cut in range(len(payload)):
        with pytest.raises((FrameError, SyntaxError)):
            methods.decode(payload[:cut])
    with pytest.raises(FrameError, match="cannot decode <<"):
        methods.decode(payload + b"\x00")


def test_all_methods_of_the_extensions_are_there() -> None:
    names = {kind.name for kind in EVERY_METHOD}

    assert len(names) == len(EVERY_METHOD) == 64
    assert names >= {
        "Connection.Blocked",
        "Connection.Unblocked",
        "Connection.UpdateSecret",
        "Connection.UpdateSecretOk",
        "Exchange.Bind",
        "Exchange.UnbindOk",
        "Confirm.SelectOk",
        "Basic.Nack",
        "Basic.RecoverAsync",
        "Tx.RollbackOk",
    }


PLAIN: list[Command] = [
    commands.Connection.Tune(2047, 131_072, 60),
    commands.Queue.Declare(queue="q", durable=True, exclusive=False, nowait=True),
    commands.Queue.DeclareOk("q", 1, 2),
    commands.Basic.Consume(queue="q", consumer_tag="t", no_ack=True, nowait=True),
    commands.Basic.Deliver("t", 5, True, "x", "k"),
    commands.Basic.Nack(5, True, False),
    commands.Exchange.Bind(destination="d", source="s", routing_key="k"),
    commands.Confirm.Select(True),
    commands.Channel.OpenOk(),
    commands.Connection.CloseOk(),
]


@pytest.mark.parametrize("command", PLAIN, ids=lambda command: command.name)
def test_our_frames_are_those_of_pamqp(command: Command) -> None:
    assert methods.encode(command, 3) == pamqp.frame.marshal(command, 3)


def test_names_that_pamqp_refuses_are_read_and_written() -> None:
    command = commands.Queue.Declare()
    command.queue = "a queue/with: anything, ünicode"

    found = methods.decode(methods.encode_payload(command))

    assert isinstance(found, commands.Queue.Declare)
    assert found.queue == command.queue


def test_long_strings_are_octets_and_tables_are_typed() -> None:
    command = commands.Connection.StartOk(client_properties={"k": "v"}, response="\0guest\0guest")

    found = methods.decode(methods.encode_payload(command))

    assert isinstance(found, commands.Connection.StartOk)
    assert methods.octets(found.response) == b"\0guest\0guest"
    assert methods.table(found.client_properties) == {"k": Field("S", "v")}


def test_unknown_methods_are_not_implemented() -> None:
    with pytest.raises(NotImplementedHere, match="unknown method 99 of class 60") as raised:
        methods.decode(b"\x00\x3c\x00\x63")

    assert raised.value.reply_code == ReplyCode.NOT_IMPLEMENTED


@pytest.mark.parametrize(("count", "shown"), [(2, "171,171>>"), (1_000_000, "171,171,1")])
def test_arguments_that_cannot_be_decoded_are_shown_as_far_as_there_is_room(
    count: int, shown: str
) -> None:
    with pytest.raises(FrameError) as raised:
        methods.decode(b"\x00\x3c\x00\x50" + b"\xab" * count)

    text = raised.value.reply_text
    assert text.startswith("FRAME_ERROR - cannot decode <<171,")
    assert text.endswith(shown)
    assert len(text) == min(255, 31 + 4 * count)


def test_a_method_frame_has_a_method() -> None:
    with pytest.raises(FrameError):
        methods.decode(b"\x00\x3c\x00")


def test_short_strings_are_utf_8() -> None:
    payload = methods.encode_payload(commands.Basic.Get(queue="ab")).replace(b"ab", b"\xff\xfe")

    with pytest.raises(FrameError, match=r"^Malformed UTF-8 in shortstr$"):
        methods.decode(payload)


def test_names_of_a_message_may_be_any_octets() -> None:
    payload = methods.encode_payload(commands.Basic.Publish(exchange="x", routing_key="ab"))

    publish = methods.decode(payload.replace(b"ab", b"\xff\xfe"))

    assert isinstance(publish, commands.Basic.Publish)
    assert methods.names(publish.exchange, publish.routing_key) == b"\x01x\x02\xff\xfe"


def test_a_malformed_table_is_a_syntax_error() -> None:
    payload = methods.encode_payload(commands.Queue.Declare(arguments={"k": "v"}))

    with pytest.raises(SyntaxError):
        methods.decode(payload.replace(b"S", b"Z"))


def test_class_and_method_are_the_first_four_octets() -> None:
    assert methods.index_of(b"\x00\x3c\x00\x28rest") == (60, 40)
    assert methods.index_of(b"\x01\x02\x03\x04") == (0x0102, 0x0304)


WRONG: list[tuple[type[Command], str, object]] = [
    (commands.Queue.Declare, "queue", "q" * 256),
    (commands.Queue.Declare, "queue", 5),
    (commands.Queue.Declare, "ticket", -1),
    (commands.Queue.Declare, "ticket", None),
    (commands.Queue.Declare, "arguments", []),
    (commands.Queue.Declare, "arguments", {"k": 2**70}),
    (commands.Basic.Ack, "delivery_tag", 2**64),
    (commands.Connection.Secure, "challenge", 1),
]


@pytest.mark.parametrize(("kind", "name", "value"), WRONG)
def test_arguments_that_do_not_fit_are_not_written(
    kind: type[Command], name: str, value: object
) -> None:
    command = filled(kind)
    setattr(command, name, value)

    with pytest.raises(ValueError, match=f"argument {name}"):
        methods.encode(command, 1)


def test_absent_texts_and_tables_are_empty() -> None:
    command = commands.Connection.SecureOk()
    declare = commands.Queue.Declare()
    for name in ("queue", "arguments"):
        setattr(declare, name, None)

    assert methods.encode_payload(command).endswith(bytes(4))
    assert methods.encode_payload(declare).endswith(b"\x00\x00\x00\x00\x00\x00")


def test_names_are_two_short_strings() -> None:
    assert methods.names("x", "kéy") == b"\x01x\x04k\xc3\xa9y"
    with pytest.raises(ValueError, match="longer than 255"):
        methods.names("x", "k" * 256)


def test_a_method_frame_has_the_channel() -> None:
    assert frames.cut(methods.encode(commands.Channel.CloseOk(), 500), 0).channel == 500


def test_a_method_is_called_as_the_specification_writes_it() -> None:
    assert methods.name(60, 40) == "basic.publish"
    assert methods.name(30, 10) == "access.request"
    assert methods.name(0, 0) == "none"
