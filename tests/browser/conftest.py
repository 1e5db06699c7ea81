"""What the tests of this folder share: Chromium with the page of a broker, logged in."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pytest
from playwright.async_api import async_playwright, expect

from tests.management.served import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser, Page

    from tests.management.served import Api

#: Nothing that calls home, and nothing that needs a screen.
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

expect.set_options(timeout=15_000)


@dataclass
class Desk:
    """An operator's browser with the page open; complaints of the page fail the test."""

    api: Api
    browser: Browser
    page: Page
    complaints: list[str] = field(default_factory=list)

    async def open(self, place: str) -> None:
        """Go to a place within the page, like `queues`."""
        await self.page.goto(f"{self.api.uri}/#/{place}")

    async def log_in(self) -> None:
        """Log in as it is filled in already."""
        await self.page.goto(self.api.uri)
        await self.page.get_by_role("button", name="Log in").click()
        await expect(self.page.get_by_role("navigation", name="Pages")).to_be_visible()

    async def agree(self, typed: str = "") -> None:
        """Say yes to the question that is asked; `typed` is what has to be typed before."""
        question = self.page.locator("dialog[open]")
        if typed:
            await question.get_by_role("textbox").or_(question.get_by_role("combobox")).fill(typed)
        await question.locator("button").last.click()
        await expect(question).to_have_count(0)

    async def another(
        self, *, width: int = 1280, scheme: Literal["dark", "light"] = "light"
    ) -> Desk:
        """The same broker in another window, logged in."""
        context = await self.browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme
        )
        desk = Desk(self.api, self.browser, await context.new_page(), self.complaints)
        await desk.log_in()
        return desk


@pytest.fixture
async def desk(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """A broker and an operator who has logged in; settings of the broker may be its parameter."""
    settings = getattr(request, "param", {})
    chromium = shutil.which("chromium")
    assert chromium, "chromium is not installed: apt-get install chromium"
    async with served(tmp_path, **settings) as api, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=[*FLAGS])
        page = await browser.new_page()
        desk = Desk(api, browser, page)
        page.on("pageerror", lambda error: desk.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                desk.complaints.append(message.text)
                # That nobody is logged in yet is asked with a request that says so.
                if message.type == "error" and "401" not in message.text
                else None
            ),
        )
        await desk.log_in()
        yield desk
        await browser.close()
        assert desk.complaints == []
