"""Policies key by key, messages as consumers get them, a node, a day of charts, 10,000 queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from amqpd.management.sampling import INTERVAL_S, Series
from amqpd.management.survey import queue_values
from tests.browser.test_operations import log_in_as
from tests.browser.test_page import fill

if TYPE_CHECKING:
    from tests.browser.conftest import Desk

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


async def test_a_policy_is_made_key_by_key(desk: Desk) -> None:
    page = desk.page
    await desk.open("admin/policies")
    await page.get_by_text("Add or change one").click()
    await page.get_by_label("Name", exact=True).fill("short")
    await page.get_by_label("Pattern of names").fill("^ord")
    await page.get_by_label("Applies to").select_option("queues")
    keys = page.get_by_label("Add a key")
    await expect(keys.locator("option[value=alternate-exchange]")).to_have_count(0)
    for key in ("message-ttl", "overflow", "max-length"):
        await keys.select_option(key)
    await page.get_by_role("spinbutton", name="message-ttl").fill("90000")
    await expect(page.get_by_text("1 min 30 s")).to_be_visible()
    await page.get_by_role("combobox", name="overflow").select_option("reject-publish-dlx")
    await page.get_by_role("button", name="Leave out max-length").click()
    await page.get_by_role("button", name="Set").click()
    await expect(page.get_by_role("row", name="short")).to_be_visible()
    [policy] = await desk.api.get("/policies")
    assert policy["definition"] == {"message-ttl": 90000, "overflow": "reject-publish-dlx"}

    await page.get_by_role("button", name="Edit").click()
    await page.get_by_label("Definition (JSON)").fill('{"expires": 5')
    await expect(page.get_by_text("That is no JSON object yet.")).to_be_visible()
    await page.get_by_label("Definition (JSON)").fill('{"expires": 5000}')
    await expect(page.get_by_role("spinbutton", name="expires")).to_have_value("5000")
    await page.get_by_label("Applies to").select_option("streams")
    await expect(page.get_by_text("Without effect on what it applies to: expires")).to_be_visible()

    await desk.open("admin/operator-policies")
    await page.get_by_text("Add or change one").click()
    keys = page.get_by_label("Add a key")
    await expect(keys.locator("option[value=max-length]")).to_have_count(1)
    await expect(keys.locator("option[value=dead-letter-exchange]")).to_have_count(0)


async def test_messages_are_got_as_consumers_get_them(desk: Desk) -> None:
    await fill(desk, "orders", messages=3)
    page = desk.page
    await desk.open("queues/%2F/orders/messages")
    await page.get_by_text("Get messages as a consumer does").click()
    await page.get_by_role("button", name="Get", exact=True).click()
    await expect(page.locator(".message")).to_have_count(1)
    await expect(page.locator(".message")).to_contain_text("2 messages behind it")
    await page.get_by_role("button", name="Get", exact=True).click()
    await expect(page.locator(".message")).to_contain_text("redelivered")

    await page.get_by_label("How many").fill("2")
    await page.get_by_label("Then").select_option("ack_requeue_false")
    await page.get_by_role("button", name="Get", exact=True).click()
    question = page.get_by_role("alertdialog")
    await expect(question).to_contain_text("Get up to 2 messages of 'orders' and take them out?")
    await page.keyboard.press("Escape")
    assert (await desk.api.get("/queues/%2F/orders"))["messages"] == 3
    await page.get_by_role("button", name="Get", exact=True).click()
    await desk.agree()

    await expect(page.locator(".message")).to_have_count(2)
    assert (await desk.api.get("/queues/%2F/orders"))["messages"] == 1


async def test_all_that_is_ready_is_moved_to_another_queue(desk: Desk) -> None:
    await fill(desk, "dead", messages=1500)
    await fill(desk, "orders")
    page = desk.page
    await desk.open("queues/%2F/dead/danger")
    await page.get_by_role("button", name="Move all to…").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Move 1,500 ready messages")
    await desk.agree("orders")

    await expect(page.get_by_text("1,500 messages moved to 'orders', 0 left.")).to_be_visible()
    assert (await desk.api.get("/queues/%2F/orders"))["messages"] == 1500


async def test_a_node_has_a_page_with_what_it_was_started_with(desk: Desk) -> None:
    page = desk.page
    await page.get_by_role("link", name="All of this node").click()
    for title in ("resident", "free", "open", "connected", "syncs to disk"):
        await expect(page.locator(".chart", has_text=title).first).to_be_visible()
    await expect(page.get_by_role("progressbar", name="SQLite")).to_be_visible()
    await expect(page.get_by_role("table", name="Ports")).to_contain_text("amqp")
    await expect(page.get_by_role("table", name="Web contexts")).to_contain_text("Management")
    await page.keyboard.press("/")
    await page.get_by_label("Search settings").fill("heartbeat")
    settings = page.get_by_role("table", name="Settings")
    await expect(settings.get_by_role("row")).to_have_count(2)
    await expect(settings).to_contain_text("amqp.heartbeat_s")

    await desk.api.user("mona", "monitoring")
    await log_in_as(desk, "mona")
    await expect(page.get_by_role("heading", name="Web contexts")).to_be_visible()
    await expect(page.get_by_role("heading", name="Settings in force")).to_have_count(0)
    assert desk.complaints == []


async def test_thousands_of_queues_are_searched_sorted_and_turned_by_keyboard(desk: Desk) -> None:
    page = desk.page
    for thousand in range(10):
        numbers = range(thousand * 1000, (thousand + 1) * 1000)
        queues = [{"name": f"q{number:05}", "vhost": "/", "durable": True} for number in numbers]
        await desk.api.post("/definitions", {"queues": queues}, 204)
    await desk.open("queues")
    await expect(page.get_by_text("10,000 queues")).to_be_visible()
    rows = page.get_by_role("table", name="Queues").locator("tbody tr")
    await expect(rows).to_have_count(100)

    await page.get_by_label("Page after").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("2 / 100")).to_be_visible()
    await expect(rows.first).to_contain_text("q00100")
    await page.get_by_role("button", name="Name").focus()
    await page.keyboard.press("Enter")
    await expect(rows.first).to_contain_text("q09999")
    await expect(page.get_by_role("columnheader", name="Name")).to_have_attribute(
        "aria-sort", "descending"
    )
    await page.keyboard.press("/")
    await page.keyboard.type("0777")
    await expect(page.get_by_text("11 of 10,000 queues")).to_be_visible()
    await expect(rows.first).to_contain_text("q07779")
    await page.keyboard.press("Escape")
    await expect(page.get_by_text("10,000 queues", exact=True)).to_be_visible()


def live_a_day(desk: Desk, queue: str) -> None:
    """Look at a queue every five seconds of the last day: each hour it fills and empties."""
    server = desk.api.broker.server
    assert server._http is not None
    sampler = server._http._api.survey.sampler
    model, now_ms = server.broker.vhosts["/"].queues[queue], server.broker.around.now_ms
    looks = 86_400 // INTERVAL_S
    series = Series(now_ms - looks * INTERVAL_S * 1000, len(queue_values(model)))
    series.begin_history()
    for look in range(1, looks):
        at_ms = now_ms - (looks - look) * INTERVAL_S * 1000
        ready = look % 720
        published = look * 50
        row = (ready, ready, 0, published, published - ready, *[0] * (len(series.now.values) - 5))
        series.look(at_ms, row, look, at_ms - INTERVAL_S * 1000)
    series.seen = sampler._sweep - 1
    sampler._series[model] = sampler._histories[model] = series


async def test_hours_and_days_are_drawn_from_what_was_kept(desk: Desk) -> None:
    await fill(desk, "orders", messages=1)
    live_a_day(desk, "orders")
    page = desk.page
    await desk.open("queues/%2F/orders")
    depth = page.locator(".chart", has_text="In the queue")
    for chosen, hours in (("hour", 1), ("day", 24)):
        await page.get_by_role("button", name=chosen, exact=True).click()
        await expect(depth.locator("canvas")).to_be_visible()
        step = {1: 30, 24: 600}[hours]
        row = await desk.api.get("/queues/%2F/orders", lengths_age=hours * 3600, lengths_incr=step)
        samples = row["messages_ready_details"]["samples"]
        passed_s = (samples[0]["timestamp"] - samples[-1]["timestamp"]) / 1000
        assert abs(passed_s - hours * 3600) <= 2 * step
        assert len({one["sample"] for one in samples}) > 2
        # The cursor says what was at the beginning.
        box = await depth.locator(".u-over").bounding_box()
        assert box is not None
        await page.mouse.move(box["x"] + 2, box["y"] + 20)
        await expect(depth.locator(".u-legend")).not_to_contain_text("now")
        await page.mouse.move(0, 0)
    assert desk.complaints == []


async def test_nothing_is_offered_that_patterns_of_names_forbid(desk: Desk) -> None:
    await fill(desk, "own-x", "orders", messages=1)
    await desk.api.user("conf", "management", vhosts=("/",))
    rights = {"configure": "^own-", "write": "", "read": ".*"}
    await desk.api.put("/permissions/%2F/conf", rights, 204)
    await log_in_as(desk, "conf")
    page = desk.page
    await desk.open("queues")
    await page.get_by_label("Choose own-x", exact=True).check()
    await expect(page.get_by_role("button", name="Delete", exact=True)).to_be_enabled()
    await page.get_by_label("Choose orders", exact=True).check()
    await expect(page.get_by_role("button", name="Delete", exact=True)).to_be_disabled()
    await expect(page.get_by_text("You have no permission to configure 'orders'.")).to_be_visible()
    await expect(page.get_by_role("button", name="Purge", exact=True)).to_be_enabled()

    await desk.api.put("/queues/%2F/mine", status=201)
    rights = {"configure": "", "write": "^mine$", "read": ".*"}
    await desk.api.put("/permissions/%2F/conf", rights, 204)
    for queue in ("mine", "orders"):
        binding = {"routing_key": queue}
        await desk.api.post(f"/bindings/%2F/e/amq.direct/q/{queue}", binding, 201)
    await desk.open("exchanges/%2F/amq.direct")
    await expect(page.get_by_role("button", name="Bind", exact=True)).to_be_visible()
    table = page.get_by_role("table", name="Bindings")
    unbind = page.get_by_role("button", name="Unbind")
    await expect(table.get_by_role("row", name="mine").locator(unbind)).to_be_visible()
    await expect(table.get_by_role("row", name="orders").locator(unbind)).to_have_count(0)
    rights = {"configure": "^own-", "write": "", "read": ".*"}
    await desk.api.put("/permissions/%2F/conf", rights, 204)
    await page.reload()

    # It may read the exchange, and has no queue into which a binding could be written.
    await desk.open("exchanges/%2F/amq.topic")
    await expect(page.get_by_text("Nothing is bound.")).to_be_visible()
    await expect(page.get_by_role("button", name="Bind", exact=True)).to_have_count(0)
    assert desk.complaints == []
