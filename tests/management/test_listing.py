"""Lists: pages, filters, order, columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.management import listing
from amqpd.management.listing import asked_columns, only

if TYPE_CHECKING:
    from tests.management.served import Api

Facts = dict[str, object]


async def with_users(api: Api, *names: str) -> None:
    """Users of these names, beside guest."""
    for each in names:
        await api.put(f"/users/{each}", {"password": "x", "tags": ""})


async def test_a_page_tells_what_it_is_part_of(api: Api) -> None:
    await with_users(api, "a", "b", "c", "d")

    page = await api.get("/users", page=2, page_size=2)

    assert [one["name"] for one in page.pop("items")] == ["c", "d"]
    assert page == {
        "filtered_count": 5,
        "item_count": 2,
        "page": 2,
        "page_count": 3,
        "page_size": 2,
        "total_count": 5,
    }


async def test_names_are_filtered_by_text_and_by_pattern_whatever_the_case(api: Api) -> None:
    await with_users(api, "alpha", "Alps", "beta")

    by_text = await api.get("/users", page=1, name="ALP")
    by_pattern = await api.get("/users", page=1, name="^a.*s$", use_regex="true")

    assert sorted(one["name"] for one in by_text["items"]) == ["Alps", "alpha"]
    assert [one["name"] for one in by_pattern["items"]] == ["Alps"]
    assert (by_pattern["filtered_count"], by_pattern["total_count"]) == (1, 4)


async def test_a_list_is_sorted_by_any_column(api: Api) -> None:
    await with_users(api, "a", "b")
    await api.put("/users/c", {"password": "x", "tags": "x", "limits": {"max-channels": 5}})

    by_name = await api.get("/users", sort="name", sort_reverse="true")
    by_depth = await api.get("/users", sort="limits.max-channels", sort_reverse="true")

    assert [one["name"] for one in by_name] == ["guest", "c", "b", "a"]
    assert by_depth[0]["name"] == "c"


async def test_only_the_columns_that_were_asked_for_are_there(api: Api) -> None:
    await api.put("/users/c", {"password": "x", "tags": "x", "limits": {"max-channels": 5}})

    found = await api.get("/users", columns="name,limits.max-channels")

    assert found == [
        {"name": "c", "limits": {"max-channels": 5}},
        {"name": "guest", "limits": {}},
    ]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"page": "x"}, "bad_request"),
        ({"page": 0}, "invalid_pagination_parameters"),
        ({"page": 1, "page_size": 501}, "invalid_pagination_parameters"),
        ({"page": 1, "name": "x" * 1100, "use_regex": "true"}, "invalid_pagination_parameters"),
        ({"page": 1, "name": "(", "use_regex": "true"}, "bad_request"),
        ({"page": 99}, "page_out_of_range"),
    ],
)
async def test_pages_that_are_none_are_refused(
    api: Api, query: dict[str, str | int], error: str
) -> None:
    refusal = await api.get("/users", 400, **query)

    assert refusal["error"] == error


async def test_a_long_list_comes_whole(api: Api) -> None:
    vhosts = api.broker.server.broker
    from amqpd.broker.definitions import PutUser

    for number in range(1000):
        vhosts.apply(PutUser(f"user-{number:04}", "", ""))

    found = await api.get("/users")

    assert len(found) == 1001
    assert [one["name"] for one in found][:2] == ["guest", "user-0000"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("a", {"a": {"x": 1, "y": 2}}),
        ("a.x", {"a": {"x": 1}}),
        ("a.x,a", {"a": {"x": 1, "y": 2}}),
        ("a,a.x", {"a": {"x": 1, "y": 2}}),
        ("b,nothing", {"b": [{"z": 3, "w": 4}]}),
        ("b.z", {"b": [{"z": 3}]}),
        ("arguments.x", {"arguments": {"x": 1, "y": 2}}),
    ],
)
def test_columns_reach_into_what_is_nested(asked: str, expected: Facts) -> None:
    facts: Facts = {"a": {"x": 1, "y": 2}, "b": [{"z": 3, "w": 4}], "c": 5}
    facts["arguments"] = {"x": 1, "y": 2}

    assert only(facts, asked_columns({"columns": asked})) == expected


#: What Python's own engine would take for ever for.
DEAR = "(a|a|aa)+(b|a)+$"


async def test_a_dear_pattern_is_matched_name_by_name_in_slices(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[listing.Slices] = []

    class Counted(listing.Slices):
        async def pause(self) -> None:
            pauses.append(self)
            await super().pause()

    for place in range(3):
        await api.put(f"/queues/%2F/{'a' * 200}{place}", {"durable": False})
    monkeypatch.setattr(listing, "Slices", Counted)

    counts = []
    for pattern in ("z$", DEAR):
        pauses.clear()
        found = await api.get("/queues", page=1, name=pattern, use_regex="true")
        assert found["filtered_count"] == 0
        counts.append(len(pauses))
    assert counts[1] == counts[0] + 2


async def test_a_pattern_that_is_too_dear_for_so_many_names_is_refused(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.put(f"/queues/%2F/{'a' * 200}", {"durable": False})
    await api.put("/queues/%2F/b", {"durable": False})
    monkeypatch.setattr(listing, "FILTER_STEPS", 500)

    refused = await api.get("/queues", 400, page=1, name=DEAR, use_regex="true")

    assert "this pattern takes too long for 2 names" in refused["reason"]
    await api.get("/queues", page=1, name="b$", use_regex="true")
