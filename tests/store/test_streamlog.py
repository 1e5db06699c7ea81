"""Files of streams: what is appended there is on disk, is found again, and is never half there."""

from __future__ import annotations

import os
import random
import shutil
from typing import TYPE_CHECKING

import pytest

from amqpd.broker.content import body
from amqpd.broker.definitions import PutQueue, PutVhost
from amqpd.broker.journal import Drop, Purge, Track
from amqpd.fields import table
from amqpd.store import StoreDamaged
from amqpd.store.packing import pack
from amqpd.store.streamlog import LEAST_BYTES, StreamFiles, StreamLog, file_of, files_of
from tests.store.batches import Driven, Writing, opened
from tests.store.inspection import assert_sound, query

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.broker.definitions import Command

#: As large as a batch must be to go to a file.
LARGE = b"x" * LEAST_BYTES


def defines(*lanes: int) -> list[Command]:
    arguments = table({"x-queue-type": "stream"})
    streams = [PutQueue("/", f"s{n}", True, False, False, arguments, (n,)) for n in lanes]
    return [PutVhost("/"), *streams]


def a_stream(directory: Path, *lanes: int, file_bytes: int = 1 << 20) -> tuple[Driven, Writing]:
    store, writing = opened(directory, sync=False, stream_file_bytes=file_bytes), Writing()
    store.write(writing.batch(defines=defines(*(lanes or (1,)))))
    return store, writing


def write(store: Driven, writing: Writing, *texts: str, lane: int = 1) -> None:
    """A batch for each text, large enough."""
    for one in texts:
        assert store.write(writing.batch(writing.extend([one.encode() + LARGE], lane))) > 0  # type: ignore[operator]


def texts(store: Driven, lane: int = 1, offset: int = 0) -> list[str]:
    chunks, _ = store.read_stream(lane, offset)
    bodies = [body(content) for chunk in chunks for content in chunk[3]]
    return [one.removesuffix(LARGE).decode() for one in bodies]


def killed(directory: Path, into: Path) -> Path:
    """What another process would find if this one was killed now."""
    shutil.copytree(directory, into, ignore=shutil.ignore_patterns("lock"))
    return into


def rows(directory: Path) -> list[tuple[object, ...]]:
    return query(directory, "SELECT file, length(contents), contents_bytes FROM stream_chunk")


def test_a_large_batch_for_streams_alone_goes_to_a_file(tmp_path: Path) -> None:
    store, writing = a_stream(tmp_path, 1, 2)

    entry = writing.append([b"a" + LARGE], streams=[(1, 0, 7), (2, 0, 7)])
    store.write(writing.batch(entry, Track(1, "me", 0)))

    assert texts(store) == texts(store, 2) == ["a"]
    assert store.find_offset(1, 0, 1, 7) == 0
    store.close()
    size = writing.sizes[1]
    assert rows(tmp_path) == [(1, 0, size)] * 2
    assert_sound(tmp_path)
    again = opened(tmp_path, sync=False)
    assert again.snapshot.streams[1].offsets == {"me": 0}
    assert again.snapshot.streams[1].size == again.snapshot.lanes[1].body_bytes == size
    assert texts(again) == texts(again, 2) == ["a"]
    again.close()


def test_a_small_batch_or_one_with_anything_else_goes_to_the_database(tmp_path: Path) -> None:
    writing = Writing()
    small = writing.batch(writing.extend([b"a"], 1))
    mixed = writing.batch(writing.append([LARGE], 9, streams=[(1, 0, 0)]))
    defining = writing.batch(writing.extend([LARGE], 1), defines=defines(1))
    cutting = writing.batch(writing.extend([LARGE], 1), Purge(1, 0, 1, 1, 1))
    dropping = writing.batch(writing.extend([LARGE], 1), Drop((2,)))
    alone = writing.batch(writing.extend([LARGE], 1), Track(1, "me", 1))

    taken = [
        StreamLog.takes(pack(batch)) for batch in (small, mixed, defining, cutting, dropping, alone)
    ]

    assert taken == [False, False, False, False, False, True]


