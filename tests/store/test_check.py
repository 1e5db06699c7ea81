"""A look through a store finds what is wrong, and says in which page and queue."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from amqpd.broker.definitions import PutQueue, PutVhost
from amqpd.fields import table
from amqpd.store import StoreDamaged, StoreNewer
from amqpd.store.check import check
from amqpd.store.streamlog import file_of
from tests.store.batches import Writing, opened

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.store.check import Finding


def a_store(directory: Path, messages: int = 300) -> Path:
    """A store with a queue `orders` and so many messages of 2 KB; its file."""
    store, writing = opened(directory, sync=False), Writing()
    queue = PutQueue("/", "orders", True, False, False, {}, (1,))
    store.write(writing.batch(defines=[PutVhost("/"), queue]))
    bodies = [b"%08d" % number + b"x" * 2000 for number in range(messages)]
    store.write(writing.batch(writing.append(bodies, 1)))
    store.close()
    return directory / "amqpd.db"


def findings(path: Path) -> list[Finding]:
    return list(check(path))


def change(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql)
        connection.commit()


def flip(path: Path, wanted: bytes) -> None:
    """One bit of the first place where these octets are."""
    octets = bytearray(path.read_bytes())
    octets[octets.index(wanted)] ^= 1
    path.write_bytes(octets)


def test_a_whole_store_has_no_findings(tmp_path: Path) -> None:
    assert findings(a_store(tmp_path)) == []


def test_a_store_that_is_in_use_can_be_looked_at(tmp_path: Path) -> None:
    path = a_store(tmp_path)
    store = opened(tmp_path, sync=False)

    assert findings(path) == []
    store.close()


def test_a_bit_of_a_message_that_flipped_is_found_with_its_queue(tmp_path: Path) -> None:
    path = a_store(tmp_path)
    flip(path, b"00000123xxx")

    (found,) = findings(path)

    assert found.queue == "queue 'orders' in vhost '/'"
    assert str(found) == (
        f"store {path}, queue 'orders' in vhost '/': "
        "position 123: message 124: its checksum does not match"
    )


def test_a_page_that_is_lost_is_named(tmp_path: Path) -> None:
    path = a_store(tmp_path)
    octets = bytearray(path.read_bytes())
    page = octets.index(b"00000200xxx") // 16384
    octets[page * 16384 : (page + 1) * 16384] = bytes(16384)
    path.write_bytes(octets)

    found = findings(path)

    assert any(one.page == page + 1 for one in found)


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("UPDATE lane SET messages = messages + 1", "a wrong counter"),
        ("DELETE FROM message WHERE id = 5", "a row of a lane without its message"),
        ("INSERT INTO message_share VALUES (7, 2)", "a wrong number of lanes"),
        ("UPDATE lane SET next_position = 10", "a position that will be given again"),
    ],
)
def test_tables_that_do_not_agree_are_found(tmp_path: Path, sql: str, what: str) -> None:
    path = a_store(tmp_path)
    change(path, sql)

    assert any(what in one.text for one in findings(path))


def test_what_is_not_a_store_of_this_version_is_refused(tmp_path: Path) -> None:
    path = a_store(tmp_path)
    change(path, "PRAGMA user_version = 99")

    with pytest.raises(StoreNewer):
        findings(path)
    with pytest.raises(StoreDamaged, match="there is none"):
        findings(tmp_path / "other.db")
    (tmp_path / "text").write_text("x" * 200)
    with pytest.raises(StoreDamaged, match="not a SQLite database"):
        findings(tmp_path / "text")


def test_what_is_wrong_with_files_of_streams_is_found_with_the_stream(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, sync=False, stream_file_bytes=128 << 10), Writing()
    arguments = table({"x-queue-type": "stream"})
    stream = PutQueue("/", "s", True, False, False, arguments, (2,))
    store.write(writing.batch(defines=[PutVhost("/"), stream]))
    for number in range(5):
        store.write(writing.batch(writing.extend([b"%08d" % number + bytes(9000)], 2)))
    path = tmp_path / "amqpd.db"
    assert findings(path) == []  # the broker may be at work
    store.close()
    assert findings(path) == []

    flip(file_of(path, 1), b"00000000")
    file_of(path, 2).unlink()

    texts = [f"{one.queue}: {one.text}" for one in findings(path)]
    where = "queue 's' in vhost '/': offset"
    assert texts[0] == f"{where} 0: the checksum of its chunk does not match"
    assert texts[1].startswith(f"{where} 1: its chunk is gone, with the file ")
    assert texts[1].endswith("amqpd.db-stream-00000002")
    change(path, 'UPDATE stream_file SET "end" = 7 WHERE number = 1')
    change(path, "DELETE FROM stream_file WHERE number = 2")
    texts = [one.text for one in findings(path)]
    assert [one for one in texts if "in a file that is not known" in one][:2] == [
        "position 0: a chunk in a file that is not known (1)",
        "position 1: a chunk in a file that is not known (2)",
    ]


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("INSERT INTO message_share VALUES (7, 1)", "message 7: a share without its message"),
        ("UPDATE lane SET next_position = 4", "position 4: a position that will be given again"),
        ("INSERT INTO deferred VALUES (1, x'00')", "row 1 of table 'deferred': "),
    ],
)
def test_what_would_go_wrong_only_later_is_found_now(tmp_path: Path, sql: str, text: str) -> None:
    path = a_store(tmp_path, 5 if "lane" in sql else 10)
    change(path, sql)

    (found,) = findings(path)

    assert found.text.startswith(text)
