"""`amqpd check …`: what a monitoring system reads, and the exit codes it goes by."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from amqpd.cli.main import group
from tests.client import Client
from tests.management.served import served, short_of_disk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.management.served import Api


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """A broker with a queue of three messages that nobody consumes."""
    async with served(tmp_path) as made:
        await asyncio.to_thread(_fill, made.broker.port)
        yield made


def _fill(port: int) -> None:
    with Client(port) as client:
        channel = client.channel()
        channel.declare_queue("orders", durable=True)
        channel.select_confirms()
        for _ in range(3):
            channel.publish("", "orders", b"x")
        channel.wait_confirms()


async def check(url: str, *words: str, code: int) -> str:
    result = await asyncio.to_thread(
        CliRunner(env={"AMQPD_URL": url}).invoke, group, ["check", *words], prog_name="amqpd"
    )
    assert result.exit_code == code, (words, result.output, result.exception)
    return result.output


async def test_a_queue_is_judged_by_its_length_and_its_consumers(api: Api) -> None:
    said = await check(api.uri, "queue", "orders", "-w", "5", "-c", "9", code=0)
    assert said == "QUEUE OK - orders: 3 ready, 0 consumers | ready=3;5;9 unacked=0 consumers=0\n"
    millions = await check(api.uri, "queue", "orders", "-w", "1234567", "-c", "10000000", code=0)
    assert "ready=3;1234567;10000000 " in millions

    said = await check(api.uri, "queue", "orders", "-w", "3", "-c", "9", code=1)
    assert said.startswith("QUEUE WARNING - orders: 3 ready, 0 consumers, ready 3 is at or over 3")
    said = await check(api.uri, "queue", "orders", "-w", "1", "-c", "2", code=2)
    assert said.startswith("QUEUE CRITICAL - ")
    said = await check(api.uri, "queue", "orders", "--min-consumers", "1", code=2)
    assert "1 consumers are wanted" in said
    said = await check(api.uri, "queue", "order", code=2)
    assert "QUEUE CRITICAL - no queue 'order' in vhost '/'" in said


async def test_a_broker_is_well_or_not(api: Api) -> None:
    said = await check(api.uri, "broker", code=0)
    assert said.startswith("BROKER OK - amqpd ")
    assert " | ms=" in said

    assert "CRITICAL" in await check("http://127.0.0.1:1", "broker", code=2)
    other = api.uri.replace("http://", "http://nobody:wrong@")
    assert "UNKNOWN" in await check(other, "broker", code=3)


async def test_an_alarm_is_critical(tmp_path: Path) -> None:
    async with short_of_disk(tmp_path) as api:
        said = await check(api.uri, "broker", "--json", code=2)

    found = json.loads(said)
    assert found["status"] == "critical"
    assert "disk alarm: publishers are held" in found["text"]
    assert found["figures"]["disk_free_bytes"] > 0


async def test_connections_are_counted(api: Api) -> None:
    client = await api.connect()
    try:
        said = await check(api.uri, "connections", "-w", "1", code=1)
    finally:
        await asyncio.to_thread(client.close)

    assert "CONNECTIONS WARNING - 1 connection, connections 1 is at or over 1" in said


async def test_check_alone_looks_through_the_store(tmp_path: Path) -> None:
    assert "there is none" in await check("", "--data-dir", str(tmp_path / "none"), code=66)
