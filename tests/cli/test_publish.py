"""`amqpd publish`: confirmed, or a clear no."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from amqpd.cli.contexts import Context, Contexts, write
from amqpd.cli.dial import Address, address
from amqpd.cli.main import group
from tests.cli.messages import run
from tests.client import Client
from tests.management.served import served
from tests.server.running import running

if TYPE_CHECKING:
    from pathlib import Path

    from pamqp.common import FieldValue

    from tests.client import Delivery
    from tests.server.running import Running


async def stored(broker: Running, queue: str) -> list[Delivery]:
    """The messages of a queue."""

    def fetch() -> list[Delivery]:
        with Client(broker.port) as client:
            channel = client.channel()
            return list(iter(lambda: channel.get(queue, no_ack=True), None))

    return await asyncio.to_thread(fetch)


async def test_a_queue_that_is_not_there_is_made_and_messages_are_on_disk(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        result = await run(broker, "publish", "--queue", "orders", '{"id": 1}', "--count", "3")
        again = await run(broker, "publish", "--queue", "orders", "more")
        messages = await stored(broker, "orders")

    assert "queue 'orders' did not exist: declared, durable" in result.output
    assert "3 published, 3 confirmed, on disk (" in result.output
    assert "did not exist" not in again.output
    assert [one.body for one in messages] == [b'{"id": 1}'] * 3 + [b"more"]
    assert {one.properties.delivery_mode for one in messages} == {2}


async def test_properties_and_headers_are_as_given(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        result = await run(
            broker, "publish", "-q", "q", "hi", "--transient", "--json",
            "--property", "type=t", "--property", "content-type=text/plain",
            "--property", "priority=3", "-H", "a=1", "-H", "b=x", "-H", 'c=["y"]',
        )  # fmt: skip
        (message,) = await stored(broker, "q")

    properties = message.properties
    assert (properties.message_type, properties.content_type) == ("t", "text/plain")
    assert (properties.priority, properties.delivery_mode) == (3, 1)
    assert properties.headers == {"a": 1, "b": "x", "c": ["y"]}
    facts = json.loads(result.output)
    assert (facts["published"], facts["confirmed"], facts["unroutable"]) == (1, 1, 0)


async def test_bodies_come_from_standard_input_whole_or_by_lines(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        await run(broker, "publish", "-q", "q", stdin=b"a\nb\n")
        await run(broker, "publish", "-q", "q", "--lines", stdin=b"a\nb\n")
        messages = await stored(broker, "q")

    assert [one.body for one in messages] == [b"a\nb\n", b"a", b"b"]


async def test_templates_count_and_tell_the_time(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        await run(
            broker, "publish", "-q", "q", "{count} {time_ms} {other}", "-n", "2", "--template"
        )
        first, second = [one.body.split() for one in await stored(broker, "q")]

    assert (first[0], second[0], first[2]) == (b"1", b"2", b"{other}")
    assert int(first[1]) > 1_700_000_000_000


async def test_what_leads_nowhere_is_said(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        result = await run(broker, "publish", "-x", "amq.direct", "-k", "a", "hi", code=65)
        missing = await run(broker, "publish", "-x", "nope", "-k", "a", "hi", code=65)

    assert "1 went nowhere: exchange 'amq.direct' with key 'a' leads to no queue" in result.output
    assert "404 NOT_FOUND - no exchange 'nope' in vhost '/'" in missing.output


async def test_whoever_failed_leaves_in_an_orderly_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as broker:
        with caplog.at_level(logging.INFO):
            await run(broker, "publish", "-x", "amq.direct", "-k", "a", "hi", code=65)
            await run(broker, "publish", "-x", "nope", "-k", "a", "hi", code=65)

    assert "unexpectedly" not in caplog.text


async def test_a_full_queue_that_refuses_is_said(tmp_path: Path) -> None:
    def declare(port: int) -> None:
        arguments: dict[str, FieldValue] = {"x-max-length": 1, "x-overflow": "reject-publish"}
        with Client(port) as client:
            client.channel().declare_queue("q", durable=True, arguments=arguments)

    async with running(tmp_path) as broker:
        await asyncio.to_thread(declare, broker.port)
        result = await run(broker, "publish", "-q", "q", "hi", "-n", "3", code=65)

    assert "3 published, 1 confirmed" in result.output
    assert "2 were refused by a full queue" in result.output


@pytest.mark.parametrize(
    ("arguments", "text", "code"),
    [
        (["hi"], "where to?", 64),
        (["-q", "q", "-x", "x", "hi"], "exclude each other", 64),
        (["-q", "q", "--lines", "hi"], "leave the body out", 64),
        (["-q", "q", "hi", "-H", "a"], "--header a: must be NAME=VALUE", 64),
        (["-q", "q", "hi", "--property", "x=1"], "must be NAME=VALUE with one of", 64),
    ],
)
async def test_what_is_not_understood_is_said_before_anything_is_done(
    tmp_path: Path, arguments: list[str], text: str, code: int
) -> None:
    async with running(tmp_path) as broker:
        result = await run(broker, "publish", *arguments, code=code)
        assert "q" not in broker.server.broker.vhosts["/"].queues

    assert text in result.output


async def test_who_may_not_is_told_with_77(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        uri = f"amqp://guest:wrong@127.0.0.1:{broker.port}"
        result = await run(broker, "publish", "--uri", uri, "-q", "q", "hi", code=77)

    assert "403 ACCESS_REFUSED" in result.output


@pytest.mark.parametrize("by_context", [False, True])
async def test_messages_go_to_the_port_that_the_named_broker_listens_on(
    tmp_path: Path, by_context: bool
) -> None:
    contexts = tmp_path / "contexts.json"
    async with served(tmp_path / "data") as api:
        if by_context:
            write(contexts, Contexts({"here": Context(api.uri)}, "here"))
        environment = {
            "AMQPD_CONTEXTS": str(contexts),
            "AMQPD_URL": None if by_context else api.uri,
            "AMQPD_AMQP_URL": None,
        }
        runner = CliRunner(env=environment)
        words = ["publish", "-q", "orders", "hi"]
        result = await asyncio.to_thread(runner.invoke, group, words, prog_name="amqpd")
        messages = await stored(api.broker, "orders")

    assert result.exit_code == 0, result.output
    assert [one.body for one in messages] == [b"hi"]


def test_an_address_has_everything_or_the_defaults(tmp_path: Path) -> None:
    nothing = address(None, None, environment={}, directory=tmp_path)
    full = address("amqp://a:b%2F@h:1/v%2Fw", None)

    assert nothing == Address()
    assert full == Address("h", 1, "a", "b/", "v/w")
    assert address("amqp://h", "other").vhost == "other"
    assert "b/" not in repr(full)


@pytest.mark.parametrize("uri", ["http://h", "amqp:", "h:5672", "amqp://h:x"])
def test_an_address_that_is_none_is_an_error_of_usage(uri: str) -> None:
    with pytest.raises(SystemExit) as ended:
        address(uri, None)

    assert ended.value.code == 64


async def test_names_may_be_anything_that_the_broker_takes(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        await run(broker, "publish", "-q", "größe <1> /", "hi")
        shown = await run(broker, "consume", "größe <1> /", "-n", "1", "--ack")

    assert shown.output.startswith("#1 hi\n")
