"""Long work in turns: all of it together has one slice of each."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from amqpd.management import listing
from amqpd.management.listing import Slices
from tests.management.served import ignore

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tests.management.served import Api

WORKERS = 20


@pytest.fixture(autouse=True)
def _every_piece_is_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "SLICE_S", 0.0)


async def beside(*work: Coroutine[None, None, None]) -> list[int]:
    """How much of it was done in each turn of the loop."""
    tasks = [asyncio.ensure_future(one) for one in work]
    counts = []
    while not all(task.done() for task in tasks):
        DONE.clear()
        await asyncio.sleep(0)
        counts.append(DONE.total())
    return counts


DONE: Counter[str] = Counter()


async def long_work(name: str, pieces: int = 10) -> None:
    slices = Slices()
    for _ in range(pieces):
        DONE[name] += 1
        await slices.pause()


async def test_many_who_have_long_work_have_no_more_of_a_turn_than_one() -> None:
    counts = await beside(*(long_work(f"{n}") for n in range(WORKERS)))

    # Each begins at once.
    assert sum(counts) == WORKERS * 10
    assert counts[0] == WORKERS
    assert max(counts[1:]) <= 1


async def test_nobody_waits_for_somebody_who_has_gone() -> None:
    tasks = [asyncio.ensure_future(long_work(f"{n}", 1000)) for n in range(WORKERS)]
    await asyncio.sleep(0)
    for task in tasks[1:]:
        task.cancel()

    await asyncio.wait_for(tasks[0], 10)

    assert all(task.cancelled() for task in tasks[1:])


async def test_one_alone_is_not_kept_from_its_next_slice() -> None:
    counts = await beside(long_work("alone"))

    assert sum(counts) == 10
    assert len(counts) <= 40


@pytest.mark.parametrize("path", ["/api/channels", "/api/consumers", "/metrics"])
async def test_every_connection_that_is_looked_at_may_be_the_last_of_a_turn(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    looked: list[str] = []

    async def pause(_: Slices) -> None:
        looked.append(path)

    await api.get("/overview")
    async with contextlib.AsyncExitStack() as clients:
        for number in range(3):
            channel = await clients.enter_async_context(api.channel())
            queue = await channel.declare_queue(f"q{number}")
            await queue.consume(ignore)
        monkeypatch.setattr(Slices, "pause", pause)

        async with api.client.get(f"{api.uri}{path}", headers=api.headers) as answer:
            assert answer.status == 200

    assert len(looked) > 3
