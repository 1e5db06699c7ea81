"""What every test is held to: no thread left over, no task's exception left unseen."""

from __future__ import annotations

import gc
import inspect
import logging
import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# A machine that is busy with something else is no error; see tests/properties/conftest.py, too.
settings.register_profile("unhurried", deadline=None)
if settings.get_current_profile_name() == "default":  # not if the command line has chosen
    settings.load_profile("unhurried")

#: A thread that was told to stop may need a moment to be gone.
THREAD_GRACE_S = 30.0


class LoopErrors(logging.Handler):
    """Collects what asyncio reports to nobody: unretrieved exceptions, pending tasks."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Remember one complaint."""
        self.texts.append(self.format(record))


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the tests that can go on for ever shall go on."""
    parser.addoption("--kill-rounds", type=int, default=0, help="kills in tests/faults (slow)")
    parser.addoption("--fuzz-inputs", type=int, default=0, help="inputs in tests/fuzz (slow)")


@pytest.fixture(autouse=True)
def nothing_left_over(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test that leaves a thread running or a task's exception unretrieved."""
    before = set(threading.enumerate())
    errors = LoopErrors()
    logger = logging.getLogger("asyncio")
    logger.addHandler(errors)

    yield

    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        gc.collect(1)
    logger.removeHandler(errors)
    assert not errors.texts, f"asyncio complained: {errors.texts}"
    deadline = time.monotonic() + THREAD_GRACE_S
    for thread in set(threading.enumerate()) - before:
        thread.join(max(0.0, deadline - time.monotonic()))
        assert not thread.is_alive(), f"thread left over: {thread.name}"
