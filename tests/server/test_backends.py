"""Auth backends in a running broker: real clients, real counterparts, real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import aio_pika
import pytest
from aio_pika.exceptions import AMQPConnectionError, ChannelClosed, ConnectionClosed

from amqpd.amqp.connection import Connection
from amqpd.server.process import StartError
from tests.auth.directory import a_directory
from tests.auth.issuer import AUDIENCE, an_issuer
from tests.auth.service import a_service
from tests.management.served import Api, served
from tests.server.running import running
from tests.server.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

    from amqpd.config import Value
    from tests.auth.issuer import Issuer
    from tests.auth.service import Service
    from tests.server.running import Running


@contextlib.asynccontextmanager
async def connected(broker: Running, user: str, password: str) -> AsyncIterator[AbstractConnection]:
    connection = await aio_pika.connect(
        host="127.0.0.1", port=broker.port, login=user, password=password
    )
    try:
        yield connection
    finally:
        await connection.close()


def of(service: Service) -> dict[str, Value]:
    """The settings that name the service."""
    paths = {f"auth_http__{name}_path": service.path(name) for name in service.answers}
    return {"auth__backends": ("http",), **paths}


def by(issuer: Issuer) -> dict[str, Value]:
    """The settings that name the issuer."""
    return {
        "auth__backends": ("oauth2", "internal"),
        "auth_oauth2__resource_server_id": AUDIENCE,
        "auth_oauth2__issuer": issuer.url,
    }


# -- HTTP ------------------------------------------------------------------------------------


async def test_an_http_service_decides_on_everything(tmp_path: Path) -> None:
    async with a_service() as service, running(tmp_path, None, **of(service)) as broker:
        service.denied.add("secret")
        async with connected(broker, "alice", "pw") as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue("q", exclusive=True)
            await queue.bind("amq.topic", "a.#")
            for _ in range(50):
                await channel.default_exchange.publish(aio_pika.Message(b"x"), "q")
            message = await queue.get(no_ack=True)
            assert message.body == b"x"
            with pytest.raises(ChannelClosed, match="ACCESS_REFUSED - configure access to queue"):
                await channel.declare_queue("secret")

    asked = [name for _, name, _ in service.asked]
    assert asked.count("user") == 1
    assert asked.count("vhost") == 1
    assert asked.count("topic") == 1
    # configure q; write q, read amq.topic; write amq.default; read q; configure secret
    assert asked.count("resource") == 6


async def test_a_service_that_says_no_keeps_out(tmp_path: Path) -> None:
    async with a_service() as service:
        service.answers["user"] = "deny"
        async with running(tmp_path, None, **of(service)) as broker:
            with pytest.raises(AMQPConnectionError):
                async with connected(broker, "alice", "pw"):
                    pass


async def test_a_right_that_is_taken_away_ends_with_the_answers_time(tmp_path: Path) -> None:
    async with (
        a_service() as service,
        running(tmp_path, None, **of(service), auth__cache_ttl_s=0.2) as broker,
        connected(broker, "alice", "pw") as connection,
    ):
        channel = await connection.channel()
        queue = await channel.declare_queue("q", exclusive=True)
        await queue.consume(nothing)
        (session,) = (transport.session for transport in broker.server.connections)
        assert isinstance(session, Connection)
        assert len(session.channels[1].consumers) == 1

        service.denied.add("q")

        await until(lambda: not session.channels[1].consumers)


async def nothing(_message: AbstractIncomingMessage) -> None:
    """Take a message."""


# -- OAuth 2 ---------------------------------------------------------------------------------


async def test_a_token_opens_and_limits(tmp_path: Path) -> None:
    async with an_issuer() as issuer, running(tmp_path, None, **by(issuer)) as broker:
        token = issuer.token(
            "rabbitmq.configure:%2F/q*", "rabbitmq.write:%2F/*", "rabbitmq.read:%2F/q*"
        )
        async with connected(broker, "whatever", token) as connection:
            channel = await connection.channel(publisher_confirms=True)
            await channel.declare_queue("q1", exclusive=True)
            await channel.default_exchange.publish(aio_pika.Message(b"x", user_id="alice"), "q1")
            with pytest.raises(ChannelClosed, match="refused for user 'alice'"):
                await channel.declare_queue("other")
        # The next backend in the chain is asked with what is no token.
        async with connected(broker, "guest", "guest"):
            pass
        with pytest.raises(AMQPConnectionError):
            async with connected(broker, "guest", issuer.token(aud="other")):
                pass


async def test_a_connection_ends_with_its_token(tmp_path: Path) -> None:
    async with an_issuer() as issuer, running(tmp_path, None, **by(issuer)) as broker:
        token = issuer.token("rabbitmq.read:*/*", exp=int(time.time()) + 2)
        connection = await aio_pika.connect(
            host="127.0.0.1", port=broker.port, login="", password=token
        )
        reasons: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        connection.close_callbacks.add(lambda _, reason: reasons.set_result(reason))

        async with asyncio.timeout(5):
            reason = await reasons

        assert isinstance(reason, ConnectionClosed)
        assert "CONNECTION_FORCED - credential expired" in str(reason)


async def test_a_new_token_keeps_a_connection_open(tmp_path: Path) -> None:
    async with an_issuer() as issuer, running(tmp_path, None, **by(issuer)) as broker:
        token = issuer.token("rabbitmq.read:*/*", exp=int(time.time()) + 2)
        async with connected(broker, "", token) as connection:
            renewed = issuer.token("rabbitmq.read:*/*", "rabbitmq.configure:*/*")
            await connection.update_secret(renewed, reason="renewed")
            (session,) = (transport.session for transport in broker.server.connections)
            assert isinstance(session, Connection)
            assert session.login.expires_at_ms is not None
            assert session.login.expires_at_ms > (time.time() + 30) * 1000
            channel = await connection.channel()
            await channel.declare_queue("q", exclusive=True)


async def test_a_new_token_of_somebody_else_ends_the_connection(tmp_path: Path) -> None:
    async with an_issuer() as issuer, running(tmp_path, None, **by(issuer)) as broker:
        connection = await aio_pika.connect(
            host="127.0.0.1",
            port=broker.port,
            login="",
            password=issuer.token("rabbitmq.read:*/*"),
        )
        with pytest.raises(ConnectionClosed, match="New secret was refused"):
            await connection.update_secret(issuer.token("rabbitmq.read:*/*", sub="bob"))


# -- LDAP ------------------------------------------------------------------------------------


async def test_a_directory_checks_passwords_and_our_tables_decide(tmp_path: Path) -> None:
    with a_directory(tmp_path) as directory:
        settings: dict[str, Value] = {
            "auth__backends": ("ldap/internal", "internal"),
            "auth_ldap__servers": ("127.0.0.1",),
            "auth_ldap__port": directory.port,
            "auth_ldap__user_dn_pattern": "cn=${username},ou=people,dc=example",
        }
        async with running(tmp_path, None, **settings, auth__default_user="alice") as broker:
            async with connected(broker, "alice", "alice-pw") as connection:
                channel = await connection.channel()
                await channel.declare_queue("q", exclusive=True)
            with pytest.raises(AMQPConnectionError):
                # In the directory, but not in our tables.
                async with connected(broker, "b,ob", "bob-pw"):
                    pass


# -- settings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"auth__backends": ("lpad",)}, "auth.backends"),
        ({"auth__backends": ("ldap",)}, "auth_ldap.servers"),
    ],
)
async def test_a_backend_that_cannot_be_made_is_told_at_the_start(
    tmp_path: Path, settings: dict[str, Value], text: str
) -> None:
    with pytest.raises(StartError, match=text):
        async with running(tmp_path, None, **settings):
            pass


# -- the same users over HTTP ------------------------------------------------------------------


async def test_a_token_opens_the_http_api_as_far_as_its_scopes_go(tmp_path: Path) -> None:
    async with an_issuer() as issuer, served(tmp_path, None, **by(issuer)) as api:
        token = issuer.token(
            "rabbitmq.tag:management", "rabbitmq.configure:%2F/q*", "rabbitmq.read:%2F/q*"
        )
        bearer = Api(api.broker, api.client, {"Authorization": f"Bearer {token}"})
        basic_token = api.as_user("whatever", token)

        assert (await bearer.get("/whoami"))["name"] == "alice"
        assert (await basic_token.get("/whoami"))["tags"] == ["management"]
        await bearer.put("/queues/%2F/q1")
        await bearer.put("/queues/%2F/other", status=401)
        await bearer.get("/users", 401)
        expired = issuer.token("rabbitmq.tag:management", exp=int(time.time()) - 1)
        await Api(api.broker, api.client, {"Authorization": f"Bearer {expired}"}).get(
            "/whoami", 401
        )


async def test_an_http_service_decides_for_the_http_api_too(tmp_path: Path) -> None:
    async with a_service() as service, served(tmp_path, None, **of(service)) as api:
        service.answers["user"] = "allow management"
        service.denied.add("secret")
        alice = api.as_user("alice", "pw")

        await alice.put("/queues/%2F/q")
        await alice.put("/queues/%2F/secret", status=401)
        assert [one["name"] for one in await alice.get("/queues")] == ["q"]
        service.answers["vhost"] = "deny"
        bob = api.as_user("bob", "pw")
        assert await bob.get("/queues") == []


async def test_an_http_service_is_asked_for_all_of_a_super_stream_first(tmp_path: Path) -> None:
    async with a_service() as service, served(tmp_path, None, **of(service)) as api:
        service.answers["user"] = "allow management"
        service.denied.add("secret-1")
        alice = api.as_user("alice", "pw")

        await alice.put("/stream/super-streams/%2F/clicks", {"partitions": 2}, 204)
        await alice.put("/stream/super-streams/%2F/secret", {"partitions": 2}, 401)

        assert [one["name"] for one in await alice.get("/queues")] == ["clicks-0", "clicks-1"]
        await alice.get("/exchanges/%2F/secret", 404)
