"""The store in memory passes what the store on disk passes."""

from __future__ import annotations

from amqpd.broker.definitions import PutQueue, PutVhost
from amqpd.store.memory import MemoryStore
from tests.store.batches import Driven, Writing


def a_store() -> tuple[Driven, Writing]:
    store, writing = Driven(MemoryStore), Writing()
    queue = PutQueue("/", "q", True, False, False, {}, (1,))
    store.write(writing.batch(defines=[PutVhost("/"), queue]))
    return store, writing


def test_a_crash_drops_what_was_not_committed() -> None:
    store, writing = a_store()
    store.write(writing.batch(writing.append([b"kept"], 1)))
    assert isinstance(store.store, MemoryStore)

    store.store.write(writing.batch(writing.append([b"lost"], 1)), lambda _: None)
    store.store.crash()
    snapshot = store.store.open()

    assert not snapshot.clean
    assert store.bodies(1) == [b"kept"]


def test_transient_messages_are_gone_after_a_restart() -> None:
    store, writing = a_store()
    store.write(writing.batch(writing.append([b"kept"], 1)))
    store.write(writing.batch(writing.append([b"lost"], 1, persistent=False)))

    store.close()
    snapshot = store.store.open()

    assert snapshot.clean
    assert store.bodies(1) == [b"kept"]
    assert snapshot.lanes[1].messages == 1
    assert snapshot.lanes[1].next_position == 2
