"""What can be set about the HTTP API, as who uses it sees it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from amqpd import config
from amqpd.server import reload
from tests.management.served import served

if TYPE_CHECKING:
    from pathlib import Path

    from tests.management.served import Api, Json

FORM = {"username": "guest", "password": "guest"}


async def log_in(api: Api, status: int = 200) -> tuple[Json, str]:
    """Log in with the form; the answer, and the cookie."""
    async with api.client.post(f"{api.uri}/api/login", data=FORM) as answer:
        assert answer.status == status
        return await answer.json(), answer.headers.get("Set-Cookie", "")


# -- logins ----------------------------------------------------------------------------------


async def test_a_login_gives_a_token_for_the_header_authorization(api: Api) -> None:
    answer, _ = await log_in(api)

    assert answer["user"]["name"] == "guest"
    assert answer["user"]["tags"] == ["administrator"]
    assert answer["user"] == await api.get("/whoami")
    assert answer["user"]["login_session_timeout"] == 480
    token = answer["token"]
    assert token["type"] == "bearer"
    assert base64.b64encode(b"guest:guest").decode() not in str(answer)
    shown = {"Authorization": f"Bearer {token['value']}"}
    assert (await api.call("GET", "/whoami", 200, headers=shown))[0]["name"] == "guest"
    await api.call("PUT", "/queues/%2F/q", 201, {}, shown)
    await api.call("DELETE", "/login", 204, headers=shown)
    await api.call("GET", "/whoami", 401, headers=shown)
    answer, cookie = await log_in(api)
    shown = {"Authorization": f"Bearer {answer['token']['value']}"}
    await api.call("GET", "/whoami", 200, headers=shown)
    sent = {"Cookie": cookie.partition(";")[0], "Authorization": ""}
    await api.call("DELETE", "/login", 204, headers=sent)
    await api.call("GET", "/whoami", 401, headers=shown)


async def test_a_login_holds_as_long_as_is_set(tmp_path: Path) -> None:
    async with served(tmp_path, http__login_session_s=120) as api:
        answer, cookie = await log_in(api)
        assert "Max-Age=120;" in f"{cookie};"
        assert answer["user"]["login_session_timeout"] == 2
        assert (await api.get("/whoami"))["login_session_timeout"] == 2
        shown = {"Authorization": f"Bearer {answer['token']['value']}"}
        await api.call("GET", "/whoami", 200, headers=shown)

        api.broker.server.broker.tick(api.broker.server.broker.around.now_ms + 120_000)

        await api.call("GET", "/whoami", 401, headers=shown)


async def test_without_basic_authentication_no_password_logs_in(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        answer, _ = await log_in(api)
        server = api.broker.server
        reload.apply(server, config.changed(server.settings, "http.basic_auth", False))

        refusal, headers = await api.call("GET", "/whoami", 401)
        assert refusal["reason"] == "HTTP access denied: basic auth disabled"
        assert "WWW-Authenticate" not in headers
        refusal, _ = await log_in(api, 401)
        assert refusal["reason"] == "HTTP access denied: basic auth disabled"
        async with api.client.get(f"{api.uri}/api/whoami") as nobody:
            assert nobody.status == 401
            assert "WWW-Authenticate" not in nobody.headers
        async with api.client.get(
            f"{api.uri}/api/definitions?auth={base64.b64encode(b'guest:guest').decode()}"
        ) as link:
            assert link.status == 401
        shown = {"Authorization": f"Bearer {answer['token']['value']}"}
        await api.call("GET", "/whoami", 200, headers=shown)


# -- what may be sent ------------------------------------------------------------------------


async def test_a_body_may_be_as_long_as_is_set(tmp_path: Path) -> None:
    async with served(tmp_path, http__max_body_bytes=2048) as api:
        await api.put("/queues/%2F/q", {"arguments": {"x-a": "a" * 1900}})
        long = {"arguments": {"x-a": "a" * 2048}}
        refusal = await api.put("/queues/%2F/p", long, 400)
        assert refusal["reason"] == "Exceeded HTTP request body size limit"

        server = api.broker.server
        reload.apply(server, config.changed(server.settings, "http.max_body_bytes", 4096))

        await api.put("/queues/%2F/p", long)


async def test_a_file_of_definitions_has_the_name_that_is_asked_for(tmp_path: Path) -> None:
    async with served(tmp_path, http__definitions_json_only=True) as api:
        assert (await api.get("/overview"))["require_definition_json_extension"] is True
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        url = f"{api.uri}/api/definitions"
        for name, status in (
            ('; filename="a.json"', 204), ('; filename="A.JSON"', 204), ('; filename="a.txt"', 400),
            ('; filename="json"', 400), ("", 400),
        ):  # fmt: skip
            form = f'--b\r\nContent-Disposition: form-data; name="file"{name}\r\n\r\n{{}}\r\n--b--'
            async with api.client.post(url, data=form, headers=api.headers | kind) as answer:
                assert answer.status == status, (name, await answer.text())
        await api.post("/definitions", {}, 204)


# -- what may be done ------------------------------------------------------------------------


async def test_operator_policies_can_be_closed(tmp_path: Path) -> None:
    async with served(tmp_path, http__operator_policy_changes=False) as api:
        assert (await api.get("/overview"))["is_op_policy_updating_enabled"] is False
        policy = {"pattern": ".*", "definition": {"max-length": 3}}
        for method in ("PUT", "GET", "DELETE"):
            refusal, _ = await api.call(method, "/operator-policies/%2F/p", 405, policy)
            assert refusal == {
                "error": "method_not_allowed",
                "reason": "Broker settings disallow editing of operator policies.",
            }
        assert await api.get("/operator-policies") == []
        await api.put("/policies/%2F/p", policy)


async def test_replicas_can_be_closed(tmp_path: Path) -> None:
    async with served(tmp_path, http__quorum_replica_changes=False) as api:
        for method, path in (
            ("POST", "/queues/quorum/%2F/q/replicas/add"),
            ("DELETE", "/queues/quorum/%2F/q/replicas/delete"),
            ("POST", "/queues/quorum/replicas/on/x/grow"),
            ("DELETE", "/queues/quorum/replicas/on/x/shrink"),
        ):
            refusal, _ = await api.call(method, path, 405, {})
            assert "disallow quorum queue replica operations" in refusal["reason"]


async def test_the_reference_can_be_kept_for_who_is_logged_in(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        paths = ("/api/index.html", "/api/openapi.json")
        for path in paths:
            async with api.client.get(api.uri + path) as answer:
                assert answer.status == 200
        server = api.broker.server
        reload.apply(server, config.changed(server.settings, "http.reference_needs_login", True))
        for path in paths:
            async with api.client.get(api.uri + path) as answer:
                assert answer.status == 401, path
            async with api.client.get(api.uri + path, headers=api.headers) as answer:
                assert answer.status == 200, path


@pytest.mark.parametrize(
    ("setting", "value", "bad", "good", "reason"),
    [
        ("password_min_bytes", 8, "1234567", "12345678", "minimum required password length is 8"),
        ("password_min_bytes", 1, "", "1", "minimum required password length is 1"),
        ("password_min_bytes", 4, "ä", "ää", "minimum required password length is 4"),
        (
            "password_pattern", "^[a-z]+[0-9]$", "abc", "abc1",
            "provided password does not match the validator regular expression",
        ),
    ],
)  # fmt: skip
async def test_new_passwords_are_as_is_set(
    tmp_path: Path, setting: str, value: str | int, bad: str, good: str, reason: str
) -> None:
    flags: dict[str, config.Value] = {f"auth__{setting}": value}
    async with served(tmp_path, None, **flags) as api:
        refusal = await api.put("/users/u", {"password": bad, "tags": ""}, 400)
        assert refusal == {"error": "bad_request", "reason": reason}
        await api.put("/users/u", {"password": good, "tags": ""})
        # What is hashed elsewhere cannot be looked at, and guest's was there before.
        await api.put("/users/v", {"password_hash": "", "tags": ""})
        assert (await api.get("/whoami"))["name"] == "guest"


def test_a_pattern_of_passwords_that_is_none_is_refused() -> None:
    with pytest.raises(config.ConfigError, match=r"auth\.password_pattern"):
        config.load(None, {}, {"auth.password_pattern": "("})


# -- what is told ----------------------------------------------------------------------------


async def test_node_and_cluster_have_the_tags_that_are_set(tmp_path: Path) -> None:
    tags, cluster = {"region": "north", "rack": "7"}, {"stage": "live"}
    async with served(tmp_path, node__tags=tags, node__cluster_tags=cluster) as api:
        overview = await api.get("/overview")
        assert (overview["node_tags"], overview["cluster_tags"]) == (tags, cluster)

        await api.put("/global-parameters/cluster_tags", {"value": {"stage": "test"}})

        assert (await api.get("/overview"))["cluster_tags"] == {"stage": "test"}


async def test_headers_are_those_that_are_set(tmp_path: Path) -> None:
    headers = {
        "x-frame-options": "SAMEORIGIN",
        "Content-Security-Policy": "default-src 'self'",
        "Referrer-Policy": "",
        "X-XSS-Protection": "1",
        "Strict-Transport-Security": "max-age=1",
    }
    async with served(tmp_path, http__headers=headers) as api:
        for path in ("/", "/ui/main.js", "/healthz", "/api/whoami", "/api/nothing", "/nothing"):
            async with api.client.get(api.uri + path, headers=api.headers) as answer:
                found = answer.headers
                assert found.getall("X-Frame-Options") == ["SAMEORIGIN"], path
                assert found.getall("Content-Security-Policy") == ["default-src 'self'"], path
                assert "Referrer-Policy" not in found, path
                assert found["X-XSS-Protection"] == "1", path
                # Over TCP it would be a promise of somebody in between.
                assert "Strict-Transport-Security" not in found, path


@pytest.mark.parametrize(
    "headers",
    [{"X-A": "b\r\nSet-Cookie: c"}, {"X A": "b"}, {"Set-Cookie": "a=b"}, {"content-length": "0"},
     {"Access-Control-Allow-Origin": "*"}, {"X-A": "ä"}],
)  # fmt: skip
def test_what_is_no_header_to_set_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(config.ConfigError, match=r"http\.headers"):
        config.load(None, {}, {"http.headers": headers})


async def test_methods_are_told_only_to_who_has_used_a_wrong_one(tmp_path: Path) -> None:
    async with served(tmp_path, http__allow_header=False) as api:
        async with api.client.options(f"{api.uri}/api/queues") as answer:
            assert answer.status == 200
            assert "Allow" not in answer.headers
        _, headers = await api.call("PATCH", "/queues", 405)
        assert "GET" in headers["Allow"]
