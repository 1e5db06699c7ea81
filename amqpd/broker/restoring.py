"""Restoring: a document of definitions (`document`) becomes part of the broker.

    restoring = Restoring(broker, document, vhost)      PreconditionFailed: not such a document
    for _ in restoring.steps(): …                       plans it; PreconditionFailed: what is wrong
    restoring.changes                                   what it will do
    restoring.carry_out() -> number                     does it, all of it in one transaction
    for _ in restoring.carrying_out(): …                the same in several turns, one at a time
    for _ in restoring.forgetting(): …                  lets go of the document and the plan

RabbitMQ's rules: what is in the document is added to what is there. Users, permissions, vhosts'
metadata, policies and parameters are replaced; queues and exchanges that exist stay as they
are, whatever the document says. Nothing happens before all of it was found valid.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from amqpd.broker import arguments as arguments_of
from amqpd.broker import document as documents
from amqpd.broker.binding import Binding, Destination
from amqpd.broker.definitions import (
    Command,
    PutBinding,
    PutExchange,
    PutParameter,
    PutPermission,
    PutQueue,
    PutTopicPermission,
    PutUser,
    PutVhost,
)
from amqpd.broker.document import CLUSTER, FORMAT, PREDECLARED, SECTIONS, SINGLE_VHOST
from amqpd.broker.entry import Entry
from amqpd.broker.exchange import create, predeclared
from amqpd.broker.limits import VhostLimits
from amqpd.broker.parameters import GLOBAL, POLICY, USER_LIMITS, check
from amqpd.broker.pause import Pause, pausing
from amqpd.broker.permissions import Permission, TopicPermission, User
from amqpd.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from amqpd.broker.broker import Broker
    from amqpd.broker.exchange import Exchange
    from amqpd.broker.vhost import VHost

#: Hashes of users without an algorithm, of a broker before RabbitMQ 3.6.
OLDEST_ALGORITHM: Final = "rabbit_password_hashing_md5"
NAME_BYTES: Final = 255
#: Entries that are let go in one step.
FORGOTTEN: Final = 64


class Action(enum.StrEnum):
    """What becomes of an entry."""

    CREATE = "create"
    UPDATE = "update"
    #: It is like that already.
    SAME = "same"
    #: It is there and stays as it is, although the document has it otherwise.
    KEEP = "keep"
    #: It is in every broker from the beginning, or named by the broker that had it.
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the document and what it does; both sides as a document has them."""

    action: Action
    section: str
    vhost: str
    name: str
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None


