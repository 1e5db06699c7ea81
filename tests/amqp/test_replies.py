"""Replies in the order of their methods, each when its number is on disk."""

from __future__ import annotations

from functools import partial

import pytest

from amqpd.amqp.replies import Replies
from amqpd.broker.journal import Journal


class Told:
    """A journal, replies, and what came of them."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.sent: list[str] = []
        self.held: list[bool] = []
        self.replies = Replies(self.journal, self.held.append)

    def send(self, name: str, number: int = 0) -> None:
        """Send a reply that is just a name."""
        self.replies.send(partial(self.sent.append, name), number)

    def commit(self) -> None:
        """Everything so far is on disk."""
        batch = self.journal.take()
        assert batch is not None
        self.journal.committed(batch)


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_reply_that_need_not_wait_goes_out_at_once(told: Told) -> None:
    told.send("a")

    assert (told.sent, told.held) == (["a"], [])


def test_later_replies_wait_for_earlier_ones(told: Told) -> None:
    told.send("a", told.journal.next_number())
    told.send("b")
    assert (told.sent, told.replies.held) == ([], True)

    told.commit()

    assert (told.sent, told.held) == (["a", "b"], [True, False])


def test_a_commit_lets_out_no_more_than_it_holds(told: Told) -> None:
    told.send("a", told.journal.next_number())
    batch = told.journal.take()
    assert batch is not None
    told.send("b", told.journal.next_number())
    told.send("c")

    told.journal.committed(batch)
    assert told.sent == ["a"]
    told.commit()

    assert told.sent == ["a", "b", "c"]


def test_a_reserved_place_holds_the_others_until_it_is_filled(told: Told) -> None:
    place = told.replies.reserve()
    told.send("b")
    assert told.sent == []

    told.replies.fill(place, partial(told.sent.append, "a"), 0)

    assert told.sent == ["a", "b"]


def test_a_place_may_be_filled_with_something_that_waits(told: Told) -> None:
    place = told.replies.reserve()
    told.replies.fill(place, partial(told.sent.append, "a"), told.journal.next_number())
    assert told.sent == []

    told.commit()

    assert told.sent == ["a"]


def test_a_place_that_is_given_up_leaves_no_trace(told: Told) -> None:
    place = told.replies.reserve()
    told.send("b")

    told.replies.give_up(place)

    assert (told.sent, told.held) == (["b"], [True, False])


def test_dropped_replies_are_not_sent(told: Told) -> None:
    told.send("a", told.journal.next_number())

    told.replies.drop()
    told.commit()

    assert told.sent == []


def test_a_reply_may_follow_from_another_one(told: Told) -> None:
    def first() -> None:
        told.sent.append("a")
        told.send("c")

    told.replies.send(first, told.journal.next_number())
    told.send("b")
    told.commit()

    assert told.sent == ["a", "b", "c"]
