"""The broker's way to a store's streams, for tests that have no server between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.store import StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.broker.archive import Cut
    from amqpd.broker.chunk import StoredChunk
    from amqpd.store import StreamStore


class StoreArchive:
    """An `Archive` over a store that does not fail."""

    def __init__(self, store: StreamStore) -> None:
        self.store = store
        #: What was asked for, by offset and size.
        self.reads: list[tuple[int, int]] = []

    def read_stream(
        self,
        lane: int,
        offset: int,
        upto: int,
        max_bytes: int,
        done: Callable[[list[StoredChunk], int], None],
    ) -> None:
        def arrived(outcome: tuple[list[StoredChunk], int] | StoreFailed) -> None:
            assert not isinstance(outcome, StoreFailed)
            done(*outcome)

        self.reads.append((offset, max_bytes))
        self.store.read_stream(lane, offset, upto, max_bytes, arrived)

    def find_offset(
        self,
        lane: int,
        first: int,
        upto: int,
        since_ms: int | None,
        done: Callable[[int | None], None],
    ) -> None:
        def arrived(outcome: int | StoreFailed | None) -> None:
            assert not isinstance(outcome, StoreFailed)
            done(outcome)

        self.store.find_offset(lane, first, upto, since_ms, arrived)

    def find_cut(
        self,
        lane: int,
        first: int,
        upto: int,
        size: int,
        since_ms: int,
        done: Callable[[Cut], None],
    ) -> None:
        def arrived(outcome: Cut | StoreFailed) -> None:
            assert not isinstance(outcome, StoreFailed)
            done(outcome)

        self.store.find_cut(lane, first, upto, size, since_ms, arrived)
