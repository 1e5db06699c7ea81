"""Events beside those of RabbitMQ 3.10.8 (rabbitmq_event_exchange): keys, order, headers, actors.

The table was recorded from RabbitMQ, step by step. Ours may have more headers, and have all of
RabbitMQ's; what is left out of it is RabbitMQ's own (`exchange-delete-in-progress`, `metadata`).
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aio_pika
from aiormq.exceptions import AMQPError

from amqpd.broker.broker import Alarms
from tests.management.served import Api, served

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

GUEST, BROKER, NOBODY = "guest", "rmq-internal", ""
ACTOR = "user_who_performed_action"
OF_LOGIN = (
    "auth_mechanism connection_name connection_type host name peer_host peer_port protocol ssl"
)
OF_CONNECTION = (
    "auth_mechanism channel_max client_properties connected_at frame_max host name node "
    "peer_cert_issuer peer_cert_subject peer_cert_validity peer_host peer_port pid port protocol "
    "ssl ssl_cipher ssl_hash ssl_key_exchange ssl_protocol timeout type user vhost "
    "user_provided_name"
)
OF_QUEUE = "arguments auto_delete durable name vhost"
OF_EXCHANGE = "arguments auto_delete durable internal name policy type vhost"
OF_BINDING = "arguments destination_kind destination_name routing_key source_kind source_name vhost"
OF_CONSUMER = "channel consumer_tag queue vhost"
OF_CREATED = "ack_required arguments exclusive prefetch_count"
OF_POLICY = "apply-to definition name pattern priority vhost"
OF_VHOST = "cluster_state default_queue_type description name tags tracing"
OF_RIGHTS = "configure read user vhost write"


@dataclass
class Stage:
    """What the steps use, and hear."""

    api: Api
    heard: asyncio.Queue[AbstractIncomingMessage] = field(default_factory=asyncio.Queue)
    connections: dict[str, AbstractConnection] = field(default_factory=dict)
    channel: AbstractChannel | None = None

    async def connect(self, name: str = "one", login: str = "guest:guest") -> None:
        uri = self.api.broker.uri.replace("guest:guest", login)
        with contextlib.suppress(AMQPError):
            self.connections[name] = await aio_pika.connect(f"{uri}?name={name}")

    async def open(self) -> None:
        self.channel = await self.connections["one"].channel()

    async def declare(self, name: str, kind: str = "", **facts: Any) -> None:
        assert self.channel is not None
        arguments: Any = {"x-queue-type": kind} if kind else {}
        await self.channel.declare_queue(name, arguments=arguments, **facts)

    async def consume(self, queue: str, tag: str) -> None:
        await (await self.below()).basic_consume(queue, consumed, consumer_tag=tag)

    async def below(self) -> Any:
        assert self.channel is not None
        return await self.channel.get_underlay_channel()

    async def hear(self, number: int) -> list[tuple[str, str, set[str]]]:
        """What was told since the last time."""
        marker = f"marker{number}"
        await self.api.put(f"/global-parameters/{marker}", {"value": number})
        found: list[tuple[str, str, set[str]]] = []
        while True:
            message = await self.heard.get()
            headers = message.headers
            if headers.get("name") == marker:
                return found
            key = message.routing_key or ""
            found.append((key, str(headers.get(ACTOR, "")), {*headers} - {ACTOR}))


async def exchange(stage: Stage, name: str, kind: str, **facts: Any) -> None:
    assert stage.channel is not None
    await stage.channel.declare_exchange(name, kind, **facts)


async def with_below(stage: Stage, method: str, *given: Any, **facts: Any) -> None:
    below = await stage.below()
    await getattr(below, method)(*given, **facts)


async def not_amqp(stage: Stage) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.api.broker.port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    await reader.read()
    writer.close()


async def missing_queue(stage: Stage) -> None:
    channel = await stage.connections["one"].channel()
    with contextlib.suppress(AMQPError):
        await channel.declare_queue("nothing", passive=True)


async def alarms(stage: Stage, found: Alarms) -> None:
    stage.api.broker.server.alarming.force(found)


def put(path: str, body: Any, status: int = 201) -> Callable[[Stage], Awaitable[Any]]:
    return lambda stage: stage.api.put(path, body, status)


def delete(path: str) -> Callable[[Stage], Awaitable[Any]]:
    return lambda stage: stage.api.delete(path)


async def consumed(_: object) -> None:
    """Nobody comes here."""


Event = tuple[str, str, str]
POLICY = {"pattern": "^cq$", "definition": {"max-length": 99}, "apply-to": "queues"}
USER = {"password": "a password", "tags": "management"}
RIGHTS = {"configure": "^a", "write": ".*", "read": ""}
TOPIC = {"exchange": "amq.topic", "write": "^a", "read": ".*"}
STEPS: list[tuple[str, Callable[[Stage], Awaitable[Any]], list[Event]]] = [
    ("connect", lambda stage: stage.connect(), [
        ("user.authentication.success", NOBODY, OF_LOGIN),
        ("connection.created", GUEST, OF_CONNECTION),
    ]),
    ("channel", lambda stage: stage.open(), [
        ("channel.created", GUEST, "connection name number pid user vhost"),
    ]),
    ("classic", lambda stage: stage.declare("cq", durable=True), [
        ("queue.created", GUEST, f"{OF_QUEUE} exclusive owner_pid"),
    ]),
    ("again", lambda stage: stage.declare("cq", durable=True), []),
    ("auto-delete", lambda stage: stage.declare("tq", auto_delete=True), [
        ("queue.created", GUEST, f"{OF_QUEUE} exclusive owner_pid"),
    ]),
    ("exclusive", lambda stage: stage.declare("eq", exclusive=True), [
        ("queue.created", GUEST, f"{OF_QUEUE} exclusive owner_pid"),
    ]),
    ("quorum", lambda stage: stage.declare("qq", "quorum", durable=True), [
        ("queue.created", GUEST, f"{OF_QUEUE} exclusive type"),
    ]),
    ("stream", lambda stage: stage.declare("sq", "stream", durable=True), [
        ("queue.created", GUEST, f"{OF_QUEUE} type"),
    ]),
    ("exchange", lambda stage: exchange(stage, "xt", "topic", durable=True), [
        ("exchange.created", GUEST, OF_EXCHANGE),
    ]),
    ("fanout", lambda stage: exchange(stage, "xf", "fanout", auto_delete=True), [
        ("exchange.created", GUEST, OF_EXCHANGE),
    ]),
    ("bind", lambda stage: with_below(stage, "queue_bind", "cq", "xt", "a.*"), [
        ("binding.created", GUEST, OF_BINDING),
    ]),
    ("bind again", lambda stage: with_below(stage, "queue_bind", "cq", "xt", "a.*"), []),
    ("unbind", lambda stage: with_below(stage, "queue_unbind", "cq", "xt", "a.*"), [
        ("binding.deleted", GUEST, OF_BINDING),
    ]),
    ("bind tq", lambda stage: with_below(stage, "queue_bind", "tq", "xf", ""), [
        ("binding.created", GUEST, OF_BINDING),
    ]),
    ("consume", lambda stage: stage.consume("tq", "t"), [
        ("consumer.created", GUEST, f"{OF_CONSUMER} {OF_CREATED}"),
    ]),
    ("cancel", lambda stage: with_below(stage, "basic_cancel", "t"), [
        ("consumer.deleted", GUEST, OF_CONSUMER),
        # RabbitMQ: first the exchange, which goes because its last binding does.
        ("binding.deleted", BROKER, OF_BINDING),
        ("queue.deleted", BROKER, "name vhost"),
        ("exchange.deleted", BROKER, "name vhost"),
    ]),
    ("channel error", missing_queue, [
        ("channel.created", GUEST, "connection name number pid user vhost"),
        ("channel.closed", GUEST, "pid"),
    ]),
    ("policy", put("/policies/%2F/p", POLICY), [
        ("queue.policy.updated", GUEST, f"{OF_POLICY} type"),
        ("policy.set", GUEST, OF_POLICY),
    ]),
    ("operator policy", put("/operator-policies/%2F/o", POLICY), [
        ("parameter.set", GUEST, "component name value vhost"),
        ("queue.policy.updated", GUEST, f"{OF_POLICY} type"),
        ("policy.set", GUEST, OF_POLICY),
    ]),
    ("no operator policy", delete("/operator-policies/%2F/o"), [
        ("parameter.cleared", GUEST, "component name vhost"),
        ("queue.policy.cleared", GUEST, "name type vhost"),
        ("operator.policy.cleared", GUEST, "name vhost"),
    ]),
    ("no policy", delete("/policies/%2F/p"), [
        ("queue.policy.cleared", GUEST, "name type vhost"),
        ("policy.cleared", GUEST, "name vhost"),
    ]),
    ("user", put("/users/ann", USER), [
        ("user.created", GUEST, "name"),
        ("user.tags.set", GUEST, "name tags"),
    ]),
    ("user again", put("/users/ann", {"password": "another one", "tags": "monitoring"}, 204), [
        ("user.password.changed", GUEST, "name"),
        ("user.tags.set", GUEST, "name tags"),
    ]),
    ("vhost", put("/vhosts/ve", {"description": "some text"}), [
        *[("exchange.created", GUEST, OF_EXCHANGE)] * 7,
        ("vhost.created", GUEST, OF_VHOST),
        ("permission.created", GUEST, OF_RIGHTS),
    ]),
    ("vhost again", put("/vhosts/ve", {"description": "other text"}, 204), [
        ("vhost.updated", GUEST, OF_VHOST),
    ]),
    ("permission", put("/permissions/ve/ann", RIGHTS), [
        ("permission.created", GUEST, OF_RIGHTS),
    ]),
    ("topic permission", put("/topic-permissions/ve/ann", TOPIC), [
        ("topic.permission.created", GUEST, "exchange read user vhost write"),
    ]),
    ("no topic permission", delete("/topic-permissions/ve/ann"), [
        ("topic.permission.deleted", GUEST, "user vhost"),
    ]),
    ("user limit", put("/user-limits/ann/max-connections", {"value": 5}, 204), [
        ("user.limits.set", GUEST, "max-connections name username"),
    ]),
    ("no user limit", delete("/user-limits/ann/max-connections"), [
        ("user.limits.cleared", GUEST, "name username"),
    ]),
    ("vhost limit", put("/vhost-limits/ve/max-queues", {"value": 5}, 204), [
        ("parameter.set", GUEST, "component name value vhost"),
        ("vhost.limits.set", GUEST, "max-queues name"),
    ]),
    ("wrong password", lambda stage: stage.connect("x", "ann:wrong"), [
        ("user.authentication.failure", NOBODY, f"{OF_LOGIN} error"),
        ("connection.closed", NOBODY, "client_properties name node pid user_provided_name"),
    ]),
    ("no AMQP", not_amqp, [("connection.closed", NOBODY, "client_properties name node pid")]),
    ("exchange with a binding", put("/exchanges/%2F/hx", {"type": "direct"}), [
        ("exchange.created", GUEST, OF_EXCHANGE),
    ]),
    ("its binding", lambda stage: stage.api.post(
        "/bindings/%2F/e/hx/q/cq", {"routing_key": "k"}, 201
    ), [("binding.created", GUEST, OF_BINDING)]),
    ("goes with it", delete("/exchanges/%2F/hx"), [
        ("exchange.deleted", GUEST, "name vhost"),
        ("binding.deleted", GUEST, OF_BINDING),
    ]),
    ("queue", delete("/queues/%2F/cq"), [("queue.deleted", GUEST, "name vhost")]),
    ("user goes", delete("/users/ann"), [("user.deleted", GUEST, "name")]),
    ("memory", lambda stage: alarms(stage, Alarms(memory=True)), [
        ("alarm.set", NOBODY, "node source"),
    ]),
    ("disk", lambda stage: alarms(stage, Alarms(disk=True)), [
        ("alarm.cleared", NOBODY, "node source"),
        ("alarm.set", NOBODY, "node source"),
    ]),
    ("calm", lambda stage: alarms(stage, Alarms()), [("alarm.cleared", NOBODY, "node source")]),
    ("close", lambda stage: stage.connections["one"].close(), [
        ("channel.closed", GUEST, "pid"),
        ("queue.deleted", BROKER, "name vhost"),
        ("connection.closed", GUEST, "client_properties name node pid user_provided_name"),
    ]),
]  # fmt: skip


async def test_events_are_those_of_rabbitmq_step_by_step(tmp_path: Path) -> None:
    async with (
        served(tmp_path, auth__failure_delay_s=0) as api,
        await aio_pika.connect(api.broker.uri) as watcher,
    ):
        stage = Stage(api)
        channel = await watcher.channel()
        queue = await channel.declare_queue("watch", exclusive=True)
        await queue.bind("amq.rabbitmq.event", "#")
        await queue.consume(stage.heard.put, no_ack=True)
        await stage.hear(0)

        for number, (step, act, wanted) in enumerate(STEPS, 1):
            await act(stage)
            found = await stage.hear(number)
            assert [one[:2] for one in found] == [one[:2] for one in wanted], step
            for (key, _, headers), (_, _, names) in zip(found, wanted, strict=True):
                assert {*names.split()} <= headers, (step, key)
