"""Samples for rates and charts."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from amqpd.management.sampling import IDLE, INTERVAL_S, MOST, Sampler
from tests.management.served import publish, served
from tests.management.test_pause import on_disk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.management.served import Api

STEP_MS = INTERVAL_S * 1000


def looked(*values: int, key: object = "q", sampler: Sampler | None = None) -> Sampler:
    """A sampler that has seen these values, one per interval."""
    sampler = sampler or Sampler()
    for value in values:
        known = sampler.get(key)
        at_ms = (known.now.at_ms if known is not None else 0) + STEP_MS
        sampler.begin(at_ms)
        sampler.look(key, at_ms, (value, 0))
        sampler.end([key])
    return sampler


def test_a_rate_is_what_came_since_the_last_look_per_second() -> None:
    series = looked(50, 150).get("q")

    assert series is not None
    assert series.rate(0) == 100 / INTERVAL_S


def test_what_was_there_before_the_first_look_has_not_grown_since_nothing() -> None:
    sampler = Sampler()
    sampler.begin(STEP_MS)

    sampler.look("node", STEP_MS, (70_000_000, 3), always=True, is_new=False)

    series = sampler.get("node")
    assert series is not None
    assert series.rate(0) == 0
    assert [one.values for one in (series._before, series.now)] == [(70_000_000, 3)] * 2


def test_what_is_new_is_counted_from_nothing() -> None:
    series = looked(50).get("q")

    assert series is not None
    assert series.rate(0) == 50 / INTERVAL_S


def test_what_is_gone_is_forgotten() -> None:
    sampler = looked(1, 2)
    sampler.begin(3 * STEP_MS)
    sampler.end([])

    assert sampler.get("q") is None
    assert sampler.restless() == []


def test_what_stands_still_may_be_passed_over_once_its_rate_is_none() -> None:
    sampler = Sampler()
    for number, value in enumerate((0, 50, 50), 1):
        sampler.begin(number * STEP_MS)
        if value == 0 or number == 2:
            sampler.look("q", number * STEP_MS, (value,))
            assert sampler.restless() == []
        sampler.end(["q"])
    series = sampler.get("q")
    assert series is not None
    assert series.rate(0) == 50 / INTERVAL_S
    assert sampler.restless() == ["q"]

    sampler.look("q", 3 * STEP_MS, (50,))

    assert series.rates(0, 1) == (0.0,)


def test_the_rate_of_what_was_passed_over_is_of_the_last_interval() -> None:
    sampler = looked(0)
    for number in range(2, 100):
        sampler.begin(number * STEP_MS)
        sampler.end(["q"])

    sampler.begin(100 * STEP_MS)
    sampler.look("q", 100 * STEP_MS, (50, 0))

    series = sampler.get("q")
    assert series is not None
    assert list(series.rates(0, 2)) == [50 / INTERVAL_S, 0.0]


def test_a_thing_is_looked_at_once_in_a_sweep() -> None:
    sampler = looked(0)
    sampler.begin(2 * STEP_MS)

    sampler.look("q", 2 * STEP_MS, (50, 0))
    sampler.look("q", 2 * STEP_MS, (50, 0))

    series = sampler.get("q")
    assert series is not None
    assert series.rate(0) == 50 / INTERVAL_S


def test_what_was_forgotten_on_purpose_has_not_grown_from_nothing() -> None:
    sampler = looked(1_000_000)

    sampler.forget()
    looked(1_000_000, sampler=sampler)

    series = sampler.get("q")
    assert series is not None
    assert series.rate(0) == 0


def test_samples_come_newest_first_and_as_far_apart_as_asked_for() -> None:
    series = looked(*range(1, 13)).get("q")

    assert series is not None
    values = [one.values[0] for one in series.sampled(30, 10)]
    assert values == [12, 10, 8, 6]


def test_a_long_history_is_kept_in_coarser_steps() -> None:
    series = looked(*range(1, 800)).get("q")

    assert series is not None
    fine, hour = series.sampled(600, 5), series.sampled(3600, 60)
    assert len(fine) == 121
    assert len(hour) in (60, 61)
    assert {one.at_ms - other.at_ms for one, other in itertools.pairwise(hour)} == {60_000}


def test_a_thing_in_which_nothing_happens_has_no_history_until_somebody_asks() -> None:
    sampler = looked(0, 0, 0)
    series = sampler.get("q")
    assert series is not None
    assert series.sampled(60, 5) == []

    sampler.want("q")
    sampler.want("nobody")
    looked(0, 0, sampler=sampler)

    assert len(series.sampled(60, 5)) == 4


def test_a_history_begins_with_two_samples_so_that_something_grows() -> None:
    series = looked(50).get("q")

    assert series is not None
    assert [one.values[0] for one in series.sampled(60, 5)] == [50, 0]


def test_the_number_of_histories_is_bounded_and_who_is_asked_for_gets_one() -> None:
    sampler = Sampler()
    sampler.begin(STEP_MS)
    for number in range(MOST + 10):
        sampler.look(number, STEP_MS, (1, 1))
    sampler.end(range(MOST + 10))
    last = sampler.get(MOST + 5)
    assert last is not None
    before = last.has_history

    sampler.want(MOST + 5)

    assert (before, last.has_history) == (False, True)
    assert sum(bool(s and s.has_history) for s in map(sampler.get, range(MOST + 10))) == MOST


def test_a_history_ends_after_an_hour_of_nothing() -> None:
    sampler = looked(1, *[1] * (IDLE + 2))
    series = sampler.get("q")

    assert series is not None
    assert not series.has_history


# -- as the API shows them ---------------------------------------------------------------


async def sweep(api: Api, at_ms: int) -> None:
    """Look at everything, as the server does every few seconds."""
    http = api.broker.server._http
    assert http is not None
    await http._api.survey.sweep(at_ms)


async def test_the_api_shows_rates_and_samples(api: Api) -> None:
    await api.put("/queues/%2F/q")
    async with api.channel() as channel:
        await sweep(api, STEP_MS)
        for _ in range(10):
            await publish(channel, b"x", "q")
        await sweep(api, 2 * STEP_MS)

        query = {"lengths_age": 60, "lengths_incr": 5, "msg_rates_age": 60, "msg_rates_incr": 5}
        queue = await api.get("/queues/%2F/q", **query)
        exchange = await api.get("/exchanges/%2F/amq.default", **query)
        overview = await api.get("/overview", **query)
        vhost = await api.get("/vhosts/%2F", **query)
        (connection,) = await api.get("/connections", data_rates_age=60, data_rates_incr=5)
        (shown,) = await api.get("/channels", **query)
        (node,) = await api.get("/nodes", node_stats_age=60, node_stats_incr=5)

    rate = 10 / INTERVAL_S
    assert queue["messages_details"]["rate"] == rate
    assert queue["message_stats"]["publish_details"]["rate"] == rate
    assert exchange["message_stats"]["publish_in_details"]["rate"] == rate
    assert overview["message_stats"]["publish_details"]["rate"] == rate
    assert overview["message_stats"]["confirm_details"]["rate"] == rate
    assert overview["queue_totals"]["messages_details"]["rate"] == rate
    assert vhost["message_stats"]["publish_details"]["rate"] == rate
    assert shown["message_stats"]["publish_details"]["rate"] == rate
    samples = overview["queue_totals"]["messages_details"]["samples"]
    assert samples == [
        {"sample": 10, "timestamp": 2 * STEP_MS},
        {"sample": 0, "timestamp": STEP_MS},
        {"sample": 0, "timestamp": 0},
    ]
    details = overview["queue_totals"]["messages_details"]
    assert (details["avg"], details["avg_rate"]) == (10 / 3, rate / 2)
    assert connection["recv_oct_details"]["rate"] > 0
    assert node["mem_used_details"]["samples"]
    assert overview["churn_rates"]["connection_created"] == 1
    assert overview["churn_rates"]["queue_created"] == 1


async def test_queues_that_stand_still_have_rates_too(api: Api) -> None:
    for name in ("q", "other"):
        await api.put(f"/queues/%2F/{name}")
    await sweep(api, STEP_MS)
    async with api.channel() as channel:
        await publish(channel, b"x", "q")
    seen = []

    for number in (2, 3, 4):
        await sweep(api, number * STEP_MS)
        queue = await api.get("/queues/%2F/q", lengths_age=60, lengths_incr=5)
        seen.append(queue["message_stats"]["publish_details"]["rate"])
    await api.delete("/reset")
    await sweep(api, 5 * STEP_MS)
    after = await api.get("/queues/%2F/q")
    await api.delete("/queues/%2F/q")
    await sweep(api, 6 * STEP_MS)

    assert seen == [1 / INTERVAL_S, 0, 0]
    assert len(queue["messages_details"]["samples"]) == 4
    assert after["message_stats"]["publish_details"]["rate"] == 0
    http = api.broker.server._http
    assert http is not None
    names = {getattr(key, "name", "") for key in http._api.survey.sampler._series}
    assert "other" in names
    assert "q" not in names


@pytest.mark.parametrize(
    ("age", "step"), [("x", 5), (60, 0), (60, -1), (-1, 5), (1_000_000, 1), ("", "")]
)
async def test_samples_that_cannot_be_are_refused(
    api: Api, age: int | str, step: int | str
) -> None:
    await api.get("/overview", 400, lengths_age=age, lengths_incr=step)


async def test_a_user_sees_the_totals_of_its_own_vhosts(api: Api) -> None:
    await api.put("/vhosts/a")
    await api.put("/queues/%2F/q")
    async with api.channel() as channel:
        await publish(channel, b"x", "q")
    shop = await api.user("shop", "management", vhosts=("a",))

    overview = await shop.get("/overview")

    assert overview["queue_totals"]["messages"] == 0
    assert overview["object_totals"]["queues"] == 0
    assert "listeners" not in overview


async def test_a_queue_that_is_new_has_one_sample(api: Api) -> None:
    await api.put("/queues/%2F/q")

    queue = await api.get("/queues/%2F/q", lengths_age=60, lengths_incr=5)

    assert [one["sample"] for one in queue["messages_details"]["samples"]] == [0]


async def test_what_was_there_when_the_broker_started_has_not_grown_from_nothing(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, on_disk) as api:
        await api.put("/queues/%2F/q", {"durable": True})
        async with api.channel() as channel:
            for _ in range(3):
                await publish(channel, b"x", "q", delivery_mode=2)

    async with served(tmp_path, on_disk) as api:
        for _ in range(2):
            asked = {"lengths_age": 60, "lengths_incr": 5}
            queue = await api.get("/queues/%2F/q", **asked)
            total = (await api.get("/overview", **asked))["queue_totals"]
            vhost = await api.get("/vhosts/%2F", **asked)

            for shown in (queue, total, vhost):
                assert shown["messages"] == 3
                assert {one["sample"] for one in shown["messages_details"]["samples"]} <= {3}
                assert shown["messages_details"]["rate"] == 0
            http = api.broker.server._http
            assert http is not None
            await http._api.survey.sweep(api.broker.server.broker.around.now_ms + 5000)
