"""Commands with names that pamqp would not send."""

from __future__ import annotations

import pytest
from pamqp.commands import Queue

from amqpd.amqp.access import Request
from amqpd.amqp.commands import ids, make


def test_any_name_can_be_sent() -> None:
    command = make(Queue.DeclareOk, queue="what?!", message_count=1, consumer_count=0)

    assert command.queue == "what?!"


def test_an_argument_that_is_missing_is_an_error_of_ours() -> None:
    with pytest.raises(KeyError):
        make(Queue.DeclareOk, queue="q")


def test_a_command_has_its_ids() -> None:
    assert ids(Queue.DeclareOk) == (50, 11)
    assert ids(Request) == (30, 10)
