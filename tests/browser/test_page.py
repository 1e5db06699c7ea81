"""The web page as an operator uses it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect
from yarl import URL

from tests.client import Client, ConnectionClosed
from tests.management.served import name

if TYPE_CHECKING:
    from pamqp.common import FieldValue

    from tests.browser.conftest import Desk

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

HOSTILE = "<img src=x onerror=alert(1)>"


async def fill(desk: Desk, *names: str, messages: int = 0, **arguments: FieldValue) -> None:
    """Declare queues with messages in them."""

    def work() -> None:
        with Client(desk.api.broker.port) as client:
            channel = client.channel()
            channel.select_confirms()
            for queue in names:
                channel.declare_queue(queue, durable=True, arguments=arguments)
                for number in range(messages):
                    channel.publish("", queue, b'{"id":%d}' % number, persistent=True)
            channel.wait_confirms()

    await asyncio.to_thread(work)


async def test_a_wrong_password_is_told_and_the_right_one_opens(desk: Desk) -> None:
    await desk.page.get_by_role("button", name="Log out").click()
    await desk.page.get_by_label("Password").fill("wrong")
    await desk.page.get_by_role("button", name="Log in").click()
    await expect(desk.page.get_by_role("alert")).to_contain_text("User or password is wrong")

    await desk.page.get_by_label("Password").fill("guest")
    await desk.page.get_by_role("button", name="Log in").click()

    await expect(desk.page.get_by_text("No queues yet.")).to_be_visible()


@pytest.mark.parametrize("desk", [{"http__path_prefix": "/ops/broker"}], indirect=True)
async def test_below_a_path_everything_works_as_elsewhere(desk: Desk) -> None:
    page = desk.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(URL(request.url).path))

    await fill(desk, "orders", messages=3)
    await desk.open("queues")
    await page.get_by_role("link", name="orders").click()
    await expect(page.get_by_role("heading", name="orders")).to_be_visible()
    await page.reload()
    # By the stream that all views share.
    await fill(desk, "orders", messages=2)
    await expect(page.get_by_text("5", exact=True).first).to_be_visible()
    await expect(page.get_by_role("link", name="metrics")).to_have_attribute(
        "href", "/ops/broker/metrics"
    )
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("button", name="Log in")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("button", name="Log in")).to_be_visible()

    assert "/ops/broker/api/live" in asked
    assert [path for path in asked if not path.startswith("/ops/broker/")] == []


async def test_queues_are_found_by_name_and_opened_with_the_keyboard(desk: Desk) -> None:
    await fill(desk, *(f"q{number}" for number in range(120)))
    await fill(desk, "orders", messages=3)
    await desk.open("queues")
    await expect(desk.page.get_by_text("121 queues")).to_be_visible()
    await expect(desk.page.get_by_label("Parts of the list")).to_contain_text("1 / 2")

    await desk.page.keyboard.press("/")
    await desk.page.keyboard.type("ord")
    await expect(desk.page.get_by_text("1 of 121 queue")).to_be_visible()
    await desk.page.get_by_role("link", name="orders").focus()
    await desk.page.keyboard.press("Enter")

    await expect(desk.page.get_by_role("heading", name="orders")).to_be_visible()
    await expect(desk.page.locator(".stat", has_text="ready")).to_contain_text("3")


async def test_what_happens_is_shown_without_a_reload(desk: Desk) -> None:
    await desk.open("queues")
    await expect(desk.page.get_by_text("No queues yet.")).to_be_visible()

    await fill(desk, "orders", messages=2)

    row = desk.page.get_by_role("row", name="orders")
    await expect(row).to_be_visible()
    await expect(row.get_by_role("cell").nth(7)).to_have_text("2")


async def test_messages_are_published_looked_at_and_purged(desk: Desk) -> None:
    await fill(desk, "orders")
    page = desk.page
    await desk.open("queues/%2F/orders/messages")
    await page.get_by_label("Headers (JSON)").fill('{"tenant": "a"}')
    await page.get_by_label("Body").fill('{"id":1}')
    await page.get_by_role("button", name="Publish").click()
    await expect(page.get_by_role("status")).to_have_text("Published.")
    await page.get_by_role("button", name="Peek").click()
    await expect(page.locator(".message pre")).to_have_text('{\n  "id": 1\n}')
    await expect(page.locator(".message")).to_contain_text("tenant")

    await page.get_by_role("tab", name="Danger zone").click()
    await page.get_by_role("button", name="Purge 1 ready message").click()
    await desk.agree()

    await expect(page.get_by_role("button", name="Purge 0 ready messages")).to_be_disabled()


async def test_messages_are_searched_moved_and_deleted_one_by_one(desk: Desk) -> None:
    await fill(desk, "orders", messages=30)
    await fill(desk, "other")
    page = desk.page
    await desk.open("queues/%2F/orders/messages")
    await page.get_by_role("button", name="Peek").click()
    await expect(page.locator(".message")).to_have_count(20)
    await page.get_by_role("button", name="More").click()
    await expect(page.locator(".message")).to_have_count(30)

    await page.get_by_label("With this text").fill('"ID":17')
    await page.get_by_role("button", name="Peek").click()
    await expect(page.locator(".message")).to_have_count(1)
    await page.get_by_role("button", name="Move to…").click()
    await desk.agree("other")
    await expect(page.locator(".message")).to_have_count(0)

    queues = {one["name"]: one["messages"] for one in await desk.api.get("/queues")}
    assert queues == {"orders": 29, "other": 1}


async def test_messages_are_a_table_with_columns_to_be_chosen(desk: Desk) -> None:
    await fill(desk, "orders", messages=3)
    page = desk.page
    await desk.open("queues/%2F/orders/messages")
    await page.get_by_label("Properties (JSON)").fill('{"timestamp": 1750000000}')
    await page.get_by_label("Body").fill("dated")
    await page.get_by_role("button", name="Publish").click()
    await expect(page.get_by_role("status")).to_have_text("Published.")
    await page.get_by_role("combobox", name="Show").select_option("a table")
    await page.get_by_role("button", name="Peek").click()
    table = page.get_by_role("table", name="Messages")
    dated = table.get_by_role("row", name="dated")
    await expect(dated).to_contain_text("2025")
    await expect(table.get_by_role("columnheader", name="Priority")).to_have_count(0)

    await page.get_by_text("Columns").click()
    await page.get_by_label("Priority").check()
    await expect(table.get_by_role("columnheader", name="Priority")).to_be_visible()
    await page.get_by_text("Columns").click()
    await dated.get_by_role("button").click()
    await expect(page.locator(".message time")).to_contain_text("2025")
    await expect(page.locator(".message pre")).to_have_text("dated")

    await page.reload()
    await page.get_by_role("button", name="Peek").click()
    await expect(table.get_by_role("columnheader", name="Priority")).to_be_visible()


async def test_bindings_are_made_and_drawn(desk: Desk) -> None:
    await fill(desk, "orders")
    page = desk.page
    await desk.open("exchanges/%2F/amq.topic")
    await page.get_by_label("Name", exact=True).fill("orders")
    await page.get_by_label("Routing key").first.fill("order.#")
    await page.get_by_role("button", name="Bind", exact=True).click()

    await expect(page.get_by_role("img", name="Bindings drawn")).to_contain_text("order.#")

    await page.get_by_role("button", name="Unbind").click()
    await desk.agree()
    await expect(page.get_by_text("Nothing is bound.")).to_be_visible()


async def test_users_and_policies_are_administered(desk: Desk) -> None:
    await fill(desk, "orders")
    page = desk.page
    await desk.open("admin/users")
    await page.get_by_text("Add or change a user").click()
    await page.get_by_label("Name", exact=True).fill("bob")
    await page.get_by_label("Password").fill("secret")
    await page.get_by_label("Tags").fill("monitoring")
    await page.get_by_role("button", name="Save user").click()
    await expect(page.get_by_role("row", name="bob")).to_contain_text("monitoring")

    await desk.open("admin/policies")
    await page.get_by_text("Add or change one").click()
    await page.get_by_label("Name", exact=True).fill("short")
    await page.get_by_label("Pattern of names").fill("^ord")
    await page.get_by_label("Definition (JSON)").fill('{"max-length": 5}')
    await page.get_by_role("button", name="Set").click()
    await expect(page.get_by_role("row", name="short")).to_be_visible()

    await desk.open("queues/%2F/orders/arguments")
    await expect(page.get_by_role("row", name="max-length")).to_contain_text("policy")


async def test_what_is_refused_is_said_where_it_was_asked(desk: Desk) -> None:
    page = desk.page
    await desk.open("admin/policies")
    await page.get_by_text("Add or change one").click()
    await page.get_by_label("Name", exact=True).fill("p")
    await page.get_by_label("Pattern of names").fill("^a")
    await page.get_by_label("Definition (JSON)").fill('{"nonsense": 5}')
    await page.get_by_role("button", name="Set").click()

    await expect(page.get_by_role("alert")).to_contain_text("nonsense")
    assert all("400" in one for one in desk.complaints)
    desk.complaints.clear()


async def test_names_that_look_like_markup_are_only_text(desk: Desk) -> None:
    await desk.api.put(f"/queues/%2F/{name(HOSTILE)}", {"durable": True})
    alerts: list[str] = []
    desk.page.on("dialog", lambda dialog: alerts.append(dialog.message))

    await desk.open("queues")
    await expect(desk.page.get_by_text(HOSTILE)).to_be_visible()
    await desk.page.get_by_text(HOSTILE).click()

    await expect(desk.page.get_by_role("heading", name=HOSTILE)).to_be_visible()
    assert alerts == []


async def test_connections_are_shown_and_closed(desk: Desk) -> None:
    page = desk.page
    client = await asyncio.to_thread(Client, desk.api.broker.port, name="shop")
    with client:
        await desk.open("connections")
        await page.get_by_text("shop").click()
        await expect(page.get_by_text("PLAIN")).to_be_visible()
        await expect(page.locator(".chart", has_text="from the client")).to_be_visible()
        await page.get_by_label("Reason").fill("a new one comes at noon")

        await page.get_by_role("button", name="Close this connection").click()
        await desk.agree()

        await expect(page.get_by_text("Nobody is connected.")).to_be_visible()
        with pytest.raises(ConnectionClosed, match="a new one comes at noon"):
            await asyncio.to_thread(client.channel)


async def test_it_fits_a_narrow_screen_and_a_dark_room(desk: Desk) -> None:
    await fill(desk, "orders", messages=1)
    narrow = await desk.another(width=400, scheme="dark")
    await narrow.open("queues/%2F/orders")
    await expect(narrow.page.get_by_role("heading", name="orders")).to_be_visible()

    wide = await narrow.page.evaluate("document.documentElement.scrollWidth")
    back = await narrow.page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert wide <= 400
    red, green, blue = (int(one) for one in back.removeprefix("rgb(").removesuffix(")").split(","))
    assert max(red, green, blue) < 60
