"""What this room is given by the server: the broker, and what only the server can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.broker.broker import Broker
    from amqpd.management.access import Caller
    from amqpd.management.figures import Figures
    from amqpd.management.records import Records
    from amqpd.management.settings import Http
    from amqpd.management.trace import Traces


class Controls(Protocol):
    """What operators may do to the server as a whole.

    Raises:
        HttpError: by all of them; it cannot be done, and the reason says why.
    """

    @property
    def is_stopped(self) -> bool:
        """By `stop_app`: there is nothing but this API."""

    async def act(self, action: str) -> None:
        """Stop, start, suspend and so on: one of `control.ACTIONS`."""

    def ticket(self, user: str) -> str:
        """A password for a minute, for a user who came by the local socket."""

    def set_alarm(self, resource: str, on: bool) -> None:
        """Raise an alarm for `memory` or `disk`, or take back that one."""

    async def set_setting(self, key: str, value: object) -> None:
        """Another value for a setting, until the next start."""


class Host(Protocol):
    """The server around the broker."""

    #: The node's name.
    node: str
    #: What happened.
    records: Records
    #: Copies of messages in files.
    traces: Traces

    @property
    def broker(self) -> Broker:
        """The model; another one after each start."""

    @property
    def controls(self) -> Controls:
        """What operators may do."""

    @property
    def http(self) -> Http:
        """What is set about this API at the moment."""

    async def log_in(self, user: str, password: bytes, host: str, named: str) -> Caller | None:
        """Who this is; None for whoever does not get in.

        `host` is where the request comes from, `named` whom it asks (its header Host).
        """

    def hash_password(self, password: str, algorithm: str) -> str:
        """The hash to keep of a password, which is not blank."""

    def refusal_of(self, password: str) -> str:
        """Why nobody may have this password from now on; empty: it is fine."""

    def changed(self) -> None:
        """Something was decided that has to reach the disk, or a consumer."""

    def figures(self) -> Figures:
        """What there is at this moment."""

    def memory(self) -> Mapping[str, int]:
        """Bytes by RabbitMQ's kinds, those that are measured; together all that is used."""

    def is_ready(self) -> bool:
        """Whether clients are let in."""

    def certificate_ends_s(self) -> float:
        """When the first certificate ends, in seconds since the epoch; may read files."""

    def settings(self) -> Mapping[str, object]:
        """The settings in force, without secrets."""

    @property
    def unwritten(self) -> str:
        """Why it cannot be written down who changes what; empty: it can."""

    def witnessed(
        self, user: str, peer: str, operation: str, about: str, status: int, text: str
    ) -> None:
        """Something was changed over HTTP (`text`), or somebody was not allowed to."""
