"""Attempts: how often a message was handed out before, and the headers that tell it.

RabbitMQ's headers of a message that has come back to a quorum queue: `x-acquired-count` counts
how often it was handed out, `x-delivery-count` those attempts that have failed: it was
rejected, or the channel or connection that had it is gone. One that was given back (nack,
recover, a consumer's timeout) was acquired and has not failed.

The counts are kept for every queue, and for durable messages on disk with the next batch.
After a crash they are those of the last batch: what a client had in its hands then is marked
redelivered, and not counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from amqpd.broker.content import END, HEADER, header_payload
from amqpd.broker.rows import assemble
from amqpd.fields import Field
from amqpd.properties import decode_header, encode_header

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from amqpd.broker.rows import Row
    from amqpd.broker.stretch import Stretch

ACQUIRED: Final = "x-acquired-count"
FAILED: Final = "x-delivery-count"


class Attempts(NamedTuple):
    """What the store knows of a message that came back; it waits until `due_ms` (0: no)."""

    acquired: int
    failed: int
    due_ms: int = 0


#: Of a message that never came back.
FRESH: Final = Attempts(0, 0)


@dataclass(frozen=True, slots=True)
class Counted:
    """Asks the store for a stretch of a lane, some of which came back, in order of position."""

    lane: int
    from_position: int
    upto_position: int
    now_ms: int
    max_messages: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Delayed:
    """Asks the store for messages below a position that wait for their time.

    In the order of their times, then positions; the first ones behind `after`, which is a time
    in ms and a position.
    """

    lane: int
    upto_position: int
    after: tuple[int, int]
    max_messages: int
    max_bytes: int


class Waiting(NamedTuple):
    """A message that waits for its time in the store."""

    position: int
    due_ms: int
    body_bytes: int


class Returned(NamedTuple):
    """What the store has: messages, and what is known of them by position.

    Of a stretch (`Counted`) those whose time is still to come are not among them but in
    `waiting`, and `upto` is how far it was looked at.
    """

    rows: list[Row]
    attempts: Mapping[int, Attempts]
    waiting: Sequence[Waiting] = ()
    upto: int = 0


class ReadReturned(Protocol):
    """Asks the store for messages that came back."""

    def __call__(self, question: Counted | Delayed, done: Callable[[Returned], None]) -> None:
        """`done(returned)`: what is committed.

        Fewer messages than asked for mean nothing; that there are none means the end.
        """


def none_returned(question: Counted | Delayed, done: Callable[[Returned], None]) -> None:
    """For brokers without a store: nothing is there."""
    done(Returned([], {}, (), question.upto_position))


def show(stretch: Stretch) -> None:
    """Have a stretch that came back handed out with its counts in the headers."""
    contents = stretch.run.contents[stretch.lo : stretch.hi]
    stretch.shown = [counted(content, stretch.acquired, stretch.failed) for content in contents]


def counted(content: bytes, acquired: int, failed: int) -> bytes:
    """The same content with the counts among its headers; the body is not looked at."""
    payload = header_payload(content)
    _, size, properties = decode_header(payload)
    headers = dict(properties.headers or {})
    headers[ACQUIRED] = Field("l", acquired)
    if failed:
        headers[FAILED] = Field("l", failed)
    header = encode_header(replace(properties, headers=headers), size)
    return b"".join(
        (
            bytes((HEADER,)),
            content[1:3],
            len(header).to_bytes(4),
            header,
            bytes((END,)),
            content[8 + len(payload) :],
        )
    )


def assemble_counted(
    rows: list[Row], redelivered_below: int, counts: Mapping[int, Attempts]
) -> list[Stretch]:
    """Stretches from rows of the store, with what is known of them by position."""
    stretches: list[Stretch] = []
    start = 0
    while start < len(rows):
        known = counts.get(rows[start][0], FRESH)
        end = start + 1
        while end < len(rows) and counts.get(rows[end][0], FRESH) == known:
            end += 1
        for stretch in assemble(rows[start:end], redelivered_below):
            stretch.acquired, stretch.failed = known.acquired, known.failed
            stretch.redelivered = stretch.redelivered or known.acquired > 0
            stretches.append(stretch)
        start = end
    return stretches
