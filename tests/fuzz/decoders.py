"""Everything that reads what strangers send, each with what it may say about it.

    one_input(octets)     the first octet chooses the decoder, the others are for it

Used with mutated inputs of the corpus (`test_decoders.py`) and, guided by coverage, with
atheris (`python -m tests.fuzz`). Whatever is not an error of the tree in `amqpd.errors`, or of
the reader's own kind, is a fault of ours; so is an answer that does not hold.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Final

from amqpd import fields, rabbitmq_conf
from amqpd.amqp import codec as native
from amqpd.amqp import codec_pure, frames, methods
from amqpd.amqp.sasl import AmqPlain, Challenge, Demo, Plain
from amqpd.broker.pattern import compile_pattern
from amqpd.broker.restoring import Restoring
from amqpd.broker.types import sql
from amqpd.broker.types.selector import SelectorError
from amqpd.errors import AmqpError
from amqpd.properties import decode_header, encode_header
from tests.amqp.recorder import FRAME_MAX
from tests.properties.test_codec import understood
from tests.wire.wire import World

if TYPE_CHECKING:
    from collections.abc import Callable

#: Octets of a message, and of everything else, that are looked at.
MOST: Final = 8192


def both_codecs(octets: bytes) -> None:
    """The parsers of the hot path tell the same, and the pieces do not matter."""
    cut = octets[0] if octets else 0
    stream = octets[1:]
    pieces = [stream[:cut], stream[cut:]]
    one, errors = understood(native, pieces)
    other, other_errors = understood(codec_pure, pieces)
    assert one.log == other.log
    assert errors == other_errors


def one_frame(octets: bytes) -> None:
    """Where a frame ends, and what is in it."""
    if frames.missing(octets, 0, FRAME_MAX) <= 0:
        frame = frames.cut(octets, 0)
        assert len(frame.payload) <= len(octets)


def a_method(octets: bytes) -> None:
    """What is understood is written as it was meant."""
    command = methods.decode(octets)
    again = methods.decode(methods.encode_payload(command))
    assert type(again) is type(command)
    # By their texts: a number that is none is not equal to itself.
    assert [repr(getattr(again, name)) for name in again.__slots__] == [
        repr(getattr(command, name)) for name in command.__slots__
    ]


def a_header(octets: bytes) -> None:
    """The same of properties."""
    class_id, size, properties = decode_header(octets)
    assert class_id >= 0
    again = decode_header(encode_header(properties, size))
    assert again[1] == size
    assert repr(again[2]) == repr(properties)


def a_table(octets: bytes) -> None:
    """The same of tables; what JSON and people see of them can be made."""
    table, end = fields.decode_table(octets)
    assert 4 <= end <= len(octets)
    again, _ = fields.decode_table(fields.encode_table(table))
    assert repr(again) == repr(table)
    fields.plain_table(table)


def a_response(octets: bytes) -> None:
    """Credentials, or a refusal."""
    for mechanism in (Plain, AmqPlain, Demo):
        with contextlib.suppress(AmqpError):
            answer = mechanism().respond(octets)
            assert isinstance(answer, Challenge) or isinstance(answer.user, str)


def a_stranger(octets: bytes) -> None:
    """A connection that has not logged in: no effect, nothing kept."""
    world = World()
    client = world.connect()
    client.say(octets)
    heard = client.hear_octets()
    assert len(heard) < 4096
    client.session.connection_lost("end of the input")
    assert not world.broker.vhosts["/"].queues


def a_pattern(octets: bytes) -> None:
    """A pattern of permissions, on a text with the same letters."""
    text, _, subject = octets.decode("utf-8", "replace").partition("\n")
    compile_pattern(text).matches(subject[:255])


def a_selector(octets: bytes) -> None:
    """A filter in SQL."""
    with contextlib.suppress(SelectorError):
        sql.parse(octets.decode("utf-8", "replace"))


def a_configuration(octets: bytes) -> None:
    """RabbitMQ's configuration file."""
    with contextlib.suppress(ValueError):
        rabbitmq_conf.entries(octets.decode("utf-8", "replace"))


def definitions(octets: bytes) -> None:
    """A file of definitions."""
    try:
        document = json.loads(octets)
    except (ValueError, RecursionError):
        return
    if isinstance(document, dict):
        restoring = Restoring(World().broker, document, None)
        for _ in restoring.steps():
            pass
        restoring.carry_out()


TARGETS: Final[tuple[Callable[[bytes], None], ...]] = (
    both_codecs,
    one_frame,
    a_method,
    a_header,
    a_table,
    a_response,
    a_stranger,
    a_pattern,
    a_selector,
    a_configuration,
    definitions,
)


def one_input(octets: bytes) -> None:
    """Read it as the first octet says.

    Raises:
        Exception: whatever is not an error that a client can cause.
    """
    if not octets:
        return
    target = TARGETS[octets[0] % len(TARGETS)]
    with contextlib.suppress(AmqpError):
        target(octets[1:MOST])
