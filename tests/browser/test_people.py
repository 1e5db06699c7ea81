"""One vhost, one user, the questions that are asked before something goes, and logins that end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.test_operations import log_in_as
from tests.browser.test_page import fill
from tests.management.served import served

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.conftest import Desk

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

ALL = {"configure": ".*", "write": ".*", "read": ".*"}


async def test_a_vhost_has_a_page_on_which_it_is_administered(desk: Desk) -> None:
    api, page = desk.api, desk.page
    await api.put("/vhosts/shop")
    await api.user("bob")
    await desk.open("admin/vhosts")
    await page.get_by_role("table", name="Virtual hosts").get_by_role("link", name="shop").click()
    await expect(page.get_by_role("heading", name="shop")).to_be_visible()

    await page.get_by_text("Give permissions").first.click()
    await page.get_by_label("User").first.select_option("bob")
    await page.get_by_label("Configure").fill("")
    await page.get_by_role("button", name="Give permissions").click()
    row = page.get_by_role("table", name="Permissions", exact=True).get_by_role("row", name="bob")
    await expect(row).to_contain_text("nothing")
    await row.get_by_role("button", name="Change").click()
    await page.get_by_label("Write").first.fill("^a")
    await page.get_by_role("button", name="Give permissions").click()
    await expect(row).to_contain_text("^a")
    found = await api.get("/permissions/shop/bob")
    assert (found["configure"], found["write"], found["read"]) == ("", "^a", ".*")
    await row.get_by_role("button", name="Revoke").click()
    await desk.agree()
    await expect(row).to_have_count(0)
    await api.get("/permissions/shop/bob", 404)

    await page.get_by_text("Limit routing keys").first.click()
    await page.get_by_label("Keys to write").fill("^b")
    await page.get_by_role("button", name="Limit routing keys").click()
    await expect(page.get_by_role("table", name="Topic permissions")).to_contain_text("^b")
    await page.get_by_text("Set a limit").click()
    await page.get_by_label("At most").fill("7")
    await page.get_by_role("button", name="Set limit").click()
    await expect(page.get_by_role("table", name="Limits")).to_contain_text("7")
    await page.get_by_role("button", name="Start tracing").click()
    await desk.agree()
    await expect(page.get_by_role("button", name="Stop tracing")).to_be_visible()
    await page.locator("summary", has_text="Change").click()
    await page.get_by_label("Description").fill("what is sold")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".facts")).to_contain_text("what is sold")

    await page.get_by_role("button", name="Protect from deletion").click()
    await expect(page.get_by_role("button", name="Delete this vhost")).to_be_disabled()
    await page.get_by_role("button", name="Unprotect").click()
    await page.get_by_role("button", name="Delete this vhost").click()
    await desk.agree("shop")

    await expect(page.get_by_role("table", name="Virtual hosts")).not_to_contain_text("shop")
    assert [one["name"] for one in await api.get("/vhosts")] == ["/"]


async def test_a_user_has_a_page_on_which_it_is_administered(desk: Desk) -> None:
    api, page = desk.api, desk.page
    bob = await api.user("bob", "management")
    await api.put("/vhosts/shop")
    await desk.open("admin/users")
    await page.get_by_role("table", name="Users").get_by_role("link", name="bob").click()
    await expect(page.get_by_text("can enter no vhost")).to_be_visible()

    await page.get_by_text("Give permissions").first.click()
    await page.get_by_label("Vhost").first.select_option("shop")
    await page.get_by_role("button", name="Give permissions").click()
    table = page.get_by_role("table", name="Permissions", exact=True)
    await expect(table.get_by_role("link", name="shop")).to_be_visible()
    await page.get_by_label("Tags").fill("monitoring, policymaker")
    await page.get_by_role("button", name="Set tags").click()
    await expect(page.locator(".facts")).to_contain_text("policies and parameters")
    assert (await bob.get("/whoami"))["tags"] == ["monitoring", "policymaker"]

    await page.get_by_label("New password").fill("other")
    await page.get_by_label("Once more").fill("another")
    await page.get_by_role("button", name="Set password").click()
    await expect(page.get_by_text("The two are not the same.")).to_be_visible()
    await page.get_by_label("Once more").fill("other")
    await page.get_by_role("button", name="Set password").click()
    await expect(page.get_by_text("The password is changed.")).to_be_visible()
    await api.as_user("bob", "other").get("/whoami")
    await page.get_by_role("button", name="Take its password away").click()
    await desk.agree()
    await expect(page.get_by_text("none: only by certificate")).to_be_visible()
    await page.get_by_text("Set a limit").click()
    await page.get_by_label("At most").fill("3")
    await page.get_by_role("button", name="Set limit").click()
    await expect(page.get_by_role("table", name="Limits")).to_contain_text("max-connections")

    await page.get_by_role("button", name="Delete this user").click()
    await desk.agree("bob")
    await expect(page.get_by_role("table", name="Users")).not_to_contain_text("bob")
    await desk.open("users/guest")
    await expect(page.get_by_text("That is you")).to_be_visible()
    await expect(page.get_by_role("button", name="Delete this user")).to_have_count(0)


async def test_who_is_no_administrator_sees_a_vhost_and_changes_nothing(desk: Desk) -> None:
    await desk.api.put("/vhosts/shop")
    await desk.api.user("mia", "management", vhosts=("/",))
    await log_in_as(desk, "mia")
    page = desk.page
    await desk.open("vhosts/%2F")
    await expect(page.get_by_text("configure, write, read")).to_be_visible()
    await expect(page.get_by_role("heading", name="Limits")).to_be_visible()
    buttons = page.locator("main button:not([aria-pressed])")
    await expect(buttons).to_have_count(0)
    await expect(page.get_by_role("heading", name="Permissions")).to_have_count(0)

    await desk.open("vhosts/shop")
    await expect(page.get_by_text("There is no vhost 'shop', or you have no")).to_be_visible()
    await desk.open("users/guest")
    await expect(page.get_by_text("Only administrators see and change users.")).to_be_visible()
    assert desk.complaints == []


async def test_a_question_names_what_goes_and_keeps_the_keyboard_until_it_is_answered(
    desk: Desk,
) -> None:
    await fill(desk, "or ders", messages=3)
    page = desk.page
    await desk.open("queues/%2F/or%20ders/danger")
    button = page.get_by_role("button", name="Delete this queue")
    await button.focus()
    await page.keyboard.press("Enter")
    question = page.get_by_role("alertdialog", name="Delete queue 'or ders' with 3 messages?")
    await expect(question).to_be_visible()
    typed, yes = question.get_by_role("textbox"), question.get_by_role("button").last
    await expect(typed).to_be_focused()
    await typed.fill("orders")
    await expect(yes).to_be_disabled()
    await page.keyboard.press("Enter")
    await expect(question).to_be_visible()
    for _ in range(5):
        await page.keyboard.press("Tab")
        assert await page.evaluate(
            "document.activeElement === document.body"
            " || Boolean(document.activeElement.closest('dialog'))"
        )
    await page.keyboard.press("Escape")
    await expect(question).to_have_count(0)
    await expect(button).to_be_focused()

    await page.keyboard.press("Enter")
    await page.evaluate("history.back()")
    await expect(question).to_have_count(0)
    await desk.api.get("/queues/%2F/or%20ders")
    await desk.open("queues/%2F/or%20ders/danger")
    await button.click()
    await typed.fill("or ders")
    await page.keyboard.press("Enter")

    await expect(page.get_by_text("No queues yet.")).to_be_visible()
    await desk.api.get("/queues/%2F/or%20ders", 404)


async def test_queues_that_are_wanted_for_messages_are_offered_as_they_are_typed(
    desk: Desk,
) -> None:
    await fill(desk, "dead", messages=1)
    await fill(desk, "orders", "invoices")
    page = desk.page
    await desk.open("queues/%2F/dead/messages")
    await page.get_by_role("button", name="Peek").click()
    await page.get_by_role("button", name="Move to…").click()
    await page.get_by_label("To the queue").fill("inv")
    offered = page.locator("datalist option")

    await expect(offered).to_have_count(1)
    assert await offered.get_attribute("value") == "invoices"
    await page.get_by_label("To the queue").press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("inv")
    assert all("404" in one or "400" in one for one in desk.complaints)
    desk.complaints.clear()


async def test_a_login_that_ends_is_said_to_and_takes_nothing_with_it(desk: Desk) -> None:
    await fill(desk, "orders")
    await desk.api.user("mia", "administrator", vhosts=("/",))
    await log_in_as(desk, "mia")
    page = desk.page
    await desk.open("queues/%2F/orders/messages")
    await page.get_by_label("Body").fill("long work")
    asked: list[str] = []
    # Her tags are changed: the login is one of another user now.
    await desk.api.put("/users/mia", {"password": "mia", "tags": "monitoring"}, 204)
    ended = page.get_by_role("dialog", name="Your login has ended")
    await expect(ended).to_be_visible()
    page.on("request", lambda request: asked.append(request.url))
    await expect(page.get_by_label("Body")).to_be_hidden()
    await page.keyboard.press("Escape")
    await page.keyboard.press("Escape")
    await expect(ended).to_be_visible()
    await page.evaluate("new Promise((done) => setTimeout(done, 4000))")
    assert asked == []

    await page.get_by_label("Password").fill("wrong")
    await page.get_by_role("button", name="Log in").click()
    await expect(ended.get_by_role("alert")).to_contain_text("User or password is wrong")
    await page.get_by_label("Password").fill("mia")
    await page.get_by_role("button", name="Log in").click()
    await expect(ended).to_have_count(0)

    await expect(page.get_by_label("Body")).to_have_value("long work")
    pages = page.get_by_role("navigation", name="Pages")
    await expect(pages.get_by_role("link", name="Audit")).to_have_count(0)
    await fill(desk, "orders", messages=2)
    await page.get_by_role("button", name="Publish").click()
    await expect(page.get_by_text("Published.")).to_be_visible()
    desk.complaints.clear()


async def test_somebody_else_who_logs_in_finds_nothing_of_who_was_there(desk: Desk) -> None:
    await fill(desk, "orders")
    await desk.api.user("mia", "administrator", vhosts=("/",))
    await log_in_as(desk, "mia")
    page = desk.page
    await desk.open("queues/%2F/orders/messages")
    await page.get_by_label("Body").fill("hers")
    await page.context.clear_cookies()
    await page.get_by_role("button", name="Publish").click()
    ended = page.get_by_role("dialog", name="Your login has ended")
    await ended.get_by_label("User").fill("guest")
    await ended.get_by_label("Password").fill("guest")
    await ended.get_by_role("button", name="Log in").click()

    await expect(ended).to_have_count(0)
    await expect(page.get_by_label("Body")).to_have_value("")
    desk.complaints.clear()


async def test_a_broker_that_is_started_again_is_found_and_goes_on_after_a_login(
    desk: Desk, tmp_path: Path
) -> None:
    page = desk.page
    async with served(tmp_path / "first") as api:
        await page.goto(api.uri)
        await page.get_by_role("button", name="Log in").click()
        await page.goto(f"{api.uri}/#/queues")
        await expect(page.get_by_text("No queues yet.")).to_be_visible()
    told = page.get_by_role("alert").filter(has_text="The broker does not answer.")
    await expect(told.first).to_be_visible()

    port = int(api.uri.rpartition(":")[2])
    async with served(tmp_path / "second", None, http__port=port) as again:
        ended = page.get_by_role("dialog", name="Your login has ended")
        await expect(ended).to_be_visible()
        await ended.get_by_label("Password").fill("guest")
        await ended.get_by_role("button", name="Log in").click()
        await expect(ended).to_have_count(0)
        await expect(told).to_have_count(0)
        await again.put("/queues/%2F/orders", {"durable": True})
        await expect(page.get_by_role("link", name="orders")).to_be_visible()
        await page.goto("about:blank")
    desk.complaints.clear()
