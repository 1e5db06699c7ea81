"""Where a broker under test is found, the same for all kinds of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeAlias
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Settings by dotted name, as in `{"amqp.heartbeat_s": 5}`.
Settings: TypeAlias = "Mapping[str, str | int | float | bool]"

#: What a test does not need, or what would be in the way of the next one.
QUIET: Final[Settings] = {
    "amqp.port": 0,
    "http.port": "off",
    "metrics.port": "off",
    "store.sync": False,
}


class StartFailed(Exception):
    """The broker did not start; the text says why."""


class RunningBroker(Protocol):
    """A broker that accepts connections."""

    @property
    def host(self) -> str:
        """The address it listens on."""

    @property
    def port(self) -> int:
        """The port for AMQP; the same after a restart."""

    @property
    def uri(self) -> str:
        """All that a client needs: `amqp://guest:guest@127.0.0.1:PORT/%2F`."""

    @property
    def http_uri(self) -> str:
        """The HTTP API's, with user and password; empty unless `http.port` was set."""

    def restart(self) -> None:
        """Stop and start on the same port; what is durable stays, clients are cut off."""

    def stop(self) -> None:
        """Stop in good order, without waiting for clients; a second time does nothing."""


def login_uri(scheme: str, host: str, port: int, settings: Settings, path: str) -> str:
    """A URI with the user and the password that a new broker has."""
    user = quote(str(settings.get("auth.default_user", "guest")), safe="")
    password = quote(str(settings.get("auth.default_password", "guest")), safe="")
    return f"{scheme}://{user}:{password}@{host}:{port}/{path}"


def vhost_path(settings: Settings) -> str:
    """The vhost of a new broker, as a URI has it."""
    return quote(str(settings.get("auth.default_vhost", "/")), safe="")
