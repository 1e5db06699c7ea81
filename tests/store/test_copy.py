"""Copies: consistent while it is written, put back as a whole, saved from what is damaged."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from amqpd.broker.definitions import PutQueue, PutVhost
from amqpd.broker.journal import Track
from amqpd.fields import table
from amqpd.store import StoreDamaged, StoreFailed, StoreLocked
from amqpd.store.check import check
from amqpd.store.copy import backup, restore, salvage
from amqpd.store.mark import Mark
from amqpd.store.streamlog import file_of, files_of
from tests.store.batches import Driven, Writing, opened
from tests.store.test_check import a_store, flip

if TYPE_CHECKING:
    from pathlib import Path


def bodies(directory: Path) -> list[bytes]:
    store = opened(directory, sync=False)
    found = store.bodies(1)
    store.close()
    return found


def test_a_copy_of_a_store_in_use_is_whole_and_can_be_put_back(tmp_path: Path) -> None:
    path = a_store(tmp_path / "data", 50)
    store = opened(tmp_path / "data", sync=False)
    before = store.bodies(1)
    target = tmp_path / "copy.db"

    backup(path, target)

    writing = Writing(next_message_id=1000, number=1 << 20, positions={1: 50})
    store.write(writing.batch(writing.append([b"later"], 1)))
    store.close()
    assert list(check(target)) == []
    assert target.stat().st_mode & 0o777 == 0o600
    restore(target, tmp_path / "new")
    assert bodies(tmp_path / "new") == before
    assert bodies(tmp_path / "data") == [*before, b"later"]


def test_a_store_that_is_there_is_kept_under_another_name(tmp_path: Path) -> None:
    path = a_store(tmp_path / "data", 5)
    target = tmp_path / "copy.db"
    backup(path, target)

    with pytest.raises(StoreDamaged, match="--replace"):
        restore(target, tmp_path / "data")
    restore(target, tmp_path / "data", replace=True)

    assert len(bodies(tmp_path / "data")) == 5
    assert list(check(tmp_path / "data" / "amqpd.db.before-restore")) == []


def a_killed_store(folder: Path) -> Path:
    """A store of 5 messages that was copied, got 3 more, and was killed; its directory."""
    path = a_store(folder / "data", 5)
    backup(path, folder / "copy.db")
    # Another life, which is noted beside it.
    opened(folder / "data").close()
    store = opened(folder / "data")
    writing = Writing(next_message_id=1000, number=1 << 20, positions={1: 5})
    for number in range(3):
        store.write(writing.batch(writing.append([b"later %d" % number], 1)))
    left = folder / "left"
    shutil.copytree(folder / "data", left)
    store.close()
    assert (left / "amqpd.db-wal").stat().st_size > 0
    return left


def test_nothing_of_the_store_that_was_there_is_taken_for_that_of_the_copy(tmp_path: Path) -> None:
    left = a_killed_store(tmp_path)
    Mark(left / "amqpd.db").leave(damage=True)

    restore(tmp_path / "copy.db", left, replace=True)

    assert not Mark(left / "amqpd.db").is_there
    assert (left / "amqpd.db").stat().st_mode & 0o777 == 0o600
    again = opened(left)
    assert len(again.bodies(1)) == 5
    again.close()
    kept = left / "amqpd.db.before-restore"
    assert list(check(kept)) == []
    salvage(kept, tmp_path / "kept.db")
    restore(tmp_path / "kept.db", tmp_path / "again")
    assert bodies(tmp_path / "again")[5:] == [b"later 0", b"later 1", b"later 2"]


def test_a_data_directory_in_use_is_not_touched(tmp_path: Path) -> None:
    path = a_store(tmp_path / "data", 5)
    backup(path, tmp_path / "copy.db")
    store = opened(tmp_path / "data", sync=False)

    with pytest.raises(StoreLocked):
        restore(tmp_path / "copy.db", tmp_path / "data", replace=True)
    store.close()


def test_what_cannot_be_copied_is_told(tmp_path: Path) -> None:
    path = a_store(tmp_path / "data", 5)

    with pytest.raises(StoreDamaged, match="there is none"):
        backup(tmp_path / "nothing.db", tmp_path / "copy.db")
    with pytest.raises(StoreDamaged, match="not a store"):
        restore(tmp_path / "nothing.db", tmp_path / "new")
    with pytest.raises(StoreFailed):
        backup(path, tmp_path / "no" / "such" / "folder.db")
    assert not list(tmp_path.glob("*.new"))


def test_what_can_be_read_of_a_damaged_store_is_saved(tmp_path: Path) -> None:
    path = a_store(tmp_path / "data", 300)
    octets = bytearray(path.read_bytes())
    page = octets.index(b"00000200xxx") // 16384
    octets[page * 16384 : (page + 1) * 16384] = b"\xff" * 16384
    path.write_bytes(octets)
    flip(path, b"00000100xxx")
    target = tmp_path / "saved.db"

    rows = salvage(path, target)

    assert rows["queue"] == 1
    found = list(check(target))
    assert [one.text for one in found] == ["position 100: message 101: its checksum does not match"]
    restore(target, tmp_path / "new")
    kept = bodies(tmp_path / "new")
    numbers = [int(body[:8]) for body in kept]
    assert numbers == sorted(set(numbers))
    assert len(numbers) > 250
    assert 100 not in numbers
    assert all(body[8:] == b"x" * 2000 for body in kept)


def test_a_salvaged_store_can_be_written_again(tmp_path: Path) -> None:
    path = a_store(tmp_path / "data", 20)
    salvage(path, tmp_path / "saved.db")
    restore(tmp_path / "saved.db", tmp_path / "new")

    store = opened(tmp_path / "new", sync=False)
    writing = Writing(store.snapshot.next_message_id, positions={1: 20})
    store.write(
        writing.batch(defines=[PutVhost("/"), PutQueue("/", "p", True, False, False, {}, (2,))])
    )
    store.write(writing.batch(writing.append([b"new"], 1, 2)))
    assert store.bodies(1)[-1] == store.bodies(2)[0] == b"new"
    store.close()
    assert list(check(tmp_path / "new" / "amqpd.db")) == []


def a_stream(directory: Path) -> tuple[Driven, Writing]:
    """A stream, most of it in files, that is still open; it is told of a part of it only."""
    store = opened(directory, sync=False, stream_file_bytes=256 << 10)
    writing = Writing()
    arguments = table({"x-queue-type": "stream"})
    stream = PutQueue("/", "s", True, False, False, arguments, (2,))
    store.write(writing.batch(defines=[PutVhost("/"), stream]))
    for number in range(30):
        size = 10 if number % 7 == 3 else 10_000
        store.write(writing.batch(writing.extend([b"%02d" % number + bytes(size)], 2)))
    store.write(writing.batch(writing.extend([bytes(10_000)], 2), Track(2, "me", 5)))
    return store, writing


def offsets(store: Driven) -> list[int]:
    chunks, _ = store.read_stream(2)
    return [chunk[0] for chunk in chunks]


def test_a_copy_of_streams_is_whole_in_one_file(tmp_path: Path) -> None:
    store, writing = a_stream(tmp_path / "data")
    target = tmp_path / "copy.db"

    backup(tmp_path / "data" / "amqpd.db", target)

    before = store.read_stream(2)
    store.write(writing.batch(writing.extend([bytes(10_000)], 2)))
    store.close()
    assert list(check(target)) == []
    assert len(files_of(tmp_path / "data" / "amqpd.db")) > 1
    restore(target, tmp_path / "data", replace=True)
    assert files_of(tmp_path / "data" / "amqpd.db") == {}
    again = opened(tmp_path / "data", sync=False)
    assert again.read_stream(2) == before
    assert again.snapshot.streams[2].offsets == {"me": 5}
    again.close()
    assert list(check(tmp_path / "data" / "amqpd.db")) == []
    assert list(check(tmp_path / "data" / "amqpd.db.before-restore")) == []


def test_a_copy_without_what_is_in_a_file_is_not_made(tmp_path: Path) -> None:
    store, _ = a_stream(tmp_path / "data")
    store.close()
    path = tmp_path / "data" / "amqpd.db"
    file_of(path, 1).unlink()

    with pytest.raises(StoreFailed, match=r"stream-00000001: No such file"):
        backup(path, tmp_path / "copy.db")

    assert not (tmp_path / "copy.db").exists()
    assert not (tmp_path / "copy.db.new").exists()


def test_what_can_be_read_of_streams_is_saved(tmp_path: Path) -> None:
    store, _ = a_stream(tmp_path / "data")
    store.close()
    path = tmp_path / "data" / "amqpd.db"
    file_of(path, 2).unlink()

    (tmp_path / "saved").mkdir()
    salvage(path, tmp_path / "saved" / "amqpd.db")

    # A stream has no holes: what lies before one is gone.
    assert list(check(tmp_path / "saved" / "amqpd.db")) == []
    again = opened(tmp_path / "saved", sync=False)
    found = offsets(again)
    assert 0 < found[0] < 30
    assert found == list(range(found[0], 31))
    again.close()


def test_a_stream_of_a_store_that_was_killed_is_saved_to_its_end(tmp_path: Path) -> None:
    store, _ = a_stream(tmp_path / "data")
    shutil.copytree(tmp_path / "data", tmp_path / "left")
    store.close()

    (tmp_path / "saved").mkdir()
    salvage(tmp_path / "left" / "amqpd.db", tmp_path / "saved" / "amqpd.db")

    again = opened(tmp_path / "saved", sync=False)
    assert offsets(again) == list(range(31))
    assert again.snapshot.streams[2].offsets == {"me": 5}
    again.close()
