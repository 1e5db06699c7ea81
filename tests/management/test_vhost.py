"""`/api/vhosts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.management.served import name

if TYPE_CHECKING:
    from tests.management.served import Api


async def test_a_new_vhost_is_shown_with_its_metadata(api: Api) -> None:
    await api.put("/vhosts/a", {"description": "d", "tags": "x,y", "default_queue_type": "quorum"})

    shown = await api.get("/vhosts/a")

    assert shown["name"] == "a"
    assert shown["description"] == "d"
    assert shown["tags"] == ["x", "y"]
    assert shown["default_queue_type"] == "quorum"
    assert shown["metadata"]["tags"] == ["x", "y"]
    assert shown["tracing"] is False
    assert shown["protected_from_deletion"] is False
    assert [one["name"] for one in await api.get("/vhosts")] == ["/", "a"]


async def test_a_protection_is_in_the_metadata_when_there_is_one(api: Api) -> None:
    await api.put("/vhosts/a")
    assert "protected_from_deletion" not in (await api.get("/vhosts/a"))["metadata"]

    await api.post("/vhosts/a/deletion/protection", status=204)

    assert (await api.get("/vhosts/a"))["metadata"]["protected_from_deletion"] is True


@pytest.mark.parametrize("known", [False, True])
async def test_nothing_is_no_type_of_queue(api: Api, known: bool) -> None:
    if known:
        await api.put("/vhosts/a", {"default_queue_type": "quorum"})

    refusal = await api.put("/vhosts/a", {"default_queue_type": ""}, status=400)

    assert "default queue type" in refusal["reason"]
    found = await api.get("/vhosts/a", 200 if known else 404)
    assert not known or found["default_queue_type"] == "quorum"


async def test_what_is_left_out_of_an_update_stays(api: Api) -> None:
    await api.put("/vhosts/a", {"description": "d", "tags": ["x"]})

    await api.put("/vhosts/a", {"tracing": True}, status=204)

    shown = await api.get("/vhosts/a")
    assert (shown["description"], shown["tags"], shown["tracing"]) == ("d", ["x"], True)


async def test_who_makes_a_vhost_may_use_it(api: Api) -> None:
    await api.put("/vhosts/a")

    assert (await api.get("/permissions/a/guest"))["configure"] == ".*"


async def test_a_protected_vhost_cannot_be_deleted_until_the_protection_is_lifted(
    api: Api,
) -> None:
    await api.put("/vhosts/a")
    await api.post("/vhosts/a/deletion/protection", status=204)

    refusal = await api.delete("/vhosts/a", 412)
    await api.delete("/vhosts/a/deletion/protection")
    await api.delete("/vhosts/a")

    assert refusal == {
        "error": "precondition_failed",
        "reason": "Refusing to delete virtual host 'a' because it is protected from deletion",
    }
    await api.get("/vhosts/a", 404)


@pytest.mark.parametrize("path", ["/vhosts/%2F", "/vhosts/%2f", "/vhosts/%252F", "/vhosts//"])
async def test_the_vhost_slash_is_found_however_it_was_quoted(api: Api, path: str) -> None:
    assert (await api.get(path))["name"] == "/"


@pytest.mark.parametrize("vhost", ["a/b", "50%", "ünïcode", "a b", "%2F x", "detailed", ".."])
async def test_any_name_comes_back_as_it_was_sent(api: Api, vhost: str) -> None:
    await api.put(f"/vhosts/{name(vhost)}")

    assert (await api.get(f"/vhosts/{name(vhost)}"))["name"] == vhost
    await api.delete(f"/vhosts/{name(vhost)}")


@pytest.mark.parametrize(
    "body", [{"default_queue_type": "nonsense"}, {"tags": 1}, {"tracing": "perhaps"}, []]
)
async def test_what_is_not_valid_is_refused(api: Api, body: object) -> None:
    refusal = await api.put("/vhosts/a", body, status=400)

    assert refusal["error"] == "bad_request"
    assert len(await api.get("/vhosts")) == 1


async def test_a_vhost_can_be_started_on_this_node_only(api: Api) -> None:
    node = (await api.get("/overview"))["node"]

    await api.post(f"/vhosts/%2F/start/{node}", status=204)
    await api.post("/vhosts/%2F/start/elsewhere", status=400)


async def test_only_administrators_make_vhosts_and_others_see_their_own(api: Api) -> None:
    await api.put("/vhosts/a")
    shop = await api.user("shop", "management", vhosts=("a",))

    assert [one["name"] for one in await shop.get("/vhosts")] == ["a"]
    refusal = await shop.put("/vhosts/b", status=401)
    assert refusal == {"error": "not_authorised", "reason": "Not administrator user"}


async def test_a_vhost_tells_what_whoever_asks_may_do_in_it(api: Api) -> None:
    mia = await api.user("mia", "monitoring")
    assert (await mia.get("/vhosts"))[0]["rights"] == []

    await api.put("/permissions/%2F/mia", {"configure": "", "write": "^a", "read": ".*"})

    assert (await mia.get("/vhosts"))[0]["rights"] == ["write", "read"]
    assert (await api.get("/vhosts/%2F"))["rights"] == ["configure", "write", "read"]
