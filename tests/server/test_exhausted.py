"""Memory that runs out in the middle of something ends the connection at hand, and no other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from amqpd.amqp import methods
from amqpd.broker.publishing import Publishing
from tests.client import Client, Closed, Gone
from tests.server.running import running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any


def exhausted(real: Callable[..., Any], when: Callable[[tuple[Any, ...]], bool]) -> Any:
    """The same, but for calls that find no memory any more."""

    def call(*arguments: Any, **more: Any) -> Any:
        if when(arguments):
            raise MemoryError
        return real(*arguments, **more)

    return call


def victim(port: int) -> int:
    """A client that meets the shortage; the code that it is told, 0 for none."""
    try:
        with Client(port, timeout_s=60.0) as client:
            channel = client.channel()
            channel.declare_queue("boom", durable=True)
            channel.select_confirms()
            channel.publish("", "boom", b"boom", persistent=True)
            channel.wait_confirms()
            return -1
    except Closed as closed:
        return closed.code
    except Gone:
        return 0


def works(client: Client, count: int) -> None:
    """Publish and get."""
    channel = client.channels[1]
    for number in range(count):
        channel.publish("", "q", b"%d" % number, persistent=True)
        assert channel.wait_confirms()[0].acked
        delivery = channel.get("q", no_ack=True)
        assert delivery is not None
        assert delivery.body == b"%d" % number


def bystander(port: int) -> Client:
    client = Client(port, timeout_s=60.0)
    channel = client.channel()
    channel.declare_queue("q", durable=True)
    channel.select_confirms()
    return client


@pytest.mark.parametrize("place", ["decode", "route"])
async def test_only_the_connection_at_hand_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    if place == "decode":
        monkeypatch.setattr(
            methods, "decode", exhausted(methods.decode, lambda given: b"boom" in given[0])
        )
    else:
        # Routes are made once, and the queue of this one is the victim's.
        monkeypatch.setattr(
            Publishing,
            "publish",
            exhausted(
                Publishing.publish,
                lambda given: any(b"boom" in bytes(one) for one in given[2].contents),
            ),
        )
    async with running(tmp_path) as broker:
        other = await asyncio.to_thread(bystander, broker.port)
        await asyncio.to_thread(works, other, 3)

        code = await asyncio.to_thread(victim, broker.port)

        assert code == 541
        await asyncio.to_thread(works, other, 3)
        other.abort()
