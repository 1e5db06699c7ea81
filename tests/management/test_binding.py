"""`/api/bindings`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.management import binding, listing
from tests.management.served import name

if TYPE_CHECKING:
    from tests.management.served import Api

BETWEEN = "/bindings/%2F/e/x/q/q"


@pytest.fixture
async def ends(api: Api) -> Api:
    """An exchange x and a queue q."""
    await api.put("/exchanges/%2F/x", {"type": "topic", "durable": True})
    await api.put("/queues/%2F/q", {"durable": True})
    return api


async def test_a_queue_has_its_binding_to_the_default_exchange(ends: Api) -> None:
    implicit = {
        "source": "",
        "vhost": "/",
        "destination": "q",
        "destination_type": "queue",
        "routing_key": "q",
        "arguments": {},
        "properties_key": "q",
    }

    assert await ends.get("/bindings") == [implicit]
    assert await ends.get("/bindings/%2F") == [implicit]
    assert await ends.get("/queues/%2F/q/bindings") == [implicit]
    assert await ends.get("/exchanges/%2F/amq.default/bindings/source") == [implicit]
    assert await ends.get("/bindings/%2F/e/amq.default/q/q") == [implicit]


async def test_very_many_bindings_are_gathered_in_slices(
    ends: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in range(3 * listing.BATCH):
        await ends.put(f"/queues/%2F/q{place}", {"durable": False})
    pauses: list[listing.Slices] = []

    class Counted(listing.Slices):
        async def pause(self) -> None:
            pauses.append(self)
            await super().pause()

    monkeypatch.setattr(binding, "Slices", Counted)

    assert len(await ends.get("/bindings")) == 3 * listing.BATCH + 1
    assert len(pauses) >= 3


@pytest.mark.parametrize(
    ("key", "arguments", "location"),
    [
        ("", {}, "q/~"),
        ("a.b", {}, "q/a.b"),
        ("a/b c", {}, "q/a%252Fb%2Bc"),
        ("~", {}, "q/%257E"),
        ("50%", {}, "q/50%2525"),
        ("a", {"n": 5, "t": {"deep": [1, "x"]}}, None),
        ("", {"k": "v"}, None),
    ],
)
async def test_a_binding_is_found_again_by_the_location_it_was_made_with(
    ends: Api, key: str, arguments: dict[str, object], location: str | None
) -> None:
    body = {"routing_key": key, "arguments": arguments}
    _, headers = await ends.call("POST", BETWEEN, 201, body)

    if location is not None:
        assert headers["Location"] == location
    path = f"/bindings/%2F/e/x/q/{headers['Location']}"
    shown = await ends.get(path)
    assert (shown["routing_key"], shown["arguments"]) == (key, arguments)
    assert await ends.get(BETWEEN) == [shown]
    # As clients do that quote what they were shown.
    assert await ends.get(f"{BETWEEN}/{name(shown['properties_key'])}") == shown
    assert await ends.get(f"{BETWEEN}/{shown['properties_key']}") == shown
    await ends.delete(path)
    assert await ends.get(BETWEEN) == []
    await ends.get(path, 404)
    await ends.delete(path, 404)


async def test_bindings_are_listed_from_either_end(ends: Api) -> None:
    await ends.put("/exchanges/%2F/y", {"type": "fanout"})
    await ends.post("/bindings/%2F/e/x/e/y", {"routing_key": "#"}, 201)
    await ends.post(BETWEEN, {"routing_key": "k"}, 201)

    source = await ends.get("/exchanges/%2F/x/bindings/source")
    destination = await ends.get("/exchanges/%2F/y/bindings/destination")

    assert [one["destination"] for one in source] == ["y", "q"]
    assert [(one["source"], one["destination_type"]) for one in destination] == [("x", "exchange")]
    assert len(await ends.get("/queues/%2F/q/bindings")) == 2
    assert len(await ends.get("/bindings")) == 3


async def test_both_ends_must_be_there(ends: Api) -> None:
    await ends.post("/bindings/%2F/e/nowhere/q/q", status=404)
    await ends.post("/bindings/%2F/e/x/q/nowhere", status=404)
    await ends.post("/bindings/%2F/e/x/z/q", status=404)
    await ends.get("/bindings/%2F/e/x/q/q/nonsense", 404)
    await ends.post("/bindings/%2F/e/amq.default/q/q", status=401)


async def test_binding_needs_rights_at_both_ends(ends: Api) -> None:
    shop = await ends.user("shop", "management", vhosts=("/",))
    rights = {"configure": ".*", "write": ".*", "read": "^q$"}
    await ends.put("/permissions/%2F/shop", rights, status=204)

    await shop.post(BETWEEN, {"routing_key": "k"}, 401)
