"""Logins: asks the chain of auth backends, and makes guessing slow.

A password is never checked in the event loop, unless it was a moment ago. Users in
`loopback_users` get in from this machine only. Refusals take longer and longer, and guesses that
come too fast are not looked at (`throttle`). The reason goes to the log, never to the client.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from amqpd.amqp.facts import PROTOCOL
from amqpd.amqp.sasl import Credentials, Login
from amqpd.auth.around import Around
from amqpd.auth.chain import Accepted, Chain, Refused
from amqpd.auth.passwords import DEFAULT_ALGORITHM, hash_password
from amqpd.clock import SteadyClock
from amqpd.server.backends import ways
from amqpd.server.room import source_of
from amqpd.server.throttle import Throttle
from amqpd.server.tickets import Tickets

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from amqpd.amqp.sasl import Peer
    from amqpd.broker.access import Rights
    from amqpd.broker.broker import Broker
    from amqpd.broker.events import Facts
    from amqpd.broker.permissions import Permissions
    from amqpd.clock import Clock
    from amqpd.config import Auth, Settings
    from amqpd.server.audit import Audit

LOG = logging.getLogger("amqpd.connection")

#: Logins that may wait for the thread; more are refused, or guessing would fill the memory.
MOST_WAITING: Final = 1000
#: What events of logins say of TLS.
TOLD_OF_TLS: Final = (
    "ssl_protocol", "ssl_cipher", "peer_cert_subject", "peer_cert_issuer", "peer_cert_validity",
)  # fmt: skip
#: How attempts over AMQP are counted.
AMQP: Final = "amqp091"


class Logins:
    """Decides who gets in."""

    def __init__(
        self,
        broker: Broker,
        settings: Settings,
        loop: asyncio.AbstractEventLoop,
        clock: Clock | None = None,
        audit: Audit | None = None,
    ) -> None:
        """Make the backends that the settings name.

        Raises:
            StartError: one of them cannot be made.
        """
        auth = settings.auth
        self._permissions = broker.permissions
        self._attempts = broker.logins
        self._events = broker.events
        self._revision = self._permissions.revision
        self._loopback_users = frozenset(auth.loopback_users)
        #: For whoever came by the local socket.
        self.tickets = Tickets(loop.time)
        self._throttle = Throttle(auth.failure_delay_s)
        #: Refused, and of them those whose password was not looked at.
        self.refused = 0
        self.throttled = 0
        self._loop = loop
        self._audit = audit
        self._clock = clock or SteadyClock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="amqpd-login")
        self._tasks: asyncio.TaskGroup | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._cache_ttl_s = auth.cache_ttl_s
        self._forgotten_s = loop.time()
        self._around = Around(
            self._permissions.user,
            self._thread,
            self._spawn,
            auth.cache_ttl_s,
            settings.auth_oauth2,
            settings.auth_http,
            settings.auth_ldap,
        )
        self._chain = Chain(
            ways(auth.backends, self._around),
            secrets.token_bytes(32),
            lambda name: TableAuthority(self._permissions, name),
        )

    def use(self, auth: Auth) -> None:
        """These settings hold from now on, but for the backends."""
        self._loopback_users = frozenset(auth.loopback_users)
        self._throttle.first_s = auth.failure_delay_s

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """From now on logins can be checked, by tasks of this group."""
        self._tasks = tasks

    def authenticate(
        self, credentials: Credentials, peer: Peer, decided: Callable[[Login | None], None]
    ) -> None:
        """Check credentials; `decided` gets the answer, None for no, at once or later."""
        self._forget_if_changed()
        known = self._recall(credentials)
        if known is not None:
            self._answer(known, credentials, peer, decided)
            return
        locked_s = self._locked_s(credentials, peer.host)
        if locked_s:
            LOG.error(
                "Error on AMQP connection (%s, state: starting): %s login refused: user '%s' - "
                "too many failures from there, not checked for %.1f s",
                peer,
                credentials.mechanism,
                credentials.user,
                locked_s,
            )
            self._tell(credentials.user, peer.host, credentials.mechanism, "throttled", peer)
            self._loop.call_later(locked_s, decided, None)
            return
        if self._waiting >= MOST_WAITING:
            LOG.error(
                "Error on AMQP connection (%s, state: starting): login refused: %d logins wait",
                peer,
                self._waiting,
            )
            self._loop.call_soon(decided, None)
            return
        self._waiting += 1
        self._spawn(self._authenticate(credentials, peer, decided))

    async def log_in(self, user: str, password: bytes, host: str, named: str = "") -> Login | None:
        """Who it is, or None for whoever does not get in (HTTP); `named` is the header Host."""
        self._forget_if_changed()
        credentials = Credentials("HTTP", user, password)
        found: Accepted | Refused | None = self._recall(credentials)
        if found is None:
            locked_s = self._locked_s(credentials, host)
            if locked_s:
                self._attempts.add("http", host, user, succeeded=False)
                LOG.warning("HTTP access denied: user '%s' - too many failures from there", user)
                self._tell(user, host, "HTTP", "throttled")
                await asyncio.sleep(locked_s)
                return None
            found = await self._chain.login(user, _text(password), host, self._now_s())
        if isinstance(found, Refused):
            reason, detail = f"user '{user}' - invalid credentials", f" ({found.reason})"
        else:
            reason, detail = self._kept_out(found.name, host, named), ""
        if isinstance(found, Accepted) and not reason:
            self._throttle.succeeded(user, host)
            self._attempts.add("http", host, found.name, succeeded=True)
            # As with RabbitMQ no event: a page asks every few seconds, with a password each time.
            self._noted(found.name, host, "HTTP")
            return _login(found)
        LOG.warning("HTTP access denied: %s%s", reason, detail)
        self._attempts.add("http", host, user, succeeded=False)
        self._tell(user, host, "HTTP", reason, detail=detail)
        await asyncio.sleep(self._failed(user, host))
        return None

    async def check_password(self, user: str, password: bytes, host: str) -> frozenset[str] | None:
        """The user's tags, or None for whoever does not get in (HTTP)."""
        login = await self.log_in(user, password, host)
        return None if login is None else login.tags

    def forget_old(self) -> bool:
        """Ask other backends anew, if it is time for that; whether there was anything."""
        now_s = self._loop.time()
        if not self._around.answers or now_s - self._forgotten_s < self._cache_ttl_s:
            return False
        self._forgotten_s = now_s
        forgotten = [answers.forget() for answers in self._around.answers]
        return any(forgotten)

    async def close(self) -> None:
        """Break off what is being checked, and wait for the thread's end."""
        for task in self._running:
            task.cancel()
        await self._chain.close()
        await asyncio.to_thread(self._thread.shutdown)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        assert self._tasks is not None
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _recall(self, credentials: Credentials) -> Accepted | None:
        if credentials.password is None or credentials.replaced is not None:
            return None
        ticket = self.tickets.find(credentials.user, _text(credentials.password))
        if ticket is not None:
            return ticket
        return self._chain.recall(credentials.user, _text(credentials.password), self._now_s())

    async def _authenticate(
        self, credentials: Credentials, peer: Peer, decided: Callable[[Login | None], None]
    ) -> None:
        found: Accepted | Refused = Refused("the check failed")
        try:
            found = await self._ask(credentials, peer.host)
        except Exception as error:
            # No traceback: its frames may hold the password.
            LOG.error("connection (%s): login failed: %s", peer, type(error).__name__)
        finally:
            self._waiting -= 1
        self._answer(found, credentials, peer, decided)

    async def _ask(self, credentials: Credentials, host: str) -> Accepted | Refused:
        user, replaced = credentials.user, credentials.replaced
        if credentials.password is None:
            # Shown by a certificate, or anonymous.
            return await self._chain.login_by_name(user, host)
        password = _text(credentials.password)
        if replaced is None:
            return await self._chain.login(user, password, host, self._now_s())
        if replaced.expires_at_ms is None:
            # Credentials without an end need not be renewed, and a new secret changes nothing.
            return Accepted(
                replaced.user, replaced.tags, replaced.authority, backend=replaced.backend
            )
        return await self._chain.renew(replaced.backend, user, password, host)

    def _answer(
        self,
        found: Accepted | Refused,
        credentials: Credentials,
        peer: Peer,
        decided: Callable[[Login | None], None],
    ) -> None:
        mechanism, user = credentials.mechanism, credentials.user
        if isinstance(found, Refused):
            reason, detail = f"user '{user}' - invalid credentials", f" ({found.reason})"
        else:
            reason, detail = self._kept_out(found.name, peer.host), ""
        if isinstance(found, Accepted) and not reason:
            self._throttle.succeeded(user, peer.host)
            self._attempts.add(AMQP, peer.host, found.name, succeeded=True)
            LOG.info(
                "connection (%s): user '%s' authenticated with %s", peer, found.name, mechanism
            )
            self._tell(found.name, peer.host, mechanism, "", peer)
            decided(_login(found))
            return
        LOG.error(
            "Error on AMQP connection (%s, state: starting): %s login refused: %s%s",
            peer,
            mechanism,
            reason,
            detail,
        )
        self._attempts.add(AMQP, peer.host, user, succeeded=False)
        self._tell(user, peer.host, mechanism, reason, peer, detail)
        delay_s = self._failed(user, peer.host)
        if delay_s:
            self._loop.call_later(delay_s, decided, None)
        else:
            decided(None)

    def _locked_s(self, credentials: Credentials, host: str) -> float:
        """For how long these credentials are not looked at; only guesses ever are not."""
        if credentials.password is None or credentials.replaced is not None:
            return 0.0
        locked_s = self._throttle.locked_s(credentials.user, host, self._loop.time())
        self.throttled += locked_s > 0
        return locked_s

    def _failed(self, user: str, host: str) -> float:
        """How long the refusal is to take."""
        self.refused += 1
        return self._throttle.failed(user, host, self._loop.time())

    def _noted(
        self, user: str, host: str, mechanism: str, reason: str = "", peer: Peer | None = None
    ) -> None:
        if self._audit is not None:
            port, listener = (0, "") if peer is None else (peer.port, peer.listener)
            self._audit.login(user, host, mechanism, reason, port, listener)

    def _tell(
        self,
        user: str,
        host: str,
        mechanism: str,
        reason: str = "",
        peer: Peer | None = None,
        detail: str = "",
    ) -> None:
        """What went wrong in `detail` is for logs, and not for all who may listen to events."""
        self._noted(user, host, mechanism, reason + detail, peer)
        if self._events.on:
            facts: Facts = {
                "name": user, "connection_type": "network", "peer_host": host,
                "auth_mechanism": mechanism,
            }  # fmt: skip
            if peer is not None:
                facts |= {
                    "connection_name": str(peer), "host": peer.local_host,
                    "peer_port": peer.port, "protocol": PROTOCOL, "ssl": peer.tls,
                }  # fmt: skip
                secured = asdict(peer.secured)
                facts |= {name: secured[name] for name in TOLD_OF_TLS if secured[name]}
            if reason:
                facts["error"] = reason
            outcome = "failure" if reason else "success"
            self._events.tell(f"user.authentication.{outcome}", facts, is_done=False)

    def _kept_out(self, user: str, host: str, named: str = "") -> str:
        if user not in self._loopback_users:
            return ""
        if named and not is_own_name(named):
            # A page of somebody else has led a browser of this machine here (DNS rebinding):
            # guest's password is known to everybody.
            return (
                f"user '{user}' can only connect via localhost, and '{named}' was asked for "
                "(make another user, or take this one out of auth.loopback_users)"
            )
        if not is_loopback(host):
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

    def _now_s(self) -> float:
        return self._clock.now_ms() / 1000