def test_batches_keep_their_order_wherever_they_go(tmp_path: Path) -> None:
    store, writing = a_stream(tmp_path)
    chance = random.Random(3)  # noqa: S311 - chance is for choosing
    expected = []
    for number in range(100):
        size = chance.choice((0, len(LARGE)))
        store.write(writing.batch(writing.extend([b"%d" % number + LARGE[:size]], 1)))
        expected.append(str(number))
        if chance.random() < 0.2:
            at = chance.randrange(len(expected))
            assert texts(store, offset=at) == expected[at:]
            assert store.find_offset(1, 0, number + 1, None) == number

    store.close()

    assert_sound(tmp_path)
    again = opened(tmp_path, sync=False)
    assert texts(again) == expected
    again.close()


def test_what_the_database_was_not_told_of_is_found_after_a_kill(tmp_path: Path) -> None:
    store, writing = a_stream(tmp_path / "data")
    write(store, writing, "a", "b")
    store.write(writing.batch(writing.extend([b"c" + LARGE], 1), Track(1, "me", 2)))

    left = killed(tmp_path / "data", tmp_path / "left")
    store.close()

    again = opened(left, sync=False)
    assert texts(again) == ["a", "b", "c"]
    state = again.snapshot.lanes[1]
    assert (state.next_position, state.messages, state.body_bytes) == (3, 3, writing.sizes[1])
    assert again.snapshot.streams[1].offsets == {"me": 2}
    write(again, writing, "d")
    once_more = killed(left, tmp_path / "more")
    again.close()
    assert_sound(left)
    last = opened(once_more, sync=False)
    assert texts(last) == ["a", "b", "c", "d"]
    last.close()


@pytest.mark.parametrize("part", [1, 20, 50, 200, 2000, 8000])
@pytest.mark.parametrize("how", ["cut", "zeros", "flipped"])
def test_a_torn_frame_counts_as_nothing(tmp_path: Path, part: int, how: str) -> None:
    store, writing = a_stream(tmp_path / "data", 1, 2)
    write(store, writing, "a")
    whole = file_of(tmp_path / "data" / "amqpd.db", 1).stat().st_size
    entry = writing.append([b"b" + LARGE], streams=[(1, 0, 7), (2, 0, 7)])
    store.write(writing.batch(entry))
    left = killed(tmp_path / "data", tmp_path / "left")
    store.close()
    path = file_of(left / "amqpd.db", 1)
    octets = bytearray(path.read_bytes())
    at = whole + part
    match how:
        case "cut":
            del octets[at:]
        case "zeros":
            octets[at:] = bytes(len(octets) - at)
        case _:
            octets[at] ^= 1
    path.write_bytes(octets)

    again = opened(left, sync=False)

    assert texts(again) == ["a"]
    assert texts(again, 2) == []
    writing.positions, writing.sizes = {1: 1}, {1: again.snapshot.streams[1].size}
    write(again, writing, "c")
    last = killed(left, tmp_path / "last")
    again.close()
    assert_sound(left)
    once_more = opened(last, sync=False)
    assert texts(once_more) == ["a", "c"]
    once_more.close()


def test_a_frame_counts_in_its_place_only(tmp_path: Path) -> None:
    store, writing = a_stream(tmp_path / "data")
    write(store, writing, "a")
    left = killed(tmp_path / "data", tmp_path / "left")
    store.close()
    path = file_of(left / "amqpd.db", 1)
    path.write_bytes(path.read_bytes() * 2)

    again = opened(left, sync=False)

    assert texts(again) == ["a"]
    again.close()


def test_what_no_sync_has_covered_is_not_missed_after_a_loss_of_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amqpd.store.streamlog.WAITING_CHUNKS", 2)
    store, writing = opened(tmp_path / "data"), Writing()
    store.write(writing.batch(defines=defines(1)))
    write(store, writing, "a")  # in a file that the database knows
    synced = (tmp_path / "data" / "amqpd.db-wal").stat().st_size
    write(store, writing, "b")
    # Where these two are was told to the database meanwhile, without a sync of its own.
    write(store, writing, "c")
    assert (tmp_path / "data" / "amqpd.db-wal").stat().st_size > synced

    left = killed(tmp_path / "data", tmp_path / "left")
    store.close()
    os.truncate(left / "amqpd.db-wal", synced)

    again = opened(left)
    assert texts(again) == ["a", "b", "c"]
    again.close()


