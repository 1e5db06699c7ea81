"""The LDAP backend: passwords by binding, tags and rights by queries.

    LdapBackend(settings, spawn, remember_s)
        await .login(name, password, host)      bind as the user, find its entry and its tags
        await .allows(who, vhost, question)     the vhost, resource and topic queries

A user's entry is `user_dn_pattern` filled in, or found by an attribute. Queries are asked as
the user itself, anonymously, or as an entry of the broker's own; only in the first case is the
password kept, as long as the login. Every question is one connection in one of a few threads:
answers are remembered (`remote`), so there are not many.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

with warnings.catch_warnings():
    # ldap3 uses old names of pyasn1; both are fine.
    warnings.simplefilter("ignore", DeprecationWarning)
    import ldap3
    from ldap3.core.exceptions import LDAPException
    from ldap3.utils.conv import escape_filter_chars

from amqpd.auth import queries
from amqpd.auth.chain import Accepted, Refused
from amqpd.auth.remote import Answers, Who

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.auth.around import Around
    from amqpd.auth.chain import Login
    from amqpd.auth.remote import Spawn
    from amqpd.auth.settings import Ldap
    from amqpd.broker.access import Question

AS_USER: Final = "as_user"
ANONYMOUS: Final = "anon"
_SUCCESS: Final = 0
_NO_SUCH_OBJECT: Final = 32
_INVALID_CREDENTIALS: Final = frozenset({48, 49, 53})
_ALWAYS: Final = queries.parse("{constant, true}")
#: All that a search may bring.
MOST_ENTRIES: Final = 1000


class LdapError(Exception):
    """The directory could not be asked."""


class WrongPassword(Exception):
    """The directory does not let this user in."""


@dataclass(frozen=True, slots=True)
class Bind:
    """With what name and password a connection is opened; without a name anonymously."""

    dn: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class _LdapWho(Who):
    """A user of the directory: its entry, and how to ask for it."""

    dn: str = ""
    bind: Bind | None = field(default=None, repr=False)


class LdapBackend:
    """Asks an LDAP directory."""

    name = "ldap"

    def __init__(self, settings: Ldap, spawn: Spawn, remember_s: float) -> None:
        """Read the queries.

        Raises:
            ValueError: one of them is none, or no server is named.
        """
        if not settings.servers:
            raise ValueError("setting 'auth_ldap.servers': names no server")
        self.remember_s = remember_s
        self.answers = Answers(self, spawn)
        self._settings = settings
        self._queries = {
            key: _parsed(key, getattr(settings, key))
            for key in ("vhost_access_query", "resource_access_query", "topic_access_query")
        }
        self._tags = {
            tag: _parsed(f"tag_queries.{tag}", text) for tag, text in settings.tag_queries.items()
        }
        self._threads = ThreadPoolExecutor(
            settings.connection_pool_size, thread_name_prefix="amqpd-ldap"
        )

    async def login(self, name: str, password: str | None, host: str) -> Login:
        """Bind as the user; without a password see whether there is one of that name."""
        if password == "":
            # For a directory this is an anonymous login, which always succeeds.
            return Refused("blank passwords are not accepted")
        loop = asyncio.get_running_loop()
        try:
            who = await loop.run_in_executor(self._threads, self._log_in, name, password, host)
        except WrongPassword as error:
            return Refused(str(error))
        return Accepted(name, who.tags, self.answers.authority(who))

    async def allows(self, who: Who, vhost: str, question: Question) -> bool:
        """Evaluate the query for this kind of thing."""
        assert isinstance(who, _LdapWho)
        variables = {
            **_variables(who.name, who.dn),
            "vhost": vhost,
            "permission": question.right,
        }
        kind = "resource" if question.kind in ("queue", "exchange") else question.kind
        if kind != "vhost":
            variables |= {"resource": question.kind, "name": question.name}
        if kind == "topic":
            variables["routing_key"] = question.routing_key
        query = self._queries[f"{kind}_access_query"]
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._evaluate, who, query, variables)

    async def close(self) -> None:
        """Let the threads end."""
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)

    # -- in a thread ---------------------------------------------------------------------

    def _log_in(self, name: str, password: str | None, host: str) -> _LdapWho:
        settings = self._settings
        dn = queries.fill(settings.user_dn_pattern, _variables(name), queries.escape_dn)
        looked_up = bool(settings.dn_lookup_attribute)
        if looked_up and settings.dn_lookup_bind != AS_USER:
            with self._connect(self._own("dn_lookup_bind")) as connection:
                dn = connection.find(settings, name) or dn
        if password is None:
            return self._admit(name, dn, None, host)
        pattern = settings.user_bind_pattern
        found_before = looked_up and settings.dn_lookup_bind != AS_USER
        as_whom = dn
        if pattern and not found_before:
            as_whom = queries.fill(pattern, _variables(name), queries.escape_dn)
        bind = Bind(as_whom, password)
        with self._connect(bind) as connection:
            if looked_up and not found_before:
                dn = connection.find(settings, name) or dn
        return self._admit(name, dn, bind, host)

    def _admit(self, name: str, dn: str, bind: Bind | None, host: str) -> _LdapWho:
        """What is known of somebody who has the right password, or needed none."""
        asking = bind if self._settings.other_bind == AS_USER else self._own("other_bind")
        if asking is None:
            raise WrongPassword("without a password, 'other_bind' cannot be 'as_user'")
        with self._connect(asking) as connection:
            if bind is None and not connection.exists(dn):
                raise WrongPassword("no such user")
            variables = _variables(name, dn)
            tags = frozenset(
                tag
                for tag, query in self._tags.items()
                if queries.evaluate(query, variables, connection)
            )
        return _LdapWho(name, tags, host, dn, asking)

    def _evaluate(self, who: _LdapWho, query: queries.Query, variables: Mapping[str, str]) -> bool:
        if query == _ALWAYS:
            return True
        assert who.bind is not None
        with self._connect(who.bind) as connection:
            return queries.evaluate(query, variables, connection)

    def _own(self, key: str) -> Bind:
        """One of the broker's own entries, as the setting says."""
        dn = getattr(self._settings, key)
        if dn == ANONYMOUS:
            return Bind()
        return Bind(dn, getattr(self._settings, f"{key}_password"))

    def _connect(self, bind: Bind) -> _Directory:
        """Open a connection to the first server that answers.

        Raises:
            WrongPassword: it does not take the password.
            LdapError: none answers.
        """
        failures = []
        for host in self._settings.servers:
            try:
                return _Directory(_connection(self._settings, host, bind), self._settings)
            except (LDAPException, OSError) as error:
                failures.append(f"{host}: {_text(error)}")
        raise LdapError("; ".join(failures))


