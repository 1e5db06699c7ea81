"""Streams in stores: on disk with each SQLite library, and in memory, the same."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, TypeAlias

import pytest

from amqpd.broker.archive import Cut, StreamState
from amqpd.broker.content import body
from amqpd.broker.definitions import PutQueue, PutVhost
from amqpd.broker.journal import Drop, Purge, Track
from amqpd.fields import table
from amqpd.store.memory import MemoryStore
from tests.store.batches import Driven, Writing, opened
from tests.store.inspection import assert_sound, query

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from amqpd.broker.chunk import StoredChunk
    from amqpd.broker.definitions import Command

Make: TypeAlias = "Callable[[], Driven]"


@pytest.fixture(params=["apsw", "sqlite3", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Opens the store, again and again."""
    if request.param != "memory":
        return lambda: opened(tmp_path, request.param, sync=False)
    kept = MemoryStore(lambda _: None)

    def again() -> Driven:
        def use(post: Callable[[Callable[[], None]], object]) -> MemoryStore:
            kept._post = post
            return kept

        return Driven(use)

    return again


def defines(*lanes: int) -> list[Command]:
    arguments = table({"x-queue-type": "stream"})
    streams = [PutQueue("/", f"s{n}", True, False, False, arguments, (n,)) for n in lanes]
    return [PutVhost("/"), *streams]


def text(chunks: list[StoredChunk]) -> str:
    return b"".join(body(content) for chunk in chunks for content in chunk[3]).decode()


def filled(make: Make, *batches: str) -> tuple[Driven, Writing]:
    """A stream on lane 1, a batch for each text, one a second, each a segment of its own."""
    store, writing = make(), Writing()
    store.write(writing.batch(defines=defines(1)))
    for number, letters in enumerate(batches):
        segment = writing.positions.get(1, 0)
        entry = writing.extend([letter.encode() for letter in letters], 1, segment, number * 1000)
        store.write(writing.batch(entry))
    return store, writing


def test_messages_come_back_from_any_offset(make: Make) -> None:
    store, _ = filled(make, "abc", "d", "ef")

    assert text(store.read_stream(1)[0]) == "abcdef"
    chunks, upto = store.read_stream(1, 2)
    assert (text(chunks), upto) == ("abcdef", 6)
    assert text(store.read_stream(1, 3)[0]) == "def"
    assert text(store.read_stream(1, 0, 4)[0]) == "abcd"
    assert text(store.read_stream(1, 4, max_bytes=1)[0]) == "ef"
    chunks, upto = store.read_stream(1, 0, max_bytes=1)
    assert (text(chunks), upto) == ("abc", 3)
    assert store.read_stream(1, 6, 100) == ([], 100)
    assert store.read_stream(2, 0, 7) == ([], 7)
    store.close()


def test_places_are_found(make: Make) -> None:
    store, writing = filled(make, "abc", "d", "ef")
    size = writing.sizes[1] // 6

    assert store.find_offset(1, 0, 6, None) == 4
    assert store.find_offset(1, 0, 4, None) == 3
    assert store.find_offset(1, 0, 6, 0) == 0
    assert store.find_offset(1, 0, 6, 1) == 3
    assert store.find_offset(1, 0, 6, 2000) == 4
    assert store.find_offset(1, 0, 6, 2001) is None
    assert store.find_offset(2, 0, 6, None) is None
    assert store.find_cut(1, 0, 6, 0, 0) == Cut(0, 0, 0)
    assert store.find_cut(1, 0, 6, 1, 0) == Cut(3, 3 * size, 1000)
    assert store.find_cut(1, 0, 6, 0, 1500) == Cut(4, 4 * size, 0)
    store.close()


def test_what_is_known_after_a_start(make: Make) -> None:
    store, writing = filled(make, "abc", "d", "ef")
    entry = writing.extend([b"g"], 1, 4, 9000)
    store.write(writing.batch(entry, Track(1, "me", 3), Track(1, "you", 5), Track(1, "me", 4)))
    store.close()

    again = make()

    size = writing.sizes[1] // 7
    assert again.snapshot.streams == {
        1: StreamState(7 * size, 4, 4 * size, 9000, {"me": 4, "you": 5})
    }
    state = again.snapshot.lanes[1]
    assert (state.next_position, state.messages, state.body_bytes) == (7, 7, 7 * size)
    assert text(again.read_stream(1)[0]) == "abcdefg"
    again.close()


def test_what_was_cut_off_is_gone(make: Make) -> None:
    store, writing = filled(make, "abc", "d", "ef")
    size = writing.sizes[1] // 6

    store.write(writing.batch(Purge(1, 0, 4, 4, 4 * size)))

    assert text(store.read_stream(1, 4)[0]) == "ef"
    store.close()
    again = make()
    state = again.snapshot.lanes[1]
    assert (state.next_position, state.messages, state.body_bytes) == (6, 2, 2 * size)
    assert text(again.read_stream(1, 4)[0]) == "ef"
    again.close()


