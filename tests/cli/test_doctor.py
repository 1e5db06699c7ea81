"""`amqpd doctor`: what it finds, what it says to do, how it ends."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from amqpd.cli.main import group
from tests.client import Client
from tests.management.served import served

if TYPE_CHECKING:
    from pathlib import Path

OFF = ("--port", "0", "--http-port", "off", "--metrics-port", "off")


def examine(folder: Path, *options: str, url: str = "", code: int = 0) -> dict[str, list[Any]]:
    """The findings by what they are about."""
    environment = {"AMQPD_URL": url or "http://127.0.0.1:1"}
    arguments = ["doctor", "--json", "--data-dir", str(folder), *OFF, *options]
    result = CliRunner(env=environment).invoke(group, arguments, prog_name="amqpd")
    assert result.exit_code == code, (result.output, result.exception)
    found: dict[str, list[Any]] = {}
    for one in json.loads(result.output):
        found.setdefault(one["about"], []).append(one)
    return found


def test_without_a_broker_the_machine_is_looked_at(tmp_path: Path) -> None:
    found = examine(tmp_path / "data")

    assert found["broker"][0]["level"] == "warning"
    assert "amqpd starts it" in found["broker"][0]["next_step"]
    for about in ("version", "store", "disk", "fsync", "descriptors", "memory", "clock", "TLS"):
        assert found[about], about
    assert list(tmp_path.iterdir()) == []


def test_a_port_of_somebody_else_is_told_with_the_next_step(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        found = examine(tmp_path, "--port", port, code=70)

    (one,) = found["ports"]
    assert one["level"] == "failed"
    assert f"sport = :{port}" in one["next_step"]


def test_guest_from_anywhere_is_told(tmp_path: Path) -> None:
    settings = tmp_path / "amqpd.toml"
    settings.write_text("[auth]\nloopback_users = []\n")

    found = examine(tmp_path, "--config", str(settings), "--host", "0.0.0.0")  # noqa: S104

    assert "change_password" in found["guest"][0]["next_step"]


def test_a_file_that_is_no_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "amqpd.db").write_bytes(b"x" * 4096)

    assert examine(tmp_path, code=70)["store"][0]["next_step"].startswith("amqpd check")


async def test_the_ports_of_a_broker_that_answers_are_its_own(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with served(tmp_path / "b") as api:
        port = api.broker.port

        found = await asyncio.to_thread(examine, elsewhere, "--port", str(port), url=api.uri)

    assert {"level": "ok", "text": f"{port} is open and the broker's (amqp)"} in [
        {key: one[key] for key in ("level", "text")} for one in found["ports"]
    ]
    assert {one["level"] for one in found["ports"]} == {"ok"}


async def test_a_broker_is_asked_and_a_queue_that_stands_still_is_named(tmp_path: Path) -> None:
    async with served(tmp_path) as api:

        def fill() -> None:
            with Client(api.broker.port) as client:
                channel = client.channel()
                channel.declare_queue("orders", durable=True)
                channel.select_confirms()
                channel.publish("", "orders", b"x")
                channel.wait_confirms()

        await asyncio.to_thread(fill)
        folder = tmp_path / "data"

        found = await asyncio.to_thread(examine, folder, url=api.uri)

        (queue,) = found["queues"]
        assert "Nobody consumes" in queue["text"]
        assert queue["next_step"].startswith("amqpd queue show orders")
        assert found["broker"][0]["level"] == "ok"
        await asyncio.to_thread(examine, folder, "--strict", url=api.uri, code=70)


def test_people_get_lines_with_the_next_step_below(tmp_path: Path) -> None:
    arguments = ["doctor", "--data-dir", str(tmp_path), *OFF]
    environment = {"AMQPD_URL": "http://127.0.0.1:1"}

    said = CliRunner(env=environment).invoke(group, arguments, prog_name="amqpd").output

    assert "-> amqpd starts it" in said
    assert said.splitlines()[-1].endswith(" ok")
