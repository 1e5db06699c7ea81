"""`amqpd consume`: shows what comes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.cli.messages import run
from tests.server.running import running

if TYPE_CHECKING:
    from pathlib import Path


async def test_messages_are_shown_and_go_back_unless_acknowledged(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        await run(broker, "publish", "-q", "q", "{count}", "-n", "3", "--template")
        first = await run(broker, "consume", "q", "-n", "2")
        second = await run(broker, "consume", "q", "-n", "3", "--ack")
        third = await run(broker, "consume", "q", "--wait", "0.01")

    assert first.output == "#1 1\n#2 2\n2 shown, back in the queue, marked as redelivered\n"
    assert second.output.splitlines()[:3] == [
        "#1 (redelivered) 1",
        "#2 (redelivered) 2",
        "#3 (redelivered) 3",
    ]
    assert second.output.endswith("3 shown, acknowledged\n")
    assert third.output.startswith("0 shown")


async def test_json_has_one_object_a_message(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        await run(broker, "publish", "-q", "q", "hi", "-H", "a=1")
        await run(broker, "publish", "-q", "q", stdin=b"\xff\x00")
        result = await run(broker, "consume", "q", "-n", "2", "--json", "--ack")

    text, octets = map(json.loads, result.output.splitlines())
    assert text == {
        "exchange": "",
        "routing_key": "q",
        "redelivered": False,
        "properties": {"headers": {"a": 1}, "delivery_mode": 2},
        "payload_bytes": 2,
        "payload": "hi",
        "payload_encoding": "string",
    }
    assert (octets["payload"], octets["payload_encoding"]) == ("/wA=", "base64")


async def test_what_is_no_text_is_shown_in_hex_and_the_rest_on_request(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        await run(broker, "publish", "-q", "q", "--property", "type=t", stdin=b"\xff" * 100)
        result = await run(broker, "consume", "q", "-n", "1", "--headers")

    lines = result.output.splitlines()
    assert lines[0] == f"#1 100 bytes: {' '.join(['ff'] * 64)}…"
    assert lines[1:3] == ["    exchange: (default)", "    key: q"]
    assert "    message_type: t" in lines


async def test_a_queue_that_is_not_there_is_said(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        result = await run(broker, "consume", "nope", code=65)

    assert "404 NOT_FOUND - no queue 'nope' in vhost '/'" in result.output


async def test_bodies_go_through_a_program(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        await run(broker, "publish", "-q", "q", "hello", "-n", "2")
        upper = ("consume", "q", "-n", "1", "--ack", "--pipe", "tr a-z A-Z")
        assert "#1 HELLO" in (await run(broker, *upper)).output

        wrong = ("consume", "q", "-n", "1", "--ack", "--pipe", "false")
        assert "ended with 1; the message goes back" in (await run(broker, *wrong, code=70)).output
        none = ("consume", "q", "-n", "1", "--ack", "--pipe", "no-such-program")
        assert "No such file" in (await run(broker, *none, code=64)).output
        left = await run(broker, "consume", "q", "-n", "1", "--ack", "--json")

    assert json.loads(left.stdout)["payload"] == "hello"


async def test_what_was_shown_in_json_is_published_again_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "saved.jsonl"
    async with running(tmp_path / "data") as broker:
        publish = ("publish", "-q", "q", "-H", "n=12", "--property", "type=t", "--property")
        await run(broker, *publish, "message_id=m", '{"a": 1}')
        await run(broker, "publish", "-q", "q", stdin=b"\xff\x00")
        take = ("consume", "q", "-n", "2", "--ack", "--json")
        before = (await run(broker, *take)).stdout
        file.write_text(before)

        said = await run(broker, "publish", "--jsonl", str(file))
        after = (await run(broker, *take)).stdout
        await run(broker, "publish", "-q", "other", "--jsonl", "-", stdin=before.encode())
        other = (await run(broker, "consume", "other", "-n", "2", "--ack", "--json")).stdout

    assert said.output.startswith("2 published, 2 confirmed")
    assert after == before
    assert [json.loads(one)["routing_key"] for one in other.splitlines()] == ["other", "other"]


async def test_a_line_that_is_no_message_is_named(tmp_path: Path) -> None:
    file = tmp_path / "saved.jsonl"
    async with running(tmp_path / "data") as broker:
        for line in ("{", "[]", "{}", '{"payload": 1}', '{"payload": "a", "properties": {"b": 1}}'):
            file.write_text(f"{line}\n")
            said = await run(broker, "publish", "-q", "q", "--jsonl", str(file), code=65)
            assert f"{file}, line 1: not a message" in said.output


async def test_a_reader_that_has_seen_enough_ends_it_without_a_word(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        await run(broker, "publish", "-q", "q", "hi", "-n", "5")
        words = [sys.executable, "-m", "amqpd", "consume", "q", "--ack"]
        environment = {**os.environ, "AMQPD_AMQP_URL": f"amqp://127.0.0.1:{broker.port}"}
        reading, writing = os.pipe()
        os.close(reading)
        done = await asyncio.to_thread(
            subprocess.run, words, stdout=writing, stderr=subprocess.PIPE, env=environment
        )
        os.close(writing)
        left = await run(broker, "consume", "q", "--wait", "0.01")

    assert done.stderr == b""
    assert left.output.endswith("5 shown, back in the queue, marked as redelivered\n")
