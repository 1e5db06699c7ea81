"""A canary in every place where a secret comes in, and a look into every place it may get out."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from typing import TYPE_CHECKING
from urllib.parse import quote

import aiohttp
import pytest
from pamqp.commands import Connection

from amqpd.auth.chain import Chain, Way
from amqpd.auth.http import HttpBackend
from amqpd.auth.ldap import LdapBackend
from amqpd.auth.settings import HttpAuth, Ldap
from amqpd.management.resources import ROUTES
from tests.client import Client, Closed, Gone
from tests.management.served import basic
from tests.server.running import Program

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

    from amqpd.broker.access import Authority

#: Each begins with the same word, so that a piece of one is found as well.
CANARY = "canary5ae1"
ADMIN, USER, WRONG, RENEWED, SETTING = (
    f"{CANARY}-{name}-password" for name in ("admin", "user", "wrong", "renewed", "setting")
)


def uri(broker: Program, protocol: str) -> str:
    listeners = broker.run["listeners"]
    assert isinstance(listeners, list)
    return next(str(one["uri"]) for one in listeners if one["protocol"] == protocol)


def talk(port: int) -> None:
    """Show secrets to the AMQP port in every way there is."""
    with Client(port, user="admin", password=ADMIN) as client:
        client.send(Connection.UpdateSecret(RENEWED, "because"))
        client.wait(Connection.UpdateSecretOk)
    for user, password in (("admin", WRONG), ("nobody", WRONG), ("app", USER)):
        with contextlib.suppress(Closed, Gone), Client(port, user=user, password=password):
            pass
    # Responses that cannot be read: too many parts, and no table at all.
    for mechanism, response in (("PLAIN", f"\0a\0b\0{WRONG}"), ("AMQPLAIN", WRONG)):
        raw = Client.__new__(Client)
        with contextlib.suppress(Closed, Gone, OSError):
            _start(raw, port, mechanism, response)


def _start(client: Client, port: int, mechanism: str, response: str) -> None:
    opened = Client._open

    def only_start(self: Client, user: str, password: str, vhost: str, frame_max: int) -> None:
        self._socket.sendall(b"AMQP\x00\x00\x09\x01")
        self.wait(Connection.Start)
        self.send(Connection.StartOk({}, mechanism, response, "en_US"))
        self.wait(Connection.Tune)

    Client._open = only_start  # type: ignore[method-assign]  # for this one attempt
    try:
        client.__init__(port, timeout_s=2.0)  # type: ignore[misc]  # as above
    finally:
        Client._open = opened  # type: ignore[method-assign]  # as it was


def readable() -> Iterator[str]:
    """Every path of the API that can be read, with names that exist."""
    names = {"vhost": "/", "name": "admin", "user": "admin", "exchange": "amq.topic"}
    for route in ROUTES:
        if "GET" in route.methods:
            words = [
                quote(names.get(word[1:-1], "x"), safe="") if word.startswith("{") else word
                for word in route.path.strip("/").split("/")
            ]
            yield "/".join(words)


async def said(answer: aiohttp.ClientResponse) -> str:
    """All of an answer, but of the log, which has no end."""
    endless = answer.content_type == "text/event-stream"
    return f"{answer.headers}\n{'' if endless else await answer.text()}"


async def shown(broker: Program) -> str:
    """Everything that the HTTP ports say."""
    api, metrics = uri(broker, "http"), uri(broker, "http/prometheus")
    texts = []
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session:
        user = {"password": USER, "tags": "management"}
        put = session.put(f"{api}/api/users/app", json=user, headers=basic("admin", ADMIN))
        async with put as answer:
            assert answer.status == 201
        for headers in (basic("admin", WRONG), {"Authorization": f"Bearer {WRONG}"}):
            async with session.get(f"{api}/api/whoami", headers=headers) as answer:
                texts.append(await answer.text())
        async with session.put(
            f"{api}/api/users/x", data=f'{{"password": "{WRONG}"', headers=basic("admin", ADMIN)
        ) as answer:
            assert answer.status == 400
            texts.append(await answer.text())
        for path in readable():
            url = f"{api}/api/{path}"
            async with session.get(url, headers=basic("admin", ADMIN)) as answer:
                texts.append(await said(answer))
        async with session.get(f"{metrics}/metrics") as answer:
            texts.append(await answer.text())
    return "\n".join(texts)


async def test_secrets_get_out_nowhere(tmp_path: Path) -> None:
    configuration = tmp_path / "amqpd.toml"
    configuration.write_text(
        f'[auth]\ndefault_user = "admin"\ndefault_password = "{ADMIN}"\n'
        f'[auth_ldap]\nother_bind_password = "{SETTING}"\n'
        f'dn_lookup_bind_password = "{SETTING}"\n'
    )
    options = (
        "--config", str(configuration), "--log-level", "debug",
        "--http-port", "0", "--metrics-port", "0",
    )  # fmt: skip
    with Program(tmp_path / "data", *options) as broker:
        await asyncio.to_thread(broker.wait_ready)
        http = await shown(broker)
        await asyncio.to_thread(talk, broker.port)
        http += await shown_again(broker)
        run = (broker.data / "run.json").read_text()
        assert await asyncio.to_thread(broker.stop) == 0

        places = {
            "HTTP": http,
            "start screen": "\n".join(broker.screen),
            "run.json": run,
            "log": broker.log,
            **{
                path.name: path.read_bytes().decode("latin-1")
                for path in broker.data.iterdir()
                if path.is_file()
            },
        }
    assert "login refused" in broker.log, "the wrong password was tried"
    encoded = base64.b64encode(WRONG.encode()).decode()[:12]
    for place, text in places.items():
        at = max(text.find(CANARY), text.find(encoded))
        assert at < 0, f"{place}: {text[max(0, at - 200) : at + 60]!r}"


async def shown_again(broker: Program) -> str:
    """The API once more, after everything has happened."""
    api = uri(broker, "http")
    texts = []
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session:
        for path in readable():
            url = f"{api}/api/{path}"
            async with session.get(url, headers=basic("admin", ADMIN)) as answer:
                texts.append(await said(answer))
    return "\n".join(texts)


def never(work: Coroutine[object, object, None]) -> None:
    """Nothing is started in the background here."""
    raise AssertionError(work)


def nobody(name: str) -> Authority:
    """Nobody decides here."""
    raise AssertionError(name)


@pytest.mark.parametrize("method", ["get", "post"])
async def test_a_backend_that_fails_tells_no_secret(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gone = "http://127.0.0.1:9/auth"
    http = HttpBackend(
        HttpAuth(http_method="get" if method == "get" else "post", user_path=gone), never, 15
    )
    ldap = LdapBackend(Ldap(servers=("127.0.0.1",), port=9, timeout_s=1), never, 15)
    chain = Chain([Way(http), Way(ldap)], b"key", nobody)

    found = await chain.login("admin", ADMIN, "192.0.2.1", 0.0)

    await chain.close()
    assert "auth backend 'http'" in caplog.text
    assert "auth backend 'ldap'" in caplog.text
    assert CANARY not in caplog.text + repr(found) + repr(vars(chain))
