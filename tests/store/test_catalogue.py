"""Definitions: what was put comes back equal, what was deleted takes its own along."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker.definitions import (
    Command,
    DeleteBinding,
    DeleteExchange,
    DeleteParameter,
    DeletePermission,
    DeleteQueue,
    DeleteTopicPermission,
    DeleteUser,
    DeleteVhost,
    PutBinding,
    PutExchange,
    PutParameter,
    PutPermission,
    PutQueue,
    PutTopicPermission,
    PutUser,
    PutVhost,
)
from amqpd.fields import Field, table
from amqpd.store.memory import MemoryStore
from tests.store.batches import Driven, Writing, opened

if TYPE_CHECKING:
    from pathlib import Path

ARGUMENTS = table({"x-max-length": 10, "t": True, "n": {"deep": [1, "two", b"\xff"]}, "v": None})
ARGUMENTS["surrogate"] = Field("S", b"\xff\xfe")

EVERYTHING: list[Command] = [
    PutVhost("/", "the first", ("production", "two"), "quorum", True),
    PutVhost("other"),
    PutUser("guest", "hash", "rabbit_password_hashing_sha256", ("administrator",)),
    PutUser("app", "hash2", "sha512"),
    PutPermission("guest", "/", ".*", ".*", ".*"),
    PutPermission("app", "other", "", "^a", ".*"),
    PutTopicPermission("app", "/", "amq.topic", "^x", "^y"),
    PutTopicPermission("app", "/", "ex", "^x", "^y"),
    PutExchange("/", "ex", "headers", True, False, True, ARGUMENTS),
    PutExchange("/", "ex2", "x-mine", True, True, False, declared_by="maker"),
    PutExchange("other", "ex", "direct", True, False, False),
    PutQueue("/", "q", True, False, True, ARGUMENTS, (1, 2, 3)),
    PutQueue("/", "é", True, False, False, {}, (4,), "maker"),
    PutQueue("other", "q", True, False, False, {}, (5,)),
    PutBinding("/", "ex", "q", "queue", "key"),
    PutBinding("/", "ex", "q", "queue", "key", ARGUMENTS),
    PutBinding("/", "ex", "ex2", "exchange", ""),
    PutBinding("/", "ex2", "ex", "exchange", ""),
    PutBinding("other", "ex", "q", "queue", ""),
    PutParameter("policy", "/", "p", '{"pattern": ".*"}'),
    PutParameter("policy", "other", "p", "{}"),
]


def after(directory: Path, *commands: Command) -> list[Command]:
    """What is defined after everything and these, across a restart; both stores agree on it."""
    store, writing = opened(directory, sync=False), Writing()
    store.write(writing.batch(defines=EVERYTHING))
    store.write(writing.batch(defines=commands))
    store.close()
    again = opened(directory, sync=False)
    again.close()
    memory, writing = Driven(MemoryStore), Writing()
    memory.write(writing.batch(defines=EVERYTHING))
    memory.write(writing.batch(defines=commands))
    snapshot = memory.store.open()
    assert snapshot.commands == again.snapshot.commands
    assert snapshot.lanes == again.snapshot.lanes
    return again.snapshot.commands


def test_everything_comes_back_equal_and_in_an_order_that_works(tmp_path: Path) -> None:
    assert after(tmp_path) == EVERYTHING


CASES: list[tuple[Command, list[Command]]] = [
    (DeleteVhost("other"), [c for c in EVERYTHING if "other" in repr(c)]),
    (DeleteUser("app"), [c for c in EVERYTHING if "app" in repr(c)]),
    (DeletePermission("app", "other"), [EVERYTHING[5]]),
    (DeleteTopicPermission("app", "/", "ex"), [EVERYTHING[7]]),
    (DeleteTopicPermission("app", "/"), EVERYTHING[6:8]),
    (DeleteExchange("/", "ex"), [EVERYTHING[8], *EVERYTHING[14:18]]),
    (DeleteQueue("/", "q"), [EVERYTHING[11], *EVERYTHING[14:16]]),
    (DeleteBinding("/", "ex", "q", "queue", "key"), [EVERYTHING[14]]),
    (
        DeleteBinding("/", "ex", "q", "queue", "key", dict(reversed(ARGUMENTS.items()))),
        [EVERYTHING[15]],
    ),
    (DeleteParameter("policy", "/", "p"), [EVERYTHING[19]]),
    (DeleteQueue("/", "unknown"), []),
]


@pytest.mark.parametrize(("command", "gone"), CASES, ids=lambda value: type(value).__name__)
def test_deleting_takes_along_what_belongs_to_it(
    tmp_path: Path, command: Command, gone: list[Command]
) -> None:
    assert after(tmp_path, command) == [one for one in EVERYTHING if one not in gone]


def test_putting_again_replaces(tmp_path: Path) -> None:
    changed = PutUser("guest", "new", "sha512", ())

    left = after(tmp_path, changed)

    assert changed in left
    assert EVERYTHING[2] not in left


def test_a_queue_deleted_and_declared_again_begins_empty(tmp_path: Path) -> None:
    store, writing = opened(tmp_path, sync=False, sweep_rows=3), Writing()
    queue = PutQueue("/", "q", True, False, False, {}, (1,))
    store.write(writing.batch(writing.append([b"old"] * 20, 1), defines=[PutVhost("/"), queue]))
    again = PutQueue("/", "q", True, False, False, {}, (2,))

    entry = writing.append([b"new"], 2)
    store.write(writing.batch(entry, defines=[DeleteQueue("/", "q"), again]))

    assert store.bodies(2) == [b"new"]
    assert store.read(1) == []
    store.close()
