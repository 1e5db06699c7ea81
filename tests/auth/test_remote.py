"""Rights over the network: asked once, remembered for a while, refused when nobody answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from amqpd.auth import remote
from amqpd.auth.combined import combine
from amqpd.auth.remote import Answers, Who
from amqpd.broker.access import Question, Verdict
from tests.server.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from amqpd.broker.access import Rights

Q, R = Question("read", "queue", "q"), Question("read", "queue", "r")


class Far:
    """A backend that allows some questions, after a turn of the loop."""

    name = "far"

    def __init__(self) -> None:
        self.allowed = {Q}
        self.asked: list[tuple[Who, str, Question]] = []
        self.is_down = False

    async def allows(self, who: Who, vhost: str, question: Question) -> bool:
        self.asked.append((who, vhost, question))
        await asyncio.sleep(0)
        if self.is_down:
            raise OSError("no route to host")
        return question in self.allowed


@pytest.fixture
def far() -> Far:
    return Far()


@pytest.fixture
async def answers(far: Far) -> AsyncIterator[Answers]:
    async with asyncio.TaskGroup() as tasks:
        yield Answers(far, tasks.create_task)


def rights(answers: Answers, name: str = "alice") -> Rights:
    return answers.authority(Who(name)).rights("v")


async def found_out(rights: Rights, question: Question) -> Verdict:
    done = asyncio.Event()
    rights.find_out(question, done.set)
    await done.wait()
    return rights.verdict(question)


async def test_nothing_is_known_before_it_was_asked(far: Far, answers: Answers) -> None:
    alice = rights(answers)

    assert alice.verdict(Q) is Verdict.UNKNOWN
    assert await found_out(alice, Q) is Verdict.YES
    assert await found_out(alice, R) is Verdict.NO
    assert far.asked == [(Who("alice"), "v", Q), (Who("alice"), "v", R)]


async def test_a_question_is_asked_once_for_all_connections_of_a_user(
    far: Far, answers: Answers
) -> None:
    one, two = rights(answers), rights(answers)

    await asyncio.gather(found_out(one, Q), found_out(two, Q), found_out(one, Q))

    assert len(far.asked) == 1
    assert rights(answers, "bob").verdict(Q) is Verdict.UNKNOWN


async def test_when_answers_are_forgotten_the_revision_moves(far: Far, answers: Answers) -> None:
    alice = rights(answers)
    assert not answers.forget()
    await found_out(alice, Q)
    before = alice.revision

    assert answers.forget()

    assert alice.revision > before
    assert alice.verdict(Q) is Verdict.UNKNOWN
    far.allowed.clear()
    assert await found_out(alice, Q) is Verdict.NO


async def test_a_backend_that_is_down_refuses_and_is_asked_again_after_a_while(
    far: Far,
    answers: Answers,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(remote, "FAILED_S", 0.0)
    far.is_down = True
    alice = rights(answers)

    assert await found_out(alice, Q) is Verdict.FAILED
    assert "read access of user 'alice' to queue 'q' in vhost 'v' cannot be asked" in caplog.text
    far.is_down = False
    await until(lambda: alice.verdict(Q) is Verdict.UNKNOWN)
    assert await found_out(alice, Q) is Verdict.YES


async def test_what_is_remembered_is_bounded(
    far: Far, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "REMEMBER_AT_MOST", 2)
    alice = rights(answers)
    for name in ("a", "b", "q"):
        await found_out(alice, Question("read", "queue", name))

    assert alice.verdict(Question("read", "queue", "a")) is Verdict.UNKNOWN
    assert alice.verdict(Q) is Verdict.YES
    assert answers.revision == 1


# -- several ---------------------------------------------------------------------------------


async def test_several_authorities_are_asked_until_one_says_no() -> None:
    first, second = Far(), Far()
    async with asyncio.TaskGroup() as tasks:
        one, two = (Answers(far, tasks.create_task) for far in (first, second))
        both = combine([one.authority(Who("alice")), two.authority(Who("alice"))]).rights("v")

        assert both.verdict(Q) is Verdict.UNKNOWN
        await found_out(both, Q)
        assert both.verdict(Q) is Verdict.UNKNOWN
        assert await found_out(both, Q) is Verdict.YES
        assert await found_out(both, R) is Verdict.NO
        assert len(second.asked) == 1

        before = both.revision
        two.forget()
        assert both.revision > before


async def test_nothing_to_find_out_is_done_at_once() -> None:
    done: list[bool] = []
    async with asyncio.TaskGroup() as tasks:
        answers = Answers(Far(), tasks.create_task)
        who = Who("alice")
        both = combine([answers.authority(who), answers.authority(who)]).rights("v")
        await found_out(both, Q)

        both.find_out(Q, lambda: done.append(True))

    assert done == [True]


def test_one_authority_needs_no_combining(far: Far) -> None:
    class One:
        """An authority that is not looked at."""

        def rights(self, vhost: str) -> Rights:
            raise AssertionError(vhost)

    one = One()

    assert combine([one]) is one
