"""A running broker, as the command line reaches it: its API, over HTTP or the local socket.

    Remote(place)                   place: uri, user, password, timeout
        .get(path, **query)  .put(path, body)  .post(path, body)  .delete(path)
    whereabouts(...) -> Place       from an option, a context, the environment, or what runs here

Nothing but the standard library: a command is answered before larger clients are imported.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlsplit

from amqpd.cli.answer import (
    EX_DATA,
    EX_NO_PERMISSION,
    EX_SOFTWARE,
    EX_UNAVAILABLE,
    EX_USAGE,
    fail,
)
from amqpd.cli.contexts import Context, ContextError, in_use
from amqpd.server.unix import NAME, short_path

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_URI: Final = "http://127.0.0.1:15672"
#: Where a broker that is started without settings keeps its data.
HERE: Final = Path("amqpd-data")
#: Where the unit and the container image keep their data.
INSTALLED: Final = Path("/var/lib/amqpd")
URI_VARIABLE: Final = "AMQPD_URL"

#: JSON as it came: what is in it is known by whoever asked for it.
Json = Any


@dataclass(frozen=True, slots=True)
class Place:
    """Where a broker's API is, and who asks.

    `socket` is its local socket, which needs no user; it is used instead of the address.
    """

    uri: str = DEFAULT_URI
    user: str = "guest"
    password: str = field(default="guest", repr=False)
    timeout_s: float = 60.0
    ca: str = ""
    socket: Path | None = None


class RemoteError(Exception):
    """The broker was not reached, or it refused; `status` is 0 where nothing came back."""

    def __init__(self, status: int, reason: str, code: int) -> None:
        super().__init__(reason)
        self.status = status
        #: In one line, and as the broker said it.
        self.reason = _line(reason)
        self.text = reason.strip()
        self.code = code


def segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


class Remote:
    """One broker; a connection is opened by the first request and kept."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str, **query: str | int) -> Json:
        """What is there.

        Raises:
            RemoteError: the broker was not reached, or it refused.
        """
        pairs = "&".join(f"{key}={segment(str(value))}" for key, value in query.items())
        return self.call("GET", f"{path}?{pairs}" if pairs else path)

    def put(self, path: str, body: Json = None) -> Json:
        """Make or replace; raises as `get`."""
        return self.call("PUT", path, {} if body is None else body)

    def post(self, path: str, body: Json = None) -> Json:
        """Have something done; raises as `get`."""
        return self.call("POST", path, {} if body is None else body)

    def delete(self, path: str, headers: Mapping[str, str] | None = None) -> Json:
        """Remove; raises as `get`."""
        return self.call("DELETE", path, None, headers)

    def call(
        self, method: str, path: str, body: Json = None, headers: Mapping[str, str] | None = None
    ) -> Json:
        """One request; the JSON that came back, None if there was none."""
        sent = {**self._authorization(), **(headers or {})}
        octets = None
        if body is not None:
            octets = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        status, answer = self._exchange(method, path, octets, sent)
        if status >= 400:
            raise self._refusal(status, answer)
        return json.loads(answer) if answer else None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        try:
            if self._connection is None:
                self._connection = self._connect()
            connection = self._connection
            connection.request(method, f"{self._prefix}/api{path}", body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise RemoteError(0, self._unreached(error), EX_UNAVAILABLE) from error

    def _unreached(self, error: Exception) -> str:
        place = self.place
        reason = "timed out" if isinstance(error, TimeoutError) else str(error)
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"{place.uri}: its certificate is not trusted ({error.verify_message}); --ca says by whom it is signed"  # noqa: E501
        if isinstance(error, ssl.SSLError):
            return f"{place.uri}: does not speak TLS ({error.reason}); is it http:// there?"
        if isinstance(error, ConnectionRefusedError) and place.socket is not None:
            return (
                f"{place.socket}: nobody listens; the broker was killed, or has just ended: "
                f"'amqpd --data-dir {place.socket.parent}' starts it"
            )
        return (
            f"{place.uri}: not reached ({reason}); is the broker running there? 'amqpd' starts one "
            f"here, --url, --context or {URI_VARIABLE} name another"
        )

    def _connect(self) -> http.client.HTTPConnection:
        if self.place.socket is not None:
            return _LocalConnection(self.place.socket, self.place.timeout_s)
        parts = urlsplit(self.place.uri)
        if not parts.hostname:
            raise OSError("not an address like http://host:15672")
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=self.place.ca or None)
            return http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=self.place.timeout_s, context=context
            )
        made = http.client.HTTPConnection(
            parts.hostname, parts.port or 15672, timeout=self.place.timeout_s
        )
        made.connect()
        assert made.sock is not None
        made.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    @property
    def _prefix(self) -> str:
        if self.place.socket is not None:
            return ""
        return urlsplit(self.place.uri).path.rstrip("/")

    def _authorization(self) -> dict[str, str]:
        if not self.place.user:
            return {}
        pair = f"{self.place.user}:{self.place.password}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}

    def _refusal(self, status: int, answer: bytes) -> RemoteError:
        try:
            reason = str(json.loads(answer)["reason"])
        except (ValueError, KeyError, TypeError):
            reason = http.client.responses.get(status, f"status {status}")
        if status == 401:
            reason = (
                f"user '{self.place.user}' was refused by {self.place.uri} ({reason}); "
                "--username and --password say who asks"
            )
            return RemoteError(status, reason, EX_NO_PERMISSION)
        code = {403: EX_NO_PERMISSION, 503: EX_UNAVAILABLE}.get(
            status, EX_SOFTWARE if status >= 500 else EX_DATA
        )
        return RemoteError(status, reason, code)


