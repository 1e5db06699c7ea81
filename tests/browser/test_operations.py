"""What operators do on the page when something is wrong."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.test_page import fill
from tests.client import Client

if TYPE_CHECKING:
    from tests.browser.conftest import Desk

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

LOG = logging.getLogger("amqpd.test")


async def log_in_as(desk: Desk, user: str) -> None:
    """Somebody else, in the same window."""
    page = desk.page
    await page.get_by_role("button", name="Log out").click()
    await page.get_by_label("User").fill(user)
    await page.get_by_label("Password").fill(user)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("navigation", name="Pages")).to_be_visible()


async def test_a_queue_is_paused_and_says_so_until_it_is_resumed(desk: Desk) -> None:
    await fill(desk, "orders", messages=2)
    page = desk.page
    await desk.open("queues/%2F/orders/danger")
    await page.get_by_role("button", name="Pause consumers").click()
    await desk.agree()
    await expect(page.locator("h1")).to_contain_text("paused")

    await page.get_by_role("tab", name="Overview").click()
    await expect(page.get_by_role("note")).to_contain_text("Paused by 'guest' since")
    await expect(page.get_by_role("note")).not_to_contain_text("+00:00")
    await page.get_by_role("button", name="Resume").click()

    await expect(page.locator("h1")).to_contain_text("running")
    assert (await desk.api.get("/queues/%2F/orders"))["paused"] is None


async def test_the_log_is_followed_by_level_and_text(desk: Desk) -> None:
    page = desk.page
    await desk.open("log")
    await page.get_by_label("Search the log").fill("gizmo")
    LOG.warning("gizmo is odd")
    LOG.error("gizmo is broken")
    await expect(page.locator(".log li")).to_have_count(2)
    await expect(page.locator(".log li").first).to_contain_text("gizmo is broken")

    await page.get_by_label("At least").select_option("error")
    await expect(page.locator(".log li")).to_have_count(1)
    await page.get_by_label("At least").select_option("warning")
    await page.get_by_label("Search the log").fill("gizmo is odd")

    await expect(page.locator(".log li")).to_have_count(1)
    await expect(page.locator(".log li")).to_contain_text("gizmo is odd")


async def test_the_audit_log_and_alerts_are_shown(desk: Desk) -> None:
    bob = await desk.api.user("bob", "management")
    for _ in range(50):
        await bob.get("/nodes", 401)
    page = desk.page
    await page.get_by_role("link", name="1 alert of the audit").click()
    await expect(page.get_by_role("table", name="Alerts")).to_contain_text("bob")

    await page.get_by_role("link", name="Audit", exact=True).click()
    await page.get_by_label("Show").select_option("alerts")
    await expect(page.get_by_role("table", name="Audit log")).to_contain_text("denials")
    await page.get_by_label("Show").select_option("changes over HTTP")
    await expect(page.get_by_role("table", name="Audit log")).to_contain_text("/users/bob")


async def test_alarms_are_shown_with_their_limits(desk: Desk) -> None:
    await desk.open("alarms")

    await expect(desk.page.get_by_text("the alarm comes above")).to_be_visible()
    await expect(desk.page.get_by_text("the alarm comes below 50.0 MB")).to_be_visible()


@pytest.mark.parametrize("desk", [{"resources__disk_free_bytes": 1 << 60}], indirect=True)
async def test_whose_messages_are_not_taken_is_told_why(desk: Desk) -> None:
    await desk.api.put("/queues/%2F/orders", {"durable": True})
    await desk.api.user("mina", "management", vhosts=("/",))
    await log_in_as(desk, "mina")
    page, port = desk.page, desk.api.broker.port
    await expect(page.get_by_role("alert")).to_contain_text("Low on disk: publishers are blocked")
    await desk.open("queues/%2F/orders")
    await expect(page.get_by_role("note").first).to_contain_text(
        "Nothing new comes in: the broker is low"
    )

    def publishing() -> Client:
        client = Client(port, user="mina", password="mina", name="shop")
        client.channel().publish("", "orders", b"x")
        return client

    with await asyncio.to_thread(publishing):
        await page.get_by_role("link", name="publishers").click()
        await expect(page.get_by_role("row", name="shop")).to_contain_text("blocked")
        await page.get_by_role("link", name="shop").click()

        await expect(page.get_by_role("note")).to_contain_text("What this client publishes waits.")


async def test_a_node_and_its_vhosts_are_drawn_and_counted_over_time(desk: Desk) -> None:
    page = desk.page
    await desk.open("overview")
    for title in ("resident", "free", "connections opened"):
        await expect(page.locator(".chart", has_text=title)).to_be_visible()

    await desk.open("admin/vhosts")
    await page.get_by_text("Add or change a virtual host").click()
    await page.get_by_label("Name", exact=True).fill("shop")
    await page.get_by_label("Tags").fill("sales, eu")
    await page.get_by_role("button", name="Save vhost").click()

    row = page.get_by_role("row", name="shop")
    await expect(row).to_contain_text("eu")
    await expect(row).to_contain_text("guest")


async def test_streams_have_a_page_of_their_own(desk: Desk) -> None:
    await fill(desk, "orders")
    arguments = {"x-queue-type": "stream", "x-max-age": "7D"}
    await desk.api.put("/queues/%2F/clicks", {"durable": True, "arguments": arguments})
    page = desk.page
    await desk.open("streams")
    row = page.get_by_role("row", name="clicks")
    await expect(row).to_contain_text("7D")
    await expect(page.get_by_text("1 stream", exact=True)).to_be_visible()

    await row.click()
    await page.get_by_role("tab", name="Messages").click()

    await expect(page.get_by_text("amqpd consume clicks")).to_be_visible()


async def test_anything_is_gone_to_by_its_name(desk: Desk) -> None:
    await fill(desk, *(f"q{number}" for number in range(30)), "orders")
    page = desk.page
    await expect(page.get_by_role("button", name="Go to…")).to_be_visible()
    await page.keyboard.press("Control+k")
    await expect(page.get_by_role("dialog", name="Go to")).to_be_visible()
    await page.keyboard.type("ord")
    await expect(page.get_by_role("option", name="orders")).to_be_visible()

    await page.keyboard.press("Enter")

    await expect(page.get_by_role("heading", name="orders")).to_be_visible()


async def test_vhosts_and_users_are_gone_to_by_those_who_may_see_them(desk: Desk) -> None:
    await desk.api.put("/vhosts/shop")
    await desk.api.user("shopper", "management", vhosts=("shop",))
    page = desk.page
    await page.keyboard.press("Control+k")
    await page.keyboard.type("shop")
    await expect(page.get_by_role("option")).to_have_count(2)
    await page.get_by_role("option", name="shopper").click()
    await expect(page.get_by_role("heading", name="shopper")).to_be_visible()

    await log_in_as(desk, "shopper")
    await page.keyboard.press("Control+k")
    await page.keyboard.type("shop")
    await expect(page.get_by_role("option")).to_have_count(1)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="shop")).to_be_visible()
    assert desk.complaints == []


async def test_who_may_not_see_the_log_is_not_shown_the_way(desk: Desk) -> None:
    await desk.api.user("monitor", "monitoring")
    page = desk.page
    await page.get_by_role("button", name="Log out").click()
    await page.get_by_label("User").fill("monitor")
    await page.get_by_label("Password").fill("monitor")
    await page.get_by_role("button", name="Log in").click()

    await expect(page.get_by_role("link", name="Alarms")).to_be_visible()
    await expect(page.get_by_role("link", name="Audit")).to_have_count(0)


async def test_an_import_says_what_it_will_do(desk: Desk) -> None:
    page = desk.page
    await desk.open("admin/definitions")
    document = b'{"queues": [{"name": "q", "vhost": "/", "durable": true}]}'
    await page.get_by_label("File").set_input_files(
        {"name": "definitions.json", "mimeType": "application/json", "buffer": document}
    )
    await page.get_by_role("button", name="Compare with a file").click()
    change = page.get_by_role("table", name="Changes").get_by_role("row").last
    await expect(change).to_contain_text("create")
    await expect(change).to_contain_text("queues")
    await desk.api.get("/queues/%2F/q", 404)
    await page.get_by_role("button", name="Import").click()

    await expect(page.get_by_text("Imported definitions.json.")).to_be_visible()
    await desk.api.get("/queues/%2F/q")
