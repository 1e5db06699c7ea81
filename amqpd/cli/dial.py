"""`--uri` and what it means: an AMQP connection to the broker that is meant, or a clear no.

with dialled(address(uri, vhost), name) as client: …    ends the process with one line when refused
"""

from __future__ import annotations

import contextlib
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar
from urllib.parse import unquote, urlsplit

import click

from amqpd.cli.amqp import Client, Closed, ConnectionClosed, Gone
from amqpd.cli.answer import EX_DATA, EX_NO_PERMISSION, EX_SOFTWARE, EX_UNAVAILABLE, EX_USAGE, fail
from amqpd.cli.contexts import Context, ContextError, in_use
from amqpd.cli.reach import CA, CONTEXT, context_options, kept
from amqpd.cli.remote import URI_VARIABLE as API_VARIABLE
from amqpd.cli.remote import (
    Place,
    Remote,
    RemoteError,
    local_socket,
    run_file,
    socket_in,
    whereabouts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

AMQP_PORT: Final = 5672
AMQPS_PORT: Final = 5671
#: How long the local socket may take.
SOCKET_S: Final = 10.0
#: How long a broker may take to say on which ports it listens.
API_S: Final = 5.0
#: What listeners are called, and how an address of theirs begins; what is preferred comes first.
SCHEMES: Final = {"amqp": "amqp", "amqp/ssl": "amqps"}
URI_VARIABLE: Final = "AMQPD_AMQP_URL"
#: Reply codes that say: you may not.
REFUSED: Final = frozenset({403, 530})

_Command = TypeVar("_Command", bound="Callable[..., None]")


@dataclass(frozen=True, slots=True)
class Address:
    """Where an AMQP connection goes."""

    host: str = "127.0.0.1"
    port: int = AMQP_PORT
    user: str = "guest"
    password: str = field(default="guest", repr=False)
    vhost: str = "/"
    tls: bool = False
    ca: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def dial_options(command: _Command) -> _Command:
    """Add `--uri`, `--vhost`, `--context` and `--ca`."""
    command = context_options(command)
    command = click.option("-p", "--vhost", metavar="VHOST", help="Virtual host.  [/]")(command)
    return click.option(
        "--uri", metavar="URI", help="amqp[s]://user:password@host:port/vhost; default: here."
    )(command)


def address(
    uri: str | None,
    vhost: str | None,
    *,
    environment: Mapping[str, str] = os.environ,
    directory: Path = Path("amqpd-data"),
) -> Address:
    """The broker that is meant: an option, the environment, a context, the one that runs here.

    The variable for the API counts as well: its broker is the one whose messages are meant, and
    that one says on which port it takes them.
    """
    name = kept(CONTEXT)
    chosen = uri or (None if name else environment.get(URI_VARIABLE))
    known = None if chosen else _named(name, environment) or _context(name, environment)
    if known is not None:
        chosen = known.amqp or _beside(known, kept(CA) or known.ca)
        if not known.username and "://" not in known.url:
            known = _ticket(socket_in(Path(known.url))) or known
    if chosen is None:
        chosen = _running_here(environment, directory)
        known = _ticket(local_socket(environment, directory))
    parts = urlsplit(chosen)
    tls = parts.scheme == "amqps"
    try:
        port = parts.port or (AMQPS_PORT if tls else AMQP_PORT)
    except ValueError:
        port = 0
    if parts.scheme not in ("amqp", "amqps") or not parts.hostname or not port:
        fail(f"{chosen}: must be like amqp://user:password@host:{AMQP_PORT}/vhost", EX_USAGE)
    named = unquote(parts.path[1:]) if parts.path else "/"
    context = known or Context("")
    return Address(
        parts.hostname,
        port,
        unquote(parts.username or "") or context.username or "guest",
        unquote(parts.password or "") or context.password or "guest",
        vhost or context.vhost or named or "/",
        tls,
        kept(CA) or context.ca,
    )


def _ticket(path: Path | None) -> Context | None:
    """Who we are to a broker of this machine: its local socket says it, if there is one."""
    if path is None:
        return None
    remote = Remote(Place(str(path), "", "", SOCKET_S, socket=path))
    try:
        found = remote.post("/local/ticket")
    except RemoteError:
        return None  # it is stopped, or of an older version: as guest, then
    finally:
        remote.close()
    return Context("", found["username"], found["password"])


def _named(context: str, environment: Mapping[str, str]) -> Context | None:
    """What the variables for the API name, unless a context is asked for."""
    url = "" if context else environment.get(API_VARIABLE, "")
    if not url:
        return None
    parts = urlsplit(url if "://" in url else "")
    user = environment.get("AMQPD_USERNAME") or unquote(parts.username or "")
    password = environment.get("AMQPD_PASSWORD") or unquote(parts.password or "")
    return Context(url, user, password)


def _context(name: str, environment: Mapping[str, str]) -> Context | None:
    try:
        return in_use(name, environment)
    except ContextError as error:
        fail(str(error), error.code)


def _beside(known: Context, ca: str) -> str:
    """Where messages go on the host of an API, or in the broker of a data directory."""
    parts = urlsplit(known.url)
    if parts.scheme not in ("http", "https"):
        place = Path(known.url)
        return _running_here({}, place.parent if place.is_socket() else place)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    # Whoever asks over TLS does not send a password without it.
    schemes = {"amqp/ssl": "amqps"} if parts.scheme == "https" else SCHEMES
    listening = _listening(known, ca)
    for protocol, scheme in schemes.items():
        if protocol in listening:
            return f"{scheme}://{shown}:{listening[protocol]}"
    return f"{'amqps' if parts.scheme == 'https' else 'amqp'}://{shown}"


def _listening(known: Context, ca: str) -> dict[str, int]:
    """The ports that a broker says it listens on, by protocol; empty if it does not tell us."""
    remote = Remote(whereabouts(known.url, known.username, known.password, timeout_s=API_S, ca=ca))
    try:
        found = remote.get("/overview").get("listeners", ())
    except RemoteError:
        return {}  # not to this user, or HTTP is not reached: the default ports, then
    finally:
        remote.close()
    return {str(one["protocol"]): int(one["port"]) for one in reversed(found)}


def _running_here(environment: Mapping[str, str], directory: Path) -> str:
    for one in run_file(environment, directory).get("listeners", ()):
        if one.get("protocol") == "amqp":
            return str(one["uri"])
    return f"amqp://127.0.0.1:{AMQP_PORT}"


def connect(place: Address, name: str) -> Client:
    """An open connection; raises whatever goes wrong."""
    return Client(
        place.port,
        host=place.host,
        user=place.user,
        password=place.password,
        vhost=place.vhost,
        name=name,
        tls=ssl.create_default_context(cafile=place.ca or None) if place.tls else None,
    )


@contextlib.contextmanager
def dialled(place: Address, name: str) -> Iterator[Client]:
    """An open connection; whatever goes wrong with it ends the process with one line."""
    try:
        client = connect(place, name)
    except (Closed, OSError, Gone) as error:
        _end(place, error)
    with client:
        try:
            yield client
        except (TimeoutError, Gone, ConnectionClosed) as error:
            _end(place, error)  # other errors of the system are not the connection's
        except Closed as error:
            _leave(client)
            _end(place, error)
        except SystemExit:
            _leave(client)
            raise


def _leave(client: Client) -> None:
    """Leave a broker that is well, so that its log does not wonder."""
    with contextlib.suppress(OSError, Gone, Closed):
        client.close()


def _end(place: Address, error: Exception) -> NoReturn:
    if isinstance(error, Closed):
        code = EX_NO_PERMISSION if error.code in REFUSED else EX_DATA
        if isinstance(error, ConnectionClosed) and code == EX_DATA:
            code = EX_SOFTWARE
        hint = ""
        if isinstance(error, ConnectionClosed) and error.code in REFUSED:
            hint = f"; you came as '{place.user}': --uri or --context say who you are"
        fail(f"{place}: {error.code} {error.text}{hint}", code)
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"its certificate is not trusted ({error.verify_message})"
        fail(f"{place}: {why}; --ca says by whom it is signed", EX_UNAVAILABLE)
    if isinstance(error, ssl.SSLError):
        fail(f"{place}: does not speak TLS ({error.reason}); is it amqp:// there?", EX_UNAVAILABLE)
    reason = "timed out" if isinstance(error, TimeoutError) else str(error)
    fail(
        f"{place}: not reached ({reason}); is the broker running there? "
        f"--uri, --context or {URI_VARIABLE} name another",
        EX_UNAVAILABLE,
    )
