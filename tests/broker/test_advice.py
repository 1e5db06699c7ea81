"""Advice: an argument without a meaning is warned of once, and not without end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.broker import advice
from amqpd.broker.advice import Advice
from tests.broker.model import a_table

if TYPE_CHECKING:
    import pytest


def test_an_argument_that_is_not_known_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    warnings, arguments = Advice(), a_table({"x-max-lenght": 1, "x-max-priority": 2})

    for name in ("q", "r"):
        warnings.queue("/", name, arguments)

    (record,) = caplog.records
    assert record.getMessage() == (
        "queue 'q' in vhost '/': argument 'x-max-lenght' is not known and has no effect; "
        "did you mean 'x-max-length'?"
    )


def test_what_was_warned_of_takes_no_memory_without_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(advice, "REMEMBERED", 2)
    warnings = Advice()

    for name in ("one", "two", "three"):
        warnings.exchange("/", "x", a_table({name: 1}))
        warnings.consumer("/", "q", a_table({name: 1}))

    assert len(caplog.records) == 2
