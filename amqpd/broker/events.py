"""Events: what happens in the broker, for whoever binds to `amq.rabbitmq.event`.

    Events(vhosts, node, home)
        .on                     whether anybody has bound: who tells asks first, so that events
                                cost nothing where nobody listens
        .by                     the user who does what is being done
        .tell(key, facts)       one event
        .changed(command, vhost)    that of a command; others: connected, channel, consumer, …
        .publish()              what was told since, once a turn
        .log(level, ...)        a line of the log, for `amq.rabbitmq.log`

Keys and headers are those of RabbitMQ's plugin `rabbitmq_event_exchange`; the body is empty.
Both exchanges are in one vhost, `home`. What is told waits for the turn's end, because it
is told in the middle of things; beyond `MOST_WAITING` it is lost, and counted.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final

from amqpd.broker.definitions import (
    DeleteBinding,
    DeleteExchange,
    DeleteParameter,
    DeletePermission,
    DeleteQueue,
    DeleteTopicPermission,
    DeleteUser,
    DeleteVhost,
    PutBinding,
    PutExchange,
    PutParameter,
    PutPermission,
    PutQueue,
    PutTopicPermission,
    PutUser,
    PutVhost,
)
from amqpd.broker.exchange import EVENTS, LOG
from amqpd.broker.message import a_run
from amqpd.broker.names import join
from amqpd.broker.parameters import (
    GLOBAL,
    OPERATOR_POLICY,
    POLICY,
    USER_LIMITS,
    VHOST_LIMITS,
)
from amqpd.broker.pause import PAUSED
from amqpd.fields import Field, wrap
from amqpd.properties import Properties
from amqpd.text import masked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from amqpd.broker.definitions import Command
    from amqpd.broker.permissions import Permissions, User
    from amqpd.broker.policy import Match, Policy
    from amqpd.broker.queue import Queue
    from amqpd.broker.ring import Subscription
    from amqpd.broker.session import ConnectionFacts
    from amqpd.broker.vhost import VHost
    from amqpd.fields import Table, Wrappable

#: Who does what nobody has asked for.
INTERNAL: Final = "rmq-internal"
#: The header that says who did it.
ACTOR: Final = "user_who_performed_action"
MOST_WAITING: Final = 10_000
#: Of what is too long for a header.
LONGEST: Final = 65_536

Facts = dict[str, "Wrappable"]
Told = tuple[str, str, Properties, bytes]


class Events:
    """The events of one broker."""

    def __init__(self, vhosts: Mapping[str, VHost], node: str, home: str) -> None:
        self.by = INTERNAL
        self.home = home
        self.lost = 0
        #: Nobody is told: the broker only remembers what was before.
        self.is_silent = False
        self.now_ms = 0
        self._vhosts = vhosts
        self._node = node
        self._waiting: deque[Told] = deque()
        self._publishing = False

    # -- does anybody listen -----------------------------------------------------------------

    @property
    def on(self) -> bool:
        """Whether somebody has bound to the events."""
        return not self.is_silent and self._is_bound(EVENTS)

    @property
    def logs(self) -> bool:
        """Whether somebody has bound to the log; may be asked by any thread."""
        return self._is_bound(LOG)

    def _is_bound(self, name: str) -> bool:
        vhost = self._vhosts.get(self.home)
        exchange = vhost.exchanges.get(name) if vhost is not None else None
        return exchange is not None and bool(exchange.bindings)

    # -- telling -----------------------------------------------------------------------------

    def tell(self, key: str, facts: Facts, *, is_done: bool = True) -> None:
        """One event, `is_done` by somebody; the caller has seen that somebody listens."""
        headers = {name: _field(value) for name, value in facts.items()}
        if is_done:
            headers.setdefault(ACTOR, wrap(self.by))
        headers["timestamp_in_ms"] = Field("l", self.now_ms)
        properties = Properties(headers=headers, delivery_mode=2, timestamp=self.now_ms // 1000)
        self._wait(EVENTS, key, properties, b"")

    def log(self, level: str, content_type: str, at_s: int, line: bytes) -> None:
        """A line of the log; what publishing says of itself is not published."""
        if not self._publishing:
            headers: Table = {"node": wrap(self._node)}
            properties = Properties(content_type=content_type, headers=headers, timestamp=at_s)
            self._wait(LOG, level, properties, line)

    def _wait(self, exchange: str, key: str, properties: Properties, body: bytes) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self.lost += 1
        else:
            self._waiting.append((exchange, key, properties, body))

    @property
    def waiting(self) -> bool:
        """There is something to publish."""
        return bool(self._waiting)

    def publish(self) -> None:
        """Publish what was told so far."""
        vhost, waiting = self._vhosts.get(self.home), self._waiting
        self._publishing = True
        try:
            for _ in range(len(waiting)):
                exchange, key, properties, body = waiting.popleft()
                if vhost is not None:
                    run = a_run(join(exchange, key), properties, body)
                    vhost.publishing.announce(exchange, key, run)
        finally:
            self._publishing = False

    # -- what is told ------------------------------------------------------------------------

    def changed(self, command: Command, queue: Queue | None = None, *, is_new: bool = True) -> None:
        """A command is carried out: about this queue, or one that makes something (`is_new`)."""
        for key, facts in _of(command, queue, is_new, self._node):
            self.tell(key, facts)

    def user_put(self, command: PutUser, known: User | None) -> None:
        """A user is made or changed: what was `known` of it is told of only where it differs."""
        for key, facts in _user(command, known):
            self.tell(key, facts)

    def stored(
        self, command: PutParameter | DeleteParameter, known: PutParameter | None = None
    ) -> None:
        """A parameter is set or cleared, and has not had its effect yet."""
        component = command.component
        if component == USER_LIMITS and isinstance(command, PutParameter) and known is not None:
            self.tell(*_other_limits(command, known))
        elif component in _PARAMETERS_TOO or component not in _COMPONENTS:
            self.tell(*_plain_parameter(command))

    def enforced(self, command: PutParameter | DeleteParameter, *, is_new: bool = True) -> None:
        """It has: queues were told of before, as with RabbitMQ."""
        if command.component in _COMPONENTS and (command.component != USER_LIMITS or is_new):
            self.tell(*_component(command))

    def vhost_going(self, name: str, permissions: Permissions) -> None:
        """A vhost is about to go, and the rights in it are the first."""
        for user, vhost, _ in permissions.listing():
            if vhost == name:
                self.changed(DeletePermission(user, vhost))
        for user, vhost, exchange, _ in permissions.topic_listing():
            if vhost == name:
                self.changed(DeleteTopicPermission(user, vhost, exchange))

    def vhost_deleted(
        self, name: str, by: str, exchanges: Iterable[str], parameters: Iterable[PutParameter]
    ) -> None:
        """Its queues are gone; with it go its exchanges and its parameters, in RabbitMQ's order."""
        before, self.by = self.by, by
        for exchange in exchanges:
            self.changed(DeleteExchange(name, exchange))
        self.changed(DeleteVhost(name))
        for one in parameters:
            self.changed(DeleteParameter(one.component, one.vhost, one.name))
        self.by = before
        self.tell("vhost.down", {"name": name, "node": self._node, ACTOR: INTERNAL})

    def connected(self, facts: ConnectionFacts, user: str, vhost: str) -> None:
        """A client is in its vhost."""
        self.tell("connection.created", _connection(facts, self._node, user, vhost))

    def disconnected(self, facts: ConnectionFacts, user: str, vhost: str) -> None:
        """It is gone; one without a user never got in."""
        found = _connection(facts, self._node, user, vhost)
        kept: tuple[str, ...] = (
            "name", "user_provided_name", "pid", "node", "client_properties", "user", "vhost", ACTOR
        )  # fmt: skip
        if not user:
            kept = tuple(one for one in kept if found[one] or one == "client_properties")
        told = {name: found[name] for name in kept}
        self.tell("connection.closed", told, is_done=bool(user))

    def channel(self, happened: str, connection: str, number: int, user: str, vhost: str) -> None:
        """A channel is `created` or `closed`."""
        name = f"{connection} ({number})"
        facts: Facts = {
            "pid": name, "name": name, "connection": connection, "number": number, "user": user,
            "vhost": vhost, ACTOR: user,
        }  # fmt: skip
        self.tell(f"channel.{happened}", facts)

    def consumer(self, happened: str, queue: Queue, subscription: Subscription) -> None:
        """A consumer is `created` or `deleted`."""
        consumer = subscription.consumer
        told = consumer.facts()
        facts: Facts = {
            "consumer_tag": told.tag,
            "channel": f"{told.connection_name} ({told.channel_number})",
            "queue": queue.name,
            "vhost": queue.vhost,
            ACTOR: told.user,
        }
        if happened == "created":
            facts |= {
                "exclusive": queue.exclusive_consumer is subscription,
                "ack_required": not consumer.no_ack,
                "prefetch_count": told.prefetch,
                "arguments": consumer.arguments,
            }
        self.tell(f"consumer.{happened}", facts)

    def policies(self, queue: Queue, before: Match) -> None:
        """Other policies apply to a queue than did before."""
        facts: Facts = {"name": queue.name, "vhost": queue.vhost, "type": _kind(queue)}
        for was, policy in zip(before, queue.match, strict=True):
            if policy is None and was is not None:
                self.tell("queue.policy.cleared", dict(facts))
            elif policy is not None and policy != was:
                self.tell("queue.policy.updated", facts | _policy(policy))

    def alarm(self, happened: str, source: str) -> None:
        """A resource alarm is `set` or `cleared`."""
        self.tell(f"alarm.{happened}", {"source": source, "node": self._node}, is_done=False)


