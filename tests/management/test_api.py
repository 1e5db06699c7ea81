"""The API as a whole: logins, rights, methods, errors."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import pytest

from amqpd.management.resources import ROUTES
from amqpd.server.hosting import Hosting

if TYPE_CHECKING:
    from tests.management.served import Api


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"\xff:x").decode(),
        "Basic " + base64.b64encode(b"guest:wrong").decode(),
        "Basic " + base64.b64encode(b"guest:").decode(),
        "Bearer abc",
    ],
)
async def test_without_the_right_password_there_is_nothing(api: Api, header: str) -> None:
    refusal, headers = await api.call("GET", "/whoami", 401, headers={"Authorization": header})

    assert refusal == {"error": "not_authorized", "reason": "Not_Authorized"}
    assert headers["WWW-Authenticate"].startswith("Basic")


async def test_without_a_login_there_is_nothing(api: Api) -> None:
    api.headers.clear()

    await api.get("/whoami", 401)


async def test_a_page_is_not_challenged_so_that_the_browser_shows_no_dialog(api: Api) -> None:
    api.headers.clear()

    _, headers = await api.call("GET", "/whoami", 401, headers={"Sec-Fetch-Dest": "empty"})

    assert "WWW-Authenticate" not in headers


async def test_users_without_a_tag_get_in_nowhere(api: Api) -> None:
    shop = await api.user("shop")

    refusal = await shop.get("/overview", 401)

    assert refusal == {"error": "not_authorised", "reason": "Not management user"}


async def test_whoami_tells_user_and_tags(api: Api) -> None:
    assert await api.get("/whoami") == {
        "name": "guest",
        "tags": ["administrator"],
        "is_internal_user": True,
        "login_session_timeout": 480,
    }


async def test_a_method_that_a_path_does_not_have_is_405(api: Api) -> None:
    refusal, headers = await api.call("POST", "/vhosts/%2F", 405)

    assert refusal["error"] == "Method Not Allowed"
    assert headers["Allow"] == "HEAD, GET, PUT, DELETE, OPTIONS"


async def test_a_path_that_is_not_there_is_404(api: Api) -> None:
    assert await api.get("/nonsense", 404) == {
        "error": "Object Not Found",
        "reason": "Not Found",
    }


async def test_options_need_no_login(api: Api) -> None:
    api.headers.clear()

    _, headers = await api.call("OPTIONS", "/vhosts", 200)

    assert headers["Allow"] == "HEAD, GET, OPTIONS"


async def test_head_has_the_headers_of_get_and_no_body(api: Api) -> None:
    body, headers = await api.call("HEAD", "/vhosts", 200)

    assert body is None
    assert headers["Content-Type"] == "application/json"


async def test_a_trailing_slash_changes_nothing(api: Api) -> None:
    assert await api.get("/vhosts/") == await api.get("/vhosts")


async def test_a_name_may_have_a_line_break_in_it(api: Api) -> None:
    await api.put("/vhosts/a%0Ab")

    assert (await api.get("/vhosts/a%0Ab"))["name"] == "a\nb"


async def test_a_body_that_is_no_json_is_400(api: Api) -> None:
    headers = {**api.headers, "Content-Type": "application/json"}
    uri = f"{api.uri}/api/vhosts/a"
    async with api.client.put(uri, data=b"{", headers=headers) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"] == "bad_request"


@pytest.mark.parametrize("octets", [b"[", b'["', b"{", b'"', b"1x"])
async def test_a_body_that_breaks_off_is_400_whatever_it_began_as(api: Api, octets: bytes) -> None:
    uri = f"{api.uri}/api/vhosts/v"

    async with api.client.put(uri, data=octets, headers=api.headers) as answer:
        assert answer.status == 400
        assert "not_json" in (await answer.json())["reason"]


async def test_a_body_above_the_limit_is_400(api: Api) -> None:
    uri = f"{api.uri}/api/vhosts/a"
    async with api.client.put(
        uri, data=io.BytesIO(b" " * 10_000_001), headers=api.headers
    ) as answer:
        assert answer.status == 400
        assert (await answer.json())["reason"] == "Exceeded HTTP request body size limit"


# -- the cookie --------------------------------------------------------------------------


async def logged_in(api: Api) -> Api:
    """The same user, with a cookie in place of the password."""
    form = {"username": "guest", "password": "guest"}
    async with api.client.post(f"{api.uri}/api/login", data=form) as answer:
        assert answer.status == 200
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
    # Cookies of an address are not kept by the client.
    api.headers = {"Cookie": cookie.partition(";")[0]}
    return api


async def test_a_cookie_stands_for_the_user_until_it_logs_out(api: Api) -> None:
    await logged_in(api)

    assert (await api.get("/whoami"))["name"] == "guest"
    await api.delete("/login")
    await api.get("/whoami", 401)


async def test_a_cookie_ends_with_the_password_it_was_got_with(api: Api) -> None:
    await logged_in(api)

    await api.put("/users/guest", {"password": "other", "tags": "administrator"}, status=204)

    await api.get("/whoami", 401)


async def test_a_cookie_is_worth_nothing_on_another_sites_page(api: Api) -> None:
    await logged_in(api)

    foreign = {"Origin": "https://evil.example"}
    refusal, _ = await api.call("PUT", "/vhosts/a", 403, {}, headers=foreign)
    await api.call("PUT", "/vhosts/a", 403, {}, headers={"Sec-Fetch-Site": "cross-site"})

    assert refusal["error"] == "forbidden"
    own = {"Origin": api.uri}
    await api.call("PUT", "/vhosts/a", 201, {}, headers=own)


async def test_another_sites_page_cannot_log_a_browser_in(api: Api) -> None:
    form = {"username": "guest", "password": "guest"}
    foreign = {"Origin": "https://evil.example"}

    async with api.client.post(f"{api.uri}/api/login", data=form, headers=foreign) as answer:
        assert answer.status == 403
        assert "Set-Cookie" not in answer.headers


async def test_a_wrong_login_gives_no_cookie(api: Api) -> None:
    form = {"username": "guest", "password": "wrong"}
    async with api.client.post(f"{api.uri}/api/login", data=form) as answer:
        assert answer.status == 401
        assert "Set-Cookie" not in answer.headers


# -- our own errors ----------------------------------------------------------------------


async def test_an_error_of_our_own_is_500_without_details(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    api.broker.server.broker.definitions.clear()

    refusal = await api.delete("/vhosts/%2F", 500)

    assert refusal == {"error": "internal_server_error", "reason": "see the broker's log"}
    assert "KeyError" in caplog.text


def test_every_operation_says_what_it_does() -> None:
    for route in ROUTES:
        for method, operation in route.methods.items():
            assert operation.summary, (method, route.path)


async def test_a_fault_is_logged_without_the_secret_in_its_path(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object) -> str:
        raise RuntimeError("a fault of our own")

    monkeypatch.setattr(Hosting, "hash_password", fault)

    for path in ("/auth/hash_password/canary5ae1", "/auth/hash_password/canary5ae1/"):
        refusal = await api.get(path, 500)
        assert "canary5ae1" not in str(refusal)

    assert "a fault of our own" in caplog.text
    assert "HTTP GET /api/auth/hash_password/" in caplog.text
    assert "canary5ae1" not in caplog.text
