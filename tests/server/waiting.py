"""Waiting for what the loop will bring about, without sleeping."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


async def until(true: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Let the loop turn until it is so.

    Raises:
        TimeoutError: it did not come about.
    """
    async with asyncio.timeout(timeout_s):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)


async def turns(count: int = 50) -> None:
    """Let the loop turn so often."""
    for _ in range(count):
        await asyncio.sleep(0)