def test_positions_are_forgotten_when_told_so(make: Make) -> None:
    store, writing = filled(make, "abc")

    store.write(writing.batch(Track(1, "me", 1), Track(1, "you", 2)))
    store.write(writing.batch(Track(1, "me", -1), Track(1, "he", 3), Track(1, "he", -1)))
    store.close()

    again = make()
    assert again.snapshot.streams[1].offsets == {"you": 2}
    again.close()


def test_names_of_consumers_may_be_anything(make: Make) -> None:
    store, writing = filled(make, "abc")
    names = ["", "a", "a\0b", "ü" * 127, "\"'\\\n", "😀"]

    store.write(writing.batch(*[Track(1, name, at) for at, name in enumerate(names)]))
    store.close()

    again = make()
    assert again.snapshot.streams[1].offsets == {name: at for at, name in enumerate(names)}
    again.close()


def test_a_stream_that_is_gone_leaves_nothing(make: Make) -> None:
    store, writing = filled(make, "abc")
    store.write(writing.batch(Track(1, "me", 1)))

    store.write(writing.batch(writing.extend([b"d"], 1), Drop((1,)), Track(1, "me", 2)))
    store.write(writing.batch(Track(1, "you", 2)))
    store.close()

    again = make()
    assert again.snapshot.streams == {}
    assert again.snapshot.lanes == {}
    again.close()


def test_a_run_in_queues_and_streams(make: Make) -> None:
    store, writing = make(), Writing()
    queue = PutQueue("/", "q", True, False, False, {}, (9,))
    store.write(writing.batch(defines=[*defines(1, 2), queue]))

    entry = writing.append([b"a", b"b"], 9, streams=[(1, 0, 0), (2, 0, 0)])
    store.write(writing.batch(entry))

    assert text(store.read_stream(1)[0]) == text(store.read_stream(2)[0]) == "ab"
    assert store.bodies(9) == [b"a", b"b"]
    store.close()


# -- on disk -------------------------------------------------------------------------------


def test_chunks_behind_a_cut_are_swept_in_the_background(tmp_path: Path) -> None:
    store, writing = filled(lambda: opened(tmp_path, sync=False), *["abcdefghij"] * 100)
    size = writing.sizes[1] // 1000

    store.write(writing.batch(Purge(1, 0, 900, 900, 900 * size)))
    for _ in range(20):
        store.write(writing.batch())
    store.close()
    store = opened(tmp_path, sync=False)
    store.write(writing.batch())
    store.close()

    assert_sound(tmp_path)
    left = query(tmp_path, "SELECT count(*) FROM stream_chunk")[0][0]
    assert isinstance(left, int)
    assert left >= 10


def test_a_damaged_chunk_is_set_aside_and_left_out(tmp_path: Path) -> None:
    store, writing = filled(lambda: opened(tmp_path, sync=False), "abc", "def", "ghi")
    store.close()
    with closing(sqlite3.connect(tmp_path / "amqpd.db")) as connection, connection:
        connection.execute(
            "UPDATE stream_chunk SET contents = zeroblob(length(contents)) WHERE key & 255 = 3"
        )

    store = opened(tmp_path, sync=False)
    chunks, upto = store.read_stream(1)
    assert (text(chunks), upto) == ("abcghi", 9)
    assert text(store.read_stream(1, 3, max_bytes=1)[0]) == "ghi"
    store.write(writing.batch())
    store.close()

    found = query(tmp_path, "SELECT lane, position, reason FROM quarantine")
    assert found == [(1, 3, "the checksum of the chunk does not match")]
    assert query(tmp_path, "SELECT count(*) FROM stream_chunk") == [(2,)]


def test_views_show_streams_and_who_reads_them(tmp_path: Path) -> None:
    store, writing = filled(lambda: opened(tmp_path, sync=False), "abc", "de")
    store.write(writing.batch(Track(1, "me", 3)))
    store.write(writing.batch(Purge(1, 0, 3, 3, 3 * writing.sizes[1] // 5)))
    store.close()

    columns = "vhost, stream, first_offset, last_offset, messages, bytes, stored_at"
    assert query(tmp_path, f"SELECT {columns} FROM stream_chunks") == [  # noqa: S608
        ("/", "s1", 3, 4, 2, 2 * writing.sizes[1] // 5, "1970-01-01 00:00:01")
    ]
    assert query(tmp_path, "SELECT * FROM stream_positions") == [("/", "s1", "me", 3, 2)]
    assert query(tmp_path, "SELECT name, messages FROM queues") == [("s1", 2)]
