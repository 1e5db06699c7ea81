"""What the tests of this folder share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.management.served import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.management.served import Api


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """The API of a broker of its own, as guest sees it."""
    async with served(tmp_path) as it:
        yield it
