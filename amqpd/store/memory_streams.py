"""The streams of the store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from amqpd.broker.archive import StreamState
from amqpd.store.chunks import rows, unpack
from amqpd.store.places import Place, Places

if TYPE_CHECKING:
    from collections.abc import Iterable

    from amqpd.broker.chunk import StoredChunk
    from amqpd.broker.journal import Track
    from amqpd.store.chunks import Block, Chunk


class _Row(NamedTuple):
    chunk: Chunk
    checksum: int
    contents: bytes


class MemoryStreams:
    """Chunks and positions, as the tables hold them."""

    def __init__(self) -> None:
        self._chunks: dict[int, dict[int, _Row]] = {}
        self._offsets: dict[int, dict[str, int]] = {}

    def add(self, block: Block) -> None:
        """Keep what a batch brought."""
        for chunk, checksum, _, at in rows(block):
            contents = block.contents[at : at + chunk.size_bytes]
            row = _Row(chunk, checksum, contents)
            self._chunks.setdefault(chunk.lane, {})[chunk.base] = row

    def cut(self, lane: int, below: int) -> None:
        """Forget what lies below an offset."""
        chunks = self._chunks.get(lane, {})
        for base in [base for base in chunks if base < below]:
            del chunks[base]

    def drop(self, lane: int) -> None:
        """The stream is gone."""
        self._chunks.pop(lane, None)
        self._offsets.pop(lane, None)

    def track(self, tracks: Iterable[Track]) -> None:
        """Note how far consumers are."""
        for track in tracks:
            offsets = self._offsets.setdefault(track.lane, {})
            if track.offset < 0:
                offsets.pop(track.name, None)
            else:
                offsets[track.name] = track.offset

    def states(self) -> dict[int, StreamState]:
        """What is known of each stream."""
        states = {}
        for lane in self._chunks.keys() | self._offsets.keys():
            chunks, offsets = self._chunks.get(lane, {}), dict(self._offsets.get(lane, {}))
            if not chunks:
                if offsets:
                    states[lane] = StreamState(0, 0, 0, 0, offsets)
                continue
            last = chunks[max(chunks)].chunk
            states[lane] = StreamState(
                last.size_before + last.size_bytes,
                last.segment,
                chunks[last.segment].chunk.size_before,
                last.stored_ms,
                offsets,
            )
        return states

    def read(self, lane: int, offset: int, upto: int, max_bytes: int) -> list[StoredChunk]:
        """See `Archive.read_stream`."""
        found: list[StoredChunk] = []
        for base, row in sorted(self._chunks.get(lane, {}).items()):
            chunk = row.chunk
            if base < upto and base + chunk.messages > offset and max_bytes > 0:
                layout = chunk.layout
                whole = unpack(
                    base, chunk.messages, chunk.names, row.checksum, layout, row.contents
                )
                assert whole is not None
                found.append(whole)
                max_bytes -= chunk.size_bytes
        return found

    def places(self, lane: int, first: int, upto: int) -> Places:
        """To look for places in a stream."""
        chunks = self._chunks.get(lane, {})

        def probe(low: int, high: int) -> Place | None:
            base = max((base for base in chunks if low <= base <= high), default=None)
            if base is None:
                return None
            chunk = chunks[base].chunk
            return Place(base, chunk.messages, chunk.segment, chunk.size_before, chunk.stored_ms)

        return Places(probe, first, upto)
