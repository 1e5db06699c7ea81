"""Rows of lists that are shown again as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.management import kept, queue
from amqpd.management.kept import IDLE, MOST_LISTS, Shelf
from tests.management.served import publish
from tests.management.test_sampling import sweep

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
    from pamqp.common import FieldTable

    from amqpd.management.kept import Rows
    from tests.management.served import Api, Json


class Things:
    """Things with a mark each, and what was made of them."""

    def __init__(self) -> None:
        self.marks: dict[str, object] = {"a": 1, "b": 1}
        self.made: list[str] = []
        self.shelf = Shelf()
        self.rows = self.of("things")

    def of(self, what: str) -> Rows[str]:
        """The rows of a list of these things."""
        return self.shelf.rows(what, self.mark)

    def mark(self, thing: str) -> object:
        """What the row of a thing depends on."""
        return self.marks.get(thing)

    def shown(self, *things: str, rows: Rows[str] | None = None) -> list[bytes]:
        """Some rows."""
        return (rows or self.rows).shown(things or tuple(self.marks), self.facts)

    def facts(self, thing: str) -> object:
        """What is shown of one."""
        self.made.append(thing)
        return {"name": thing} if thing in self.marks else None


def test_a_row_is_made_once_while_its_mark_is_the_same() -> None:
    things = Things()

    assert things.shown() == things.shown() == [b'{"name":"a"}', b'{"name":"b"}']
    assert things.made == ["a", "b"]

    things.marks["b"] = 2
    things.shown()

    assert things.made == ["a", "b", "b"]


def test_what_has_no_mark_is_made_each_time_and_what_is_gone_has_no_row() -> None:
    things = Things()
    things.marks["a"] = None
    things.shown()
    things.shown()
    del things.marks["b"]

    assert things.shown("a", "b") == [b'{"name":"a"}']
    assert things.made == ["a", "b", "a", "a", "b"]


def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_BYTES", 1)
    things = Things()

    things.shown()
    things.shown()

    assert things.made == ["a", "b", "b"]


def test_what_is_gone_is_let_go_of() -> None:
    things = Things()
    things.shown()
    before = things.rows.size_bytes
    in_order = ["b", "a"]
    things.rows.remember("down", ["a", "b"], in_order)
    things.rows.remember("up", ["b"], ["b"])

    things.shelf.tidy(lambda one: one == "a")

    assert 0 < things.rows.size_bytes < before
    assert things.rows.ordered("down", ["a", "b"]) is None
    assert things.rows.ordered("up", ["b"]) == ["b"]
    things.shown()
    assert things.made == ["a", "b", "a"]
    assert things.rows.size_bytes == before


def test_an_order_is_known_of_the_same_things_only() -> None:
    rows = Things().rows
    rows.remember("down", ["a", "b"], ["b", "a"])

    assert rows.ordered("down", ["a", "b"]) == ["b", "a"]
    assert rows.ordered("down", ["a"]) is None
    assert rows.ordered("up", ["a", "b"]) is None


def test_a_list_that_nobody_wants_any_more_is_dropped() -> None:
    things = Things()
    for _ in range(IDLE):
        things.shelf.tidy(lambda _: False)
    assert things.of("things") is things.rows
    for _ in range(IDLE + 1):
        things.shelf.tidy(lambda _: False)

    assert things.of("things") is not things.rows


def test_the_list_that_was_wanted_longest_ago_makes_room_for_another() -> None:
    things = Things()
    for number in range(MOST_LISTS - 1):
        things.of(f"{number}")
    assert things.of("things") is things.rows
    things.of("one more")

    first = things.of("things")
    assert first is things.rows
    things.of("0")
    assert len(things.shelf._lists) == MOST_LISTS


# -- of queues ---------------------------------------------------------------------------


class Listed:
    """The list of queues as it is shown, which is as if nothing had been kept."""

    def __init__(self, api: Api, made: list[str]) -> None:
        self.api = api
        self._made = made

    async def check(self, *, same: bool = False) -> list[Json]:
        """Look twice; `same`: nothing may have been made anew for it."""
        self._made.clear()
        shown = await self.api.get("/queues")
        assert not (same and self._made)
        page = await self.api.get("/queues", page=1)
        http = self.api.broker.server._http
        assert http is not None
        http._api.survey.shelf._lists.clear()
        assert shown == page["items"] == await self.api.get("/queues")
        await sweep(self.api, self.api.broker.server.broker.around.now_ms)
        await sweep(self.api, self.api.broker.server.broker.around.now_ms)
        assert await self.api.get("/queues", sort="name") == await self.api.get("/queues")
        found: list[Json] = shown
        return found


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of queues of which facts were made."""
    names: list[str] = []
    facts = queue.facts

    def noted(call: Json, one: Json, shown: Json) -> Json:
        names.append(one.name)
        return facts(call, one, shown)

    monkeypatch.setattr(queue, "facts", noted)
    return names


