"""Lines that people look for in RabbitMQ's log, in its words and with its levels.

They were taken from RabbitMQ 3.10.8, step by step; in front of its brackets it has the number of a
process (`<0.471.0>`), and what is one line here is sometimes two there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from typing import TYPE_CHECKING

import aio_pika
import pytest
from aiormq.exceptions import AMQPError

from amqpd.broker.broker import Alarms
from tests.management.served import Api, served
from tests.server.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

PEER = r"127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+"
INFO, WARNING, ERROR = logging.INFO, logging.WARNING, logging.ERROR


async def everybody_is_gone(api: Api) -> None:
    await until(lambda: not len(api.broker.server.connections))


async def a_client(api: Api) -> None:
    async with await aio_pika.connect(f"{api.broker.uri}?name=my%20app"):
        pass


async def a_wrong_password(api: Api) -> None:
    with contextlib.suppress(AMQPError):
        await aio_pika.connect(api.broker.uri.replace("guest:guest", "guest:wrong"))


async def a_wrong_password_over_http(api: Api) -> None:
    await api.as_user("guest", "wrong").get("/whoami", 401)


async def a_vhost_that_is_not_theirs(api: Api) -> None:
    await api.put("/users/bob", {"password": "a password", "tags": ""}, 201)
    uri = api.broker.uri.replace("guest:guest", "bob:a%20password")
    with contextlib.suppress(AMQPError):
        await aio_pika.connect(uri)


async def a_queue_that_is_not_there(api: Api) -> None:
    async with await aio_pika.connect(api.broker.uri) as connection:
        channel = await connection.channel()
        with contextlib.suppress(AMQPError):
            await channel.declare_queue("nothing", passive=True)


async def a_method_that_ends_the_connection(api: Api) -> None:
    async with await aio_pika.connect(api.broker.uri) as connection:
        channel = await connection.channel()
        below = await channel.get_underlay_channel()
        with contextlib.suppress(AMQPError):
            await below.basic_qos(prefetch_size=1)


async def a_connection_that_an_operator_closes(api: Api) -> None:
    async with await aio_pika.connect(f"{api.broker.uri}?name=kill") as connection:
        (one,) = await api.get("/connections")
        await api.delete(f"/connections/{one['name'].replace(' ', '%20')}", 204)
        await everybody_is_gone(api)
        await connection.close()


async def what_is_no_amqp(api: Api) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.broker.port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    await reader.read()
    writer.close()


async def a_client_that_is_gone_before_its_login(api: Api) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.broker.port)
    writer.write(b"AMQP\0\0\x09\1")
    await reader.read(7)
    writer.close()
    await everybody_is_gone(api)


async def alarms(api: Api) -> None:
    alarming = api.broker.server.alarming
    await alarming.look_once()
    alarming.force(Alarms(memory=True))
    alarming.force(Alarms(disk=True))
    alarming.force(Alarms())


async def users_and_vhosts(api: Api) -> None:
    await api.put("/vhosts/lv", {"description": "of mine", "tags": "a"}, 201)
    await api.put("/users/ann", {"password": "a password", "tags": "monitoring"}, 201)
    await api.put("/users/ann", {"password": "another one", "tags": "administrator"}, 204)
    rights = {"configure": ".*", "write": "w", "read": ""}
    await api.put("/permissions/lv/ann", rights, 201)
    topic = {"exchange": "amq.topic", "write": "^a", "read": ".*"}
    await api.put("/topic-permissions/lv/ann", topic, 201)
    await api.delete("/topic-permissions/lv/ann", 204)
    await api.delete("/permissions/lv/ann", 204)
    await api.delete("/users/ann", 204)
    await api.delete("/vhosts/lv", 204)


Lines = list[tuple[int, str]]
#: What somebody does, and what of it is in RabbitMQ's log.
LINES: list[tuple[Callable[[Api], Coroutine[None, None, None]], Lines]] = [
    (
        a_client,
        [
            (INFO, rf"accepting AMQP connection \({PEER}\)"),
            (INFO, rf"connection \({PEER}\) has a client-provided name: my app"),
            (
                INFO,
                rf"connection \({PEER} - my app\): user 'guest' authenticated and granted access "
                "to vhost '/'",
            ),
            (
                INFO,
                rf"closing AMQP connection \({PEER} - my app, vhost: '/', user: 'guest', "
                r"duration: '.*'\)",
            ),
        ],
    ),
    (
        a_wrong_password,
        [
            (INFO, rf"accepting AMQP connection \({PEER}\)"),
            (
                ERROR,
                rf"Error on AMQP connection \({PEER}, state: starting\): PLAIN login refused: "
                r"user 'guest' - invalid credentials \(internal: wrong password\)",
            ),
            (INFO, rf"closing AMQP connection \({PEER}\)"),
        ],
    ),
    (
        a_wrong_password_over_http,
        [(WARNING, r"HTTP access denied: user 'guest' - invalid credentials \(.*\)")],
    ),
    (
        a_vhost_that_is_not_theirs,
        [
            (
                ERROR,
                rf"Error on AMQP connection \({PEER}, user: 'bob', state: opening\): "
                "access to vhost '/' refused for user 'bob'",
            ),
            (INFO, rf"closing AMQP connection \({PEER}, vhost: 'none', user: 'bob'\)"),
        ],
    ),
    (
        a_queue_that_is_not_there,
        [
            (
                ERROR,
                rf"Channel error on connection \({PEER}, vhost: '/', user: 'guest'\), channel 1: "
                "operation queue.declare caused a channel exception not_found: "
                "no queue 'nothing' in vhost '/'",
            ),
        ],
    ),
    (
        a_method_that_ends_the_connection,
        [
            (
                ERROR,
                rf"Error on AMQP connection \({PEER}, vhost: '/', user: 'guest', "
                r"state: running\), channel 1: operation basic.qos caused a connection exception "
                r'not_implemented: "prefetch_size!=0 \(1\)"',
            ),
        ],
    ),
    (
        a_connection_that_an_operator_closes,
        [
            (
                ERROR,
                rf"Error on AMQP connection \({PEER} - kill, vhost: '/', user: 'guest', "
                r"state: running\), channel 0: operation none caused a connection exception "
                'connection_forced: "Closed via management plugin"',
            ),
        ],
    ),
    (what_is_no_amqp, [(ERROR, rf"closing AMQP connection \({PEER}\): bad_header: .*HTTP")]),
    (
        a_client_that_is_gone_before_its_login,
        [
            (
                WARNING,
                rf"closing AMQP connection \({PEER}\): client unexpectedly closed TCP connection.*",
            )
        ],
    ),
    (
        alarms,
        [
            (INFO, r"vm_memory_high_watermark set\. Memory used:\d+ allowed:\d+"),
            (WARNING, r"memory resource limit alarm set on node .*"),
            (INFO, r"vm_memory_high_watermark clear\. Memory used:\d+ allowed:\d+"),
            (INFO, r"Free disk space is insufficient\. Free bytes: \d+\. Limit: \d+"),
            (WARNING, r"memory resource limit alarm cleared on node .*"),
            (WARNING, r"disk resource limit alarm set on node .*Publishers will be blocked.*"),
            (INFO, r"Free disk space is sufficient\. Free bytes: \d+\. Limit: \d+"),
            (WARNING, r"disk resource limit alarm cleared on node .*"),
        ],
    ),
    (
        users_and_vhosts,
        [
            (INFO, r"Adding vhost 'lv' \(description: 'of mine', tags: \[a\]\)"),
            (INFO, "Created user 'ann'"),
            (INFO, r"Successfully set user tags for user 'ann' to \[monitoring\]"),
            (INFO, "Successfully changed password for user 'ann'"),
            (INFO, r"Successfully set user tags for user 'ann' to \[administrator\]"),
            (
                INFO,
                r"Successfully set permissions for 'ann' in virtual host 'lv' to '\.\*', 'w', ''",
            ),
            (
                INFO,
                "Successfully set topic permissions on exchange 'amq.topic' for 'ann' in virtual "
                r"host 'lv' to '\^a', '\.\*'",
            ),
            (INFO, "Successfully cleared topic permissions for 'ann' in virtual host 'lv'"),
            (INFO, "Successfully cleared permissions for 'ann' in virtual host 'lv'"),
            (INFO, "Deleted user 'ann'"),
            (INFO, "Deleting vhost 'lv'"),
        ],
    ),
]


@pytest.mark.parametrize(("act", "lines"), LINES, ids=lambda one: getattr(one, "__name__", ""))
async def test_the_log_has_rabbitmqs_lines_in_their_order(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    act: Callable[[Api], Coroutine[None, None, None]],
    lines: Lines,
) -> None:
    with caplog.at_level(logging.INFO, "amqpd"):
        async with served(tmp_path, auth__failure_delay_s=0) as api:
            caplog.clear()
            await act(api)

    told = iter(caplog.records)
    for level, line in lines:
        assert any(one.levelno == level and re.fullmatch(line, one.getMessage()) for one in told), (
            line,
            caplog.text,
        )
