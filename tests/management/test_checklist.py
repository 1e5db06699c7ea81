"""What has brought other brokers' HTTP down or open; numbers as in `docs/security.md`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import io
import json
import logging
import re
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from yarl import URL

from amqpd.management import live, logins, resources
from amqpd.management.access import Needs
from amqpd.management.api import LOGIN_BYTES
from amqpd.server import http
from tests.client import ConnectionClosed
from tests.management.served import basic, name, served
from tests.management.test_pause import on_disk
from tests.server.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.management.served import Api

UI = Path(http.__file__).parents[1] / "management" / "ui"
TAGS = ("", "management", "policymaker", "monitoring", "administrator")
#: What only administrators may do: everything below these, and changes to these.
ADMINISTRATORS_ONLY = ("/users", "/permissions", "/topic-permissions", "/config", "/definitions")
CHANGED_BY_ADMINISTRATORS = ("/vhosts", "/vhost-limits", "/user-limits", "/cluster-name")
NOBODY_NEEDED = {"/version", "/auth"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with served(tmp_path) as made:
        yield made


def filled(path: str) -> str:
    """A path of a route, with the names of things that exist."""
    names = {"vhost": "/", "user": "guest", "exchange": "amq.topic", "kind": "q"}
    return "/" + "/".join(
        name(names.get(word[1:-1], "x")) if word.startswith("{") else word
        for word in path.strip("/").split("/")
    )


# -- 19 to 22: rights ------------------------------------------------------------------------


async def test_19_a_policy_sends_nothing_where_its_author_may_not(api: Api) -> None:
    maker = await api.user("maker", "policymaker")
    rights = {"configure": ".*", "write": "^mine$", "read": ".*"}
    await api.put("/permissions/%2F/maker", rights)

    for key in ("dead-letter-exchange", "alternate-exchange"):
        policy = {"pattern": ".*", "definition": {key: "secret"}}
        await maker.put("/policies/%2F/p", policy, 401)
        policy = {"pattern": ".*", "definition": {key: "mine"}}
        await maker.put(f"/policies/%2F/{key}", policy)
    await api.put("/policies/%2F/p", {"pattern": ".*", "definition": {key: "secret"}})


async def test_20_every_operation_asks_for_a_login_and_a_tag(api: Api) -> None:
    nobody = await api.user("nobody")
    for route in resources.ROUTES:
        for method, operation in route.methods.items():
            if operation.needs is Needs.NOTHING:
                assert route.path in NOBODY_NEEDED
                continue
            path = filled(route.path)
            await nobody.call(method, path, 401, {})
            await api.as_user("guest", "w r o n g").call(method, path, 401, {})


def test_20_what_an_operation_needs_is_what_was_decided() -> None:
    # Written down apart from the code: who lowers it there must mean it. A new one needs a line.
    lines = (Path(__file__).parent / "rights.tsv").read_text().splitlines()
    decided = {(method, path): needs for needs, method, path in (one.split("\t") for one in lines)}

    found = {
        (method, route.path): operation.needs.name
        for route in resources.ROUTES
        for method, operation in route.methods.items()
    }

    assert found == decided


async def test_20_no_low_tag_does_what_needs_a_higher_one(api: Api) -> None:
    users = {tag: await api.user(tag, tag, vhosts=("/",)) for tag in TAGS[1:-1]}
    for route in resources.ROUTES:
        for method, operation in route.methods.items():
            path = filled(route.path)
            root = f"/{path.split('/')[1]}"
            is_change = method not in ("GET", "HEAD")
            only = root in ADMINISTRATORS_ONLY and not route.path.endswith("/queues")
            if is_change and root in CHANGED_BY_ADMINISTRATORS:
                only = True
            if only:
                assert operation.needs is Needs.ADMINISTRATOR, f"{method} {route.path}"
            if operation.needs is Needs.ADMINISTRATOR:
                for user in users.values():
                    await user.call(method, path, 401, {})
            elif operation.needs is Needs.MONITOR:
                for tag in ("management", "policymaker"):
                    await users[tag].call(method, path, 401, {})
            elif operation.needs in (Needs.POLICYMAKER, Needs.GLOBAL_PARAMETERS):
                for tag in ("management", "monitoring"):
                    await users[tag].call(method, path, 401, {})


async def test_20_http_needs_the_rights_that_amqp_needs(api: Api) -> None:
    await api.put("/queues/%2F/q")
    await api.put("/exchanges/%2F/x", {"type": "direct"})
    await api.post("/bindings/%2F/e/x/q/q", {"routing_key": "k"}, 201)
    weak = await api.user("weak", "management")
    await api.put("/permissions/%2F/weak", {"configure": "", "write": "", "read": ""})
    message = {"routing_key": "q", "properties": {}, "payload": "x", "payload_encoding": "string"}
    wish = {"ackmode": "ack_requeue_true", "count": 1, "encoding": "auto"}

    for method, path, body in (
        ("PUT", "/queues/%2F/new", {}),
        ("DELETE", "/queues/%2F/q", None),
        ("DELETE", "/queues/%2F/q/contents", None),
        ("POST", "/queues/%2F/q/get", wish),
        ("PUT", "/exchanges/%2F/new", {"type": "direct"}),
        ("DELETE", "/exchanges/%2F/x", None),
        ("POST", "/exchanges/%2F/x/publish", message),
        ("POST", "/exchanges/%2F/amq.default/publish", message),
        ("POST", "/bindings/%2F/e/x/q/q", {"routing_key": "l"}),
        ("DELETE", "/bindings/%2F/e/x/q/q/k", None),
        ("POST", "/bindings/%2F/e/x/e/amq.fanout", {}),
    ):
        answer, _ = await weak.call(method, path, 401, body)
        assert "refused for user 'weak'" in answer["reason"], path
    assert (await api.get("/queues/%2F/q"))["name"] == "q"


async def test_21_a_list_of_users_is_deleted_by_administrators_only(api: Api) -> None:
    await api.user("a")
    maker = await api.user("maker", "policymaker", vhosts=("/",))

    await maker.post("/users/bulk-delete", {"users": ["a"]}, 401)

    assert (await api.get("/users/a"))["name"] == "a"


async def test_22_another_vhost_is_not_even_there(api: Api) -> None:
    await api.put("/vhosts/other")
    await api.put("/queues/other/q")
    here = await api.user("here", "management", vhosts=("/",))

    assert await here.get("/queues") == []
    for path in ("/queues/other", "/queues/other/q", "/exchanges/other", "/bindings/other"):
        await here.get(path, 404)
    await here.delete("/queues/other/q", 404)


async def test_22_a_monitor_sees_what_is_in_vhosts_that_it_may_enter(api: Api) -> None:
    await api.put("/vhosts/other")
    for vhost in ("%2F", "other"):
        await api.put(f"/queues/{vhost}/q")
        await api.put(f"/policies/{vhost}/p", {"pattern": "", "definition": {"expires": 60_000}})
    monitor = await api.user("monitor", "monitoring", vhosts=("/",))

    for path in ("/queues", "/exchanges", "/bindings", "/policies"):
        assert {one["vhost"] for one in await monitor.get(path)} == {"/"}, path
        assert {one["vhost"] for one in await api.get(path)} == {"/", "other"}, path


async def test_26_a_user_id_cannot_be_forged_over_http(api: Api) -> None:
    other = await api.user("other", "management", vhosts=("/",))
    message = {
        "routing_key": "q", "properties": {"user_id": "guest"},
        "payload": "x", "payload_encoding": "string",
    }  # fmt: skip

    answer = await other.post("/exchanges/%2F/amq.default/publish", message, 400)

    assert "authenticated user was 'other'" in answer["reason"]


# -- 32 to 36 and 42: requests and pages ----------------------------------------------------


async def raw(api: Api, head: str, body: bytes = b"") -> bytes:
    """What comes back for octets as they are."""
    host, port = api.uri.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    authorization = basic("guest", "guest")["Authorization"]
    head = f"{head}\r\nHost: localhost\r\nAuthorization: {authorization}"
    head = f"{head}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_32_a_body_is_limited_however_its_size_is_told(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "BODY_S", 0.2)
    put = "PUT /api/vhosts/v HTTP/1.1"

    declared = await raw(api, f"{put}\r\nContent-Length: 999999999999")
    chunk = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    chunked = await raw(api, f"{put}\r\nTransfer-Encoding: chunked", chunk * 11 + b"0\r\n\r\n")
    lying = await raw(api, f"{put}\r\nContent-Length: 100", b"{}")
    both = await raw(api, f"{put}\r\nContent-Length: 2\r\nTransfer-Encoding: chunked", b"{}")

    assert b"200 OK" not in declared + chunked + lying + both
    assert b"201 Created" not in declared + chunked + lying + both
    assert b" 408 " in lying
    assert b" 400 " in both


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_32_a_body_that_is_refused_leaves_nothing_behind(api: Api) -> None:
    put = "PUT /api/vhosts/v HTTP/1.1"
    chunks = (b"100000\r\n" + bytes(0x100000) + b"\r\n") * 11 + b"0\r\n\r\n"
    wrong = b"{" + b" " * 7_999_999
    before = resident_bytes()
    # A broker that is busy looks for cycles late.
    gc.disable()
    try:
        for _ in range(12):
            assert b" 400 " in await raw(api, f"{put}\r\nTransfer-Encoding: chunked", chunks)
            assert b" 400 " in await raw(api, f"{put}\r\nContent-Length: {len(wrong)}", wrong)
        grown = resident_bytes() - before
    finally:
        gc.enable()

    assert grown < 64 << 20


async def test_32_a_body_that_says_it_is_too_long_is_not_waited_for(api: Api) -> None:
    put = "PUT /api/vhosts/v HTTP/1.1"

    assert b"body size limit" in await raw(api, f"{put}\r\nContent-Length: {1 << 30}", b"{")


async def test_33_headers_and_parameters_are_never_formats(api: Api) -> None:
    hostile = "%s%n{0}{self}\x01~p~s"
    for header in ("X-Reason", "X-Vhost", "User-Agent", "Cookie", "Referer"):
        sent = {header: hostile.replace("\x01", "")}
        await api.call("GET", "/overview", 200, headers=sent)
    for parameter in ("name", "sort", "columns", "page", "page_size", "use_regex", "vhost"):
        query = {parameter: hostile}
        quoted = f"/queues?{parameter}={name(hostile)}"
        async with api.client.get(f"{api.uri}/api{quoted}", headers=api.headers) as answer:
            assert answer.status in (200, 400, 404), query
    client = await api.connect()
    (connection,) = await api.get("/connections")
    await api.call(
        "DELETE", f"/connections/{name(connection['name'])}", 204, headers={"X-Reason": "%s{0}"}
    )
    with pytest.raises(ConnectionClosed, match=re.escape("%s{0}")):
        await asyncio.to_thread(client.channel)


def test_34_pages_never_take_text_for_markup() -> None:
    sinks = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|dangerouslySetInnerHTML"
        r"|\beval\(|new Function|javascript:|srcdoc|createContextualFragment|setTimeout\(['\"]"
    )
    scripts = [path for path in UI.rglob("*.js") if path.parent.name != "vendor"]

    assert len(scripts) > 5
    for path in scripts:
        assert not sinks.search(path.read_text()), path
    page = (UI / "index.html").read_text()
    assert not re.search(r"\son\w+=|<script(?![^>]*\bsrc=)[^>]*>\s*\S", page)


HOSTILE = "<img src=x onerror=alert(1)>\"'&"


async def test_34_names_go_out_as_json_and_nothing_else(api: Api) -> None:
    await api.put(f"/queues/%2F/{name(HOSTILE)}")
    await api.put(f"/exchanges/%2F/{name(HOSTILE)}", {"type": "direct"})
    await api.put(f"/vhosts/{name(HOSTILE)}", {"description": HOSTILE})
    await api.put(f"/users/{name(HOSTILE)}", {"password": "x", "tags": HOSTILE.split()[0]})

    for path in ("/queues", "/exchanges", "/vhosts", "/users", f"/{name(HOSTILE)}"):
        url = f"{api.uri}/api{path}"
        async with api.client.get(url, headers=api.headers) as answer:
            text = await answer.text()
            assert answer.content_type == "application/json"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            json.loads(text)


async def test_35_every_answer_forbids_framing_sniffing_and_scripts_of_others(api: Api) -> None:
    paths = ["/", "/ui/main.js", "/healthz", "/metrics", "/api/overview", "/api/nothing", "/x"]
    for path in paths:
        sent = {**api.headers, "Origin": "https://evil.example", "X-Inject": "a"}
        async with api.client.get(api.uri + path, headers=sent) as answer:
            headers = answer.headers
            assert headers["X-Content-Type-Options"] == "nosniff", path
            assert headers["X-Frame-Options"] == "DENY", path
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
            assert "unsafe" not in headers["Content-Security-Policy"], path
            assert not [one for one in headers if one.lower().startswith("access-control-")], path
            assert "aiohttp" not in headers.get("Server", ""), path
    async with api.client.options(f"{api.uri}/api/queues", headers={"Origin": "x"}) as answer:
        assert not [one for one in answer.headers if one.lower().startswith("access-control-")]


@pytest.mark.parametrize(
    "sent",
    [b"GET /api/<b>canary HTTP/1.1\r\nHost : x\r\n\r\n", b"canary\r\n\r\n",
     b"GET /api/whoami HTTP/1.1\r\nHost: x\r\nX: " + b"canary" * 10_000 + b"\r\n\r\n",
     b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n"
     b"Transfer-Encoding: chunked\r\n\r\ncanary"],
)  # fmt: skip
async def test_35_what_cannot_be_read_is_answered_no_worse(api: Api, sent: bytes) -> None:
    host, port = api.uri.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)

    answer = await reader.read()

    writer.close()
    assert answer.split()[1] == b"400"
    assert b"canary" not in answer
    assert b"aiohttp" not in answer
    assert b"Python" not in answer
    assert b"X-Content-Type-Options: nosniff" in answer
    assert b"frame-ancestors 'none'" in answer


async def test_35_nothing_that_is_sent_comes_back_as_a_header(api: Api) -> None:
    evil = name("x\r\nSet-Cookie: a=b")
    for path in (f"/queues/%2F/{evil}", f"/{evil}"):
        _, headers = await api.call("GET", path, 404)
        assert "Set-Cookie" not in headers


async def test_36_a_cookie_holds_a_random_token_that_scripts_cannot_read(api: Api) -> None:
    form = {"username": "guest", "password": "guest"}
    cookies = []
    for _ in range(2):
        async with api.client.post(f"{api.uri}/api/login", data=form) as answer:
            assert answer.status == 200
            cookies.append(answer.headers["Set-Cookie"])

    for cookie in cookies:
        token = cookie.partition("=")[2].partition(";")[0]
        assert len(token) >= 22
        assert "guest" not in cookie
        assert {"HttpOnly", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}
    assert cookies[0] != cookies[1]
    for path in (UI / "api.js", UI / "main.js"):
        assert not re.search(r"localStorage\.\w*.*(password|token|auth)", path.read_text())


async def test_42_compressed_requests_are_not_taken(api: Api) -> None:
    bomb = gzip.compress(bytes(50_000_000))

    sent = {**api.headers, "Content-Encoding": "gzip", "Content-Type": "application/json"}
    async with api.client.put(f"{api.uri}/api/vhosts/v", data=bomb, headers=sent) as answer:
        assert answer.status == 415


async def test_the_number_of_http_connections_is_limited(api: Api) -> None:
    room = api.broker.server.http_room
    room.most = room.connections + 2
    host, port = api.uri.removeprefix("http://").split(":")
    open_ones = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
    await until(lambda: room.connections == room.most)

    reader, writer = await asyncio.open_connection(host, int(port))

    try:
        assert await reader.read() == b""
    except ConnectionError:
        assert room.refused == 1
    for one in (writer, *(writer for _, writer in open_ones)):
        one.close()
    await until(lambda: room.connections <= 1)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("depth", [70, 300, 700, 900, 980, 1_100, 100_000])
async def test_05_json_in_json_is_refused_beyond_a_depth(
    api: Api, depth: int, caplog: pytest.LogCaptureFixture
) -> None:
    paths = (
        ("PUT", "/global-parameters/deep", '{"value": %s}'),
        ("PUT", "/policies/%%2F/deep", '{"pattern": "", "definition": {"a": %s}}'),
        ("PUT", "/queues/%%2F/deep", '{"arguments": {"a": %s}}'),
        ("POST", "/exchanges/%%2F/amq.topic/publish",
         '{"routing_key": "", "payload": "", "payload_encoding": "string", '
         '"properties": {"headers": {"a": %s}}}'),
        ("POST", "/definitions", '{"global_parameters": [{"name": "deep", "value": %s}]}'),
        ("POST", "/definitions", '{"parameters": [{"component": "federation-upstream", '
         '"vhost": "/", "name": "deep", "value": {"uri": %s}}]}'),
        ("PUT", "/users/deep", "%s"),
    )  # fmt: skip
    for method, path, body in paths:
        uri = URL(f"{api.uri}/api{path.replace('%%', '%')}", encoded=True)
        text = body % nested(depth)
        async with api.client.request(method, uri, data=text, headers=api.headers) as answer:
            assert answer.status == 400, (path, depth, answer.status, await answer.text())

    query = {"paths": nested(min(depth, 3000))}
    await api.get("/live", 400, **query)
    await api.get("/definitions")
    assert "Traceback" not in caplog.text


async def test_05_a_table_as_deep_as_http_takes_it_is_there_after_a_restart(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, on_disk) as api:
        deepest = json.loads('{"a":' * 32 + "1" + "}" * 32)
        await api.put("/queues/%2F/deep", {"durable": True, "arguments": {"a": deepest}}, 400)
        await api.put("/queues/%2F/deep", {"durable": True, "arguments": deepest})

    async with served(tmp_path, on_disk) as api:
        found = (await api.get("/queues/%2F/deep"))["arguments"]
        assert found == {**deepest, "x-queue-type": "classic"}


async def test_whoever_goes_away_in_the_middle_of_a_body_is_no_fault_of_the_broker(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    host, _, port = api.uri.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    authorization = api.headers["Authorization"]
    writer.write(
        b"PUT /api/vhosts/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
        b"Authorization: %s\r\nExpect: 100-continue\r\n\r\n" % authorization.encode()
    )
    # The operation has begun: it wants the body.
    assert b"100" in await reader.readline()
    writer.write(b'{"x')
    writer.transport.abort()

    await api.get("/overview")
    assert "Traceback" not in caplog.text


def everything_in(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


async def test_nobody_takes_another_address_by_a_header_of_http(tmp_path: Path) -> None:
    other = "203.0.113.9"
    headers = {"X-Forwarded-For": other, "Forwarded": f"for={other}", "X-Real-IP": other}
    async with served(tmp_path) as api:
        await api.call("PUT", "/vhosts/new", 201, {}, headers=headers)
        await api.call("GET", "/whoami", 401, headers={**headers, **basic("guest", "wrong")})
        node = (await api.get("/overview"))["node"]
        attempts = await api.get(f"/auth/attempts/{name(node)}/source")
        assert other not in json.dumps(attempts)

    written = await asyncio.to_thread(everything_in, tmp_path)
    assert any(b"127.0.0.1" in octets for octets in written)
    assert not any(other.encode() in octets for octets in written)


async def test_a_form_of_many_parts_is_not_taken_apart(api: Api) -> None:
    form = {"Content-Type": "multipart/form-data; boundary=a", **api.headers}
    body = b"--a\r\n" * 1_800_000
    before = time.process_time()

    async with api.client.post(
        f"{api.uri}/api/definitions/upload", data=io.BytesIO(body), headers=form
    ) as answer:
        assert answer.status == 400

    # It took 1.6 s once, in one piece.
    assert time.process_time() - before < 1.0


async def test_a_form_of_somebody_unknown_is_short(api: Api) -> None:
    form = {"username": "guest", "password": "x" * LOGIN_BYTES}
    async with api.client.post(f"{api.uri}/api/login", data=form) as answer:
        assert answer.status == 400
        assert "size limit" in await answer.text()

    chunks = (b"username=guest&password=", *[b"x" * 1000] * 200)

    async def pieces() -> AsyncIterator[bytes]:
        for one in chunks:
            yield one

    async with api.client.post(f"{api.uri}/api/login", data=pieces()) as answer:
        assert answer.status == 400


@pytest.mark.parametrize(
    "named",
    ["evil.example", "evil.example:15672", "127.0.0.1.evil.example", "localhost.evil.example:1",
     "localhost@evil.example", "[::1].evil.example", "0x7f000001", "evil.localhost.example"],
)  # fmt: skip
async def test_guest_is_only_for_pages_of_this_machine(api: Api, named: str) -> None:
    # Whoever owns a name may let it stand for 127.0.0.1 when a browser is on his page.
    await api.call("GET", "/whoami", 401, headers={"Host": named})
    form = {"username": "guest", "password": "guest"}
    sent = {"Host": named, "Origin": f"http://{named}", "Sec-Fetch-Site": "same-origin"}
    async with api.client.post(f"{api.uri}/api/login", data=form, headers=sent) as answer:
        assert answer.status in (401, 403)
        assert "Set-Cookie" not in answer.headers

    other = await api.user("other", "management")
    await other.call("GET", "/whoami", 200, headers={"Host": named})


@pytest.mark.parametrize(
    "named",
    ["localhost", "LOCALHOST:15672", "mq.localhost:1", "127.0.0.1:15672", "[::1]:15672", "[::1]",
     "192.0.2.7", socket.gethostname()],
)  # fmt: skip
async def test_guest_may_come_by_any_name_of_this_machine(api: Api, named: str) -> None:
    await api.call("GET", "/whoami", 200, headers={"Host": named})


async def test_nobody_opens_streams_without_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_STREAMS", 3)
    one = await api.user("one", "management")

    async with contextlib.AsyncExitStack() as block:
        for _ in range(3):
            await _stream(one, "/live?path=/whoami", 200, block)
        await _stream(one, "/live?path=/whoami", 429, block)
        await _stream(api, "/live?path=/whoami", 200, block)
        for _ in range(2):
            await _stream(api, "/livelog", 200, block)
        await _stream(api, "/livelog", 429, block)


async def _stream(user: Api, path: str, expected: int, block: contextlib.AsyncExitStack) -> None:
    answer = await block.enter_async_context(
        user.client.get(f"{user.uri}/api{path}", headers=user.headers)
    )
    if answer.status == 200:
        await answer.content.readline()
    assert answer.status == expected


async def test_18_a_log_that_is_followed_ends_with_the_right_to_it(api: Api) -> None:
    one = await api.user("one", "administrator")
    async with contextlib.AsyncExitStack() as block:
        answer = await block.enter_async_context(
            one.client.get(f"{one.uri}/api/livelog", headers=one.headers)
        )
        await answer.content.readline()

        await api.put("/users/one", {"password": "one", "tags": "management"}, 204)
        logging.getLogger("amqpd.test").warning("secret")

        assert b"secret" not in await answer.content.read()


async def test_nobody_logs_others_out_by_logging_in(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "MOST_OF_USER", 3)
    monkeypatch.setattr(logins, "MOST", 5)
    await api.user("one", "management")
    cookies = []
    for user in ("guest", *["one"] * 9):
        form = {"username": user, "password": user}
        async with api.client.post(f"{api.uri}/api/login", data=form) as answer:
            cookies.append(answer.headers["Set-Cookie"].partition(";")[0])
    api.client.cookie_jar.clear()

    for cookie, status in ((cookies[0], 200), (cookies[1], 401), (cookies[-1], 200)):
        async with api.client.get(f"{api.uri}/api/whoami", headers={"Cookie": cookie}) as answer:
            assert answer.status == status
