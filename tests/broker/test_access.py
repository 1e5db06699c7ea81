"""Access: what is asked of those who decide, what is remembered, and what is left undecided."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker.access import (
    REMEMBERED,
    Access,
    AuthorityFailed,
    Question,
    Undecided,
    Verdict,
)
from amqpd.broker.permissions import User
from amqpd.errors import AccessRefused, NotAllowed

if TYPE_CHECKING:
    from collections.abc import Callable


class Deciding:
    """Rights whose verdicts the test sets; what is not set is unknown."""

    def __init__(self, **verdicts: Verdict) -> None:
        self.revision = 0
        self.verdicts = verdicts
        self.asked: list[Question] = []
        self.found_out: list[Question] = []

    def verdict(self, question: Question) -> Verdict:
        self.asked.append(question)
        return self.verdicts.get(question.right, Verdict.UNKNOWN)

    def find_out(self, question: Question, done: Callable[[], None]) -> None:
        self.found_out.append(question)
        done()


def an_access(rights: Deciding) -> Access:
    return Access(rights, User("alice"), "v")


def test_the_default_exchange_has_a_name_for_those_who_decide() -> None:
    rights = Deciding(write=Verdict.YES)

    an_access(rights).write("exchange", "")

    assert rights.asked == [Question("write", "exchange", "amq.default")]


def test_which_rights_there_are_is_asked_without_a_refusal() -> None:
    rights = Deciding(configure=Verdict.NO, write=Verdict.YES, read=Verdict.YES)

    assert an_access(rights).rights("exchange", "") == ["write", "read"]


def test_answers_are_remembered_until_the_revision_moves() -> None:
    rights = Deciding(read=Verdict.YES)
    access = an_access(rights)

    access.read("queue", "q")
    access.read("queue", "q")
    assert len(rights.asked) == 1

    rights.revision += 1
    rights.verdicts["read"] = Verdict.NO
    with pytest.raises(AccessRefused):
        access.read("queue", "q")


def test_what_is_remembered_is_bounded() -> None:
    access = an_access(Deciding(read=Verdict.YES))

    for number in range(3 * REMEMBERED):
        access.read("queue", f"q{number}")

    assert 0 < len(access._remembered) <= REMEMBERED


def test_nothing_is_remembered_of_those_who_could_not_be_asked() -> None:
    rights = Deciding(read=Verdict.FAILED)
    access = an_access(rights)
    with pytest.raises(AuthorityFailed):
        access.read("queue", "q")

    rights.verdicts["read"] = Verdict.YES

    access.read("queue", "q")


def test_what_is_not_known_is_undecided_and_can_be_found_out() -> None:
    rights = Deciding()
    access = an_access(rights)
    with pytest.raises(Undecided) as caught:
        access.configure("queue", "q")
    done: list[bool] = []

    caught.value.find_out(lambda: done.append(True))

    assert rights.found_out == [Question("configure", "queue", "q")]
    assert done == [True]


def test_any_right_will_do_to_look() -> None:
    an_access(Deciding(read=Verdict.NO, write=Verdict.YES)).any_of("queue", "q")

    with pytest.raises(AccessRefused, match="configure access to queue 'q'"):
        an_access(Deciding(read=Verdict.NO, write=Verdict.NO, configure=Verdict.NO)).any_of(
            "queue", "q"
        )


def test_whoever_may_not_enter_is_refused_as_a_connection() -> None:
    an_access(Deciding(read=Verdict.YES)).enter()

    with pytest.raises(NotAllowed, match="access to vhost 'v' refused for user 'alice'"):
        an_access(Deciding(read=Verdict.NO)).enter()


def test_a_name_is_kept_for_an_operation_that_is_undecided_and_no_longer() -> None:
    access = an_access(Deciding())
    names = iter("abc")
    with pytest.raises(Undecided), access.naming(lambda: next(names)) as name:
        access.configure("queue", name)

    with access.naming(lambda: next(names)) as again:
        assert again == "a"
    with pytest.raises(AccessRefused), access.naming(lambda: next(names)) as another:
        raise AccessRefused(another)
    with access.naming(lambda: next(names)) as last:
        assert last == "c"
