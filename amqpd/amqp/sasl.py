"""SASL: how a client says who it is (RFC 4422).

A mechanism turns the client's responses into `Credentials`; whether they are right is decided
elsewhere, asynchronously. Nothing here logs or repeats what a client sent: it may be a
password.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from amqpd import fields
from amqpd.broker.session import PLAIN, Secured
from amqpd.errors import CommandInvalid, SyntaxError

if TYPE_CHECKING:
    from amqpd.amqp.settings import AmqpSettings
    from amqpd.broker.access import Authority


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection."""

    host: str
    port: int
    tls: bool = False
    # The name in the certificate the peer has proven to own, for EXTERNAL.
    certificate_user: str | None = None
    local_host: str = ""
    local_port: int = 0
    secured: Secured = PLAIN

    @property
    def listener(self) -> str:
        """Where it has come in: the protocol and the port."""
        return f"{'amqps' if self.tls else 'amqp'}:{self.local_port}"

    def __str__(self) -> str:
        return f"{self.host}:{self.port} -> {self.local_host}:{self.local_port}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who a client says it is; without a password the mechanism itself has shown it."""

    mechanism: str
    user: str
    password: bytes | None = field(default=None, repr=False)
    #: The login that new credentials are to replace.
    replaced: Login | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """A client that was let in, by which backend, and until when."""

    user: str
    tags: frozenset[str] = frozenset()
    backend: str = ""
    #: Who decides what it may do; None: the broker itself.
    authority: Authority | None = None
    expires_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Challenge:
    """What the client has to answer before it is known who it is."""

    octets: bytes


class Mechanism(Protocol):
    """One exchange, from start-ok to credentials."""

    def respond(self, response: bytes) -> Credentials | Challenge:
        """Take the client's response.

        Raises:
            SyntaxError: it is not what the mechanism prescribes.
        """


def _invalid(mechanism: str) -> SyntaxError:
    return SyntaxError(f"response of mechanism {mechanism} is invalid")


class Plain:
    """PLAIN (RFC 4616): authorization identity, user and password between NULs."""

    def respond(self, response: bytes) -> Credentials:
        """Credentials from the only response there is."""
        parts = response.split(b"\0")
        if len(parts) != 3 or parts[0] not in (b"", parts[1]):
            raise _invalid("PLAIN")
        return Credentials("PLAIN", _text(parts[1], "PLAIN"), parts[2])


class AmqPlain:
    """AMQPLAIN: the fields of a table, LOGIN and PASSWORD, without the table's length."""

    def respond(self, response: bytes) -> Credentials:
        """Credentials from the only response there is."""
        octets = len(response).to_bytes(4, "big") + response
        try:
            table, _ = fields.decode_table(octets)
            login, password = table["LOGIN"].value, table["PASSWORD"].value
        except (SyntaxError, KeyError):
            raise _invalid("AMQPLAIN") from None
        user, secret = _octets(login), _octets(password)
        return Credentials("AMQPLAIN", _text(user, "AMQPLAIN"), secret)


def _octets(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    raise _invalid("AMQPLAIN")


def _text(octets: bytes, mechanism: str) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise _invalid(mechanism) from None


@dataclass(frozen=True, slots=True)
class Known:
    """EXTERNAL and ANONYMOUS: who it is does not come from the response."""

    mechanism: str
    user: str

    def respond(self, response: bytes) -> Credentials:
        """The same credentials, whatever the response (RFC 4505: a trace, not to be trusted)."""
        return Credentials(self.mechanism, self.user)


class Demo:
    """RABBIT-CR-DEMO: PLAIN in two steps, as RabbitMQ has it to try challenges with."""

    _NAME: Final = "RABBIT-CR-DEMO"
    _PREFIX: Final = b"My password is "

    def __init__(self) -> None:
        self._user: str | None = None

    def respond(self, response: bytes) -> Credentials | Challenge:
        """First the user, then the password."""
        if self._user is None:
            self._user = _text(response, self._NAME)
            return Challenge(b"Please tell me your password")
        if not response.startswith(self._PREFIX):
            raise _invalid(self._NAME)
        return Credentials(self._NAME, self._user, response.removeprefix(self._PREFIX))


#: Makes a mechanism for one client; None: not for this one.
Maker: TypeAlias = Callable[["AmqpSettings", Peer], Mechanism | None]


def _with_password(mechanism: type[Plain | AmqPlain | Demo]) -> Maker:
    def make(settings: AmqpSettings, peer: Peer) -> Mechanism | None:
        return mechanism() if peer.tls or not settings.passwords_over_tls_only else None

    return make


def _external(settings: AmqpSettings, peer: Peer) -> Mechanism | None:
    user = peer.certificate_user
    return None if user is None else Known("EXTERNAL", user)


def _anonymous(settings: AmqpSettings, peer: Peer) -> Mechanism | None:
    return Known("ANONYMOUS", settings.anonymous_user) if settings.anonymous_user else None


MECHANISMS: Final[Mapping[str, Maker]] = {
    "PLAIN": _with_password(Plain),
    "AMQPLAIN": _with_password(AmqPlain),
    "ANONYMOUS": _anonymous,
    "EXTERNAL": _external,
    "RABBIT-CR-DEMO": _with_password(Demo),
}


def offered(settings: AmqpSettings, peer: Peer) -> tuple[str, ...]:
    """The mechanisms that this peer may choose from, in order of preference."""
    return tuple(
        name
        for name in settings.mechanisms
        if name in MECHANISMS and MECHANISMS[name](settings, peer) is not None
    )


def choose(name: str, settings: AmqpSettings, peer: Peer) -> Mechanism:
    """The mechanism a peer has chosen.

    Raises:
        CommandInvalid: there is none of that name, or it was not offered.
    """
    maker = MECHANISMS.get(name)
    if maker is None:
        raise CommandInvalid(f"unknown authentication mechanism '{name}'")
    mechanism = maker(settings, peer) if name in settings.mechanisms else None
    if mechanism is None:
        raise CommandInvalid(f"invalid authentication mechanism '{name}'")
    return mechanism
