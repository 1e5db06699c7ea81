"""The page among thousands of queues, for people with few rights, in the dark, and cut off."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.test_page import HOSTILE, fill
from tests.client import Client
from tests.management.served import name

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.conftest import Desk

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


async def test_dark_and_light_are_chosen_and_remembered(desk: Desk) -> None:
    page = desk.page

    async def paper() -> str:
        return str(await page.evaluate("getComputedStyle(document.body).backgroundColor"))

    await expect(
        page.get_by_role("button", name="Appearance: as the system has it")
    ).to_be_visible()
    bright = await paper()
    await page.get_by_role("button", name="Appearance").click()
    assert await paper() == bright
    await page.get_by_role("button", name="Appearance: light").click()
    dark = await paper()
    await page.reload()

    await expect(page.get_by_role("button", name="Appearance: dark")).to_be_visible()
    assert dark != bright
    assert await paper() == dark
    await page.get_by_role("button", name="Appearance: dark").click()
    assert await paper() == bright


async def test_what_does_not_move_is_found_and_the_view_is_kept(desk: Desk) -> None:
    await fill(desk, "empty")
    await fill(desk, "orders", messages=3)
    page = desk.page
    await desk.open("queues")
    await page.get_by_label("Only").select_option("stuck")
    await expect(page.get_by_text("1 of 1 queue").or_(page.get_by_text("1 queue"))).to_be_visible()
    await expect(page.get_by_role("link", name="empty")).to_have_count(0)
    await page.get_by_role("button", name="Keep this view").click()
    await desk.agree("stuck ones")
    await desk.open("queues")
    await expect(page.get_by_role("link", name="empty")).to_be_visible()
    await page.get_by_role("link", name="stuck ones").click()
    await expect(page.get_by_role("link", name="empty")).to_have_count(0)

    await page.get_by_role("link", name="orders").click()

    await expect(page.get_by_role("note")).to_contain_text("Nobody consumes")
    await expect(page.get_by_role("note").locator("code")).to_have_text("amqpd consume orders")


async def test_stars_columns_and_a_file_for_spreadsheets(desk: Desk, tmp_path: Path) -> None:
    await fill(desk, "=formula", "orders", messages=2)
    page = desk.page
    await desk.open("queues")
    await page.get_by_role("button", name="Star orders").click()
    await expect(page.get_by_role("table", name="Starred queues")).to_contain_text("orders")
    await page.get_by_text("Columns").click()
    await page.get_by_label("Features").uncheck()
    await expect(page.get_by_role("columnheader", name="Features")).to_have_count(0)

    async with page.expect_download() as waiting:
        await page.get_by_role("button", name="CSV").click()
    file = tmp_path / "queues.csv"
    await (await waiting.value).save_as(file)

    head, formula, orders = file.read_text().splitlines()
    assert head == "Vhost,Name,Type,State,Ready,Unacked,Consumers,Bytes,In/s,Out/s,Ack/s"
    assert formula.split(",")[1] == "'=formula"
    assert orders.split(",")[:8] == ["/", "orders", "classic", "running", "2", "0", "0", "16"]


async def test_arguments_become_a_policy(desk: Desk) -> None:
    await fill(desk, "or.ders", **{"x-max-length": 5})
    page = desk.page
    await desk.open("queues/%2F/or.ders/arguments")
    await page.get_by_text("Make a policy of these arguments").click()
    await page.get_by_role("button", name="Set policy").click()
    await expect(page.get_by_role("status")).to_contain_text("Policy 'of-or.ders' is set.")

    [policy] = await desk.api.get("/policies")
    assert (policy["pattern"], policy["definition"]) == (r"^or\.ders$", {"max-length": 5})


async def test_who_may_not_is_shown_no_buttons_for_it(desk: Desk) -> None:
    await fill(desk, "orders")
    await desk.api.user("mia", "management", vhosts=("/",))
    await desk.api.put(
        "/policies/%2F/p", {"pattern": "^a", "definition": {"max-length": 1}, "apply-to": "queues"}
    )
    page = desk.page
    await page.get_by_role("button", name="Log out").click()
    await page.get_by_label("User").fill("mia")
    await page.get_by_label("Password").fill("mia")
    await page.get_by_role("button", name="Log in").click()
    pages = page.get_by_role("navigation", name="Pages")
    await expect(pages).to_be_visible()
    assert "Audit" not in await pages.inner_text()

    await desk.open("admin/users")  # not hers: the first part that she may see
    parts = page.get_by_role("navigation", name="Administration")
    await expect(parts).to_have_text("Virtual hostsPoliciesOperator policiesLimits")
    for part in ("vhosts", "policies", "operator-policies", "limits"):
        await desk.open(f"admin/{part}")
        await expect(parts.locator("[aria-current]")).to_be_visible()
        await expect(page.locator("main button")).to_have_count(0)
        await expect(page.locator("main details")).to_have_count(0)
    await desk.open("queues/%2F/orders/messages")
    await page.get_by_role("button", name="Peek").click()
    await expect(page.get_by_text("No message is ready.")).to_be_visible()
    desk.complaints.clear()


async def test_a_broker_that_goes_away_is_told_of_and_found_again(desk: Desk) -> None:
    page = desk.page
    await desk.open("queues")
    await expect(page.get_by_text("No queues yet.")).to_be_visible()
    await page.context.set_offline(True)
    await fill(desk, "orders")
    # Who is there stays there; a stream that is open is cut by going to another page.
    await desk.open("connections")

    told = page.get_by_role("alert").filter(has_text="The broker does not answer.")
    await expect(told.first).to_be_visible()
    await page.context.set_offline(False)
    await desk.open("queues")

    await expect(page.get_by_role("link", name="orders")).to_be_visible()
    await expect(told).to_have_count(0)
    desk.complaints.clear()


async def test_a_login_that_ends_leads_to_the_login(desk: Desk) -> None:
    desk = await desk.another()
    page, other = desk.page, await desk.page.context.new_page()
    await other.goto(f"{desk.api.uri}/#/queues")
    await expect(other.get_by_text("No queues yet.")).to_be_visible()
    await other.get_by_role("button", name="Log out").click()
    await expect(other.get_by_role("button", name="Log in")).to_be_visible()

    await desk.open("connections")

    await expect(page.get_by_role("button", name="Log in")).to_be_visible()
    desk.complaints.clear()


async def test_no_name_of_anything_is_ever_markup(desk: Desk) -> None:
    """Queue, exchange, vhost, user, policy, header, key, body, consumer tag, client properties."""
    api, it = desk.api, name(HOSTILE)
    await api.put(f"/vhosts/{it}")
    await api.put(f"/users/{it}", {"password": "x", "tags": HOSTILE})
    await api.put(f"/exchanges/%2F/{it}", {"type": "topic"})
    await api.put(f"/queues/%2F/{it}", {"durable": True, "arguments": {"x-max-length": 9}})
    policy = {"pattern": HOSTILE, "definition": {"max-length": 5}, "apply-to": "queues"}
    await api.put(f"/policies/%2F/{it}", policy)
    await api.post(f"/bindings/%2F/e/{it}/q/{it}", {"routing_key": HOSTILE}, 201)
    properties = {"content_type": HOSTILE, "type": HOSTILE, "headers": {HOSTILE: HOSTILE}}
    message = {"routing_key": HOSTILE, "payload": HOSTILE, "payload_encoding": "string"}
    await api.post(f"/exchanges/%2F/{it}/publish", message | {"properties": properties})
    dialogs: list[str] = []
    desk.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    client = await asyncio.to_thread(Client, api.broker.port, name=HOSTILE)

    def consume() -> None:
        client.channel().consume(HOSTILE, tag=HOSTILE, prefetch=1)

    with client:
        await asyncio.to_thread(consume)
        for place in (
            "overview", "connections", "channels", "exchanges", f"exchanges/%2F/{it}", "queues",
            f"queues/%2F/{it}", f"queues/%2F/{it}/consumers", f"queues/%2F/{it}/bindings",
            f"queues/%2F/{it}/arguments", f"queues/%2F/{it}/danger", "alarms", "log", "audit",
            "admin/users", "admin/vhosts", "admin/policies", "admin/limits",
        ):  # fmt: skip
            await desk.open(place)
            await expect(desk.page.locator("main")).not_to_be_empty()
            await expect(desk.page.locator("main section, main .stats").first).to_be_visible()
            assert await desk.page.locator("img[onerror]").count() == 0, place
    await desk.open(f"queues/%2F/{it}/messages")
    await desk.page.get_by_role("button", name="Peek").click()
    await expect(desk.page.locator(".message pre")).to_have_text(HOSTILE)
    assert await desk.page.locator("img[onerror]").count() == 0
    assert dialogs == []
