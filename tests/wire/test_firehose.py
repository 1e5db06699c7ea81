"""The firehose: copies of what clients publish and get, in `amq.rabbitmq.trace`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pamqp.commands import Basic, Queue, Tx

from tests.wire.wire import Client, World

if TYPE_CHECKING:
    from pamqp.common import FieldTable


def traced(world: World, *, on: bool = True) -> None:
    """Switch tracing in the vhost, as an operator would."""
    world.broker.change(replace(world.broker.definitions["/"], tracing=on))


def watching(world: World, pattern: str = "#") -> Client:
    """A client with a queue that gets the copies."""
    client = world.client()
    client.declare("trace")
    bind = Queue.Bind(queue="trace", exchange="amq.rabbitmq.trace", routing_key=pattern)
    client.ask(bind, Queue.BindOk)
    return client


def copies(client: Client) -> list[tuple[str, FieldTable, bytes]]:
    """Routing key, headers and body of each copy so far."""
    found = []
    while (message := client.get("trace")) is not None:
        assert isinstance(message.method, Basic.GetOk)
        assert message.method.exchange == "amq.rabbitmq.trace"
        headers = message.properties.headers
        assert headers is not None
        found.append((message.method.routing_key or "", headers, message.body))
    return found


def test_what_is_published_and_delivered_is_copied_with_what_is_known_of_it() -> None:
    world = World()
    watcher = watching(world)
    client = world.client()
    client.declare("q")
    traced(world)

    client.publish(b"hello", "q", properties=Basic.Properties(content_type="text/plain"))
    client.consume("q")
    client.hear()

    (key, headers, body), (delivered_key, delivered, delivered_body) = copies(watcher)
    assert (key, body, delivered_key, delivered_body) == ("publish.", b"hello", "deliver.q", body)
    assert delivered["connection"] == str(client.session.peer)
    assert headers == {
        "connection": str(client.session.peer),
        "properties": {"content_type": "text/plain"},
        "exchange_name": "",
        "routing_keys": ["q"],
        "node": "amqpd",
        "vhost": "/",
        "channel": 1,
        "user": "guest",
        "routed_queues": ["q"],
    }
    assert delivered["redelivered"] == 0


def test_copies_have_all_keys_and_times_as_numbers() -> None:
    world = World()
    watcher = watching(world)
    client = world.client()
    client.declare("q")
    traced(world)
    properties = Basic.Properties(
        headers={"CC": ["other"]}, timestamp=datetime.fromtimestamp(5, UTC)
    )

    client.publish(b"1", "q", properties=properties)
    client.get("q")

    for _, headers, _ in copies(watcher):
        assert headers["routing_keys"] == ["q", "other"]
        assert headers["properties"] == {"headers": {"CC": ["other"]}, "timestamp": 5}


def test_a_get_is_a_delivery_and_says_if_it_is_not_the_first() -> None:
    world = World()
    watcher = watching(world, "deliver.*")
    client = world.client()
    client.declare("q")
    client.publish(b"1", "q")
    traced(world)

    client.get("q", no_ack=False)
    client.send(Basic.Reject(delivery_tag=1, requeue=True))
    client.get("q")

    seen = [(key, headers["redelivered"]) for key, headers, _ in copies(watcher)]
    assert seen == [("deliver.q", 0), ("deliver.q", 1)]


def test_runs_are_copied_message_by_message_and_copies_are_not_copied() -> None:
    world = World()
    watcher = watching(world)
    client = world.client()
    traced(world)
    client.declare("q")

    for number in range(3):
        client.publish(b"%d" % number, "q")
    client.publish(b"lost", "nowhere")

    assert [body for _, _, body in copies(watcher)] == [b"0", b"1", b"2", b"lost"]


def test_it_ends_when_it_is_switched_off() -> None:
    world = World()
    watcher = watching(world)
    client = world.client()
    client.declare("q")
    client.publish(b"before", "q")
    traced(world)
    client.publish(b"while", "q")
    traced(world, on=False)
    client.publish(b"after", "q")

    assert [body for _, _, body in copies(watcher)] == [b"while"]
    assert world.broker.vhosts["/"].publishing.dropped == {}


def test_nobody_has_to_listen() -> None:
    world = World()
    client = world.client()
    client.declare("q")
    traced(world)

    client.publish(b"1", "q")

    assert client.get("q") is not None
    assert world.broker.vhosts["/"].publishing.dropped == {}


def test_a_transaction_is_copied_once_it_is_committed() -> None:
    world = World()
    watcher = watching(world, "publish.*")
    client = world.client()
    client.declare("q")
    traced(world)
    client.tx()

    client.publish(b"1", "q")
    assert copies(watcher) == []
    client.send(Tx.Commit())
    world.commit()
    client.hear()

    assert [body for _, _, body in copies(watcher)] == [b"1"]


def test_whoever_taps_a_vhost_gets_copies_also_of_one_that_is_not_traced() -> None:
    world = World()
    client = world.client()
    client.declare("q")
    vhost, got = world.broker.vhosts["/"], list[tuple[str, bytes]]()
    vhost.tap("somebody", lambda key, headers, body: got.append((key, body)))

    client.publish(b"while", "q")
    traced(world)
    traced(world, on=False)  # that is somebody else's
    client.get("q")
    vhost.tap("somebody", None)
    client.publish(b"after", "q")

    assert got == [("publish.", b"while"), ("deliver.q", b"while")]


def test_tracing_survives_a_restart_with_the_vhost() -> None:
    world = World()
    traced(world)

    command = world.broker.definitions["/"]

    assert command.tracing
    assert world.broker.vhosts["/"].firehose.on
