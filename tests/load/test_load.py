"""Load that is held, in small: whatever came and went, nothing is left over.

The figures of the large form are in `amqpd/docs/limits.md`; `python -m tests.load` makes them.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import tracemalloc
from typing import TYPE_CHECKING

from amqpd.amqp.channel import Channel
from amqpd.amqp.connection import Connection
from amqpd.server.transport import Transport
from tests.load import crowd
from tests.load.crowd import a_member, bindings, queues
from tests.server.running import running
from tests.server.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.server.running import Running


def alive(*kinds: type) -> dict[str, int]:
    """How many objects of these classes there are."""
    gc.collect()
    objects = gc.get_objects()
    return {kind.__name__: sum(type(one) is kind for one in objects) for kind in kinds}


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def quiet(broker: Running) -> None:
    """Wait until nobody is connected any more."""
    await until(lambda: not broker.server.connections and not broker.server.room.connections)
    for _ in range(20):
        await asyncio.sleep(0)


async def test_connections_and_channels_leave_nothing_behind(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        await crowd.visits(broker.port, 20)
        await quiet(broker)
        tasks, files = len(asyncio.all_tasks()), descriptors()
        kinds = (Connection, Channel, Transport)
        before = alive(*kinds)

        members = await crowd.crowd(broker.port, 100)
        for member in members:
            await member.open_channels(20)
        await crowd.leave(members)
        await crowd.visits(broker.port, 200)
        await quiet(broker)

        assert len(asyncio.all_tasks()) == tasks
        assert descriptors() == files
        assert alive(*kinds) == before
        assert broker.server.broker.vhosts["/"].queues == {}
        assert broker.server.room.unknown == 0


#: Connections that come and go, before it is looked for the first time and until the second.
BEFORE, MEANWHILE = 100, 400
#: What each of them may leave behind; a list that is kept for nothing takes more.
EACH_BYTES = 50
#: Lists that fill up to a bound.
BOUNDED_BYTES = 32_000
#: What is kept here is kept by the test: what clients say, what is logged, what is measured.
OTHERS = ("*/pamqp/*", "*/logging/*", "*/_pytest/*", tracemalloc.__file__)


def held(snapshot: tracemalloc.Snapshot) -> dict[str, int]:
    """Bytes by the line that took them."""
    ours = snapshot.filter_traces([tracemalloc.Filter(False, name) for name in OTHERS])
    return {str(one.traceback): one.size for one in ours.statistics("lineno")}


async def test_churn_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Every line that is logged is kept until the end of the test: 1.6 KB for each connection.
    monkeypatch.setattr(logging.getLogger("amqpd"), "disabled", True)
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("amqpd")]:
        monkeypatch.setattr(logging.getLogger(name), "disabled", True)
    async with running(tmp_path) as broker:
        tracemalloc.start()
        try:
            await crowd.visits(broker.port, BEFORE)
            await quiet(broker)
            gc.collect()
            before = held(tracemalloc.take_snapshot())
            await crowd.visits(broker.port, MEANWHILE)
            await quiet(broker)
            gc.collect()
            after = held(tracemalloc.take_snapshot())
        finally:
            tracemalloc.stop()

    grown = {line: size - before.get(line, 0) for line, size in after.items()}
    most = sorted(grown.items(), key=lambda each: -each[1])[:5]
    assert sum(grown.values()) < MEANWHILE * EACH_BYTES + BOUNDED_BYTES, most


async def test_queues_and_bindings_leave_nothing_behind(tmp_path: Path) -> None:
    async with running(tmp_path) as broker, a_member(broker.port) as member:
        vhost = broker.server.broker.vhosts["/"]
        await member.all_of([crowd.TOPIC], crowd.EXCHANGE_OK)
        for _ in range(2):
            await member.all_of(queues(100, durable=True), crowd.DECLARE_OK)
            await member.all_of(bindings("load", 100, 5), crowd.BIND_OK)
            assert len(vhost.exchanges["load"].bindings) == 500
            await member.all_of(crowd.deletions(100), crowd.DELETE_OK)

        assert vhost.queues == {}
        assert not vhost.exchanges["load"].bindings
        assert not broker.server.broker._lanes_in_use
