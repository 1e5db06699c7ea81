"""Pages of other origins: which may use the API (`http.cors_origins`)."""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import TYPE_CHECKING

import pytest

from amqpd import config
from amqpd.server import reload
from tests.management.served import served

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.management.served import Api

OPS = "https://ops.example"
EVIL = "https://evil.example"
ORIGIN = "Access-Control-Allow-Origin"
CREDENTIALS = "Access-Control-Allow-Credentials"


def told(headers: Mapping[str, str]) -> dict[str, str]:
    """What browsers are told about other origins."""
    return {key: value for key, value in headers.items() if key.startswith("Access-Control-")}


async def asked(
    api: Api, origin: str | None, method: str = "GET", path: str = "/whoami", **more: str
) -> tuple[int, dict[str, str]]:
    """Status and CORS headers of a request from a page of that origin."""
    sent = {key.replace("_", "-"): value for key, value in more.items()}
    if origin is not None:
        sent["Origin"] = origin
    if method != "OPTIONS":
        sent |= api.headers
    async with api.client.request(method, f"{api.uri}/api{path}", headers=sent) as answer:
        assert answer.headers["Vary"] == "Origin"
        return answer.status, told(answer.headers)


async def test_nobody_is_let_in_unless_told_so(api: Api) -> None:
    for origin in (OPS, "null", "*", None):
        for method in ("GET", "OPTIONS"):
            assert await asked(api, origin, method) == (200, {})


async def test_only_a_listed_origin_is_echoed_and_may_bring_a_login(tmp_path: Path) -> None:
    async with served(tmp_path, http__cors_origins=[OPS]) as api:
        assert await asked(api, OPS) == (200, {ORIGIN: OPS, CREDENTIALS: "true"})
        # Errors, too: the page has to be able to read them.
        assert await asked(api, OPS, path="/nothing") == (404, {ORIGIN: OPS, CREDENTIALS: "true"})
        for other in (
            EVIL, "null", "*", "https://ops.example.evil.example", "http://ops.example",
            "https://OPS.example", "https://ops.example:8443", "https://ops.example/",
        ):  # fmt: skip
            assert await asked(api, other) == (200, {}), other


async def test_everybody_is_let_in_without_a_browsers_login_only(tmp_path: Path) -> None:
    async with served(tmp_path, http__cors_origins=["*", OPS]) as api:
        assert await asked(api, EVIL) == (200, {ORIGIN: "*"})
        assert await asked(api, OPS) == (200, {ORIGIN: OPS, CREDENTIALS: "true"})
        for nobody in ("null", "*", ""):
            assert await asked(api, nobody) == (200, {})


async def test_a_browser_that_asks_first_is_told_methods_headers_and_for_how_long(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, http__cors_origins=[OPS], http__cors_max_age_s=60) as api:
        status, headers = await asked(
            api, OPS, "OPTIONS", "/queues/%2F/q", access_control_request_headers="authorization, x"
        )
        assert status == 200
        assert headers == {
            ORIGIN: OPS,
            CREDENTIALS: "true",
            "Access-Control-Allow-Methods": "HEAD, GET, PUT, DELETE, OPTIONS",
            "Access-Control-Allow-Headers": "authorization, x",
            "Access-Control-Max-Age": "60",
        }
        for wrong in ("a b", "<b>", "a,,b"):
            _, headers = await asked(api, OPS, "OPTIONS", access_control_request_headers=wrong)
            assert "Access-Control-Allow-Headers" not in headers, wrong
        assert await asked(api, EVIL, "OPTIONS") == (200, {})


async def test_no_time_is_told_where_none_is_set(tmp_path: Path) -> None:
    async with served(tmp_path, http__cors_origins=[OPS], http__cors_max_age_s=0) as api:
        _, headers = await asked(api, OPS, "OPTIONS")
        assert "Access-Control-Max-Age" not in headers


async def test_a_cookie_is_worth_something_on_listed_pages_only(tmp_path: Path) -> None:
    async with served(tmp_path, http__cors_origins=["*", OPS]) as api:
        form = {"username": "guest", "password": "guest"}
        async with api.client.post(f"{api.uri}/api/login", data=form) as answer:
            [cookie] = SimpleCookie(answer.headers["Set-Cookie"]).values()
        await api.put("/queues/%2F/q")
        for origin, status in ((OPS, 204), (EVIL, 403), ("null", 403), ("*", 403)):
            shown = {"Cookie": f"{cookie.key}={cookie.value}", "Sec-Fetch-Site": "same-site"}
            headers = {**shown, "Origin": origin}
            url = f"{api.uri}/api/queues/%2F/q"
            async with api.client.put(url, json={}, headers=headers) as answer:
                assert answer.status == status, origin
            async with api.client.post(
                f"{api.uri}/api/login", data=form, headers=headers
            ) as answer:
                assert (answer.status == 200) == (status == 204), origin


async def test_origins_change_with_a_reload(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        server = api.broker.server

        reload.apply(server, config.changed(server.settings, "http.cors_origins", [OPS]))

        assert (await asked(api, OPS))[1]


@pytest.mark.parametrize("origin", ["ops.example", "https://a/b", "ftp://a", "https://", "**"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(config.ConfigError, match=r"http\.cors_origins"):
        config.load(None, {}, {"http.cors_origins": [origin]})