class _Tls(ldap3.Tls):
    """TLS as the standard library does it: certificate and name are always verified.

    ldap3 compares names on its own, by a function that newer versions of Python do not have.
    """

    def __init__(self, ca: str) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._context = ssl.create_default_context(cafile=ca or None)

    def wrap_socket(self, connection: ldap3.Connection, do_handshake: bool = False) -> None:
        """Speak TLS from now on."""
        plain = connection.socket
        try:
            connection.socket = self._context.wrap_socket(
                plain,
                server_hostname=connection.server.host,
                do_handshake_on_connect=do_handshake,
            )
        except OSError:
            plain.close()
            raise


def _connection(settings: Ldap, host: str, bind: Bind) -> ldap3.Connection:
    server = ldap3.Server(
        host,
        port=settings.port,
        use_ssl=settings.use_ssl,
        tls=_Tls(settings.ca),
        get_info=ldap3.NONE,
        connect_timeout=settings.timeout_s,
    )
    connection = ldap3.Connection(
        server,
        user=bind.dn or None,
        password=bind.password or None,
        authentication=ldap3.SIMPLE if bind.dn else ldap3.ANONYMOUS,
        client_strategy=ldap3.SYNC,
        read_only=True,
        check_names=False,
        auto_referrals=False,
        receive_timeout=settings.timeout_s,
    )
    try:
        connection.open()
        if settings.use_starttls and not connection.start_tls():
            raise LdapError("StartTLS was refused")
        if not connection.bind():
            code = connection.result["result"]
            if code in _INVALID_CREDENTIALS:
                raise WrongPassword("the directory refuses the password")
            raise LdapError(f"bind: {connection.result['description']}")
    except BaseException:
        _close(connection)
        raise
    return connection