class Restoring:
    """One document on its way into a broker."""

    def __init__(
        self, broker: Broker, document: Mapping[str, object], vhost: str | None = None
    ) -> None:
        self.changes: list[Change] = []
        #: What must be safe before it is confirmed, once it is carried out.
        self.number = 0
        self._broker = broker
        self._document = document
        self._vhost = vhost
        self._commands: list[Command] = []
        self._plan = _Plan(broker)
        #: Queues of the document that are left out.
        self._skipped: set[tuple[str, str]] = set()
        self._check_format()

    def _check_format(self) -> None:
        declared = self._document.get(FORMAT)
        if self._vhost is None and declared == SINGLE_VHOST:
            raise PreconditionFailed(
                "these are the definitions of a single vhost: import them into one "
                "(/api/definitions/VHOST)"
            )
        if self._vhost is not None and declared == CLUSTER:
            raise PreconditionFailed(
                "these are the definitions of a whole broker: import them as such "
                "(/api/definitions)"
            )
        for section in SECTIONS:
            found = self._document.get(section, [])
            if not isinstance(found, list):
                raise PreconditionFailed(f"definitions: '{section}' is not a list")

    def forgetting(self) -> Generator[None, None, None]:
        """Let go of all that was planned, in steps: of a long document that takes long at once."""
        sections = [one for one in self._document.values() if isinstance(one, list)]
        for some in (*sections, self._commands, self.changes):
            while some:
                del some[-FORGOTTEN:]
                yield
        for queues in self._plan.queues.values():
            for _ in range(-(-dict.__len__(queues) // FORGOTTEN)):
                for _ in range(min(FORGOTTEN, dict.__len__(queues))):
                    queues.popitem()
                yield

    # -- planning ------------------------------------------------------------------------

    def steps(self) -> Generator[None, None, None]:
        """Work the document off, entry by entry; the caller may pause between two.

        Raises:
            PreconditionFailed: an entry is not valid; the text says which and why.
        """
        sections = tuple(SECTIONS) if self._vhost is None else documents.VHOST_SECTIONS
        for section in sections:
            found = self._document.get(section, [])
            assert isinstance(found, list)
            for place, values in enumerate(found):
                entry = Entry(section, place, values, self._vhost)
                try:
                    _READERS[section](self, entry)
                except PreconditionFailed as error:
                    raise PreconditionFailed(f"{entry}: {error.explanation}") from error
                yield
        self._plan.check_limits()

    def _add(
        self,
        action: Action,
        entry: Entry,
        before: Mapping[str, object] | None,
        after: Mapping[str, object],
        *commands: Command,
    ) -> None:
        if action is Action.UPDATE and before == after:
            action = Action.SAME
        if action in (Action.CREATE, Action.UPDATE):
            self._commands += commands
        vhost = str(after.get("vhost", ""))
        self.changes.append(Change(action, entry.section, vhost, entry.label, before, after))

    def _user(self, entry: Entry) -> None:
        name = entry.name("name")
        algorithm = entry.text("hashing_algorithm", "")
        if not algorithm:
            algorithm = OLDEST_ALGORITHM if self._is_old() else documents.DEFAULT_ALGORITHM
        tags = entry.texts("tags")
        user = User(name, frozenset(tags), entry.text("password_hash", ""), algorithm)
        limits = entry.mapping("limits", {})
        commands: list[Command] = [PutUser(name, user.password_hash, algorithm, tags)]
        if limits:
            check(USER_LIMITS, name, limits)
            commands.append(PutParameter(USER_LIMITS, "", name, json.dumps(limits)))
        known = self._broker.permissions.user(name)
        before = None if known is None else documents.user_entry(self._broker, known)
        after = {
            "name": name,
            "password_hash": user.password_hash,
            "hashing_algorithm": algorithm,
            "tags": list(tags),
            "limits": dict(limits) if limits or before is None else before["limits"],
        }
        self._plan.users.add(name)
        self._add(_action(known), entry, before, after, *commands)

    def _is_old(self) -> bool:
        """A document of a RabbitMQ before 3.6."""
        version = self._document.get("rabbitmq_version", self._document.get("rabbit_version"))
        parts = str(version or "9").split(".")
        numbers = [int(part) if part.isdigit() else 0 for part in (*parts, "0")[:2]]
        return numbers < [3, 6]

    def _vhost_entry(self, entry: Entry) -> None:
        name = entry.name("name")
        metadata = entry.mapping("metadata", {})
        known = self._broker.definitions.get(name)
        queue_type = metadata.get("default_queue_type", entry.text("default_queue_type", ""))
        queue_type = "" if queue_type in (None, "undefined") else str(queue_type)
        if queue_type and queue_type not in frozenset(arguments_of.QueueType):
            raise PreconditionFailed(f"{queue_type} is not a valid queue type")
        tags = entry.texts("tags") or Entry("", 0, dict(metadata), None).texts("tags")
        command = replace(
            known or PutVhost(name),
            description=entry.text("description", str(metadata.get("description", ""))),
            tags=tags,
            default_queue_type=queue_type,
            tracing=entry.flag("tracing", False),
            protected_from_deletion=metadata.get("protected_from_deletion") is True,
        )
        self._plan.add_vhost(name)
        before = None if known is None else documents.vhost_entry(known)
        self._add(_action(known), entry, before, documents.vhost_entry(command), command)

    def _permission(self, entry: Entry) -> None:
        user, vhost = self._plan.user(entry), self._plan.vhost(entry)
        permission = Permission(entry.text("configure"), entry.text("write"), entry.text("read"))
        after = {
            "user": user,
            "vhost": vhost,
            "configure": permission.configure,
            "write": permission.write,
            "read": permission.read,
        }
        known = self._broker.permissions.get(user, vhost)
        before = None
        if known is not None:
            before = after | {
                "configure": known.configure,
                "write": known.write,
                "read": known.read,
            }
        command = PutPermission(
            user, vhost, permission.configure, permission.write, permission.read
        )
        self._add(_action(known), entry, before, after, command)

    def _topic_permission(self, entry: Entry) -> None:
        user, vhost = self._plan.user(entry), self._plan.vhost(entry)
        exchange = entry.text("exchange")
        permission = TopicPermission(entry.text("write"), entry.text("read"))
        after = {
            "user": user,
            "vhost": vhost,
            "exchange": exchange,
            "write": permission.write,
            "read": permission.read,
        }
        known = self._broker.permissions.get_topic(user, vhost, exchange)
        before = None
        if known is not None:
            before = after | {"write": known.write, "read": known.read}
        command = PutTopicPermission(user, vhost, exchange, permission.write, permission.read)
        self._add(_action(known), entry, before, after, command)

    def _parameter(self, entry: Entry) -> None:
        vhost = self._plan.vhost(entry)
        self._put_parameter(entry, entry.text("component"), vhost, entry.value("value"))

    def _global_parameter(self, entry: Entry) -> None:
        self._put_parameter(entry, GLOBAL, "", entry.value("value"))

    def _policy(self, entry: Entry) -> None:
        vhost = self._plan.vhost(entry)
        value = {
            "pattern": entry.value("pattern"),
            "definition": entry.value("definition"),
            "priority": entry.value("priority", 0),
            "apply-to": entry.value("apply-to", "all"),
        }
        self._put_parameter(entry, POLICY, vhost, value)

    def _put_parameter(self, entry: Entry, component: str, vhost: str, value: object) -> None:
        name = entry.name("name")
        check(component, name, value)
        known = self._broker.parameters.get(component, vhost, name)
        command = PutParameter(component, vhost, name, json.dumps(value))
        before = None if known is None else documents.parameter_entry(known)
        after = documents.parameter_entry(command)
        self._add(_action(known), entry, before, after, command)

    def _exchange(self, entry: Entry) -> None:
        vhost, name = self._plan.vhost(entry), entry.text("name")
        command = PutExchange(
            vhost,
            name,
            entry.text("type"),
            entry.flag("durable", True),
            entry.flag("auto_delete", False),
            entry.flag("internal", False),
            entry.table("arguments"),
        )
        exchange = create(self._broker.types, command)
        after = documents.exchange_entry(exchange)
        known = self._plan.exchanges[vhost].get(name)
        if not name or name.startswith(PREDECLARED):
            self._add(Action.SKIP, entry, None, after)
        elif known is not None:
            before = documents.exchange_entry(known)
            self._add(Action.SAME if before == after else Action.KEEP, entry, before, after)
        else:
            entry.name("name")
            self._plan.exchanges[vhost][name] = exchange
            self._add(Action.CREATE, entry, None, after, command)

    def _queue(self, entry: Entry) -> None:
        vhost, name = self._plan.vhost(entry), entry.name("name")
        durable, auto_delete = entry.flag("durable", True), entry.flag("auto_delete", False)
        arguments = entry.table("arguments")
        kind = entry.text("type", "")
        if kind and arguments_of.QUEUE_TYPE not in arguments:
            arguments |= entry.of_json({arguments_of.QUEUE_TYPE: kind})
        arguments = arguments_of.declared_type(
            arguments,
            self._plan.default_type(vhost),
            durable=durable,
            exclusive=False,
            auto_delete=auto_delete,
        )
        parsed = arguments_of.parse_queue(
            vhost, name, arguments, durable=durable, exclusive=False, auto_delete=auto_delete
        )
        command = PutQueue(vhost, name, durable, False, auto_delete, arguments, ())
        after: dict[str, object] = {
            "name": name,
            "vhost": vhost,
            "type": str(parsed.queue_type),
            "durable": durable,
            "auto_delete": auto_delete,
            "arguments": entry.plain(arguments),
        }
        commands: list[Command] = [command]
        pause = entry.mapping("paused", {})
        if pause and durable:
            after["paused"] = dict(pause)
            commands.append(pausing(vhost, name, Pause.parse(pause)))
        known = self._plan.queues[vhost].get(name)
        if known is None and name.startswith(PREDECLARED):
            # As RabbitMQ: the broker named it for somebody who is not here.
            self._skipped.add((vhost, name))
            self._add(Action.SKIP, entry, None, after)
            return
        if known is not None:
            before = known
            self._add(Action.SAME if before == after else Action.KEEP, entry, before, after)
            return
        self._plan.queues[vhost][name] = after
        self._plan.new_queues[vhost] = self._plan.new_queues.get(vhost, 0) + 1
        self._add(Action.CREATE, entry, None, after, *commands)

    def _binding(self, entry: Entry) -> None:
        vhost = self._plan.vhost(entry)
        source, name = entry.text("source"), entry.text("destination")
        kind = entry.text("destination_type", "queue")
        key, arguments = entry.text("routing_key", ""), entry.table("arguments")
        if not source or (kind == "queue" and (vhost, name) in self._skipped):
            self._add(Action.SKIP, entry, None, {"vhost": vhost, "destination": name})
            return
        exchange = self._plan.exchanges[vhost].get(source)
        if exchange is None:
            raise PreconditionFailed(f"no exchange '{source}' in vhost '{vhost}'")
        if kind not in ("queue", "exchange"):
            raise PreconditionFailed(f"'destination_type' is '{kind}', not queue or exchange")
        there = self._plan.queues if kind == "queue" else self._plan.exchanges
        if name not in there[vhost]:
            raise PreconditionFailed(f"no {kind} '{name}' in vhost '{vhost}'")
        to = Destination("queue" if kind == "queue" else "exchange", name)
        binding = Binding(source, to, key, arguments)
        after = documents.binding_entry(vhost, binding)
        known = self._broker.vhosts.get(vhost)
        real = known.exchanges.get(source) if known is not None else None
        if real is not None and binding in real.bindings:
            self._add(Action.SAME, entry, after, after)
            return
        exchange.validate(binding, self._broker.limits)
        command = PutBinding(vhost, source, name, to.kind, key, arguments)
        self._add(Action.CREATE, entry, None, after, command)

    # -- doing ---------------------------------------------------------------------------

    def carry_out(self) -> int:
        """Do all of it in one transaction; the journal's number that must be safe.

        What somebody else has made or removed since it was planned stays as it is.
        """
        for _ in self.carrying_out():
            pass
        return self.number

    def carrying_out(self) -> Generator[None, None, None]:
        """Do it command by command; the caller may pause between two.

        It is one transaction all the same: nothing of it is on disk before all of it is. Broken
        off, it does the rest at once.
        """
        journal, commands = self._broker.journal, iter(self._commands)
        while journal.open is not None:
            yield  # a large commit of a client is under way
        transaction = journal.begin()
        try:
            for command in commands:
                with journal.inside(transaction):
                    self._apply(command)
                yield
        finally:
            try:
                with journal.inside(transaction):
                    for command in commands:
                        self._apply(command)
            finally:
                self.number = journal.end()

    def _apply(self, command: Command) -> None:
        broker = self._broker
        match command:
            case PutExchange() | PutQueue() | PutBinding():
                vhost = broker.vhosts.get(command.vhost)
                if vhost is not None:
                    vhost.restore(command)
            case PutParameter() | PutPermission() | PutTopicPermission():
                if not command.vhost or command.vhost in broker.vhosts:
                    broker.change(command)
            case _:
                broker.change(command)


def _action(known: object | None) -> Action:
    return Action.CREATE if known is None else Action.UPDATE


class _Plan:
    """What there will be once the entries so far are carried out."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.users = {user.name for user in broker.permissions.users()}
        self.exchanges: dict[str, dict[str, Exchange]] = {}
        self.queues: dict[str, dict[str, dict[str, object]]] = {}
        self.new_queues: dict[str, int] = {}
        for vhost in broker.vhosts.values():
            self._take(vhost)

    def _take(self, vhost: VHost) -> None:
        self.exchanges[vhost.name] = dict(vhost.exchanges)
        self.queues[vhost.name] = _Queues(vhost)

    def add_vhost(self, name: str) -> None:
        """There will be a vhost of that name."""
        if name not in self.exchanges:
            home = self._broker.events.home
            made = predeclared(self._broker.types, name, announcing=name == home)
            self.exchanges[name] = {one.name: one for one in made}
            self.queues[name] = {}

    def user(self, entry: Entry) -> str:
        """The user of an entry, which there must be."""
        name = entry.text("user")
        if name not in self.users:
            raise PreconditionFailed(f"there is no user '{name}'")
        return name

    def vhost(self, entry: Entry) -> str:
        """The vhost of an entry, which there must be."""
        name = entry.vhost
        if name not in self.exchanges:
            raise PreconditionFailed(f"there is no vhost '{name}'")
        return name

    def default_type(self, vhost: str) -> str:
        """What queues are that do not say it."""
        known = self._broker.vhosts.get(vhost)
        own = known.default_queue_type if known is not None else ""
        return own or self._broker.limits.default_queue_type

    def check_limits(self) -> None:
        """See that no vhost gets more queues than it may have."""
        for vhost, more in self.new_queues.items():
            limits = self._broker.presence.vhost_limits.get(vhost, VhostLimits())
            known = self._broker.vhosts.get(vhost)
            present = len(known.queues) if known is not None else 0
            if limits.max_queues is not None and present + more > limits.max_queues:
                raise PreconditionFailed(
                    f"Adding {more} queue(s) to virtual host '{vhost}' would exceed the limit of "
                    f"{limits.max_queues} queue(s). This virtual host currently has {present} "
                    "queue(s) defined. Import aborted!"
                )


class _Queues(dict[str, dict[str, object]]):
    """The queues of a vhost as entries, each made when somebody asks for it."""

    def __init__(self, vhost: VHost) -> None:
        super().__init__()
        self._vhost = vhost

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self._vhost.queues

    def get(self, name: str, default: object = None) -> dict[str, object] | None:  # type: ignore[override]  # there is no default
        """The queue as an entry; None if there is none."""
        found = super().get(name)
        if found is None and name in self._vhost.queues:
            return documents.queue_entry(self._vhost.queues[name])
        return found


_READERS: Final[Mapping[str, Callable[[Restoring, Entry], None]]] = {
    "users": Restoring._user,
    "vhosts": Restoring._vhost_entry,
    "permissions": Restoring._permission,
    "topic_permissions": Restoring._topic_permission,
    "parameters": Restoring._parameter,
    "global_parameters": Restoring._global_parameter,
    "policies": Restoring._policy,
    "exchanges": Restoring._exchange,
    "queues": Restoring._queue,
    "bindings": Restoring._binding,
}