def _policy(policy: Policy) -> Facts:
    return {
        "pattern": policy.pattern,
        "apply-to": str(policy.apply_to),
        "definition": dict(policy.definition),
        "priority": policy.priority,
    }


def _field(value: Wrappable) -> Field:
    """A header as RabbitMQ's plugin sends it: integers are long."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Field("l", value)
    if isinstance(value, dict):
        return Field("F", {name: _field(one) for name, one in value.items()})
    if isinstance(value, str) and len(value) > LONGEST:
        return wrap(value[:LONGEST])
    return wrap(value)


# -- commands as events ----------------------------------------------------------------------


def _of(
    command: Command, queue: Queue | None, is_new: bool, node: str
) -> Iterator[tuple[str, Facts]]:
    match command:
        case PutExchange() | DeleteExchange():
            yield _exchange(command)
        case PutQueue() | DeleteQueue():
            yield _queue(command, queue)
        case PutBinding() | DeleteBinding():
            happened = "created" if isinstance(command, PutBinding) else "deleted"
            yield f"binding.{happened}", _binding(command)
        case PutVhost():
            yield f"vhost.{'created' if is_new else 'updated'}", _vhost(command, node)
        case DeleteVhost():
            yield "vhost.deleted", {"name": command.name}
        case PutUser():
            yield from _user(command, None)
        case DeleteUser():
            yield "user.deleted", {"name": command.name}
        case PutParameter() | DeleteParameter():
            yield from _parameter(command)
        case _:
            yield _permission(command)


def _vhost(command: PutVhost, node: str) -> Facts:
    return {
        "name": command.name,
        "description": command.description,
        "tags": list(command.tags),
        "default_queue_type": command.default_queue_type or "classic",
        "tracing": command.tracing,
        "cluster_state": {node: "running"},
    }


def _exchange(command: PutExchange | DeleteExchange) -> tuple[str, Facts]:
    facts: Facts = {"name": command.name, "vhost": command.vhost}
    if isinstance(command, DeleteExchange):
        return "exchange.deleted", facts
    return "exchange.created", facts | {
        "type": command.kind,
        "durable": command.durable,
        "auto_delete": command.auto_delete,
        "internal": command.internal,
        "arguments": command.arguments,
        "policy": "",
    }


def _queue(command: PutQueue | DeleteQueue, queue: Queue | None) -> tuple[str, Facts]:
    assert queue is not None
    facts: Facts = {"name": command.name, "vhost": command.vhost, "type": _kind(queue)}
    if isinstance(command, DeleteQueue):
        return "queue.deleted", facts
    return "queue.created", facts | {
        "durable": command.durable,
        "auto_delete": command.auto_delete,
        "exclusive": command.exclusive,
        "arguments": command.arguments,
        "owner_pid": str(getattr(queue.owner, "name", "")),
    }


def _kind(queue: Queue) -> str:
    """A type of queue as RabbitMQ's events call it."""
    return f"rabbit_{queue.own.queue_type}_queue"


