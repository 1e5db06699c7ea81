"""Stopping and starting within the process, alarms and settings by hand, the local socket."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from amqpd.broker.broker import Alarms
from amqpd.cli.dial import address, connect
from amqpd.cli.remote import Place, Remote, RemoteError
from amqpd.server.local import LocalSocket
from amqpd.server.tickets import LIFE_S, MOST, Tickets
from amqpd.server.unix import NAME, PATH_BYTES
from amqpd.store.settings import StoreSettings
from amqpd.store.sqlite import SqliteStore
from tests.client import ConnectionClosed
from tests.management.served import served
from tests.server.running import running

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.config import Settings
    from amqpd.store import Post
    from tests.client import Client
    from tests.management.served import Api, Json


def on_disk(folder: Path, _settings: Settings, post: Post) -> SqliteStore:
    return SqliteStore(folder, post, StoreSettings(sync=False, reserve_bytes=0))


async def act(api: Api, action: str, status: int = 204, **more: str) -> None:
    node = (await api.get("/overview"))["node"]
    await api.post(f"/nodes/{node}/actions", {"action": action, **more}, status)


def fill(client: Client) -> None:
    channel = client.channel()
    channel.declare_queue("kept", durable=True)
    channel.declare_queue("lost")
    channel.select_confirms()
    channel.publish("", "kept", b"persistent", persistent=True)
    channel.publish("", "kept", b"transient")
    channel.wait_confirms()


def bodies(client: Client, queue: str) -> list[bytes]:
    channel = client.channel()
    found = []
    while (got := channel.get(queue)) is not None:
        found.append(got.body)
    return found


async def test_stop_app_keeps_what_is_durable_and_nothing_else(tmp_path: Path) -> None:
    async with served(tmp_path, on_disk) as api:
        client = await api.connect()
        await asyncio.to_thread(fill, client)
        port = api.broker.port

        await act(api, "stop_app")

        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.to_thread(client.read, 10)
        assert closed.value.code == 320
        with pytest.raises(ConnectionRefusedError):
            await api.connect()
        assert (await api.get("/queues", 503))["error"] == "not_running"
        await api.put("/vhosts/new", status=503)
        await api.get("/health/checks/is-in-service", 503)
        assert (await api.get("/nodes"))[0]["running"] is False

        await act(api, "start_app")

        assert api.broker.server.ports.amqp[0].port == port
        queues = await api.get("/queues")
        assert [one["name"] for one in queues] == ["kept"]
        again = await api.connect()
        assert await asyncio.to_thread(bodies, again, "kept") == [b"persistent"]
        await api.get("/health/checks/is-in-service")
        again.abort()


async def test_both_can_be_said_twice_and_the_broker_stops_in_either_state(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, on_disk) as api:
        await act(api, "start_app")
        await act(api, "stop_app")
        await act(api, "stop_app")
        await act(api, "start_app")
        await act(api, "stop_app")

        assert await api.broker.stop() == 0


async def test_a_port_that_is_taken_meanwhile_is_told_and_can_be_had_later(tmp_path: Path) -> None:
    async with served(tmp_path, on_disk) as api:
        await act(api, "stop_app")
        with socket.socket() as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            thief.bind(("127.0.0.1", api.broker.port))
            thief.listen()

            await act(api, "start_app", 503)
            assert (await api.get("/nodes"))[0]["running"] is False

        await act(api, "start_app")
        (await api.connect()).abort()


async def test_suspended_listeners_let_nobody_in_and_keep_who_is_there(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        client = await api.connect()

        await act(api, "suspend_listeners")

        with pytest.raises(ConnectionRefusedError):
            await api.connect()
        await asyncio.to_thread(client.channel)
        await api.get("/health/checks/ready-to-serve-clients", 503)

        await act(api, "resume_listeners")
        (await api.connect()).abort()
        client.abort()


async def test_an_alarm_is_raised_and_taken_back_by_hand(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        broker = api.broker.server.broker

        await act(api, "set_alarm", resource="memory")
        assert broker.alarms == Alarms(memory=True)
        await act(api, "set_alarm", resource="disk")
        assert broker.alarms == Alarms(memory=True, disk=True)

        await act(api, "clear_alarm", resource="memory")
        await act(api, "clear_alarm", resource="disk")
        assert broker.alarms == Alarms()


async def test_a_limit_that_is_set_has_its_effect_before_the_answer(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        await api.put("/config/effective/resources.memory_watermark_bytes", {"value": 1}, 204)
        assert api.broker.server.broker.alarms.memory

        await api.put("/config/effective/resources.memory_watermark_bytes", {"value": 0}, 204)
        assert not api.broker.server.broker.alarms.memory


async def test_settings_that_cannot_change_now_are_refused_with_the_reason(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        for key, value, reason in (
            ("amqp.port", 1, "changes with the next start"),
            ("amqp.channel_maxi", 1, "did you mean 'amqp.channel_max'"),
            ("amqp.channel_max", "many", "not valid"),
        ):
            refused = await api.put(f"/config/effective/{key}", {"value": value}, 400)
            assert reason in refused["reason"]
        user = await api.user("maker", "policymaker")
        await user.put("/config/effective/amqp.channel_max", {"value": 10}, 401)


# -- the local socket ----------------------------------------------------------------------


async def ask(folder: Path, method: str, path: str, body: Json = None, user: str = "") -> Json:
    """What comes back over the local socket; the user's password is its name."""
    socket_path = folder / "data" / NAME
    remote = Remote(Place(str(socket_path), user, user, 10.0, socket=socket_path))
    try:
        return await asyncio.to_thread(remote.call, method, path, body)
    finally:
        remote.close()