class TableAuthority:
    """Decides by the broker's own permissions, for users that another backend has let in."""

    def __init__(self, permissions: Permissions, user: str) -> None:
        self._permissions = permissions
        self._user = user

    def rights(self, vhost: str) -> Rights:
        """What the tables say."""
        return self._permissions.rights(self._user, vhost)


def _login(found: Accepted) -> Login:
    expires_s = found.expires_s
    return Login(
        found.name,
        found.tags,
        found.backend,
        found.authority,
        None if expires_s is None else int(expires_s * 1000),
    )


def _text(password: bytes) -> str:
    return password.decode(errors="surrogateescape")


def is_loopback(host: str) -> bool:
    """Whether a peer's address is this machine's own."""
    return source_of(host) == ""


def is_own_name(named: str) -> bool:
    """Whether a header Host names this machine: no name server of somebody else decides on it."""
    name = named.rpartition(":")[0] if named[-1:].isdecimal() and ":" in named else named
    name = name.removeprefix("[").removesuffix("]").lower().rstrip(".")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in ("localhost", socket.gethostname().lower()) or name.endswith(".localhost")
    return True


def new_password_hash(password: str) -> tuple[str, str]:
    """The hash of a password, and its algorithm's name."""
    return hash_password(password), DEFAULT_ALGORITHM
