"""Several batches as one: what they change together, written with as few statements.

    merged(batches) -> Packed     of batches that `deferred.takes`

A message that a later one of them settles is left out: nobody will read it. The statements that
would delete it are kept, they find nothing.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from amqpd.store.packing import CHUNK_BYTES, CHUNK_MESSAGES, GAP, SIZE_BITS, Chunk, Packed
from amqpd.store.ranges import Change, Stay, joined, united

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_OFFSET_BITS: Final = 2 * SIZE_BITS
_SIZE: Final = (1 << SIZE_BITS) - 1
_SIZES: Final = (1 << _OFFSET_BITS) - 1
_NO_CHECKSUM: Final = bytes(4)


def merged(batches: Sequence[Packed]) -> Packed:
    """What the batches, in this order, change; they themselves stay as they are."""
    whole = Packed(batches[-1].number, [])
    for batch in batches:
        whole.size_bytes += batch.size_bytes
        whole.gone_bytes += batch.gone_bytes
        whole.stays += map(_copy, batch.stays)
        whole.shares += batch.shares
        whole.gone_keys += batch.gone_keys
        whole.gone_ids += batch.gone_ids
        whole.released += batch.released
        whole.gone_returns += batch.gone_returns
        for lane, change in batch.changes.items():
            _add(whole.changes.setdefault(lane, Change()), change)
    whole.stays = joined(whole.stays)
    whole.gone_keys = united(whole.gone_keys)
    whole.gone_ids = united(whole.gone_ids)
    whole.gone_returns = united(whole.gone_returns)
    gathered = _Gathered(whole.gone_ids)
    gathered.add(chunk for batch in batches for chunk in batch.chunks)
    whole.chunks = gathered.chunks
    return whole


def _copy(stay: Stay) -> Stay:
    return Stay(
        stay.lane,
        stay.shift,
        stay.first_id,
        stay.last_id,
        stay.flags,
        stay.priority,
        stay.expires_at,
    )


def _add(total: Change, change: Change) -> None:
    total.next_position = max(total.next_position, change.next_position)
    total.messages += change.messages
    total.body_bytes += change.body_bytes
    if change.delivered_upto is not None:
        total.delivered_upto = change.delivered_upto


class _Gathered:
    """Joins chunks without the messages in `gone`, ranges in order."""

    def __init__(self, gone: list[tuple[int, int]]) -> None:
        self.chunks: list[Chunk] = []
        self._firsts = [first for first, _ in gone]
        self._lasts = [last for _, last in gone]
        self._clear()

    def _clear(self) -> None:
        self._first_id = self._next_id = 0
        self._places: array[int] = array("q")
        self._checksums: list[bytes] = []
        self._blobs: list[bytes] = []
        self._size_bytes = 0

    def add(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            if not self._fits(chunk):
                self._flush()
            for index, place in enumerate(chunk.places):
                id_ = chunk.first_id + index
                if place and not self._is_gone(id_):
                    self._take(id_, place, chunk.checksums[4 * index : 4 * index + 4], chunk.blob)
        self._flush()

    def _fits(self, chunk: Chunk) -> bool:
        last_id = chunk.first_id + len(chunk.places)
        return not self._places or (
            self._next_id <= chunk.first_id <= self._next_id + GAP
            and last_id - self._first_id <= CHUNK_MESSAGES
            and self._size_bytes + len(chunk.blob) <= CHUNK_BYTES
        )

    def _is_gone(self, id_: int) -> bool:
        at = bisect_right(self._firsts, id_) - 1
        return at >= 0 and id_ <= self._lasts[at]

    def _take(self, id_: int, place: int, checksum: bytes, blob: bytes) -> None:
        if not self._places:
            self._first_id = self._next_id = id_
        for _ in range(self._next_id, id_):
            self._places.append(0)
            self._checksums.append(_NO_CHECKSUM)
        low = place >> _OFFSET_BITS
        size = (place & _SIZE) + (place >> SIZE_BITS & _SIZE)
        self._places.append(self._size_bytes << _OFFSET_BITS | place & _SIZES)
        self._checksums.append(checksum)
        self._blobs.append(blob[low : low + size])
        self._size_bytes += size
        self._next_id = id_ + 1

    def _flush(self) -> None:
        if self._places:
            checksums, blob = b"".join(self._checksums), b"".join(self._blobs)
            self.chunks.append(Chunk(self._first_id, self._places, checksums, blob))
        self._clear()
