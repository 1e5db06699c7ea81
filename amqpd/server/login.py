"""Logins: asks the auth chain in a thread, and makes guessing slow.

A password is never checked in the event loop. Users in `loopback_users` get in from this
machine only. Every refusal takes longer than the one before for the same user from the same
address, 1 s, 2 s, … 30 s; a right password is never delayed, so nobody can lock a user out.
Refusals to peers on this machine are not delayed. The reason goes to the log, never to the
client.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from amqpd.amqp.sasl import Login
from amqpd.auth.chain import Accepted, Chain, Refused
from amqpd.auth.internal import InternalBackend
from amqpd.auth.passwords import DEFAULT_ALGORITHM, hash_password

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.amqp.sasl import Credentials, Peer
    from amqpd.broker.broker import Broker
    from amqpd.config import Auth

LOG = logging.getLogger("amqpd.connection")

#: Logins that may wait for the thread; more are refused, or guessing would fill the memory.
MOST_WAITING: Final = 1000
#: The longest delay of a refusal.
LONGEST_DELAY_S: Final = 30.0
#: Users and addresses whose failures are remembered; beyond it the oldest are forgotten.
MOST_REMEMBERED: Final = 10_000


class Delays:
    """How long the next refusal takes, per user and address."""

    def __init__(self, first_s: float) -> None:
        self._first_s = first_s
        self._next_s: dict[tuple[str, str], float] = {}

    def failed(self, user: str, host: str) -> float:
        """The delay of this refusal; the next one takes twice as long."""
        if self._first_s <= 0 or is_loopback(host):
            return 0.0
        delay_s = self._next_s.pop((user, host), self._first_s)
        self._next_s[user, host] = min(2 * delay_s, LONGEST_DELAY_S)
        if len(self._next_s) > MOST_REMEMBERED:
            del self._next_s[next(iter(self._next_s))]
        return delay_s

    def succeeded(self, user: str, host: str) -> None:
        """Whoever knows the password is not guessing."""
        self._next_s.pop((user, host), None)


class Logins:
    """Decides who gets in."""

    def __init__(self, broker: Broker, settings: Auth, loop: asyncio.AbstractEventLoop) -> None:
        self._permissions = broker.permissions
        self._revision = self._permissions.revision
        self._loopback_users = frozenset(settings.loopback_users)
        self._delays = Delays(settings.failure_delay_s)
        self._loop = loop
        self._chain = Chain([InternalBackend(self._permissions.user)], secrets.token_bytes(32))
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="amqpd-login")
        self._waiting = 0

    def authenticate(
        self, credentials: Credentials, peer: Peer, decided: Callable[[Login | None], None]
    ) -> None:
        """Check credentials; `decided` gets the answer later, None for no."""
        if self._waiting >= MOST_WAITING:
            LOG.warning("connection %s: login refused: %d logins wait", peer, self._waiting)
            self._loop.call_soon(decided, None)
            return
        self._forget_if_changed()
        self._waiting += 1
        future = self._loop.run_in_executor(self._thread, self._ask, credentials, self._loop.time())

        def answered(done: asyncio.Future[Accepted | Refused]) -> None:
            self._waiting -= 1
            if not done.cancelled():
                self._answer(done.result(), credentials, peer, decided)

        future.add_done_callback(answered)

    async def check_password(self, user: str, password: bytes, host: str) -> frozenset[str] | None:
        """The user's tags, or None for whoever does not get in (HTTP)."""
        self._forget_if_changed()
        text = password.decode(errors="surrogateescape")
        found = await self._loop.run_in_executor(
            self._thread, self._chain.login, user, text, self._loop.time()
        )
        if isinstance(found, Refused):
            reason = f"user '{user}' - {found.reason}"
        else:
            reason = self._kept_out(found.name, host)
        if isinstance(found, Accepted) and not reason:
            self._delays.succeeded(user, host)
            return found.tags
        LOG.warning("HTTP access denied: %s", reason)
        await asyncio.sleep(self._delays.failed(user, host))
        return None

    async def close(self) -> None:
        """Wait for the thread's end."""
        await asyncio.to_thread(self._thread.shutdown)

    def _ask(self, credentials: Credentials, now_s: float) -> Accepted | Refused:
        """In the thread."""
        if credentials.password is None or credentials.mechanism == "UPDATE-SECRET":
            # Shown by a certificate, anonymous, or logged in already: passwords of our own
            # users do not expire, so a new secret changes nothing about them.
            return self._chain.login_by_name(credentials.user)
        password = credentials.password.decode(errors="surrogateescape")
        return self._chain.login(credentials.user, password, now_s)

    def _answer(
        self,
        found: Accepted | Refused,
        credentials: Credentials,
        peer: Peer,
        decided: Callable[[Login | None], None],
    ) -> None:
        mechanism, user = credentials.mechanism, credentials.user
        if isinstance(found, Refused):
            reason = f"user '{user}' - {found.reason}"
        else:
            reason = self._kept_out(user, peer.host)
        if isinstance(found, Accepted) and not reason:
            self._delays.succeeded(user, peer.host)
            LOG.info("connection %s: user '%s' authenticated with %s", peer, user, mechanism)
            decided(Login(found.name, found.tags))
            return
        LOG.warning("connection %s: %s login refused: %s", peer, mechanism, reason)
        delay_s = self._delays.failed(user, peer.host)
        if delay_s:
            self._loop.call_later(delay_s, decided, None)
        else:
            decided(None)

    def _kept_out(self, user: str, host: str) -> str:
        if user in self._loopback_users and not is_loopback(host):
            # The two ways out belong into the line: this is what new users run into.
            return (
                f"user '{user}' can only connect via localhost "
                "(make another user, or take this one out of auth.loopback_users)"
            )
        return ""

    def _forget_if_changed(self) -> None:
        if self._permissions.revision != self._revision:
            self._revision = self._permissions.revision
            self._chain.forget()


def is_loopback(host: str) -> bool:
    """Whether a peer's address is this machine's own."""
    return host.startswith(("127.", "::ffff:127.")) or host == "::1"


def new_password_hash(password: str) -> tuple[str, str]:
    """The hash of a password, and its algorithm's name."""
    return hash_password(password), DEFAULT_ALGORITHM