@pytest.fixture
async def channel(api: Api) -> AsyncIterator[AbstractChannel]:
    """A channel of a client."""
    async with api.channel() as one:
        yield one


async def test_what_happens_to_a_queue_is_shown_at_once(
    api: Api, channel: AbstractChannel, made: list[str]
) -> None:
    listed = Listed(api, made)
    for name in ("a", "b"):
        await api.put(f"/queues/%2F/{name}", {"durable": True})
    await listed.check()
    await listed.check(same=True)

    await publish(channel, b"x", "a", delivery_mode=2)
    assert [one["messages_ready"] for one in await listed.check()] == [1, 0]
    await listed.check(same=True)

    got = await (await channel.get_queue("a")).get()
    assert [one["messages_unacknowledged"] for one in await listed.check()] == [1, 0]
    await got.ack()
    await (await channel.get_queue("a")).get(fail=False)
    assert [one["message_stats"]["ack"] for one in (await listed.check())[:1]] == [1]

    await publish(channel, b"x" * 9, "b")
    await publish(channel, b"y", "b")
    await listed.check()
    await api.delete("/queues/%2F/b/contents")
    assert [one["message_bytes"] for one in await listed.check()] == [0, 0]

    await api.delete("/queues/%2F/b")
    await api.put("/queues/%2F/b", {"durable": False, "auto_delete": True})
    assert [one["durable"] for one in await listed.check()] == [True, False]
    assert [one["durable"] for one in await listed.check(same=True)] == [True, False]


async def test_consumers_and_what_they_can_take_are_shown_at_once(
    api: Api, channel: AbstractChannel, made: list[str]
) -> None:
    listed = Listed(api, made)
    declared = await channel.declare_queue("q", arguments={"x-single-active-consumer": True})
    await channel.set_qos(1)
    held: list[AbstractIncomingMessage] = []
    await listed.check()

    async def hold(message: AbstractIncomingMessage) -> None:
        held.append(message)

    tag = await declared.consume(hold, consumer_tag="one")
    assert (await listed.check())[0]["single_active_consumer_tag"] == "one"
    await listed.check(same=True)
    await publish(channel, b"1", "q")
    await publish(channel, b"2", "q")
    assert (await listed.check())[0]["messages_unacknowledged"] == 1
    await listed.check(same=True)
    await declared.cancel(tag)
    await listed.check()
    await held[0].ack()
    await listed.check()


async def test_what_operators_do_is_shown_at_once(api: Api, made: list[str]) -> None:
    listed = Listed(api, made)
    await api.put("/queues/%2F/q", {"durable": True})
    await listed.check()

    await api.put("/policies/%2F/p", {"pattern": "q", "definition": {"max-length": 3}})
    assert (await listed.check())[0]["policy"] == "p"
    await listed.check(same=True)
    await api.delete("/policies/%2F/p")
    assert (await listed.check())[0]["policy"] is None
    await api.put("/queues/%2F/q/pause", status=204)
    assert (await listed.check())[0]["state"] == "paused"
    await listed.check(same=True)
    await api.put("/queues/%2F/q/resume", status=204)
    assert (await listed.check())[0]["state"] == "running"
    await api.put("/vhosts/v")
    await api.put("/queues/v/q")
    assert len(await listed.check()) == 2
    await api.delete("/vhosts/v")
    assert len(await listed.check()) == 1


