"""Scenarios with rabbitpy."""

from __future__ import annotations

import sys

import rabbitpy
import rabbitpy.exceptions

URL = "amqp://guest:guest@localhost:5672/%2F"
SCENARIOS = {}


def scenario(run):
    """Register a function under its name, written with dashes."""
    SCENARIOS[run.__name__.replace("_", "-")] = run
    return run


def temporary(channel):
    """A queue of this connection's own."""
    queue = rabbitpy.Queue(channel, exclusive=True)
    queue.declare()
    return queue


def publish(channel, queue, body, **properties):
    """One message; whether it was confirmed, where the channel has confirms."""
    return rabbitpy.Message(channel, body, properties).publish("", queue.name)


@scenario
def connect_plain(channel, connection):
    assert connection.server_properties["product"] == "RabbitMQ"


@scenario
def topology(channel, connection):
    exchange = rabbitpy.DirectExchange(channel, "rabbitpy.exchange", auto_delete=True)
    exchange.declare()
    queue = rabbitpy.Queue(channel, "rabbitpy.queue", durable=True)
    queue.declare()
    queue.bind(exchange, "key")
    rabbitpy.Message(channel, "m").publish(exchange, "key")
    message = queue.get()
    assert message.body == b"m"
    message.ack()
    queue.unbind(exchange, "key")
    exchange.delete()
    queue.delete()
    try:
        queue.declare(passive=True)
    except rabbitpy.exceptions.AMQPNotFound:
        return
    raise AssertionError("it is still there")


@scenario
def consume_ack(channel, connection):
    queue = temporary(channel)
    for number in range(100):
        publish(channel, queue, str(number))
    bodies = []
    for message in queue.consume(prefetch=10):
        bodies.append(int(message.body))
        message.ack()
        if len(bodies) == 100:
            break
    assert bodies == list(range(100))
    assert len(queue) == 0


@scenario
def requeue(channel, connection):
    queue = temporary(channel)
    publish(channel, queue, "m")
    queue.get().nack(requeue=True)
    again = queue.get()
    assert again.redelivered
    again.reject(requeue=False)
    assert queue.get() is None


@scenario
def confirms(channel, connection):
    channel.enable_publisher_confirms()
    queue = rabbitpy.Queue(channel, "rabbitpy.confirms", durable=True)
    queue.declare()
    assert all(publish(channel, queue, str(n), delivery_mode=2) for n in range(1000))
    assert len(queue) == 1000
    queue.delete()


@scenario
def order(channel, connection):
    queue = temporary(channel)
    for number in range(10_000):
        publish(channel, queue, str(number))
    bodies = []
    for message in queue.consume(no_ack=True):
        bodies.append(int(message.body))
        if len(bodies) == 10_000:
            break
    assert bodies == list(range(10_000))


def main():
    """Each scenario on a connection of its own."""
    for name in sys.argv[1:] or SCENARIOS:
        try:
            with rabbitpy.Connection(URL) as connection, connection.channel() as channel:
                SCENARIOS[name](channel, connection)
        except Exception as error:  # whatever it is, the scenario has failed
            print(f"not ok {name} - {type(error).__name__}: {error}")
        else:
            print(f"ok {name}")


main()
