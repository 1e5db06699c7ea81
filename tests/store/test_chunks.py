"""Chunks: what a batch brings to streams comes back as it was, whatever its size and names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker.content import body
from amqpd.store.chunks import BLOCK_BYTES, CHUNK_BYTES, CHUNK_MESSAGES, pack_streams, rows, unpack
from tests.store.batches import NAMES, Writing

if TYPE_CHECKING:
    from amqpd.broker.chunk import StoredChunk
    from amqpd.store.chunks import Block


def stored(blocks: list[Block]) -> list[StoredChunk]:
    found = []
    for block in blocks:
        for chunk, checksum, layout_at, at in rows(block):
            layouts = b"".join(each.layout for each in block.chunks)
            layout = layouts[layout_at : layout_at + len(chunk.layout)]
            contents = block.contents[at : at + chunk.size_bytes]
            one = unpack(chunk.base, chunk.messages, chunk.names, checksum, layout, contents)
            assert one is not None
            found.append(one)
    return found


def bodies(chunks: list[StoredChunk]) -> list[bytes]:
    return [body(content) for chunk in chunks for content in chunk[3]]


def test_appends_of_one_batch_share_a_chunk() -> None:
    writing = Writing()
    appends = [writing.extend([b"a", b"b"], 1, 0, 5), writing.extend([b"c"], 1, 0, 6)]

    (block,) = pack_streams(appends)

    (chunk,) = block.chunks
    assert (chunk.lane, chunk.base, chunk.messages, chunk.size_before) == (1, 0, 3, 0)
    assert chunk.stored_ms == 6
    assert chunk.size_bytes == len(block.contents) == writing.sizes[1]
    assert bodies(stored([block])) == [b"a", b"b", b"c"]


def test_each_stream_has_chunks_of_its_own() -> None:
    writing = Writing()
    appends = [
        writing.append([b"a"], 9, streams=[(1, 0, 0), (2, 0, 0)]),
        writing.append([b"q"], 9),
        writing.extend([b"b"], 1),
        writing.extend([b"c"], 2),
    ]

    blocks = pack_streams(appends)

    assert [(chunk.lane, chunk.messages) for block in blocks for chunk in block.chunks] == [
        (1, 2),
        (2, 2),
    ]
    assert bodies(stored(blocks)) == [b"a", b"b", b"a", b"c"]


def test_a_segment_begins_with_a_chunk() -> None:
    writing = Writing()
    appends = [writing.extend([b"a"], 1, 0), writing.extend([b"b"], 1, 1)]

    (block,) = pack_streams(appends)

    assert [(one.base, one.segment, one.size_before) for one in block.chunks] == [
        (0, 0, 0),
        (1, 1, appends[0].run.size_bytes),
    ]


@pytest.mark.parametrize(
    ("size", "count"),
    [(10, CHUNK_MESSAGES * 2 + 1), (CHUNK_BYTES // 3, 10), (CHUNK_BYTES * 2, 3), (1000, 300)],
)
def test_chunks_are_small_and_nothing_is_lost(size: int, count: int) -> None:
    writing = Writing()
    sent = [b"%d" % n + bytes(size) for n in range(count)]

    blocks = pack_streams([writing.extend(sent, 1)])

    chunks = [chunk for block in blocks for chunk in block.chunks]
    assert len(chunks) > 1
    for chunk in chunks:
        assert chunk.messages <= CHUNK_MESSAGES
        assert chunk.size_bytes <= CHUNK_BYTES or chunk.messages == 1
    ends = [chunk.base + chunk.messages for chunk in chunks]
    assert [chunk.base for chunk in chunks] == [0, *ends[:-1]]
    sizes = [chunk.size_before + chunk.size_bytes for chunk in chunks]
    assert [chunk.size_before for chunk in chunks] == [0, *sizes[:-1]]
    assert bodies(stored(blocks)) == sent


def test_what_is_bound_at_once_is_bounded() -> None:
    writing = Writing()
    sent = [bytes(CHUNK_BYTES)] * (3 * BLOCK_BYTES // CHUNK_BYTES)

    blocks = pack_streams([writing.extend(sent, 1)])

    assert len(blocks) > 2
    assert all(len(block.contents) <= BLOCK_BYTES for block in blocks)


def test_names_are_stored_once() -> None:
    writing = Writing()
    appends = [writing.extend([b"a"] * 100, 1), writing.extend([b"b"] * 100, 1)]

    (block,) = pack_streams(appends)

    assert block.chunks[0].names == 1
    assert block.chunks[0].layout.endswith(NAMES)
    (chunk,) = stored([block])
    assert chunk[1:3] == (NAMES, None)


def test_names_that_differ_come_back_with_their_messages() -> None:
    writing = Writing()
    each = [b"\x01x" + bytes([len(key)]) + key for key in (b"", b"key", b"k" * 255, b"key")]
    appends = [
        writing.extend([b"-"], 1),
        writing.append([b"1", b"2", b"3", b"4"], names_each=each, streams=[(1, 0, 0)]),
    ]

    (block,) = pack_streams(appends)

    assert block.chunks[0].names == 4
    (chunk,) = stored([block])
    assert chunk[2] == [NAMES, *each]
    assert chunk[1] == NAMES


def test_one_name_may_be_said_for_each() -> None:
    writing = Writing()

    (block,) = pack_streams(
        [writing.append([b"1", b"2"], names_each=[NAMES, NAMES], streams=[(1, 0, 0)])]
    )

    (chunk,) = stored([block])
    assert chunk[1:3] == (NAMES, None)


@pytest.mark.parametrize("where", ["layout", "contents"])
def test_a_chunk_that_was_changed_is_not_given_out(where: str) -> None:
    (block,) = pack_streams([Writing().extend([b"some", b"more"], 1)])
    ((chunk, checksum, _, _),) = rows(block)
    layout, contents = bytearray(chunk.layout), bytearray(block.contents)
    (layout if where == "layout" else contents)[3] ^= 1

    assert unpack(0, 2, 1, checksum, bytes(layout), bytes(contents)) is None


def test_nothing_for_streams_makes_no_blocks() -> None:
    writing = Writing()

    assert pack_streams([writing.append([b"a"], 1)]) == []
