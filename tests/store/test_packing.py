"""Packing: every message lies where its place says, once, whatever was settled before."""

from __future__ import annotations

from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from amqpd.store.packing import (
    GAP,
    LARGE_BYTES,
    SIZE_BITS,
    STEP,
    Packed,
    Packing,
    checksum_of,
    pack,
)
from amqpd.store.ranges import key_of
from tests.store.batches import NAMES, Writing, settle


def messages_of(packed: Packed) -> dict[int, tuple[bytes, bytes, bytes]]:
    """Id to (checksum, header, body), as SQL cuts them out."""
    size = (1 << SIZE_BITS) - 1
    found = {large.id: large.parts() for large in packed.large}
    for chunk in packed.chunks:
        assert len(chunk.places) * 4 == len(chunk.checksums)
        for index, place in enumerate(chunk.places):
            at, header, body = place >> 2 * SIZE_BITS, place & size, place >> SIZE_BITS & size
            if place:
                found[chunk.first_id + index] = (
                    chunk.checksums[4 * index : 4 * index + 4],
                    chunk.blob[at : at + header],
                    chunk.blob[at + header : at + header + body],
                )
    return found


def keys_of(packed: Packed) -> dict[int, int]:
    """Key to message id."""
    return {
        id_ + stay.shift: id_
        for stay in packed.stays
        for id_ in range(stay.first_id, stay.last_id + 1)
    }


def test_a_message_is_names_header_and_body_with_a_checksum_over_all() -> None:
    writing = Writing()
    append = writing.append([b"hello"], 3)

    (found,) = messages_of(pack(writing.batch(append))).values()

    header = NAMES + append.run.contents[0][7:22]
    assert found == (crc32(header + b"hello").to_bytes(4, "big"), header, b"hello")
    assert found[0] == checksum_of(header, b"hello")


def test_a_body_in_many_frames_is_stored_without_their_framing() -> None:
    writing, body = Writing(), bytes(range(256)) * 64

    packed = pack(writing.batch(writing.append([body, b"", b"x" * 4088], 1, frame_max=4096)))

    assert [found[2] for found in messages_of(packed).values()] == [body, b"", b"x" * 4088]


def test_a_large_content_is_bound_by_itself_and_leaves_a_hole() -> None:
    writing = Writing()
    bodies = [b"before", bytes(LARGE_BYTES + 1), b"after"]

    packed = pack(writing.batch(writing.append(bodies, 1)))

    assert [large.id for large in packed.large] == [2]
    assert [found[2] for _, found in sorted(messages_of(packed).items())] == bodies


def test_each_message_has_its_own_names_where_they_differ() -> None:
    writing, names = Writing(), [b"\x00\x01a", b"\x00\x02bb", b"\x00\x01c"]
    append = writing.append([b"1", b"2", b"3"], 1, names_each=names)
    append.targets[0].cut(0, 1)

    found = messages_of(pack(writing.batch(append)))

    assert {id_: header[: len(header) - 15] for id_, (_, header, _) in found.items()} == {
        2: names[1],
        3: names[2],
    }


def test_a_chunk_stays_below_its_size_whatever_the_number_of_messages() -> None:
    writing = Writing()
    many = writing.append([b""] * 20_000, 1, names=b"\xff" + bytes(255) + b"\xff" + bytes(255))

    packed = pack(writing.batch(many))

    assert len(packed.chunks) > 1
    assert len(messages_of(packed)) == 20_000
    assert all(len(chunk.blob) < 1 << 24 for chunk in packed.chunks)


def test_distant_ids_are_not_one_chunk() -> None:
    writing = Writing()
    first = writing.append([b"a"], 1)
    writing.next_message_id += GAP
    second = writing.append([b"b"], 1)

    packed = pack(writing.batch(first, second))

    assert [chunk.first_id for chunk in packed.chunks] == [1, GAP + 2]


def test_a_message_with_no_live_target_is_not_written() -> None:
    writing = Writing()
    append = writing.append([b"a", b"b", b"c"], 1, 2)
    for target in append.targets:
        target.cut(1, 2)

    packed = pack(writing.batch(append))

    assert sorted(messages_of(packed)) == [1, 3]
    assert sorted(keys_of(packed).values()) == [1, 1, 3, 3]
    assert [(share.first_id, share.last_id, share.lanes) for share in packed.shares] == [
        (1, 1, 2),
        (3, 3, 2),
    ]


def test_runs_that_follow_each_other_in_a_lane_are_one_stretch() -> None:
    writing = Writing()
    first, second = writing.append([b"a", b"b"], 5), writing.append([b"c"], 5)

    (stay,) = pack(writing.batch(first, second)).stays

    assert (stay.first_id, stay.last_id) == (1, 3)
    assert stay.first_id + stay.shift == key_of(5, 0)


def test_counters_count_persistent_messages_and_positions_count_all() -> None:
    writing = Writing()
    kept = writing.append([b"abc", b"de"], 1)
    spilled = writing.append([b"x"], 1, persistent=False)

    changes = pack(writing.batch(kept, spilled, settle(kept, high=1))).changes

    assert changes[1].next_position == 3
    assert (changes[1].messages, changes[1].body_bytes) == (1, 2)


def test_a_large_batch_is_packed_in_steps() -> None:
    writing = Writing()
    entries = [writing.append([b"x"] * 100, 1) for _ in range(30)]
    entries.append(writing.append([bytes(2 << 20)], 1))
    settles = [settle(entry) for entry in entries for _ in range(100)]
    batch = writing.batch(*entries, *settles)
    packing, steps = Packing(batch), 1

    while (packed := packing.step()) is None:
        steps += 1

    assert steps > (3100 + 3100) // STEP
    assert packed == pack(batch)
    assert len(messages_of(packed)) == 3001
    assert packed.gone_keys == [(key_of(1, 0), key_of(1, 3000))]


cuts = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.integers(0, 12)), max_size=8)


@given(count=st.integers(1, 12), lanes=st.integers(1, 3), cuts=cuts)
def test_what_is_alive_in_a_lane_is_written_and_nothing_else(
    count: int, lanes: int, cuts: list[tuple[int, int, int]]
) -> None:
    writing = Writing()
    append = writing.append([b"%d" % index for index in range(count)], *range(1, lanes + 1))
    alive = {(target.lane, index) for target in append.targets for index in range(count)}
    for which, low, high in cuts:
        target = append.targets[which % lanes]
        low, high = max(low, target.lo), min(high, target.hi)
        if low < high:
            target.cut(low, high)
            alive -= {(target.lane, index) for index in range(low, high)}

    packed = pack(writing.batch(append))

    assert {(key >> 40, id_ - 1) for key, id_ in keys_of(packed).items()} == alive
    assert {id_ - 1 for id_ in messages_of(packed)} == {index for _, index in alive}
    copies = {
        id_ - 1: share.lanes
        for share in packed.shares
        for id_ in range(share.first_id, share.last_id + 1)
    }
    for index in range(count):
        lanes_alive = sum((lane, index) in alive for lane in range(1, lanes + 1))
        assert copies.get(index, min(lanes_alive, 1)) == lanes_alive
