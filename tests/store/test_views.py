"""The views: names instead of bytes, for whoever looks in from outside."""

# ruff: noqa: S608 - constants only

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.broker.definitions import Command, PutBinding, PutExchange, PutQueue, PutUser, PutVhost
from amqpd.fields import table
from tests.store.batches import Writing, opened
from tests.store.inspection import query

if TYPE_CHECKING:
    from pathlib import Path


def test_messages_show_where_they_are_and_how_they_came(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, sync=False), Writing()
    queues = [PutQueue("/", f"q{lane}", True, False, False, {}, (lane,)) for lane in (1, 2)]
    key = "ü" * 127
    names = b"\x00" + bytes([len(key.encode())]) + key.encode()
    entry = writing.append([b"body"], 1, 2, names=names, deadline_ms=86_400_000)
    store.write(writing.batch(entry, defines=[PutVhost("/"), *queues]))

    store.close()

    columns = "vhost, queue, position, exchange, routing_key, body_bytes, copies, expires_at, body"
    assert query(tmp_path, f"SELECT {columns} FROM messages ORDER BY queue") == [
        ("/", "q1", 0, "", key, 4, 2, "1970-01-02 00:00:00", b"body"),
        ("/", "q2", 0, "", key, 4, 2, "1970-01-02 00:00:00", b"body"),
    ]


def test_queues_show_their_counters_and_arguments_over_all_levels(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, sync=False), Writing()
    queue = PutQueue("/", "q", True, False, False, table({"x-max-priority": 2}), (1, 2, 3))
    entries = [writing.append([b"low", b"low"], 1), writing.append([b"high"], 3)]
    store.write(writing.batch(*entries, defines=[PutVhost("/"), queue]))

    store.close()

    assert query(tmp_path, "SELECT name, messages, body_bytes, levels, arguments FROM queues") == [
        ("q", 3, 10, 3, '{"x-max-priority": 2}')
    ]


def test_exchanges_bindings_and_users_are_shown_without_secrets(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, sync=False), Writing()
    defines: list[Command] = [
        PutVhost("/"),
        PutUser("guest", "secret-hash", "sha256", ("administrator",)),
        PutExchange("/", "ex", "topic", True, False, False),
        PutBinding("/", "ex", "q", "queue", "a.*"),
    ]
    store.write(writing.batch(defines=defines))

    store.close()

    assert query(tmp_path, "SELECT name, type FROM exchanges") == [("ex", "topic")]
    assert query(tmp_path, "SELECT source, routing_key FROM bindings") == [("ex", "a.*")]
    assert query(tmp_path, "SELECT * FROM users") == [("guest", "sha256", '["administrator"]')]
