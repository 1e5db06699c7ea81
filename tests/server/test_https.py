"""The HTTP ports with TLS."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import aiohttp
import pytest

from amqpd.config import ConfigError, load
from tests.certificates import Authority
from tests.server.running import running, running_with
from tests.server.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.config import Value
    from tests.server.running import Running


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Whom both ends trust."""
    return Authority(tmp_path)


def port_of(broker: Running, protocol: str) -> int:
    """Where it listens."""
    return next(one.port for one in broker.server.ports.all_http if one.protocol == protocol)


def client(authority: Authority) -> aiohttp.ClientSession:
    """A client that trusts the authority."""
    context = ssl.create_default_context(cafile=str(authority.file))
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context),
        # The jar takes no cookies of addresses otherwise.
        cookie_jar=aiohttp.CookieJar(unsafe=True),
        timeout=aiohttp.ClientTimeout(10),
    )


async def test_api_and_metrics_are_served_over_tls(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.sign("server")
    flags: dict[str, Value] = {"tls__certificate": str(certificate), "tls__key": str(key)}
    async with (
        running(tmp_path, None, http__tls_port=0, metrics__tls_port=0, **flags) as broker,
        client(authority) as http,
    ):
        api = f"https://127.0.0.1:{port_of(broker, 'https')}"
        metrics = f"https://127.0.0.1:{port_of(broker, 'https/prometheus')}"
        form = {"username": "guest", "password": "guest"}
        async with http.post(f"{api}/api/login", data=form) as answer:
            assert answer.status == 200
            cookie = answer.headers["Set-Cookie"]
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        async with http.get(f"{api}/api/whoami") as answer:
            assert (await answer.json())["name"] == "guest"
        async with http.get(f"{metrics}/metrics") as answer:
            assert "\nrabbitmq_connections 0\n" in await answer.text()

    assert "Secure" in cookie
    assert "HttpOnly" in cookie


async def test_without_tls_nothing_is_said_of_it(tmp_path: Path) -> None:
    async with (
        running(tmp_path, http__port=0) as broker,
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port_of(broker, 'http')}/healthz") as answer,
    ):
        assert "Strict-Transport-Security" not in answer.headers


async def test_browsers_are_not_asked_for_a_certificate(
    tmp_path: Path, authority: Authority
) -> None:
    certificate, key = authority.sign("server")
    flags: dict[str, Value] = {
        "tls__certificate": str(certificate), "tls__key": str(key),
        "tls__ca": str(authority.file), "tls__verify": "required", "http__hsts_s": 0,
    }  # fmt: skip
    async with (
        running(tmp_path, None, http__tls_port=0, **flags) as broker,
        client(authority) as http,
        http.get(f"https://127.0.0.1:{port_of(broker, 'https')}/healthz") as answer,
    ):
        assert answer.status == 200
        assert "Strict-Transport-Security" not in answer.headers


async def test_a_reload_takes_a_new_certificate(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.sign("server")
    file = tmp_path / "amqpd.toml"
    tls = f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n'
    file.write_text(f"{tls}[http]\ntls_port = 0\n")
    async with running_with(tmp_path, file) as broker, client(authority) as http:
        uri = f"https://127.0.0.1:{port_of(broker, 'https')}/healthz"
        async with http.get(uri) as answer:
            assert answer.status == 200
        await until(lambda: len(broker.server.secure_http) == 1)
        other = Authority(tmp_path)
        other.sign("server")

        broker.server.reload()

        async with client(other) as trusting, trusting.get(uri) as answer:
            assert answer.status == 200


def test_a_tls_port_needs_a_certificate(tmp_path: Path) -> None:
    for section in ("http", "metrics"):
        with pytest.raises(ConfigError, match=rf"'{section}.tls_port': needs 'tls.certificate'"):
            load(None, {}, {f"{section}.tls_port": 0})
