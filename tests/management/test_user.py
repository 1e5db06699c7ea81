"""`/api/users`."""

from __future__ import annotations

import asyncio

import pytest

from amqpd.auth.passwords import hash_password, verify
from tests.client import ConnectionClosed
from tests.management.served import Api, name

SHA512 = "rabbit_password_hashing_sha512"


async def test_a_new_user_can_log_in(api: Api) -> None:
    shop = await api.user("shop", "monitoring", "management")

    assert await shop.get("/whoami") == {
        "name": "shop",
        "tags": ["management", "monitoring"],
        "is_internal_user": True,
        "login_session_timeout": 480,
    }


async def test_the_password_is_shown_as_its_hash_only(api: Api) -> None:
    await api.put("/users/a", {"password": "secret", "tags": ""})

    shown = await api.get("/users/a")

    assert shown["hashing_algorithm"] == "rabbit_password_hashing_sha256"
    assert verify("secret", shown["password_hash"])
    assert (shown["tags"], shown["limits"]) == ([], {})


async def test_a_hash_from_another_broker_is_taken_as_it_is(api: Api) -> None:
    hashed = hash_password("pw", algorithm=SHA512)
    body = {"password_hash": hashed, "hashing_algorithm": SHA512, "tags": ["management"]}
    await api.put("/users/a", body)

    assert (await api.get("/users/a"))["password_hash"] == hashed
    assert (await api.as_user("a", "pw").get("/whoami"))["name"] == "a"


@pytest.mark.parametrize("body", [{"tags": "management"}, {"password_hash": "", "tags": ""}])
async def test_a_user_without_password_cannot_log_in_with_one(api: Api, body: object) -> None:
    await api.put("/users/a", body)

    await api.as_user("a", "").get("/whoami", 401)


async def test_an_update_without_password_removes_it(api: Api) -> None:
    shop = await api.user("shop", "management")

    await api.put("/users/shop", {"tags": "management"}, status=204)

    await shop.get("/whoami", 401)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"password": "x"}, "tags_not_present"),
        (
            {"password": "x", "password_hash": "eA==", "tags": ""},
            "both_password_and_password_hash_are_provided",
        ),
        ({"password_hash": "!", "tags": ""}, "not_base64"),
        ({"password": "x", "tags": ",".join(map(str, range(33)))}, "at most 32 tags"),
    ],
)
async def test_what_is_no_user_is_refused(api: Api, body: object, reason: str) -> None:
    refusal = await api.put("/users/a", body, status=400)

    assert refusal["error"] == "bad_request"
    assert reason in refusal["reason"]
    await api.get("/users/a", 404)


async def test_a_user_is_made_with_permissions_and_limits_at_once(api: Api) -> None:
    rights = {"configure": "a", "write": "b", "read": "c"}
    body = {
        "password": "x",
        "tags": "",
        "permissions": {"/": rights},
        "limits": {"max-channels": 3},
    }
    await api.put("/users/a", body)

    assert await api.get("/permissions/%2F/a") == {"user": "a", "vhost": "/", **rights}
    assert (await api.get("/users/a"))["limits"] == {"max-channels": 3}


async def test_a_deleted_user_is_gone_with_its_connections(api: Api) -> None:
    await api.user("shop", vhosts=("/",))
    with await api.connect(user="shop", password="shop") as client:
        await api.delete("/users/shop")

        with pytest.raises(ConnectionClosed, match="user 'shop' is deleted"):
            await asyncio.to_thread(client.channel)
    await api.get("/users/shop", 404)
    await api.delete("/users/shop", 404)


async def test_several_users_are_deleted_at_once(api: Api) -> None:
    for user in ("a", "b", "c"):
        await api.user(user)

    await api.post("/users/bulk-delete", {"users": ["a", "c", "nobody"]}, status=204)

    assert [one["name"] for one in await api.get("/users")] == ["b", "guest"]


async def test_a_protected_user_is_left_alone(api: Api) -> None:
    await api.user("root", "protected")

    await api.put("/users/root", {"tags": ""}, status=400)
    await api.delete("/users/root", 400)
    await api.post("/users/bulk-delete", {"users": ["root"]}, status=204)

    assert (await api.get("/users/root"))["tags"] == ["protected"]


async def test_users_without_permissions_are_listed(api: Api) -> None:
    await api.user("a", vhosts=("/",))
    await api.user("b")

    assert [one["name"] for one in await api.get("/users/without-permissions")] == ["b"]


async def test_a_password_can_be_hashed_beforehand(api: Api) -> None:
    hashed = (await api.get(f"/auth/hash_password/{name('a/b')}"))["ok"]

    assert verify("a/b", hashed)
    answer = await api.put("/auth/hash_password", {"password": "a/b"}, 200)
    assert verify("a/b", answer["password_hash"])
    await api.put("/auth/hash_password", {"password": ""}, 400)


async def test_users_are_for_administrators(api: Api) -> None:
    monitor = await api.user("m", "monitoring")

    await monitor.get("/users", 401)


async def test_a_blank_password_is_taken_and_opens_nothing(api: Api) -> None:
    await api.put("/users/a", {"password": "", "tags": "management"})

    assert (await api.get("/users/a"))["password_hash"] == ""
    await api.as_user("a", "").get("/whoami", 401)


@pytest.mark.parametrize(
    ("said", "tags"), [("true", ["administrator"]), ("false", []), (True, ["administrator"])]
)
async def test_an_administrator_may_be_said_as_it_was_long_ago(
    api: Api, said: object, tags: list[str]
) -> None:
    await api.put("/users/a", {"password": "x", "administrator": said})

    assert (await api.get("/users/a"))["tags"] == tags
