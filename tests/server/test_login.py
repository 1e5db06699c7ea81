"""Who gets in, and how long guessing takes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from amqpd.amqp.sasl import Credentials, Login, Peer
from amqpd.auth.chain import Chain
from amqpd.broker.broker import Broker
from amqpd.broker.definitions import DeleteUser, PutUser
from amqpd.broker.limits import Limits
from amqpd.config import Auth, Settings
from amqpd.server import login
from amqpd.server.login import Logins, is_loopback, new_password_hash
from tests.server.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE = Peer("127.0.0.1", 1)
ELSEWHERE = Peer("192.0.2.7", 1)


def a_broker() -> Broker:
    """One with the users guest and shop."""
    broker = Broker(limits=Limits(), refill=lambda *_: None, new_token=lambda: "")
    for name in ("guest", "shop"):
        broker.change(PutUser(name, *new_password_hash(f"{name}-pw"), ("management",)))
    return broker


class Door:
    """Logins of a broker."""

    def __init__(self, settings: Auth, tasks: asyncio.TaskGroup) -> None:
        self.broker = a_broker()
        self.logins = Logins(self.broker, Settings(auth=settings), asyncio.get_running_loop())
        self.logins.start(tasks)

    async def knock(self, credentials: Credentials, peer: Peer = HERE) -> Login | None:
        """The answer."""
        answer: asyncio.Future[Login | None] = asyncio.get_running_loop().create_future()
        self.logins.authenticate(credentials, peer, answer.set_result)
        return await answer

    async def password(self, user: str, password: str, peer: Peer = HERE) -> Login | None:
        """The answer to PLAIN."""
        return await self.knock(Credentials("PLAIN", user, password.encode()), peer)


@contextlib.asynccontextmanager
async def a_door(settings: Auth) -> AsyncIterator[Door]:
    """Logins with these settings."""
    async with asyncio.TaskGroup() as tasks:
        made = Door(settings, tasks)
        yield made
        await made.logins.close()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """Logins whose refusals are not delayed."""
    async with a_door(Auth(failure_delay_s=0)) as made:
        yield made


async def test_the_right_password_gets_in_with_its_tags(door: Door) -> None:
    assert await door.password("shop", "shop-pw", ELSEWHERE) == Login(
        "shop", frozenset({"management"}), "internal"
    )


@pytest.mark.parametrize(
    ("user", "password"), [("shop", "w r o n g"), ("shop", ""), ("nobody", "shop-pw"), ("", "")]
)
async def test_nothing_else_does(
    door: Door, user: str, password: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert await door.password(user, password) is None

    assert "PLAIN login refused" in caplog.text
    if password:
        assert password not in caplog.text


async def test_guest_gets_in_from_this_machine_only(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    assert await door.password("guest", "guest-pw") is not None
    assert await door.password("guest", "guest-pw", ELSEWHERE) is None

    assert "PLAIN login refused: user 'guest' can only connect via localhost" in caplog.text


async def test_anonymous_is_guest_and_so_from_this_machine_only(door: Door) -> None:
    anonymous = Credentials("ANONYMOUS", "guest")

    assert await door.knock(anonymous) is not None
    assert await door.knock(anonymous, ELSEWHERE) is None


async def test_a_certificates_name_needs_a_user(door: Door) -> None:
    assert await door.knock(Credentials("EXTERNAL", "shop"), ELSEWHERE) is not None
    assert await door.knock(Credentials("EXTERNAL", "CN=unknown"), ELSEWHERE) is None


async def test_a_new_secret_changes_nothing_where_secrets_do_not_end(door: Door) -> None:
    login = await door.password("shop", "shop-pw")
    assert login is not None

    assert await door.knock(Credentials("UPDATE-SECRET", "shop", b"new", login)) == login


async def test_a_new_secret_is_checked_by_the_backend_that_knows_their_ends(door: Door) -> None:
    ending = Login("shop", backend="internal", expires_at_ms=1)

    assert await door.knock(Credentials("UPDATE-SECRET", "shop", b"new", ending)) is None
    renewed = await door.knock(Credentials("UPDATE-SECRET", "shop", b"shop-pw", ending))
    assert renewed is not None


async def test_a_success_is_remembered_and_then_needs_no_waiting(door: Door) -> None:
    assert await door.password("shop", "shop-pw") is not None
    answers: list[Login | None] = []

    door.logins.authenticate(Credentials("PLAIN", "shop", b"shop-pw"), HERE, answers.append)

    assert [login is not None for login in answers] == [True]


async def test_a_deleted_user_does_not_get_in_any_more(door: Door) -> None:
    assert await door.password("shop", "shop-pw") is not None

    door.broker.change(DeleteUser("shop"))

    assert await door.password("shop", "shop-pw") is None


async def test_a_changed_password_counts_at_once(door: Door) -> None:
    assert await door.password("shop", "shop-pw") is not None

    door.broker.change(PutUser("shop", *new_password_hash("new"), ()))

    assert await door.password("shop", "shop-pw") is None
    assert await door.password("shop", "new") is not None


async def test_too_many_waiting_logins_are_refused(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "MOST_WAITING", 2)

    answers = await asyncio.gather(*(door.password("shop", "shop-pw") for _ in range(4)))

    assert [answer is not None for answer in answers] == [True, True, False, False]
    assert await door.password("shop", "shop-pw") is not None


async def test_http_asks_the_same_chain(door: Door) -> None:
    check = door.logins.check_password

    assert await check("shop", b"shop-pw", "192.0.2.7") == frozenset({"management"})
    assert await check("shop", b"w r o n g", "127.0.0.1") is None
    assert await check("guest", b"guest-pw", "192.0.2.7") is None


async def test_a_refusal_is_delayed_and_the_next_one_longer() -> None:
    loop = asyncio.get_running_loop()
    async with a_door(Auth(failure_delay_s=0.02)) as door:
        started = loop.time()

        assert await door.password("shop", "w r o n g", ELSEWHERE) is None
        assert await door.password("shop", "w r o n g", ELSEWHERE) is None

        assert loop.time() - started >= 0.06


async def test_guesses_on_many_connections_are_not_looked_at(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with a_door(Auth(failure_delay_s=0.2)) as door:
        first = asyncio.create_task(door.password("shop", "w r o n g", ELSEWHERE))
        await until(lambda: door.logins.refused == 1)

        others = [
            asyncio.create_task(door.password("shop", guess, ELSEWHERE))
            for guess in ("w r o n g", "shop-pw")
        ]

        assert await asyncio.gather(first, *others) == [None, None, None]
        assert door.logins.throttled == 2
        assert "too many failures from there" in caplog.text


async def test_an_attacker_locks_nobody_out_from_elsewhere() -> None:
    async with a_door(Auth(failure_delay_s=0.2)) as door:
        attack = asyncio.create_task(door.password("shop", "w r o n g", ELSEWHERE))
        await until(lambda: door.logins.refused == 1)

        assert await door.password("shop", "shop-pw", Peer("198.51.100.1", 1)) is not None
        assert await door.password("shop", "shop-pw", HERE) is not None
        # The one who was let in a moment ago is known by what it knows, from anywhere.
        assert await door.password("shop", "shop-pw", ELSEWHERE) is not None
        assert await attack is None


async def test_http_is_throttled_likewise() -> None:
    async with a_door(Auth(failure_delay_s=0.05)) as door:
        check = door.logins.check_password

        assert await check("shop", b"w r o n g", ELSEWHERE.host) is None
        door.logins._throttle.failed("shop", ELSEWHERE.host, asyncio.get_running_loop().time())
        assert await check("shop", b"shop-pw", ELSEWHERE.host) is None
        assert door.logins.throttled == 1


async def test_who_gets_in_over_http_is_not_slowed_down_any_more() -> None:
    async with a_door(Auth(failure_delay_s=0.01)) as door:
        check = door.logins.check_password
        assert await check("shop", b"w r o n g", ELSEWHERE.host) is None
        now_s = asyncio.get_running_loop().time()
        assert door.logins._throttle.failed("shop", ELSEWHERE.host, now_s) == 0.02
        assert await check("shop", b"shop-pw", HERE.host) is not None  # remembered from here on

        assert await check("shop", b"shop-pw", ELSEWHERE.host) is not None

        assert door.logins._throttle.failed("shop", ELSEWHERE.host, now_s) == 0.01


async def test_what_is_not_looked_at_is_refused_when_the_lock_is_over() -> None:
    loop = asyncio.get_running_loop()
    async with a_door(Auth(failure_delay_s=0.2)) as door:
        began_s = loop.time()
        door.logins._throttle.failed("shop", ELSEWHERE.host, began_s)

        assert await door.password("shop", "shop-pw", ELSEWHERE) is None
        assert loop.time() - began_s >= 0.2
        began_s = loop.time()
        door.logins._throttle.failed("shop", ELSEWHERE.host, began_s)
        assert await door.logins.log_in("shop", b"shop-pw", ELSEWHERE.host) is None

        assert loop.time() - began_s >= 0.4


async def test_a_new_secret_is_not_taken_from_memory(door: Door) -> None:
    ending = Login("shop", backend="gone", expires_at_ms=1)
    assert await door.password("shop", "shop-pw") is not None

    renewed = await door.knock(Credentials("UPDATE-SECRET", "shop", b"shop-pw", ending))

    assert renewed is None, "it is for the backend that let them in"


async def test_a_check_that_breaks_down_tells_the_log_no_password(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: Chain, name: str, password: str, host: str, now_s: float) -> Login:
        raise RuntimeError(f"cannot check {password}")

    monkeypatch.setattr(Chain, "login", broken)

    assert await door.password("shop", "opensesame") is None
    assert "login failed: RuntimeError" in caplog.text
    assert "opensesame" not in caplog.text


@pytest.mark.parametrize(
    ("host", "yes"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.7", False),
        ("::", False),
        ("?", False),
    ],
)
def test_loopback_is_the_peers_own_address(host: str, yes: bool) -> None:
    assert is_loopback(host) is yes