def _binding(command: PutBinding | DeleteBinding) -> Facts:
    return {
        "source_name": command.source,
        "source_kind": "exchange",
        "destination_name": command.destination,
        "destination_kind": command.destination_kind,
        "routing_key": command.routing_key,
        "arguments": command.arguments,
        "vhost": command.vhost,
    }


def _user(command: PutUser, known: User | None) -> Iterator[tuple[str, Facts]]:
    name: Facts = {"name": command.name}
    new_password = known is not None and known.password_hash != command.password_hash
    if known is None:
        yield "user.created", dict(name)
    elif new_password:
        happened = "changed" if command.password_hash else "cleared"
        yield f"user.password.{happened}", dict(name)
    before = () if known is None else known.listed
    if before != command.tags or not (known is None or new_password):
        yield "user.tags.set", name | {"tags": list(command.tags)}


def _other_limits(command: PutParameter, known: PutParameter) -> tuple[str, Facts]:
    """Those of a user that has some: what is new of them, or that one is gone."""
    was, now = json.loads(known.value), json.loads(command.value)
    if was.keys() - now.keys():
        return _component(DeleteParameter(command.component, command.vhost, command.name))
    changed = {name: limit for name, limit in now.items() if was.get(name) != limit} or now
    return _component(replace(command, value=json.dumps(changed)))


