"""Limits: how much of everything one client, user, vhost or broker may have.

    Limits                     settings of the broker, with their defaults
    VhostLimits, UserLimits    set at run time by an administrator; None = no limit
        .parse({"max-connections": 10}) -> the same, from RabbitMQ's names
        .named() -> {"max-connections": 10}

RabbitMQ's defaults, so that nothing that works there stops working here; a limit that
RabbitMQ does not have is off or far beyond ordinary use.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Final, Self

from amqpd.broker.interceptors import NO_INTERCEPTORS
from amqpd.broker.text import erlang
from amqpd.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from dataclasses import Field

    from amqpd.broker.interceptors import Interceptors

#: RabbitMQ's hard upper bound; larger bodies are a protocol error there.
MESSAGE_BYTES_MAX: Final = 512 << 20
#: The specification's smallest frame_max (AMQP 0-9-1 §4.2.3).
FRAME_BYTES_MIN: Final = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """The broker's own limits; sizes in bytes, None = unlimited."""

    #: Channels per connection, offered in connection.tune; 0 = unlimited.
    channel_max: int = 2047
    #: Largest frame, offered in connection.tune; 0 = unlimited.
    frame_max_bytes: int = 131_072
    #: Largest frame before the login has succeeded.
    initial_frame_max_bytes: int = 8192
    #: Heartbeat interval, offered in connection.tune; 0 = off.
    heartbeat_s: int = 60
    #: Largest message body; a larger one is refused at its header (406).
    max_message_bytes: int = 16_777_216
    #: Connections of the whole broker.
    max_connections: int | None = None
    #: Channels of the whole broker.
    max_channels: int | None = None
    #: Consumers on one channel.
    max_consumers_per_channel: int | None = None
    #: Queues of the whole broker.
    max_queues: int | None = None
    #: Exchanges of the whole broker.
    max_exchanges: int | None = None
    #: The type of queues that are declared without one, where their vhost does not say.
    default_queue_type: str = ""
    #: Queues that are neither durable nor exclusive may be declared.
    transient_nonexclusive: bool = True
    #: Queues of all kinds tell in the headers of a message how often it came back; otherwise
    #: quorum queues do, and those with a delivery limit or delayed retry.
    always_counted: bool = False
    #: Deaths that a client tells of in `x-death` count on, as in RabbitMQ 3.12; otherwise they do
    #: not, as in 4.
    trusts_deaths: bool = True
    #: How long a client may keep a message without acknowledging it, where nothing else says;
    #: None = 30 minutes on quorum queues, and for ever (0) on others.
    consumer_timeout_ms: int | None = None
    #: It costs the channel then, even where the client would understand that it costs the consumer.
    timeout_closes: bool = False
    #: Quorum queues may be declared as classic ones again, with the arguments that both know.
    relaxed_redeclaration: bool = False
    #: What is written into messages that come in.
    interceptors: Interceptors = NO_INTERCEPTORS
    #: `#` words in one topic binding key. RabbitMQ 4.3 allows 2, because each one
    #: multiplies its matcher's work; ours does not need it.
    max_topic_hash_wildcards: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.channel_max <= 0xFFFF:
            raise ValueError(f"channel_max: {self.channel_max} is not between 0 and 65535")
        for name in ("frame_max_bytes", "initial_frame_max_bytes"):
            size = getattr(self, name)
            if size != 0 and size < FRAME_BYTES_MIN:
                raise ValueError(f"{name}: {size} is less than {FRAME_BYTES_MIN}")
        if not 0 <= self.heartbeat_s <= 0xFFFF:
            raise ValueError(f"heartbeat_s: {self.heartbeat_s} is not between 0 and 65535")
        if not 0 < self.max_message_bytes <= MESSAGE_BYTES_MAX:
            raise ValueError(
                f"max_message_bytes: {self.max_message_bytes} is not between 1 and "
                f"{MESSAGE_BYTES_MAX}"
            )


@dataclass(frozen=True, slots=True)
class _RuntimeLimits:
    """Limits that RabbitMQ keeps as `{"max-…": number}`, where a negative number lifts one."""

    #: What RabbitMQ calls them in its texts.
    called: ClassVar[str] = ""

    @classmethod
    def parse(cls, values: Mapping[str, object]) -> Self:
        """From RabbitMQ's names, as in definitions and the HTTP API.

        Raises:
            PreconditionFailed: an unknown name, or a value that is not an integer.
        """
        known = {name: field.name for name, field in _names(cls).items()}
        unknown = {name: value for name, value in values.items() if name not in known}
        wrong = [f"Unrecognised terms {erlang(unknown)} in {cls.called}"] if unknown else []
        limits: dict[str, int | None] = {}
        for name, value in values.items():
            if not isinstance(value, int) or isinstance(value, bool):
                wrong.append(f"{name} should be a number, actually was {erlang(value)}")
            elif name in known:
                limits[known[name]] = value if value >= 0 else None
        if wrong:
            raise PreconditionFailed("\n".join(["Validation failed\n", *wrong, ""]))
        return cls(**limits)

    def named(self) -> dict[str, int]:
        """The limits there are, by RabbitMQ's names."""
        values = {name: getattr(self, field.name) for name, field in _names(type(self)).items()}
        return {name: value for name, value in values.items() if value is not None}


def _names(limits: type[_RuntimeLimits]) -> dict[str, Field[int | None]]:
    return {field.name.replace("_", "-"): field for field in fields(limits)}


@dataclass(frozen=True, slots=True)
class VhostLimits(_RuntimeLimits):
    """What a vhost may have; 0 refuses all."""

    called: ClassVar[str] = "limits"

    max_connections: int | None = None
    max_queues: int | None = None


@dataclass(frozen=True, slots=True)
class UserLimits(_RuntimeLimits):
    """What one user may have, over all its vhosts; 0 refuses all."""

    called: ClassVar[str] = "user-limits"

    max_connections: int | None = None
    max_channels: int | None = None


def allows(limit: int | None, present: int) -> bool:
    """Whether one more is allowed where `present` exist already."""
    return limit is None or present < limit
