"""Requests that cannot be read: one line, without what is in them; faults of ours in full."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aiohttp.http_exceptions import BadHttpMessage

from amqpd.server.terse import logger

if TYPE_CHECKING:
    import pytest


def fail(error: Exception) -> None:
    """As aiohttp does."""
    logger().error("Error handling request from %s", "192.0.2.1", exc_info=error)


def test_what_a_client_sent_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    logger().filters.clear()
    for _ in range(3):
        fail(BadHttpMessage("b'Authorization: Basic c2VjcmV0'"))

    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "HTTP request of 192.0.2.1 cannot be read: BadHttpMessage (1 in all)"
    )
    assert "c2VjcmV0" not in caplog.text


def test_a_client_that_is_gone_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    logger().filters.clear()
    fail(ConnectionResetError("Cannot write to closing transport"))

    assert "ConnectionResetError" in caplog.text
    assert "Traceback" not in caplog.text


def test_our_own_faults_are_told_in_full(caplog: pytest.LogCaptureFixture) -> None:
    fail(ValueError("why"))

    assert "ValueError: why" in caplog.text