def _permission(
    command: PutPermission | DeletePermission | PutTopicPermission | DeleteTopicPermission,
) -> tuple[str, Facts]:
    facts: Facts = {"user": command.user, "vhost": command.vhost}
    match command:
        case PutPermission():
            rights = {
                "configure": command.configure, "write": command.write, "read": command.read
            }  # fmt: skip
            return "permission.created", {**facts, **rights}
        case DeletePermission():
            return "permission.deleted", facts
        case PutTopicPermission():
            facts |= {"exchange": command.exchange, "write": command.write, "read": command.read}
            return "topic.permission.created", facts
        case _:
            return "topic.permission.deleted", facts


#: Components that have events of their own; `{}` is what happened.
_COMPONENTS: Final = {
    POLICY: ("policy.set", "policy.cleared"),
    OPERATOR_POLICY: ("policy.set", "operator.policy.cleared"),
    VHOST_LIMITS: ("vhost.limits.set", "vhost.limits.cleared"),
    USER_LIMITS: ("user.limits.set", "user.limits.cleared"),
    PAUSED: ("queue.paused", "queue.resumed"),
}


#: Those that are also told of as parameters of any other component.
_PARAMETERS_TOO: Final = frozenset({OPERATOR_POLICY, VHOST_LIMITS})


def _parameter(command: PutParameter | DeleteParameter) -> Iterator[tuple[str, Facts]]:
    if command.component in _PARAMETERS_TOO:
        yield _plain_parameter(command)
    if command.component in _COMPONENTS:
        yield _component(command)
    else:
        yield _plain_parameter(command)


def _plain_parameter(command: PutParameter | DeleteParameter) -> tuple[str, Facts]:
    facts: Facts = {"name": command.name, "component": command.component}
    if command.component == GLOBAL:
        facts["component"] = "global"
    else:
        facts["vhost"] = command.vhost
    if isinstance(command, DeleteParameter):
        return "parameter.cleared", facts
    # Whoever may read the exchange need not be one who may see passwords of other brokers.
    return "parameter.set", facts | {"value": masked(json.loads(command.value))}


def _component(command: PutParameter | DeleteParameter) -> tuple[str, Facts]:
    component, is_set = command.component, isinstance(command, PutParameter)
    names = _COMPONENTS[component]
    facts: Facts = {"name": command.name}
    if command.vhost:
        facts["vhost"] = command.vhost
    if component == USER_LIMITS:
        facts = {"name": "limits", "username": command.name}
    if isinstance(command, PutParameter):
        facts |= json.loads(command.value)
    return names[0 if is_set else 1], facts


def _connection(facts: ConnectionFacts, node: str, user: str, vhost: str) -> Facts:
    return {
        "pid": facts.name,
        "name": facts.name,
        "user_provided_name": facts.given_name,
        "type": "network",
        "host": facts.host,
        "port": facts.port,
        "peer_host": facts.peer_host,
        "peer_port": facts.peer_port,
        "ssl": facts.tls,
        **asdict(facts.secured),
        "auth_mechanism": facts.mechanism,
        "protocol": facts.protocol,
        "user": user,
        "vhost": vhost,
        "timeout": facts.heartbeat_s,
        "frame_max": facts.frame_max,
        "channel_max": facts.channel_max,
        "client_properties": facts.client_properties,
        "connected_at": facts.connected_at_ms,
        "node": node,
        ACTOR: user,
    }
