"""The archive: what streams ask of the store.

    Archive        stretches of a stream, and places in it; the store's side of streams
    Cut            where a stream begins after its oldest segments went
    StreamState    what the store knows of a stream at start
    NoArchive      for brokers without a store

A question is about what was committed when it is asked; its answer comes later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from amqpd.broker.chunk import StoredChunk


class Cut(NamedTuple):
    """A stream begins at `offset`, the first of a segment, with so much stored before it.

    `stored_ms` is when the newest message of that segment came; 0 if it is the last one.
    """

    offset: int
    size_before: int
    stored_ms: int


class StreamState(NamedTuple):
    """The size of all that was ever put in, the newest segment, the time of the last message."""

    size: int
    segment: int
    segment_size: int
    stored_ms: int
    #: Where consumers go on, by name.
    offsets: Mapping[str, int]


class Archive(Protocol):
    """The store's side of streams."""

    def read_stream(
        self,
        lane: int,
        offset: int,
        upto: int,
        max_bytes: int,
        done: Callable[[list[StoredChunk], int], None],
    ) -> None:
        """`done(chunks, upto)`: what is there from `offset` to below `upto`, in whole chunks.

        At least one chunk, and no more once `max_bytes` are reached.
        """

    def find_offset(
        self,
        lane: int,
        first: int,
        upto: int,
        since_ms: int | None,
        done: Callable[[int | None], None],
    ) -> None:
        """Where the first chunk begins in which something came at that time or later.

        None: nothing did. Without a time: where the last chunk begins.
        """

    def find_cut(
        self,
        lane: int,
        first: int,
        upto: int,
        size: int,
        since_ms: int,
        done: Callable[[Cut], None],
    ) -> None:
        """The first segment that has at least `size` before it and is not too old.

        Too old is one in which nothing came at `since_ms` or later. The last one may stay
        anyway.
        """


class NoArchive:
    """Nothing is there."""

    def read_stream(
        self,
        lane: int,
        offset: int,
        upto: int,
        max_bytes: int,
        done: Callable[[list[StoredChunk], int], None],
    ) -> None:
        """No chunks."""
        done([], upto)

    def find_offset(
        self,
        lane: int,
        first: int,
        upto: int,
        since_ms: int | None,
        done: Callable[[int | None], None],
    ) -> None:
        """No such chunk."""
        done(None)

    def find_cut(
        self,
        lane: int,
        first: int,
        upto: int,
        size: int,
        since_ms: int,
        done: Callable[[Cut], None],
    ) -> None:
        """Everything may stay."""
        done(Cut(first, 0, 0))