@pytest.mark.parametrize("known", ["unreadable", "quarantined"])
async def test_damage_is_shown_at_once(api: Api, made: list[str], known: str) -> None:
    listed = Listed(api, made)
    await api.put("/queues/%2F/q", {"durable": True})
    await api.post("/exchanges/%2F/amq.default/publish", PUBLISHED)
    await listed.check()
    broker = api.broker.server.broker
    lane = broker.vhosts["/"].queues["q"].lanes[0].id

    setattr(broker.around, known, {lane: 1})

    shown = (await listed.check())[0]
    assert shown["state"] == "faulted" or shown["messages_quarantined"] == 1
    await listed.check(same=True)
    setattr(broker.around, known, {})
    assert "messages_quarantined" not in (await listed.check())[0]


PUBLISHED = {"routing_key": "q", "payload": "x", "payload_encoding": "string", "properties": {}}
#: Dead letters that wait behind their queue.
SURE: FieldTable = {
    "x-queue-type": "quorum",
    "x-dead-letter-exchange": "nowhere",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


async def test_dead_letters_that_wait_and_streams_are_shown_at_once(
    api: Api, channel: AbstractChannel, made: list[str]
) -> None:
    listed = Listed(api, made)
    sure = await channel.declare_queue("sure", durable=True, arguments=SURE)
    await channel.declare_queue("stream", durable=True, arguments={"x-queue-type": "stream"})
    await publish(channel, b"x", "sure")
    await listed.check()

    await (await sure.get()).reject()
    await publish(channel, b"x", "stream")

    stream, dead = await listed.check()
    assert (dead["messages_dlx"], stream["messages"]) == (1, 1)
    await listed.check(same=True)


@pytest.mark.parametrize("columns", ["name,messages", "name,messages_details.rate"])
async def test_columns_are_kept_apart(api: Api, made: list[str], columns: str) -> None:
    await api.put("/queues/%2F/q")

    full, cut, again = [
        await api.get("/queues", **query) for query in ({}, {"columns": columns}, {"page": 1})
    ]

    assert set(cut[0]) == {one.partition(".")[0] for one in columns.split(",")}
    assert full == again["items"]
    assert made == ["q", "q"]


async def test_rates_are_shown_until_they_are_nothing(api: Api, made: list[str]) -> None:
    await api.put("/queues/%2F/q")
    await sweep(api, 10_000)
    await api.post("/exchanges/%2F/amq.default/publish", PUBLISHED)
    await api.get("/queues")
    await sweep(api, 15_000)

    moving = await api.get("/queues")
    await sweep(api, 20_000)
    still = await api.get("/queues")

    rates = [one[0]["message_stats"]["publish_details"]["rate"] for one in (moving, still)]
    assert rates == [0.2, 0.0]
    made.clear()
    assert await api.get("/queues", msg_rates_age=60, msg_rates_incr=5) != still
    assert made == ["q"]


@pytest.mark.parametrize("order", ["name", "vhost", "messages"])
async def test_pages_are_in_order_with_any_parts(
    api: Api, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    for number in range(9):
        await api.put(f"/queues/%2F/q{(number * 7) % 9}")
    await api.post("/exchanges/%2F/amq.default/publish", PUBLISHED | {"routing_key": "q4"})
    wanted = [one["name"] for one in await api.get("/queues", sort=order)]
    assert sorted(wanted) == [f"q{number}" for number in range(9)]
    assert wanted[-1] == ("q4" if order == "messages" else "q8")
    at_once: Callable[[int], None] = lambda most: monkeypatch.setattr(  # noqa: E731
        "amqpd.management.listing.AT_ONCE", most
    )
    monkeypatch.setattr("amqpd.management.listing.PART", 2)

    for most in (0, 100):
        at_once(most)
        await api.put(f"/queues/%2F/z{most}")
        await api.delete(f"/queues/%2F/z{most}")
        pages = [await api.get("/queues", sort=order, page=page, page_size=4) for page in (1, 2, 3)]
        assert [one["name"] for page in pages for one in page["items"]] == wanted
        down = await api.get("/queues", sort=order, sort_reverse="true")
        assert [one["name"] for one in down][-1] == wanted[0]
