"""Who may call what: RabbitMQ's tags, and the permissions in a vhost.

Needs.LOGIN           any of the four tags
Needs.VHOST           and a permission in the vhost of the path (administrators without)
Needs.POLICYMAKER     and the tag policymaker
Needs.MONITOR, ADMINISTRATOR
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from amqpd.broker.access import Question, Verdict
from amqpd.broker.permissions import ADMINISTRATOR, MANAGEMENT, MONITORING, POLICYMAKER
from amqpd.errors import NotAllowed
from amqpd.management.errors import not_authorised, not_found

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.broker.access import Authority
    from amqpd.broker.broker import Broker

TAGS: Final = frozenset({ADMINISTRATOR, MANAGEMENT, MONITORING, POLICYMAKER})


class Needs(Enum):
    """What an operation asks of its caller."""

    NOTHING = auto()
    LOGIN = auto()
    #: Administrators, and whoever has a permission in the vhost.
    VHOST = auto()
    #: And monitors.
    VHOST_VISIBLE = auto()
    #: Administrators, and policymakers with a permission in the vhost.
    POLICYMAKER = auto()
    #: Policymakers and administrators.
    GLOBAL_PARAMETERS = auto()
    MONITOR = auto()
    ADMINISTRATOR = auto()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is logged in."""

    name: str
    tags: frozenset[str]
    #: Who decides what it may do; None: the tables of the broker.
    authority: Authority | None = None
    #: When its credentials end, on the broker's clock.
    expires_at_ms: int | None = None

    @property
    def is_administrator(self) -> bool:
        """May do everything that is not message traffic."""
        return ADMINISTRATOR in self.tags

    @property
    def is_monitor(self) -> bool:
        """May see everything."""
        return bool(self.tags & {ADMINISTRATOR, MONITORING})

    @property
    def is_policymaker(self) -> bool:
        """May set policies and parameters where it has a permission."""
        return bool(self.tags & {ADMINISTRATOR, POLICYMAKER})


class AllRights:
    """Whoever has the broker's files may do everything (`Authority` and its `Rights`)."""

    revision = 0

    def rights(self, vhost: str) -> AllRights:
        """The same everywhere."""
        return self

    def verdict(self, question: Question) -> Verdict:
        """Yes."""
        return Verdict.YES

    def find_out(self, question: Question, done: Callable[[], None]) -> None:
        """There is nobody to ask."""
        done()


def local(user: str) -> Caller:
    """A user of this machine who came by the local socket: an administrator everywhere."""
    return Caller(f"local user {user}", frozenset({ADMINISTRATOR}), AllRights())


def may_enter(broker: Broker, caller: Caller, vhost: str) -> bool:
    """Whether the caller has a permission in the vhost.

    Raises:
        Undecided: its authority has to be asked first.
    """
    if caller.authority is None:
        return broker.permissions.get(caller.name, vhost) is not None
    try:
        broker.access(vhost, caller.name, caller.tags, caller.authority)
    except NotAllowed:
        return False
    return True


def check(needs: Needs, caller: Caller, vhost: str | None, broker: Broker) -> None:
    """See whether the caller may; `vhost` is that of the path, if there is one and it exists.

    Raises:
        Undecided: as `may_enter`.
        HttpError: it may not; of a vhost that is not its own it does not learn that it exists.
    """
    if not caller.tags & TAGS:
        raise not_authorised("Not management user")
    match needs:
        case Needs.ADMINISTRATOR if not caller.is_administrator:
            raise not_authorised("Not administrator user")
        case Needs.MONITOR if not caller.is_monitor:
            raise not_authorised("Not monitor user")
        case Needs.GLOBAL_PARAMETERS | Needs.POLICYMAKER if not caller.is_policymaker:
            raise not_authorised("User not authorised to access object")
        case Needs.VHOST_VISIBLE if caller.is_monitor:
            return
    in_vhost = needs in (Needs.VHOST, Needs.VHOST_VISIBLE, Needs.POLICYMAKER)
    if caller.is_administrator or vhost is None or not in_vhost:
        return
    if not may_enter(broker, caller, vhost):
        raise not_found()
