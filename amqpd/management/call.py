"""A call: one request on its way through an operation, with what it is about."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import Struct

from amqpd.broker.access import RIGHTS
from amqpd.broker.events import INTERNAL
from amqpd.errors import NotAllowed
from amqpd.management.access import may_enter
from amqpd.management.errors import bad_request, not_found, too_deep
from amqpd.management.rates import Shown

if TYPE_CHECKING:
    from amqpd.broker.access import Kind, Right
    from amqpd.broker.broker import Broker
    from amqpd.broker.catalogue import Answer
    from amqpd.broker.definitions import Command
    from amqpd.broker.permissions import Access
    from amqpd.broker.vhost import VHost
    from amqpd.management.access import Caller
    from amqpd.management.host import Host
    from amqpd.management.request import Request
    from amqpd.management.survey import Survey

T = TypeVar("T")


class Call:
    """What an operation is given: the caller, the names in the path, the body, the broker."""

    def __init__(
        self,
        host: Host,
        survey: Survey,
        request: Request,
        names: dict[str, str],
        caller: Caller,
        alone: asyncio.Lock,
    ) -> None:
        self.host = host
        self.survey = survey
        self.broker: Broker = host.broker
        self.request = request
        self.names = names
        self.caller = caller
        #: For what one call does at a time: a transaction that takes several turns.
        self.alone = alone
        #: What it has changed, for the audit log.
        self.told: list[str] = []
        self._access: Access | None = None

    # -- what it is about ------------------------------------------------------------------

    @property
    def vhost_name(self) -> str | None:
        """The vhost it is about: of the path, of `?vhost=`, of the header X-Vhost; or none."""
        name = self.names.get("vhost")
        if name is None:
            name = self.request.query.get("vhost") or self.request.headers.get("x-vhost") or None
        return name

    @property
    def vhost(self) -> VHost:
        """The vhost of the path.

        Raises:
            HttpError: there is none.
        """
        return self.find_vhost(self.names["vhost"])

    def find_vhost(self, name: str) -> VHost:
        """The vhost of that name.

        Raises:
            HttpError: there is none.
        """
        found = self.broker.vhosts.get(name)
        if found is None and self.request.method == "PUT":
            raise not_found("vhost_not_found", "not_found")
        if found is None:
            raise not_found()
        return found

    @property
    def access(self) -> Access:
        """What the caller may do to messages and definitions in the vhost of the path.

        Raises:
            NotAllowed: it has no permission there.
        """
        caller = self.caller
        self.broker.events.by = caller.name
        if self._access is None:
            self._access = self.broker.access(
                self.vhost.name, caller.name, caller.tags, caller.authority
            )
        return self._access

    def rights(self, kind: Kind, name: str) -> list[Right]:
        """What the caller may do with a queue or an exchange of this vhost: the page asks first."""
        try:
            return self.access.rights(kind, name)
        except NotAllowed:
            return []  # a monitor who has no permission here

    def rights_within(self, vhost: str) -> list[Right]:
        """Which rights the caller has on anything in a vhost at all; nobody is asked for it.

        An authority that is no table cannot be asked for that: every right may be there.
        """
        if self.caller.authority is not None:
            return list(RIGHTS)
        granted = self.broker.permissions.get(self.caller.name, vhost)
        # An empty pattern is one of no name.
        return [right for right in RIGHTS if granted is not None and getattr(granted, right)]

    def visible_vhosts(self) -> list[VHost]:
        """The vhosts that the caller may know of."""
        vhosts = self.broker.vhosts.values()
        if self.caller.is_monitor:
            return list(vhosts)
        return [one for one in vhosts if self._has_permission(one)]

    def own_vhosts(self) -> list[VHost]:
        """The vhosts of a list: the one that was asked for, or those that it may look into.

        Raises:
            HttpError: it has asked for one that does not exist.
        """
        vhosts = list(self.broker.vhosts.values())
        name = self.vhost_name
        if name is not None:
            vhosts = [self.find_vhost(name)]
        if self.caller.is_administrator:
            return vhosts
        return [one for one in vhosts if self._has_permission(one)]

    def _has_permission(self, vhost: VHost) -> bool:
        return may_enter(self.broker, self.caller, vhost.name)

    # -- what was sent ---------------------------------------------------------------------

    async def body(self, kind: type[T]) -> T:
        """The JSON body; an empty one is an empty object.

        Raises:
            HttpError: it is no JSON, or not what this operation takes.
        """
        octets = await self.request.read()
        return decoded(octets.strip() or b"{}", kind)

    def shown(self) -> Shown:
        """How the query wants counters to be shown.

        Raises:
            HttpError: it asks for samples that cannot be.
        """
        return Shown(self.survey.sampler, self.request.query, self.broker.around.now_ms)

    def flag(self, name: str) -> bool:
        """Whether the query says `name=true`."""
        return self.request.query.get(name, "").lower() in ("true", "1")

    # -- what is decided -------------------------------------------------------------------

    async def change(self, *commands: Command) -> None:
        """Carry out durable commands, all or none, and wait until they are on disk."""
        number = 0
        self.broker.events.by = self.caller.name
        with self.broker.journal.atomic():
            for command in commands:
                self.told += self.broker.deeds(command)
                number = self.broker.change(command)
        await self.safe(number)

    async def removed(self, answer: Answer[T]) -> None:
        """Wait until all of a removal is done, and on disk."""
        number, removal = answer.number, answer.removal
        if removal is not None:
            self.broker.events.by = INTERNAL
            self.host.changed()
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            removal.when_done(lambda: None if done.done() else done.set_result(None))
            await done
            number = removal.number
        await self.safe(number)

    async def safe(self, number: int) -> None:
        """Wait until everything up to the journal's `number` is on disk."""
        self.broker.events.by = INTERNAL
        self.host.changed()
        journal = self.broker.journal
        if number <= journal.safe:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def committed() -> None:
            if not done.done():
                done.set_result(None)

        journal.when_safe(number, committed)
        await done


def _missing(given: object, kind: type[object]) -> str:
    """Which fields are not there, in RabbitMQ's words; empty if they all are."""
    if not isinstance(given, dict) or not issubclass(kind, Struct):
        return ""
    absent = [
        f"{{key_missing,{one.encode_name}}}"
        for one in msgspec.structs.fields(kind)
        if one.required and one.encode_name not in given
    ]
    return f"[{','.join(absent)}]" if absent else ""


def decoded(octets: bytes, kind: type[T]) -> T:
    """JSON as a value of some type.

    Raises:
        HttpError: it is not one.
    """
    try:
        return msgspec.json.decode(octets, type=kind)
    except RecursionError as error:
        raise too_deep() from error
    except msgspec.ValidationError as error:
        # It was looked at as far as it had the right form: what follows may be no JSON at all.
        given = _parsed(octets)
        raise bad_request(_missing(given, kind) or f"invalid payload: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"not_json: {error}") from error


def _parsed(octets: bytes) -> object:
    try:
        return msgspec.json.decode(octets)
    except RecursionError as error:
        raise too_deep() from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"not_json: {error}") from error