def test_files_follow_each_other_and_go_with_what_is_in_them(tmp_path: Path) -> None:
    store, writing = a_stream(tmp_path, file_bytes=128 << 10)
    path = tmp_path / "amqpd.db"
    numbers = [f"{number:02}" for number in range(100)]
    write(store, writing, *numbers)
    assert max(files_of(path)) > 5
    assert texts(store) == numbers

    size = writing.sizes[1] // 100
    store.write(writing.batch(Purge(1, 0, 99, 99, 99 * size)))
    for _ in range(2000):
        if len(files_of(path)) <= 2:
            break
        store.write(writing.batch())

    # The newest one, and perhaps the one that is laid down already.
    assert len(files_of(path)) <= 2
    assert texts(store, offset=99) == ["99"]
    store.close()
    assert len(files_of(path)) == 1
    assert_sound(tmp_path)


def test_what_little_is_left_in_a_file_moves_into_the_database(tmp_path: Path) -> None:
    store, writing = a_stream(tmp_path, 1, 2)
    path = tmp_path / "amqpd.db"
    write(store, writing, "first", lane=2)
    write(store, writing, *[f"{number:02}" for number in range(60)])
    size = writing.sizes[1] // 60

    store.write(writing.batch(Purge(1, 0, 59, 59, 59 * size)))
    for _ in range(2000):
        if 1 not in files_of(path):
            break
        store.write(writing.batch())

    assert 1 not in files_of(path)
    assert texts(store, 2) == ["first"]
    store.close()
    assert_sound(tmp_path)
    again = opened(tmp_path, sync=False)
    assert texts(again, 2) == ["first"]
    assert texts(again, 1, 59) == ["59"]
    again.close()


def test_nothing_is_laid_down_any_more_after_a_stop(tmp_path: Path) -> None:
    store, writing = a_stream(tmp_path)
    write(store, writing, *"abcde")
    store.close()

    (path,) = files_of(tmp_path / "amqpd.db").values()

    found = query(tmp_path, 'SELECT number, "end" FROM stream_file')
    assert found == [(1, path.stat().st_size)]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_store_whose_file_is_gone_or_cut_short_is_not_opened(tmp_path: Path) -> None:
    store, writing = a_stream(tmp_path)
    write(store, writing, "a")
    store.close()
    path = file_of(tmp_path / "amqpd.db", 1)
    octets = path.read_bytes()

    path.write_bytes(octets[:-1])
    with pytest.raises(StoreDamaged, match=r"stream-00000001 is cut short: 8\d\d\d bytes"):
        opened(tmp_path, sync=False)
    path.unlink()
    with pytest.raises(StoreDamaged, match=r"stream-00000001 is gone.*amqpd salvage"):
        opened(tmp_path, sync=False)
    path.write_bytes(octets)

    again = opened(tmp_path, sync=False)
    assert texts(again) == ["a"]
    again.close()


def test_files_that_the_database_does_not_know_are_removed(tmp_path: Path) -> None:
    store, _ = a_stream(tmp_path)
    store.close()
    stray = file_of(tmp_path / "amqpd.db", 9)
    stray.write_bytes(b"anything")

    opened(tmp_path, sync=False).close()

    assert not stray.exists()


def test_a_chunk_that_is_damaged_in_its_file_is_set_aside(tmp_path: Path) -> None:
    store, writing = a_stream(tmp_path)
    write(store, writing, "a", "b", "c")
    store.close()
    path = file_of(tmp_path / "amqpd.db", 1)
    octets = bytearray(path.read_bytes())
    octets[len(octets) // 2] ^= 1
    path.write_bytes(octets)

    again = opened(tmp_path, sync=False)
    assert texts(again) == ["a", "c"]
    again.write(writing.batch())
    again.close()

    found = query(tmp_path, "SELECT lane, position, reason, length(body) FROM quarantine")
    reason = "the checksum of the chunk does not match"
    assert found == [(1, 1, reason, writing.sizes[1] // 3)]
    assert len(rows(tmp_path)) == 2


def test_only_so_many_files_are_open_unless_they_are_held(tmp_path: Path) -> None:
    path = tmp_path / "amqpd.db"
    for number in range(40):
        file_of(path, number).write_bytes(b"ab" + b"%d" % number)
    files = StreamFiles(path)

    assert [files.read(number, 1, 1, 9) for number in (3, 30)] == [(b"b", b"3"), (b"b", b"30")]
    for number in range(40):
        files.descriptor(number)
    assert len(files._open) == 16
    sizes = files.hold()
    assert len(sizes) == 40
    assert sizes[3] == 3
    file_of(path, 7).unlink()
    assert files.read(7, 0, 2, 1) == (b"ab", b"7")
    files.close()
    with pytest.raises(FileNotFoundError):
        files.read(7, 0, 2, 1)