def _close(connection: ldap3.Connection) -> None:
    with contextlib.suppress(LDAPException, OSError):
        connection.unbind()
    # After an error ldap3 forgets its socket without closing it.
    if connection.socket is not None:
        connection.socket.close()


class _Directory:
    """A connection, as queries see it; a context manager that closes it."""

    def __init__(self, connection: ldap3.Connection, settings: Ldap) -> None:
        self._connection = connection
        self._groups_below = settings.group_lookup_base or settings.dn_lookup_base

    def __enter__(self) -> _Directory:
        return self

    def __exit__(self, *exc: object) -> None:
        _close(self._connection)

    def find(self, settings: Ldap, name: str) -> str | None:
        """The entry of a user, if there is exactly one."""
        wanted = queries.fill(settings.user_dn_pattern, _variables(name), str)
        found = self._search(
            settings.dn_lookup_base,
            f"({settings.dn_lookup_attribute}={escape_filter_chars(wanted)})",
            ldap3.SUBTREE,
        )
        return found[0][0] if len(found) == 1 else None

    def exists(self, dn: str) -> bool:
        """Whether there is such an entry."""
        return bool(self._search(dn, "(objectClass=*)", ldap3.BASE))

    def has_value(self, dn: str, attribute: str, value: str) -> bool:
        """Whether an attribute of an entry has this value."""
        return bool(self._search(dn, f"({attribute}={escape_filter_chars(value)})", ldap3.BASE))

    def values(self, dn: str, attribute: str) -> list[str]:
        """All values of an attribute of an entry."""
        found = self._search(dn, "(objectClass=*)", ldap3.BASE, [attribute])
        return [value for _, attributes in found for value in attributes.get(attribute.lower(), [])]

    def groups_of(self, attribute: str, member: str, *, deep: bool) -> list[str]:
        """The entries whose attribute names the member."""
        scope = ldap3.SUBTREE if deep else ldap3.LEVEL
        query = f"({attribute}={escape_filter_chars(member)})"
        return [dn for dn, _ in self._search(self._groups_below, query, scope)]

    def _search(
        self,
        base: str,
        query: str,
        scope: Literal["BASE", "LEVEL", "SUBTREE"],
        attributes: list[str] | None = None,
    ) -> list[tuple[str, dict[str, list[str]]]]:
        connection = self._connection
        connection.search(
            base, query, scope, attributes=attributes or ["1.1"], size_limit=MOST_ENTRIES
        )
        code = connection.result["result"]
        if code == _NO_SUCH_OBJECT:
            return []
        if code != _SUCCESS:
            raise LdapError(f"search below '{base}': {connection.result['description']}")
        return [
            (one["dn"], _texts(one["raw_attributes"]))
            for one in connection.response or ()
            if one["type"] == "searchResEntry"
        ]


def _texts(attributes: Mapping[str, list[bytes]]) -> dict[str, list[str]]:
    return {
        name.lower(): [value.decode(errors="replace") for value in values]
        for name, values in attributes.items()
    }


def _variables(name: str, dn: str = "") -> dict[str, str]:
    return {"username": name, "user_dn": dn, **queries.active_directory(name)}


def _parsed(key: str, text: str) -> queries.Query:
    try:
        return queries.parse(text)
    except ValueError as error:
        raise ValueError(f"setting 'auth_ldap.{key}': {error}") from error


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__


def make(around: Around) -> LdapBackend:
    """The backend of these settings."""
    made = LdapBackend(around.ldap, around.spawn, around.cache_ttl_s)
    around.answers.append(made.answers)
    return made