async def test_the_local_socket_needs_no_password_and_no_port(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        assert (await ask(tmp_path, "GET", "/whoami"))["tags"] == ["administrator"]
        await ask(tmp_path, "PUT", "/queues/%2F/q", {"durable": True})
        assert [one["name"] for one in await api.get("/queues")] == ["q"]
        sent = {"routing_key": "q", "payload": "x", "payload_encoding": "string", "properties": {}}
        path = "/exchanges/%2F/amq.default/publish"
        assert (await ask(tmp_path, "POST", path, sent))["routed"] is True


async def test_a_password_over_the_local_socket_is_checked(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        await api.user("operator", "monitoring")

        assert (await ask(tmp_path, "GET", "/whoami", user="operator"))["tags"] == ["monitoring"]


async def test_the_local_socket_is_for_nobody_else_and_goes_with_the_broker(
    tmp_path: Path,
) -> None:
    path = tmp_path / "data" / NAME
    async with served(tmp_path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


async def test_a_broker_without_http_is_asked_over_its_socket(tmp_path: Path) -> None:
    async with running(tmp_path):
        assert (await ask(tmp_path, "GET", "/overview"))["sync"] is True


async def test_a_path_of_any_length_will_do(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * PATH_BYTES)
    folder.mkdir()
    made = LocalSocket.bound_in(folder)
    assert made is not None
    try:
        asked = Remote(Place(str(made.path), "", "", 10.0, socket=made.path))
        knocked = asyncio.create_task(made.knocked())
        asking = asyncio.create_task(asyncio.to_thread(asked.get, "/whoami"))
        await asyncio.wait_for(knocked, 10)
    finally:
        made.close()
    with pytest.raises(RemoteError, match="not reached"):
        await asking
    asked.close()


async def test_where_there_can_be_no_socket_the_broker_goes_on(tmp_path: Path) -> None:
    assert LocalSocket.bound_in(tmp_path / "nowhere") is None
    assert os.listdir(tmp_path) == []


async def test_messages_go_without_anybodys_password(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        await api.put("/users/guest", {"password": "changed", "tags": "administrator"}, 204)
        environment = {"AMQPD_STORE_PATH": str(tmp_path / "data")}

        def talk() -> str:
            place = address(None, None, environment=environment)
            with connect(place, "test") as client:
                channel = client.channel()
                channel.declare_queue("q", durable=True)
                channel.select_confirms()
                channel.publish("", "q", b"x")
                channel.wait_confirms()
            return place.password

        password = await asyncio.to_thread(talk)

        assert len(password) > 20
        with pytest.raises(ConnectionClosed):
            await api.connect("local user root", "x" * len(password))


async def test_only_the_local_socket_gives_tickets(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        await api.post("/local/ticket", status=404)


def test_a_ticket_is_good_for_a_minute_and_for_one_user() -> None:
    now = [0.0]
    tickets = Tickets(lambda: now[0])
    password = tickets.issue("root")

    found = tickets.find("local user root", password)
    assert found is not None
    assert found.name == "local user root"
    assert tickets.find("local user other", password) is None
    assert tickets.find("local user root", "x") is None
    now[0] = LIFE_S
    assert tickets.find("local user root", password) is None
    for _ in range(2 * MOST):
        password = tickets.issue("root")
    assert tickets.find("local user root", password) is not None