def _line(reason: str) -> str:
    """What RabbitMQ says in several lines, in one."""
    text = reason.replace("Validation failed\n", "")
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


class _LocalConnection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect, whatever the path's length."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with short_path(self._path) as name:
            self.sock.connect(name)


def whereabouts(
    uri: str | None,
    user: str | None,
    password: str | None,
    *,
    context: str | None = None,
    timeout_s: float = 60.0,
    ca: str = "",
    environment: Mapping[str, str] = os.environ,
    directory: Path | None = None,
) -> Place:
    """The broker that is meant: an option, the environment, a context, or the one that runs here.

    `uri` may be a data directory as well: its broker is asked over the local socket.
    """
    directory = HERE if directory is None else directory
    user = user or environment.get("AMQPD_USERNAME")
    password = password or environment.get("AMQPD_PASSWORD")
    chosen = uri or (None if context else environment.get(URI_VARIABLE))
    if chosen is None:
        known = _context(context, environment)
        if known is not None:
            chosen, ca = known.url, ca or known.ca
            user, password = user or known.username, password or known.password
    if chosen is None:
        here = local_socket(environment, directory)
        chosen = str(here) if here is not None else _running_here(environment, directory)
    if "://" not in chosen and (path := socket_in(Path(chosen))) is not None:
        return Place(str(path), user or "", password or "", timeout_s, ca, path)
    parts = urlsplit(chosen)
    if parts.scheme not in ("http", "https"):
        fail(f"{chosen}: must begin with http:// or https://, or be a data directory", EX_USAGE)
    host = parts.netloc.rpartition("@")[2]
    return Place(
        uri=f"{parts.scheme}://{host}{parts.path}".rstrip("/"),
        user=user or unquote(parts.username or "guest"),
        password=password or unquote(parts.password or "guest"),
        timeout_s=timeout_s,
        ca=ca,
    )


def _context(name: str | None, environment: Mapping[str, str]) -> Context | None:
    try:
        return in_use(name, environment)
    except ContextError as error:
        fail(str(error), error.code)


def socket_in(path: Path) -> Path | None:
    """The socket of a data directory, or the one that is named."""
    if path.is_dir():
        path = path / NAME
    return path if path.is_socket() else None


def local_socket(environment: Mapping[str, str], directory: Path) -> Path | None:
    """The socket of the broker on the data directory of this place, or of the installed one."""
    for one in (Path(environment.get("AMQPD_STORE_PATH", directory)), INSTALLED):
        try:
            found = socket_in(one)
        except PermissionError:
            continue  # it is not for us
        if found is not None and os.access(found, os.W_OK):
            return found
    return None


def run_file(
    environment: Mapping[str, str] = os.environ, directory: Path = HERE
) -> dict[str, Json]:
    """What the broker on the data directory of this place says of itself; empty: none runs."""
    here = Path(environment.get("AMQPD_STORE_PATH", directory)) / "run.json"
    try:
        found = json.loads(here.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _running_here(environment: Mapping[str, str], directory: Path) -> str:
    """The API of the broker on the data directory of this place; else the default port."""
    for one in run_file(environment, directory).get("listeners", ()):
        if one.get("protocol") == "http":
            return str(one["uri"])
    return DEFAULT_URI
