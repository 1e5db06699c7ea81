"""A store that lacks what was in it is not started: an old copy, a lost WAL, a lost file."""

from __future__ import annotations

import os
import shutil
import stat
from typing import TYPE_CHECKING

import pytest

from amqpd.store import StoreOlder
from amqpd.store.identity import Identity, Note
from amqpd.store.settings import StoreSettings
from amqpd.store.sqlite import SqliteStore
from tests.store.batches import Driven, Writing
from tests.store.test_sqlite import a_queue

if TYPE_CHECKING:
    from pathlib import Path

SMALL_WAL = 1 << 20


def a_store(directory: Path, **settings: int | bool) -> Driven:
    made = StoreSettings(**{"wal_limit_bytes": SMALL_WAL, **settings})  # type: ignore[arg-type]
    return Driven(lambda post: SqliteStore(directory, post, made))


def fill(store: Driven, writing: Writing, batches: int) -> None:
    for _ in range(batches):
        assert store.write(writing.batch(writing.append([bytes(5000)], 1))) == writing.number


def filled(directory: Path, batches: int = 3, **settings: int | bool) -> Driven:
    store, writing = a_store(directory, **settings), Writing()
    a_queue(store, writing, 1)
    fill(store, writing, batches)
    return store


def copied(directory: Path, to: Path) -> None:
    """What a disk holds of a running store."""
    to.mkdir(mode=0o700)
    for path in directory.iterdir():
        if not path.name.endswith("-shm"):
            shutil.copy(path, to)


def test_every_start_and_every_clean_stop_is_a_generation(tmp_path: Path) -> None:
    note, seen = Note(tmp_path / "amqpd.db"), list[Identity | None]()
    for _ in range(2):
        store = a_store(tmp_path)
        seen.append(note.read())
        store.close()
        seen.append(note.read())

    assert [one.generation for one in seen if one] == [1, 2, 3, 4]
    assert len({one.id for one in seen if one}) == 1


def test_an_old_copy_in_its_place_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "data").close()
    shutil.copy(tmp_path / "data" / "amqpd.db", tmp_path / "old.db")
    a_store(tmp_path / "data").close()
    shutil.copy(tmp_path / "old.db", tmp_path / "data" / "amqpd.db")

    with pytest.raises(StoreOlder, match=r"older than it was \(generation 2, it was 4\)"):
        a_store(tmp_path / "data")

    a_store(tmp_path / "data", accept_older=True).close()
    a_store(tmp_path / "data").close()


def test_another_store_in_its_place_is_refused(tmp_path: Path) -> None:
    for name in ("one", "other"):
        filled(tmp_path / name).close()
    shutil.copy(tmp_path / "other" / "amqpd.db", tmp_path / "one" / "amqpd.db")

    with pytest.raises(StoreOlder, match="not the one that was here"):
        a_store(tmp_path / "one")


def test_a_file_that_is_gone_is_not_begun_anew(tmp_path: Path) -> None:
    filled(tmp_path).close()
    (tmp_path / "amqpd.db").unlink()

    with pytest.raises(StoreOlder, match="it is gone"):
        a_store(tmp_path)

    assert not (tmp_path / "amqpd.db").exists()
    a_store(tmp_path, accept_older=True).close()


def without_wal(folder: Path, batches: int) -> Path:
    """What is left of a killed store whose WAL is lost."""
    store = filled(folder / "data", batches)
    copied(folder / "data", folder / "lost")
    store.close()
    os.unlink(folder / "lost" / "amqpd.db-wal")
    return folder / "lost"


def test_a_wal_that_is_gone_is_missed(tmp_path: Path) -> None:
    with pytest.raises(StoreOlder, match="not the one that was here"):
        a_store(without_wal(tmp_path, 3))


@pytest.mark.parametrize("batches", [98, 99, 100])
def test_a_wal_that_is_gone_is_missed_unless_all_of_it_is_in_the_database(
    tmp_path: Path, batches: int
) -> None:
    lost = without_wal(tmp_path, batches)
    try:
        store = a_store(lost)
    except StoreOlder:
        return
    assert store.snapshot.lanes[1].messages == batches
    store.close()


def test_a_wal_whose_end_is_lost_is_missed_once_in_so_many_commits(tmp_path: Path) -> None:
    store = a_store(tmp_path / "data", commits_per_note=10, wal_limit_bytes=1 << 26)
    writing = Writing()
    a_queue(store, writing, 1)
    sizes = []
    for _ in range(25):
        fill(store, writing, 1)
        sizes.append(os.stat(tmp_path / "data" / "amqpd.db-wal").st_size)
    copied(tmp_path / "data", tmp_path / "cut")
    store.close()

    # After a loss of power the WAL's end may not have been noted; then what came last may be
    # lost unseen, what is before the last note may not.
    (tmp_path / "cut" / "amqpd.end").unlink()
    os.truncate(tmp_path / "cut" / "amqpd.db-wal", sizes[10])
    with pytest.raises(StoreOlder, match="older than it was"):
        a_store(tmp_path / "cut")


def test_a_note_that_cannot_be_read_or_is_not_there_keeps_nobody_from_starting(
    tmp_path: Path,
) -> None:
    filled(tmp_path).close()
    (tmp_path / "amqpd.id").write_bytes(b"\0" * 64)
    a_store(tmp_path).close()
    (tmp_path / "amqpd.id").unlink()
    a_store(tmp_path).close()

    assert Note(tmp_path / "amqpd.db").read() is not None


def test_without_syncs_nothing_is_noted(tmp_path: Path) -> None:
    filled(tmp_path, sync=False).close()

    assert not (tmp_path / "amqpd.id").exists()


def test_a_note_that_cannot_be_written_keeps_nobody_from_working(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "amqpd.id").symlink_to(tmp_path / "nowhere" / "file")

    store = filled(tmp_path / "data")

    assert len(store.bodies(1)) == 3
    assert "cannot be noted" in caplog.text
    store.close()


def test_a_new_note_is_on_disk_with_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bool] = []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    note = Note(tmp_path / "amqpd.db")

    note.write(Identity(1, 1))
    note.write(Identity(1, 2))

    assert synced == [False, True, False]
