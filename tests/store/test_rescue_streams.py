"""A rescue of a store with files of streams: what can be read stays, what cannot is told."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest

from amqpd.broker.definitions import PutExchange, PutQueue, PutVhost
from amqpd.fields import table
from amqpd.store import StoreDamaged
from amqpd.store.check import check
from amqpd.store.mark import Mark
from amqpd.store.streamlog import files_of
from tests.store.batches import Writing, opened
from tests.store.test_identity import a_store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.store.batches import Driven

STREAM: Final = 2
MESSAGES: Final = 60
PAGE: Final = 16_384


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The database of a stopped store: a queue, and a stream in several files."""
    store = opened(tmp_path / "data", sync=False, stream_file_bytes=128 << 10)
    writing = Writing()
    stream = PutQueue("/", "s", True, False, False, table({"x-queue-type": "stream"}), (STREAM,))
    queue = PutQueue("/", "q", True, False, False, {}, (1,))
    exchanges = [PutExchange("/", f"e{n}", "fanout", True, False, False, {}) for n in range(300)]
    store.write(writing.batch(defines=[PutVhost("/"), stream, queue, *exchanges]))
    for number in range(MESSAGES):
        store.write(writing.batch(writing.extend([b"%02d" % number + bytes(10_000)], STREAM)))
    store.write(writing.batch(writing.append([b"%02d" % number for number in range(MESSAGES)], 1)))
    store.close()
    path = tmp_path / "data" / "amqpd.db"
    assert len(files_of(path)) > 3
    return path


def damage_an_index(path: Path) -> None:
    """Something that costs no message: it is found out what there is, and copied."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(
            "SELECT pageno FROM dbstat WHERE name LIKE 'sqlite_autoindex_exchange%' LIMIT 1"
        ).fetchone()
    with path.open("r+b") as file:
        file.seek((found[0] - 1) * PAGE)
        file.write(b"\xff" * PAGE)
    Mark(path).leave(damage=True)


def in_file(path: Path, number: int) -> tuple[int, int]:
    """Of the second chunk in a file: its offset in the stream, and where its octets begin."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(
            "SELECT key & 0xFFFFFFFFFF, at FROM stream_chunk WHERE file = ? ORDER BY key", [number]
        ).fetchall()
    assert len(found) > 1
    offset, at = found[1]
    return int(offset), int(at)


def damage_a_file(path: Path, how: str = "flipped") -> int:
    """The second file; which message is the last that cannot be read."""
    offset, at = in_file(path, 2)
    file = files_of(path)[2]
    if how == "flipped":
        with file.open("r+b") as octets:
            octets.seek(at + 1_000)
            found = octets.read(1)
            octets.seek(-1, os.SEEK_CUR)
            octets.write(bytes((found[0] ^ 1,)))
        return offset
    last = max(one for one in chunks_of(path, 2))
    if how == "gone":
        file.unlink()
    else:
        os.truncate(file, at + 10)
    return last


def chunks_of(path: Path, number: int) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT key & 0xFFFFFFFFFF FROM stream_chunk WHERE file = ?", [number]
        )
        return [offset for (offset,) in rows]


def rescued(path: Path) -> Driven:
    return a_store(path.parent, sync=False, stream_file_bytes=128 << 10, rescue=True)


def offsets(store: Driven) -> list[int]:
    chunks, _ = store.read_stream(STREAM)
    return [chunk[0] for chunk in chunks]


def quarantined(path: Path) -> list[tuple[int, int]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT lane, position FROM quarantine ORDER BY 1, 2").fetchall()


def test_a_stream_in_files_outlives_damage_to_the_database(path: Path) -> None:
    damage_an_index(path)
    files = set(files_of(path).values())

    store = opened(path.parent, sync=False, stream_file_bytes=128 << 10)

    assert offsets(store) == list(range(MESSAGES))
    assert store.bodies(1) == [b"%02d" % number for number in range(MESSAGES)]
    assert store.snapshot.lanes[STREAM].messages == MESSAGES
    store.close()
    assert quarantined(path) == []
    assert list(check(path)) == []
    # The files are kept with the database that they belong to.
    assert not any(file.exists() for file in files)
    kept = {one.name for one in path.parent.glob("amqpd.db.damaged-*-stream-*")}
    assert len(kept) == len(files)


@pytest.mark.parametrize("how", ["gone", "short"])
def test_what_a_damaged_file_had_is_refused_until_it_is_allowed_and_then_named(
    path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    last = damage_a_file(path, how)
    damage_an_index(path)

    with pytest.raises(StoreDamaged, match=r"messages cannot be read: .*store\.rescue"):
        opened(path.parent, sync=False)
    assert not list(path.parent.glob("*.damaged-*"))

    store = rescued(path)
    found = offsets(store)
    # A stream has no holes: it begins behind what is missing.
    assert found == list(range(last + 1, MESSAGES))
    assert store.snapshot.lanes[STREAM].messages == len(found)
    assert store.bodies(1) == [b"%02d" % number for number in range(MESSAGES)]
    store.close()
    missing = quarantined(path)
    assert {lane for lane, _ in missing} == {STREAM}
    assert len(missing) == MESSAGES - len(found)
    assert f"queue 's' in vhost '/': {len(missing)} messages cannot be read" in caplog.text
    assert list(check(path)) == []


def test_a_chunk_that_is_altered_is_set_aside_when_it_is_read(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flipped = damage_a_file(path)
    damage_an_index(path)

    store = opened(path.parent, sync=False)

    assert f"queue 's' in vhost '/': offset {flipped}: the checksum" in caplog.text
    assert offsets(store) == [n for n in range(MESSAGES) if n != flipped]
    store.close()
    assert quarantined(path) == [(STREAM, flipped)]


def test_what_is_appended_after_a_rescue_follows(path: Path) -> None:
    first = damage_a_file(path, "gone") + 1
    damage_an_index(path)
    store = rescued(path)
    writing = Writing(store.snapshot.next_message_id)
    writing.positions = {STREAM: MESSAGES}

    store.write(writing.batch(writing.extend([bytes(20_000)], STREAM)))
    store.close()

    again = opened(path.parent, sync=False)
    assert offsets(again) == list(range(first, MESSAGES + 1))
    again.close()
