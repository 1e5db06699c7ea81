"""The chain: who is asked, what is remembered, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.auth.chain import Accepted, Chain, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from amqpd.auth.chain import Login

KEY = b"k" * 32


class Backend:
    """Knows some passwords, counts the questions, and breaks when told to."""

    def __init__(self, name: str, **passwords: str) -> None:
        self.name = name
        self.passwords = passwords
        self.asked = 0
        self.is_broken = False
        self.meanwhile: Callable[[], None] = lambda: None

    def login(self, name: str, password: str | None) -> Login:
        self.asked += 1
        self.meanwhile()
        if self.is_broken:
            raise OSError("no route to host")
        if name in self.passwords and password in (None, self.passwords[name]):
            return Accepted(name, frozenset({self.name}))
        return Refused("no")


def test_the_first_backend_that_accepts_decides() -> None:
    first, second = Backend("first", a="1"), Backend("second", a="2", b="2")
    chain = Chain([first, second], KEY)

    assert chain.login("a", "1", 0.0) == Accepted("a", frozenset({"first"}))
    assert chain.login("a", "2", 0.0) == Accepted("a", frozenset({"second"}))
    assert chain.login("b", "2", 0.0) == Accepted("b", frozenset({"second"}))
    assert first.asked == 3


def test_a_refusal_tells_the_log_what_each_backend_said() -> None:
    chain = Chain([Backend("first"), Backend("second")], KEY)

    assert chain.login("a", "1", 0.0) == Refused("first: no; second: no")
    assert Chain([], KEY).login("a", "1", 0.0) == Refused("no backend is configured")


def test_a_blank_password_is_refused_before_anybody_is_asked() -> None:
    backend = Backend("first", a="")

    assert Chain([backend], KEY).login("a", "", 0.0) == Refused("blank passwords are not accepted")
    assert backend.asked == 0


def test_a_broken_backend_lets_nobody_in_and_keeps_nobody_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, working = Backend("broken", a="1", b="1"), Backend("working", a="1")
    broken.is_broken = True
    chain = Chain([broken, working], KEY)

    assert chain.login("a", "1", 0.0) == Accepted("a", frozenset({"working"}))
    assert chain.login("b", "1", 0.0) == Refused("broken: the backend failed; working: no")
    assert "auth backend 'broken': login of user 'a' failed" in caplog.text
    assert "no route to host" in caplog.text


def test_a_name_that_was_proven_needs_a_backend_that_knows_it() -> None:
    chain = Chain([Backend("first", a="1")], KEY)

    assert chain.login_by_name("a") == Accepted("a", frozenset({"first"}))
    assert chain.login_by_name("b") == Refused("first: no")


def test_a_success_is_remembered_until_its_time_is_over() -> None:
    backend = Backend("first", a="1")
    chain = Chain([backend], KEY, remember_s=10.0)

    chain.login("a", "1", 100.0)
    assert chain.login("a", "1", 109.9) == Accepted("a", frozenset({"first"}))
    assert backend.asked == 1
    chain.login("a", "1", 110.0)
    assert backend.asked == 2


def test_only_this_name_with_this_password_is_remembered() -> None:
    backend = Backend("first", ab="c")
    chain = Chain([backend], KEY)
    chain.login("ab", "c", 0.0)

    assert isinstance(chain.login("a", "bc", 0.0), Refused)
    assert isinstance(chain.login("ab", "d", 0.0), Refused)
    assert isinstance(chain.login("ab", "d", 0.0), Refused)
    assert backend.asked == 4


def test_passwords_are_not_kept() -> None:
    chain = Chain([Backend("first", alice="opensesame")], KEY)
    chain.login("alice", "opensesame", 0.0)

    assert "opensesame" not in repr(vars(chain))
    assert all(len(mark) == 32 for mark in chain._successes)


def test_after_a_change_everybody_is_asked_again() -> None:
    backend = Backend("first", a="1")
    chain = Chain([backend], KEY)
    chain.login("a", "1", 0.0)

    del backend.passwords["a"]
    chain.forget()

    assert isinstance(chain.login("a", "1", 0.0), Refused)


def test_an_answer_from_before_a_change_is_not_remembered() -> None:
    backend = Backend("first", a="1")
    chain = Chain([backend], KEY)
    backend.meanwhile = chain.forget

    assert isinstance(chain.login("a", "1", 0.0), Accepted)
    chain.login("a", "1", 0.0)

    assert backend.asked == 2


def test_remembering_can_be_turned_off() -> None:
    backend = Backend("first", a="1")
    chain = Chain([backend], KEY, remember_s=0.0)

    chain.login("a", "1", 0.0)
    chain.login("a", "1", 0.0)

    assert backend.asked == 2


def test_the_memory_is_bounded_and_drops_what_is_over_first() -> None:
    backend = Backend("first", **{f"u{n}": "1" for n in range(10)})
    chain = Chain([backend], KEY, remember_s=10.0, remember_at_most=3)
    for number, now_s in enumerate((0.0, 8.0, 9.0)):
        chain.login(f"u{number}", "1", now_s)

    chain.login("u3", "1", 12.0)
    chain.login("u1", "1", 12.0)
    assert backend.asked == 4, "only u0 was over"

    chain.login("u4", "1", 12.0)
    assert len(chain._successes) == 1, "none was over: all make room"
