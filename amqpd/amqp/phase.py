"""The phases of a connection's life (AMQP 0-9-1 §2.2.4)."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Phase(enum.Enum):
    """Where a connection stands."""

    HEADER = enum.auto()  # no protocol header received yet
    START_OK = enum.auto()  # we sent Start
    SECURE_OK = enum.auto()  # we sent Secure
    AUTHENTICATING = enum.auto()  # we wait for whoever decides
    TUNE_OK = enum.auto()  # we sent Tune
    OPEN = enum.auto()  # we wait for Open
    RUNNING = enum.auto()
    CLOSING = enum.auto()  # one side sent Close; only Close and CloseOk count
    CLOSED = enum.auto()


#: RabbitMQ's names, as in `unexpected method in connection state running`.
STATE_NAMES: Final[Mapping[Phase, str]] = {
    Phase.HEADER: "pre_init",
    Phase.START_OK: "starting",
    Phase.SECURE_OK: "securing",
    Phase.AUTHENTICATING: "securing",
    Phase.TUNE_OK: "tuning",
    Phase.OPEN: "opening",
    Phase.RUNNING: "running",
    Phase.CLOSING: "closing",
    Phase.CLOSED: "closed",
}

#: Nobody is logged in: errors are met with silence and, some time later, the end.
BEFORE_LOGIN: Final = frozenset(
    {Phase.HEADER, Phase.START_OK, Phase.SECURE_OK, Phase.AUTHENTICATING}
)
#: There is nothing left to answer.
ENDING: Final = frozenset({Phase.CLOSING, Phase.CLOSED})
