"""The chain: who is asked, what is remembered, and for how long."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from amqpd.auth.chain import Accepted, Chain, Refused, Way
from amqpd.broker.access import Question, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from amqpd.auth.chain import Login
    from amqpd.broker.access import Rights

KEY = b"k" * 32


class Backend:
    """Knows some passwords, counts the questions, and breaks when told to."""

    def __init__(self, name: str, **passwords: str) -> None:
        self.name = name
        self.passwords = passwords
        self.remember_s = 300.0
        self.expires_s: float | None = None
        self.asked = 0
        self.is_broken = False
        self.is_closed = False
        self.hosts: list[str] = []
        self.authority: Only | None = None
        self.meanwhile: Callable[[], None] = lambda: None

    async def login(self, name: str, password: str | None, host: str) -> Login:
        self.asked += 1
        self.hosts.append(host)
        await asyncio.sleep(0)
        self.meanwhile()
        if self.is_broken:
            raise OSError("no route to host")
        if name in self.passwords and password in (None, self.passwords[name]):
            return Accepted(name, frozenset({self.name}), self.authority, self.expires_s)
        return Refused("no")

    async def close(self) -> None:
        self.is_closed = True


class Only:
    """An authority, and rights, that allow one thing."""

    revision = 0

    def __init__(self, allowed: str) -> None:
        self.allowed = allowed

    def rights(self, vhost: str) -> Rights:
        return self

    def verdict(self, question: Question) -> Verdict:
        return Verdict.YES if question.name in ("all", self.allowed) else Verdict.NO

    def find_out(self, question: Question, done: Callable[[], None]) -> None:
        done()


def a_chain(*backends: Backend, remember_at_most: int = 100) -> Chain:
    """Each backend is a way of its own; whoever has no authority may touch `table` only."""
    ways = [Way(one) for one in backends]
    return Chain(ways, KEY, lambda _: Only("table"), remember_at_most=remember_at_most)


def let_in(name: str, backend: str) -> Accepted:
    return Accepted(name, frozenset({backend}), backend=backend)


async def test_the_first_backend_that_accepts_decides() -> None:
    first, second = Backend("first", a="1"), Backend("second", a="2", b="2")
    chain = a_chain(first, second)

    assert await chain.login("a", "1", "", 0.0) == let_in("a", "first")
    assert await chain.login("a", "2", "", 0.0) == let_in("a", "second")
    assert await chain.login("b", "2", "", 0.0) == let_in("b", "second")
    assert first.asked == 3


async def test_a_refusal_tells_the_log_what_each_backend_said() -> None:
    chain = a_chain(Backend("first"), Backend("second"))

    assert await chain.login("a", "1", "", 0.0) == Refused("first: no; second: no")
    assert await a_chain().login("a", "1", "", 0.0) == Refused("no backend is configured")


async def test_a_blank_password_is_refused_before_anybody_is_asked() -> None:
    backend = Backend("first", a="")

    assert await a_chain(backend).login("a", "", "", 0.0) == Refused(
        "blank passwords are not accepted"
    )
    assert backend.asked == 0


async def test_a_broken_backend_lets_nobody_in_and_keeps_nobody_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, working = Backend("broken", a="1", b="1"), Backend("working", a="1")
    broken.is_broken = True
    chain = a_chain(broken, working)

    assert await chain.login("a", "1", "", 0.0) == let_in("a", "working")
    assert await chain.login("b", "1", "", 0.0) == Refused(
        "broken: the backend failed; working: no"
    )
    assert "auth backend 'broken': login of user 'a' failed" in caplog.text
    assert "no route to host" in caplog.text


async def test_a_name_that_was_proven_needs_a_backend_that_knows_it() -> None:
    chain = a_chain(Backend("first", a="1"))

    assert await chain.login_by_name("a", "") == let_in("a", "first")
    assert await chain.login_by_name("b", "") == Refused("first: no")


async def test_a_success_is_remembered_until_its_time_is_over() -> None:
    backend = Backend("first", a="1")
    backend.remember_s = 10.0
    chain = a_chain(backend)

    await chain.login("a", "1", "", 100.0)
    assert await chain.login("a", "1", "", 109.9) == let_in("a", "first")
    assert backend.asked == 1
    await chain.login("a", "1", "", 110.0)
    assert backend.asked == 2


async def test_only_this_name_with_this_password_is_remembered() -> None:
    backend = Backend("first", ab="c")
    chain = a_chain(backend)
    await chain.login("ab", "c", "", 0.0)

    assert isinstance(await chain.login("a", "bc", "", 0.0), Refused)
    assert isinstance(await chain.login("ab", "d", "", 0.0), Refused)
    assert isinstance(await chain.login("ab", "d", "", 0.0), Refused)
    assert backend.asked == 4


async def test_passwords_are_not_kept() -> None:
    chain = a_chain(Backend("first", alice="opensesame"))
    await chain.login("alice", "opensesame", "", 0.0)

    assert "opensesame" not in repr(vars(chain))
    assert all(len(mark) == 32 for mark in chain._successes)


async def test_after_a_change_everybody_is_asked_again() -> None:
    backend = Backend("first", a="1")
    chain = a_chain(backend)
    await chain.login("a", "1", "", 0.0)

    del backend.passwords["a"]
    chain.forget()

    assert isinstance(await chain.login("a", "1", "", 0.0), Refused)


async def test_who_comes_after_a_change_does_not_share_a_check_from_before_it() -> None:
    backend = Backend("first", a="1")
    chain = a_chain(backend)
    before = asyncio.create_task(chain.login("a", "1", "", 0.0))
    await asyncio.sleep(0)
    assert backend.asked == 1

    chain.forget()
    await chain.login("a", "1", "", 0.0)

    assert backend.asked == 2
    await before


async def test_an_answer_from_before_a_change_is_not_remembered() -> None:
    backend = Backend("first", a="1")
    chain = a_chain(backend)
    backend.meanwhile = chain.forget

    assert isinstance(await chain.login("a", "1", "", 0.0), Accepted)
    await chain.login("a", "1", "", 0.0)

    assert backend.asked == 2


async def test_remembering_can_be_turned_off() -> None:
    backend = Backend("first", a="1")
    backend.remember_s = 0.0
    chain = a_chain(backend)

    await chain.login("a", "1", "", 0.0)
    await chain.login("a", "1", "", 0.0)

    assert backend.asked == 2


async def test_the_memory_is_bounded_and_drops_what_is_over_first() -> None:
    backend = Backend("first", **{f"u{n}": "1" for n in range(10)})
    backend.remember_s = 10.0
    chain = a_chain(backend, remember_at_most=3)
    for number, now_s in enumerate((0.0, 8.0, 9.0)):
        await chain.login(f"u{number}", "1", "", now_s)

    await chain.login("u3", "1", "", 12.0)
    await chain.login("u1", "1", "", 12.0)
    assert backend.asked == 4, "only u0 was over"

    await chain.login("u4", "1", "", 12.0)
    assert len(chain._successes) == 1, "none was over: all make room"


async def test_a_success_is_not_remembered_beyond_the_end_of_the_credentials() -> None:
    backend = Backend("first", a="1")
    backend.expires_s = 105.0
    chain = a_chain(backend)

    await chain.login("a", "1", "", 100.0)

    assert chain.recall("a", "1", 104.9) is not None
    assert chain.recall("a", "1", 105.0) is None


async def test_those_who_come_together_share_one_check() -> None:
    backend = Backend("first", a="1")
    chain = a_chain(backend)

    found = await asyncio.gather(*(chain.login("a", "1", "", 0.0) for _ in range(5)))

    assert found == [let_in("a", "first")] * 5
    assert backend.asked == 1


async def test_a_check_that_is_broken_off_lets_nobody_in() -> None:
    backend = Backend("first", a="1")
    chain = a_chain(backend)
    first = asyncio.create_task(chain.login("a", "1", "", 0.0))
    second = asyncio.create_task(chain.login("a", "1", "", 0.0))
    await asyncio.sleep(0)

    first.cancel()

    assert isinstance(await second, Refused)
    await asyncio.wait([first])


async def test_what_a_backend_raises_tells_no_password(caplog: pytest.LogCaptureFixture) -> None:
    broken = Backend("broken")
    broken.is_broken = True

    await a_chain(broken).login("a", "opensesame", "", 0.0)

    assert "no route to host" in caplog.text
    assert "opensesame" not in caplog.text


# -- passwords here, rights there ------------------------------------------------------------


async def test_rights_may_be_decided_by_others_who_have_to_know_the_user() -> None:
    first, second = Backend("first", a="1", b="1"), Backend("second", a="other")
    chain = Chain([Way(first, (second,))], KEY, lambda _: Only("table"))

    accepted = await chain.login("a", "1", "192.0.2.1", 0.0)

    assert isinstance(accepted, Accepted)
    assert accepted.tags == {"first", "second"}
    assert accepted.backend == "first"
    assert accepted.authority is not None
    rights = accepted.authority.rights("/")
    assert rights.verdict(Question("read", "queue", "table")) is Verdict.YES
    assert rights.verdict(Question("read", "queue", "q")) is Verdict.NO
    assert second.hosts == ["192.0.2.1"]
    assert await chain.login("b", "1", "", 0.0) == Refused("second: no")


async def test_all_who_decide_have_to_allow_it() -> None:
    first, second, third = (Backend(name, a="1") for name in ("first", "second", "third"))
    second.authority, third.authority = Only("q"), Only("r")
    chain = Chain([Way(first, (second, third))], KEY, lambda _: Only("table"))

    accepted = await chain.login("a", "1", "", 0.0)

    assert isinstance(accepted, Accepted)
    assert accepted.authority is not None
    rights = accepted.authority.rights("/")
    assert rights.verdict(Question("read", "queue", "all")) is Verdict.YES
    assert rights.verdict(Question("read", "queue", "q")) is Verdict.NO


async def test_a_secret_is_renewed_by_the_backend_that_has_accepted() -> None:
    first, second = Backend("first", a="1"), Backend("second", a="2")
    chain = a_chain(first, second)

    assert await chain.renew("second", "a", "2", "") == let_in("a", "second")
    assert await chain.renew("second", "a", "1", "") == Refused("second: no")
    assert isinstance(await chain.renew("third", "a", "1", ""), Refused)
    assert first.asked == 0


async def test_closing_closes_each_backend() -> None:
    first, second = Backend("first"), Backend("second")

    await Chain([Way(first, (second,)), Way(second)], KEY, lambda _: Only("")).close()

    assert first.is_closed
    assert second.is_closed
