"""What the page knows of several things at once, of channels, of bodies, and of who may what."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.test_operations import log_in_as
from tests.browser.test_page import fill
from tests.client import Client

if TYPE_CHECKING:
    from tests.browser.conftest import Desk

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


async def names(desk: Desk) -> set[str]:
    return {one["name"] for one in await desk.api.get("/queues")}


async def test_several_queues_are_purged_and_deleted_at_once(desk: Desk) -> None:
    await fill(desk, "a", "b", "c", messages=2)
    page = desk.page
    await desk.open("queues")
    await page.get_by_label("Choose a", exact=True).check()
    await page.get_by_label("Choose b", exact=True).check()
    await expect(page.get_by_text("2 queues chosen")).to_be_visible()
    await page.get_by_role("button", name="Purge").click()
    await desk.agree("purge 2 queues")
    await expect(page.get_by_text("Purged: 2 queues")).to_be_visible()
    for queue in ("a", "b"):
        await expect(page.get_by_role("row", name=queue).get_by_role("cell").nth(7)).to_have_text(
            "0"
        )

    await page.get_by_label("Choose all of this page").check()
    await page.get_by_label("Choose c", exact=True).uncheck()
    await page.get_by_role("button", name="Delete").click()
    await desk.agree()

    await expect(page.get_by_text("Deleted: 2 queues")).to_be_visible()
    await expect(page.get_by_role("link", name="a", exact=True)).to_have_count(0)
    assert await names(desk) == {"c"}


async def test_lists_are_narrowed_by_vhost_type_and_expression(desk: Desk) -> None:
    await desk.api.put("/vhosts/staging")
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    await desk.api.put("/permissions/staging/guest", rights, 204)
    await desk.api.put("/queues/staging/far", {"durable": True})
    await fill(desk, "near-1", "near-x")
    page = desk.page
    await desk.open("queues")
    await page.get_by_role("combobox", name="Vhost").select_option("staging")
    await expect(page.get_by_role("link", name="near-1")).to_have_count(0)
    await expect(page.get_by_role("link", name="far")).to_be_visible()

    await desk.open("queues")
    await page.get_by_label("regex").check()
    await page.keyboard.press("/")
    await page.get_by_label("Search queues").fill("[0-9]$")

    await expect(page.get_by_text("1 of 3 queue")).to_be_visible()
    await page.get_by_role("combobox", name="Type").select_option("stream")
    await expect(page.get_by_text("None is like that.")).to_be_visible()


async def test_arguments_need_not_be_known_by_heart(desk: Desk) -> None:
    page = desk.page
    await desk.open("queues")
    await page.get_by_text("Add a queue").click()
    await page.get_by_label("Name", exact=True).fill("orders")
    await page.get_by_role("button", name="max-length", exact=True).click()
    await page.get_by_role("button", name="overflow", exact=True).click()
    await page.get_by_role("button", name="Add queue").click()
    await expect(page.get_by_text("Queue 'orders' is there.")).to_be_visible()

    arguments = (await desk.api.get("/queues/%2F/orders"))["arguments"]
    assert (arguments["x-max-length"], arguments["x-overflow"]) == (10_000, "reject-publish")


async def test_a_channel_has_a_page_from_which_a_consumer_is_cancelled(desk: Desk) -> None:
    await fill(desk, "orders", messages=3)
    page, port = desk.page, desk.api.broker.port
    with await asyncio.to_thread(lambda: Client(port, name="worker")) as client:
        await asyncio.to_thread(lambda: client.channel().consume("orders", tag="me", prefetch=2))
        await desk.open("queues/%2F/orders/consumers")
        await page.get_by_role("link", name="worker").click()
        await expect(page.get_by_role("heading", name="Channel 1 of worker")).to_be_visible()
        await expect(page.get_by_role("row", name="me orders")).to_contain_text("full")

        await page.get_by_role("button", name="Cancel").click()
        await desk.agree()

        await expect(page.get_by_text("It consumes from no queue.")).to_be_visible()


async def test_a_body_is_shown_as_it_is_whole_or_in_octets(desk: Desk) -> None:
    await fill(desk, "orders")
    api, page = desk.api, desk.page
    for payload, encoding in (
        ('{"id":12345678901234567890,"a":[]}', "string"),
        ("AAH/QQ==", "base64"),
        ("a" + "ä" * 40_000, "string"),
    ):
        await api.post(
            "/exchanges/%2F/amq.default/publish",
            {
                "routing_key": "orders",
                "payload": payload,
                "payload_encoding": encoding,
                "properties": {"headers": {"deep": {"a": {"b": 1}}}},
            },
        )
    await desk.open("queues/%2F/orders/messages")
    await page.get_by_role("button", name="Peek").click()

    bodies = page.get_by_label("Body", exact=True).and_(page.locator("pre"))
    await expect(bodies.nth(0)).to_have_text('{\n  "id": 12345678901234567890,\n  "a": []\n}')
    await expect(bodies.nth(1)).to_contain_text("00000000  00 01 ff 41")
    await expect(page.get_by_text("The first 50.0 kB of 80.0 kB.")).to_be_visible()
    await page.get_by_role("button", name="Show all").click()
    await expect(bodies.nth(2)).to_have_text("a" + "ä" * 40_000)
    await expect(page.locator(".message dd pre").first).to_contain_text('"b": 1')


async def test_integers_of_64_bits_are_neither_rounded_when_shown_nor_when_sent(
    desk: Desk,
) -> None:
    await fill(desk, "orders")
    page = desk.page
    await desk.open("queues/%2F/orders/messages")
    headers = '{"id": 9007199254740993, "of": [-9223372036854775807]}'
    await page.get_by_label("Headers (JSON)").fill(headers)
    await page.get_by_role("button", name="Publish").click()
    await expect(page.get_by_text("Published.")).to_be_visible()
    await page.get_by_role("button", name="Peek").click()

    await expect(page.get_by_text("9007199254740993", exact=True)).to_be_visible()
    await expect(page.locator(".message dd pre")).to_contain_text("-9223372036854775807")
    found = await desk.api.post("/queues/%2F/orders/peek", {"count": 1})
    sent = found["messages"][0]["properties"]["headers"]
    assert sent == {"id": 9007199254740993, "of": [-9223372036854775807]}


async def test_all_that_is_shown_is_moved(desk: Desk) -> None:
    await fill(desk, "dead", messages=25)
    await fill(desk, "orders")
    page = desk.page
    await desk.open("queues/%2F/dead/messages")
    await page.get_by_label("At most").select_option("100")
    await page.get_by_role("button", name="Peek").click()
    await page.get_by_role("button", name="Move all to…").click()
    await desk.agree("orders")

    await expect(page.get_by_text("Moved: 25 of 25")).to_be_visible()
    assert (await desk.api.get("/queues/%2F/orders"))["messages"] == 25


async def test_routing_keys_of_a_user_are_limited(desk: Desk) -> None:
    await desk.api.user("bob", vhosts=("/",))
    page = desk.page
    await desk.open("admin/users")
    form = page.locator("details", has_text="Limit routing keys")
    await form.get_by_text("Limit routing keys").first.click()
    await form.get_by_label("User").select_option("bob")
    await form.get_by_label("Keys to write").fill("^a")
    await form.get_by_role("button", name="Limit routing keys").click()

    await expect(page.get_by_role("table", name="Topic permissions")).to_contain_text("^a")
    await page.get_by_role("button", name="Lift").click()
    await desk.agree()
    await expect(page.get_by_text("No routing keys are limited.")).to_be_visible()


async def test_a_user_that_is_changed_keeps_what_was_not(desk: Desk) -> None:
    bob = await desk.api.user("bob", "monitoring")
    page = desk.page
    await desk.open("admin/users")
    await page.get_by_role("row", name="bob").get_by_role("button", name="Edit").click()
    await page.get_by_label("Tags").fill("monitoring, policymaker")
    await page.get_by_role("button", name="Save user").click()

    await expect(page.get_by_role("row", name="bob")).to_contain_text("policymaker")
    assert (await bob.get("/whoami"))["tags"] == ["monitoring", "policymaker"]


async def test_features_are_shown_and_the_cluster_gets_a_name(desk: Desk) -> None:
    page = desk.page
    await desk.open("admin/features")
    await expect(page.get_by_role("table", name="Feature flags")).to_contain_text("enabled")
    await page.get_by_label("Name", exact=True).fill("shop")
    await page.get_by_role("button", name="Rename").click()

    await expect(page.get_by_text("It is called 'shop' from now on.")).to_be_visible()
    assert (await desk.api.get("/cluster-name"))["name"] == "shop"


async def test_who_has_a_permission_in_no_vhost_is_told_why_nothing_is_shown(desk: Desk) -> None:
    await fill(desk, "orders")
    await desk.api.user("mona", "monitoring")
    await log_in_as(desk, "mona")

    for place in ("queues", "exchanges", "streams"):
        await desk.open(place)
        await expect(desk.page.get_by_text("You have a permission in no vhost.")).to_be_visible()
    await desk.open("queues/%2F/orders")
    await expect(desk.page.get_by_text("or you have no permission there")).to_be_visible()
    desk.complaints.clear()


async def test_who_may_only_read_is_shown_no_buttons_that_would_fail(desk: Desk) -> None:
    await fill(desk, "orders", messages=1)
    await desk.api.user("mia", "monitoring", vhosts=("/",))
    await desk.api.put("/permissions/%2F/mia", {"configure": "", "write": "", "read": ".*"}, 204)
    page = desk.page
    await log_in_as(desk, "mia")

    await desk.open("exchanges")
    await expect(page.get_by_text("You may not add an exchange")).to_be_visible()
    await desk.open("queues")
    await expect(page.get_by_text("You may not add a queue")).to_be_visible()
    await page.get_by_label("Choose orders", exact=True).check()
    await expect(page.get_by_role("button", name="Purge")).to_be_enabled()
    for what in ("Pause", "Resume", "Delete"):
        await expect(page.get_by_role("button", name=what, exact=True)).to_be_disabled()
    await expect(page.get_by_text("no permission to configure in vhost '/'")).to_be_visible()

    await desk.open("queues/%2F/orders/danger")
    await expect(page.get_by_role("button", name="Purge 1 ready message")).to_be_visible()
    await expect(page.get_by_role("button", name="Delete this queue")).to_have_count(0)
    await expect(page.get_by_role("button", name="Pause consumers")).to_have_count(0)
    await page.get_by_role("tab", name="Messages").click()
    await expect(page.get_by_text("You have no permission to publish here.")).to_be_visible()
    await page.get_by_role("button", name="Peek").click()
    await expect(page.get_by_role("button", name="Delete")).to_be_visible()
    await expect(page.get_by_role("button", name="Move to…")).to_have_count(0)
    await desk.open("connections")
    await expect(page.get_by_text("Nobody is connected.")).to_be_visible()
    await desk.open("queues/%2F/orders/messages")
    await page.get_by_role("tab", name="Bindings").click()
    await expect(page.get_by_text("Nothing is bound.")).to_be_visible()
    await expect(page.get_by_role("button", name="Bind")).to_have_count(0)
    desk.complaints.clear()
