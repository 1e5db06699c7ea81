"""`/api/queues/VHOST/NAME/pause` and `resume`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from amqpd.store.sqlite import SqliteStore
from tests.management.served import publish, served

if TYPE_CHECKING:
    from pathlib import Path

    from aio_pika.abc import AbstractIncomingMessage

    from amqpd.config import Settings
    from amqpd.store import Post, Store
    from tests.management.served import Api

QUEUE = "/queues/%2F/q"


def on_disk(folder: Path, _settings: Settings, post: Post) -> Store:
    """A store that is there after a restart."""
    return SqliteStore(folder / "amqpd.db", post)


async def test_a_paused_queue_says_so_and_gives_its_consumers_nothing(api: Api) -> None:
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(message: AbstractIncomingMessage) -> None:
        got.put_nowait(message.body)
        await message.ack()

    async with api.channel() as channel:
        queue = await channel.declare_queue("q", durable=True)
        await api.put(f"{QUEUE}/pause", status=204)
        await queue.consume(take)
        await publish(channel, b"a", "q")

        row = await api.get(QUEUE)
        assert (row["state"], row["messages_ready"], row["paused"]["user"]) == (
            "paused",
            1,
            "guest",
        )
        assert row["why_waiting"].startswith("Paused by 'guest' since ")
        assert "amqpd queue resume q" in row["why_waiting"]
        assert [one["state"] for one in await api.get("/queues")] == ["paused"]
        assert got.empty()

        await api.put(f"{QUEUE}/resume", status=204)
        assert await got.get() == b"a"
        row = await api.get(QUEUE)
        assert (row["state"], row["paused"]) == ("running", None)


async def test_twice_is_once(api: Api) -> None:
    await api.put(QUEUE, {"durable": True})
    await api.put(f"{QUEUE}/resume", status=204)
    await api.put(f"{QUEUE}/pause", status=204)
    first = (await api.get(QUEUE))["paused"]

    await api.put(f"{QUEUE}/pause", status=204)

    assert (await api.get(QUEUE))["paused"] == first


async def test_a_pause_survives_a_restart_with_the_queue_only(tmp_path: Path) -> None:
    async with served(tmp_path, on_disk) as api:
        await api.put(QUEUE, {"durable": True})
        await api.put("/queues/%2F/t", {"durable": False})
        await api.put(f"{QUEUE}/pause", status=204)
        await api.put("/queues/%2F/t/pause", status=204)

    async with served(tmp_path, on_disk) as api:
        assert (await api.get(QUEUE))["state"] == "paused"
        await api.put("/queues/%2F/t", {"durable": False})
        assert (await api.get("/queues/%2F/t"))["state"] == "running"
        await api.delete(QUEUE)
        await api.put(QUEUE, {"durable": True})
        assert (await api.get(QUEUE))["state"] == "running"


async def test_who_may_not_configure_a_queue_may_not_pause_it(api: Api) -> None:
    await api.put(QUEUE, {"durable": True})
    bob = await api.user("bob", "management")
    await api.put("/permissions/%2F/bob", {"configure": "^$", "write": ".*", "read": ".*"})

    await bob.put(f"{QUEUE}/pause", status=401)
    await api.put("/queues/%2F/none/pause", status=404)

    assert (await api.get(QUEUE))["state"] == "running"
