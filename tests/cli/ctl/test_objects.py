"""Queues, exchanges, bindings, connections, channels and consumers, as scripts see them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from amqpd.cli.ctl import objects
from tests.client import Client, ConnectionClosed

if TYPE_CHECKING:
    from tests.cli.ctl.conftest import Ctl


async def connected(ctl: Ctl) -> Client:
    """A client with a queue q of three messages, bound twice, and a consumer of another."""

    def connect() -> Client:
        client = Client(ctl.api.broker.port, name="shop")
        channel = client.channel()
        channel.declare_queue("q", durable=True)
        channel.declare_queue("other", arguments={"x-max-length": 5})
        channel.bind("q", "amq.topic", "a.#")
        for _ in range(3):
            channel.publish("", "q", b"x", persistent=True)
        channel.consume("other", prefetch=7, tag="me")
        return client

    return await asyncio.to_thread(connect)


async def test_queues_are_listed_with_the_columns_that_are_asked_for(ctl: Ctl) -> None:
    with await connected(ctl):
        assert await ctl.quiet("list_queues") == [["other", "0"], ["q", "3"]]
        columns = ("name", "durable", "consumers", "type", "arguments")
        other, mine = await ctl.quiet("list_queues", *columns)
        assert (other[:4], mine[:4]) == (
            ["other", "false", "1", "classic"],
            ["q", "true", "0", "classic"],
        )
        assert '{"x-max-length",5}' in other[4]
        assert await ctl.quiet("list_queues", "--offline") == []
        said = await ctl.run("list_queues", "-p", "nope", code=65)
        assert "Virtual host 'nope' does not exist" in said


async def test_queues_are_purged_and_deleted(ctl: Ctl) -> None:
    with await connected(ctl):
        await ctl.run("delete_queue", "q", "--if-empty", code=64)
        await ctl.run("purge_queue", "q")
        assert ["q", "0"] in await ctl.quiet("list_queues")
        await ctl.run("delete_queue", "other", "--if-unused", code=64)

        said = await ctl.run("delete_queue", "q", "--if-empty")

    assert "Queue was successfully deleted with 0 ready messages" in said
    await ctl.run("delete_queue", "q", code=64)


async def test_exchanges_and_bindings_are_listed(ctl: Ctl) -> None:
    with await connected(ctl):
        exchanges = await ctl.quiet("list_exchanges", "name", "type")
        bindings = await ctl.quiet("list_bindings")
        columns = ("source_name", "destination_name", "routing_key")
        short = await ctl.quiet("list_bindings", *columns)

    assert ["amq.topic", "topic"] in exchanges
    assert ["", "direct"] in exchanges
    assert ["amq.topic", "exchange", "q", "queue", "a.#", "[]"] in bindings
    assert ["", "q", "q"] in short


async def test_connections_channels_and_consumers_are_listed(ctl: Ctl) -> None:
    with await connected(ctl):
        ((user, host, _, state),) = await ctl.quiet("list_connections")
        ((pid, properties),) = await ctl.quiet("list_connections", "pid", "client_properties")
        ((channel, _, consumers, unacked),) = await ctl.quiet("list_channels")
        (consumer,) = json.loads(await ctl.run("list_consumers", "--formatter", "json"))

    assert (user, host, state) == ("guest", "127.0.0.1", "running")
    assert '{"connection_name","shop"}' in properties
    assert channel == f"{pid} (1)"
    assert (consumers, unacked) == ("1", "0")
    assert (consumer["queue_name"], consumer["consumer_tag"]) == ("other", "me")
    assert (consumer["prefetch_count"], consumer["channel_pid"]) == (7, channel)


async def test_a_connection_is_closed_with_the_reason(ctl: Ctl) -> None:
    with await connected(ctl) as client:
        ((pid,),) = await ctl.quiet("list_connections", "pid")
        await ctl.run("close_connection", "nobody", "bye", code=65)

        await ctl.run("close_connection", pid, "bye")

        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.to_thread(client.channel)
    assert (closed.value.code, "bye" in closed.value.text) == (320, True)


@pytest.mark.parametrize(
    ("arguments", "closed"),
    [
        (["close_all_connections", "bye"], 2),
        (["close_all_connections", "-p", "/", "bye"], 2),
        (["close_all_connections", "--limit", "1", "bye"], 1),
        (["close_all_connections", "-p", "other", "bye"], 0),
    ],
)
async def test_many_connections_are_closed_at_once(
    ctl: Ctl, arguments: list[str], closed: int
) -> None:
    with await ctl.api.connect(), await ctl.api.connect():
        assert f"Closed {closed} connections" in await ctl.run(*arguments)


async def test_the_connections_of_one_user_are_closed(ctl: Ctl) -> None:
    with await ctl.api.connect() as connection:
        said = await ctl.run("close_all_user_connections", "nobody", "bye")
        assert said == "Closing connections of user nobody, reason: bye...\n"
        assert len(await ctl.quiet("list_connections")) == 1

        await ctl.run("close_all_user_connections", "guest", "bye")

        with pytest.raises(ConnectionClosed):
            await asyncio.to_thread(connection.channel)


async def test_the_policy_in_force_is_found(ctl: Ctl) -> None:
    with await connected(ctl):
        await ctl.run("set_policy", "low", "^q", '{"max-length":5}')
        await ctl.run("set_policy", "high", "^q", '{"max-length":6}', "--priority", "1")

        found = await ctl.quiet("list_policies_that_match", "q")

    assert [row[1] for row in found] == ["high"]
    await ctl.run("list_policies_that_match", "q", "--object-type", "nonsense", code=64)


async def test_a_column_that_there_is_not_is_refused_with_those_that_there_are(ctl: Ctl) -> None:
    said = await ctl.run("list_queues", "nope", code=64)

    assert "nope are not supported" in said
    assert "Columns: name, durable" in said


def test_columns_of_rabbitmq_are_known() -> None:
    assert {"pid", "owner_pid", "messages_ready", "policy"} <= objects.QUEUE.keys()
    assert {"pid", "peer_port", "client_properties", "ssl"} <= objects.CONNECTION.keys()
    assert {"source_name", "destination_kind", "arguments"} <= objects.BINDING.keys()
