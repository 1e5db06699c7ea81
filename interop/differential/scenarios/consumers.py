"""Consumers: tags, prefetch, order, priorities, single active ones, direct replies."""

from __future__ import annotations

from script import Channel, Script, scenario
from wire import Typed


def fill(c: Channel, bodies: str, queue: str = "q", **properties: int | str) -> None:
    """Publish one message for each character."""
    for body in bodies:
        c.publish(queue, body, **properties)  # type: ignore[arg-type]


@scenario
def consume_tags(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.consume(tag="")
    c.consume(tag="mine")
    c.consume(tag="ü" * 100)
    c.call("basic.cancel", consumer_tag="mine")
    c.call("basic.cancel", consumer_tag="mine")
    c.call("basic.cancel", consumer_tag="")
    c.consume(tag="mine")
    other = c.connection.channel()
    other.consume(tag="mine")
    c.consume(tag="mine")


@scenario
def consume_missing(s: Script) -> None:
    c = s.channel()
    c.consume("none")
    c.get("none")
    c.consume("", tag="")


@scenario
def consume_exclusively(s: Script) -> None:
    connection = s.connect()
    c, other = connection.channel(), connection.channel()
    c.queue()
    c.consume(tag="a", exclusive=True)
    other.consume(tag="b")
    other.consume(tag="b", exclusive=True)
    c.publish()
    c.read()
    other.get()
    c.call("basic.cancel", consumer_tag="a")
    other.consume(tag="b")
    c.consume(tag="a", exclusive=True)


@scenario
def consume_before_and_after(s: Script) -> None:
    c = s.channel()
    c.queue()
    fill(c, "ab")
    c.consume(tag="t")
    fill(c, "cd")
    c.read()
    c.call("basic.cancel", consumer_tag="t")
    fill(c, "e")
    c.read()
    c.send("basic.ack", delivery_tag=2, multiple=True)
    c.get()
    c.close()
    c.drain()


@scenario
def consume_no_ack(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.call("basic.qos", prefetch_count=1)
    fill(c, "abc")
    c.consume(no_ack=True)
    c.read()
    c.queue(passive=True)


@scenario
def consume_arguments(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.consume(tag="a", arguments={"x-priority": "high"})
    c.consume(tag="b", arguments={"x-priority": Typed("b", -5)})
    c.consume(tag="c", arguments={"x-unknown": 1})
    c.consume(tag="d", arguments={"x-priority": 1.5})
    c.consume(tag="e", arguments={"x-cancel-on-ha-failover": True})
    c.consume(tag="f", no_local=True)


@scenario
def qos_each_consumer(s: Script) -> None:
    c = s.channel()
    c.queue()
    fill(c, "abcdefgh")
    c.read()
    c.call("basic.qos", prefetch_count=2)
    c.consume(tag="two")
    c.read()
    c.call("basic.qos", prefetch_count=1)
    c.consume(tag="one")
    c.read()
    c.send("basic.ack", delivery_tag=3)
    c.read()
    c.send("basic.ack", delivery_tag=2, multiple=True)
    c.read()
    c.get()


@scenario
def qos_shared(s: Script) -> None:
    c = s.channel()
    c.queue()
    fill(c, "abcdefgh")
    c.call("basic.qos", prefetch_count=3, **{"global": True})
    c.consume(tag="a")
    c.read()
    c.consume(tag="b")
    c.read()
    c.send("basic.ack", delivery_tag=1)
    c.read()
    c.call("basic.qos", prefetch_count=4, **{"global": True})
    c.read()
    c.call("basic.qos", prefetch_count=0, **{"global": True})
    c.read()


@scenario
def qos_both(s: Script) -> None:
    c = s.channel()
    c.queue()
    fill(c, "abcdef")
    c.call("basic.qos", prefetch_count=2)
    c.call("basic.qos", prefetch_count=3, **{"global": True})
    c.consume(tag="a")
    c.read()
    c.get(no_ack=False)
    c.consume(tag="b")
    c.read()


@scenario
def qos_size(s: Script) -> None:
    s.channel().call("basic.qos", prefetch_size=1)


@scenario
def consumers_in_turn(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.call("basic.qos", prefetch_count=1)
    for tag in "xyz":
        c.consume(tag=tag)
    for body in "abc":
        c.publish(body=body)
        c.read()
    c.publish(body="d")
    c.read()
    c.send("basic.ack", delivery_tag=2)
    c.read()


@scenario
def consumer_priorities(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.call("basic.qos", prefetch_count=2)
    c.consume(tag="low", arguments={"x-priority": -1})
    c.consume(tag="high", arguments={"x-priority": 5})
    c.consume(tag="none")
    for body in "abcdefg":
        c.publish(body=body)
        c.read(0.5)
    c.send("basic.ack", delivery_tag=1)
    c.read()


@scenario
def single_active_consumer(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-single-active-consumer": True})
    c.consume(tag="a")
    c.consume(tag="b", arguments={"x-priority": 5})
    c.consume(tag="c")
    fill(c, "12")
    c.read()
    c.call("basic.cancel", consumer_tag="a")
    fill(c, "34")
    c.read()
    c.call("basic.cancel", consumer_tag="b")
    c.send("basic.nack", delivery_tag=0, multiple=True, requeue=True)
    c.read()


@scenario
def single_active_consumer_refusals(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-single-active-consumer": True})
    c.publish()
    c.read()
    c.get()
    c.consume(tag="a", exclusive=True)
    c.consume(tag="b")
    c.consume(tag="c", exclusive=True)


@scenario
def single_active_consumer_of_two_connections(s: Script) -> None:
    c, other = s.channel(), s.channel()
    c.queue(exclusive=False, arguments={"x-single-active-consumer": True})
    c.consume(tag="a")
    other.consume(tag="b")
    fill(c, "12")
    c.read()
    other.read()
    c.connection.close()
    other.read()


@scenario
def cancel_keeps_unacked(s: Script) -> None:
    c = s.channel()
    c.queue()
    fill(c, "abc")
    c.call("basic.qos", prefetch_count=2)
    c.consume()
    c.read()
    c.call("basic.cancel", consumer_tag="t")
    c.queue(passive=True)
    c.send("basic.ack", delivery_tag=1)
    c.send("basic.nack", delivery_tag=2, requeue=True)
    c.read()
    c.drain()


@scenario
def recover_credit(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.call("basic.qos", prefetch_count=1)
    c.consume()
    fill(c, "ab")
    c.read()
    c.call("basic.recover", requeue=True)
    c.read()
    c.send("basic.ack", delivery_tag=2)
    c.read()


@scenario
def redelivery_order(s: Script) -> None:
    c = s.channel()
    c.queue()
    fill(c, "abcdef")
    c.call("basic.qos", prefetch_count=4)
    c.consume()
    c.read()
    c.send("basic.reject", delivery_tag=3, requeue=True)
    c.read()
    c.send("basic.reject", delivery_tag=1, requeue=True)
    c.read()
    c.call("basic.cancel", consumer_tag="t")
    c.send("basic.nack", delivery_tag=0, multiple=True, requeue=True)
    c.read()
    c.drain()


@scenario
def direct_reply(s: Script) -> None:
    client, server = s.channel(), s.channel()
    client.consume("amq.rabbitmq.reply-to", "r", no_ack=True)
    server.queue("q")
    client.publish("q", "ask", reply_to="amq.rabbitmq.reply-to", correlation_id="1")
    client.read()
    server.read()
    values = server.call("basic.get", queue="q", no_ack=True)
    assert values
    address = server.connection.properties["reply_to"]
    server.queue(str(address), passive=True)
    server.publish(str(address), "answer", correlation_id="1", mandatory=True)
    server.read()
    client.read()
    client.call("basic.cancel", consumer_tag="r")
    server.queue(str(address), passive=True)
    server.publish(str(address), "late", mandatory=True)
    server.read()
    client.read()


@scenario
def direct_reply_refusals(s: Script) -> None:
    c = s.channel()
    c.consume("amq.rabbitmq.reply-to", "r")
    c.publish("q", reply_to="amq.rabbitmq.reply-to")
    c.read()
    c.consume("amq.rabbitmq.reply-to", "r", no_ack=True)
    c.consume("amq.rabbitmq.reply-to", "s", no_ack=True)
    c.bind("amq.rabbitmq.reply-to", "amq.direct", "k")
    c.get("amq.rabbitmq.reply-to")
    c.call("queue.delete", queue="amq.rabbitmq.reply-to")
    c.call("queue.purge", queue="amq.rabbitmq.reply-to")
    c.publish("amq.rabbitmq.reply-to.nobody", mandatory=True)
    c.read()
    c.queue("amq.rabbitmq.reply-to.nobody", passive=True)


@scenario
def direct_reply_tags(s: Script) -> None:
    c = s.channel()
    c.consume("amq.rabbitmq.reply-to", "", no_ack=True)
    c.close()
    c.consume("amq.rabbitmq.reply-to", "t", no_ack=True, exclusive=True)
    c.queue()
    c.consume("q", "t")


@scenario
def consumer_cancel_notify_unwanted(s: Script) -> None:
    connection = s.connect(capabilities={})
    c = connection.channel()
    c.queue()
    c.consume()
    c.call("queue.delete", queue="q")
    c.read()


@scenario
def qos_changed_for_later_consumers(s: Script) -> None:
    c = s.channel()
    c.queue()
    fill(c, "abcdef")
    c.call("basic.qos", prefetch_count=1)
    c.consume(tag="one")
    c.read()
    c.call("basic.qos", prefetch_count=3)
    c.send("basic.ack", delivery_tag=1)
    c.read()
    c.call("basic.qos")
    c.consume(tag="all")
    c.read()


@scenario
def qos_shared_after_consume(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.consume()
    c.call("basic.qos", prefetch_count=1, **{"global": True})
    fill(c, "abc")
    c.read()
    c.send("basic.ack", delivery_tag=1)
    c.read()


@scenario
def qos_shared_counts_gets(s: Script) -> None:
    c = s.channel()
    c.queue()
    fill(c, "abc")
    c.call("basic.qos", prefetch_count=1, **{"global": True})
    c.get(no_ack=False)
    c.consume()
    c.read()


@scenario
def qos_lowered(s: Script) -> None:
    c = s.channel()
    c.queue()
    fill(c, "abcdef")
    c.call("basic.qos", prefetch_count=3, **{"global": True})
    c.consume()
    c.read()
    c.call("basic.qos", prefetch_count=1, **{"global": True})
    c.send("basic.ack", delivery_tag=1)
    c.read()
    c.send("basic.ack", delivery_tag=3, multiple=True)
    c.read()


@scenario
def acks_of_several(s: Script) -> None:
    c = s.channel()
    c.queue()
    fill(c, "abcdefgh")
    c.call("basic.qos", prefetch_count=4)
    c.consume()
    c.read()
    c.send("basic.ack", delivery_tag=4)
    c.send("basic.ack", delivery_tag=2)
    c.read()
    c.send("basic.ack", delivery_tag=3, multiple=True)
    c.read()
    c.send("basic.nack", delivery_tag=0, multiple=True, requeue=True)
    c.read()
    c.send("basic.ack", delivery_tag=2, multiple=True)
    c.read()


@scenario
def consumer_priorities_take_over(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.call("basic.qos", prefetch_count=1)
    c.consume(tag="low")
    fill(c, "a")
    c.read()
    c.consume(tag="high", arguments={"x-priority": 1})
    fill(c, "bc")
    c.read()
    c.send("basic.ack", delivery_tag=1)
    c.read()
    c.send("basic.ack", delivery_tag=2)
    c.read()
    c.call("basic.cancel", consumer_tag="high")
    fill(c, "d")
    c.read()


@scenario
def single_active_consumer_unacked(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-single-active-consumer": True})
    c.call("basic.qos", prefetch_count=1)
    c.consume(tag="a")
    c.consume(tag="b")
    fill(c, "12")
    c.read()
    c.call("basic.cancel", consumer_tag="a")
    c.read()
    c.send("basic.reject", delivery_tag=1, requeue=True)
    c.read()
    c.send("basic.ack", delivery_tag=2)
    c.read()


@scenario
def single_active_consumer_deleted(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-single-active-consumer": True})
    c.consume(tag="a")
    c.consume(tag="b")
    c.call("queue.delete", queue="q", if_unused=True)
    c.call("queue.delete", queue="q")
    c.read()


@scenario
def consumer_of_exclusive_queue_ends(s: Script) -> None:
    c, other = s.channel(), s.channel()
    c.queue("q", exclusive=False, auto_delete=True)
    other.consume("q", no_ack=True)
    c.connection.close()
    other.queue("q", passive=True, exclusive=False)
    other.call("basic.cancel", consumer_tag="t")
    other.queue("q", passive=True, exclusive=False)


@scenario
def direct_reply_on_other_channels(s: Script) -> None:
    connection = s.connect()
    c, other = connection.channel(), connection.channel()
    c.queue()
    c.consume("amq.rabbitmq.reply-to", "r", no_ack=True)
    other.publish("q", reply_to="amq.rabbitmq.reply-to")
    other.read()
    c.publish("q", reply_to="amq.rabbitmq.reply-to", headers={"h": 1}, user_id="guest")
    c.read()
    c.get()
    address = str(connection.properties["reply_to"])
    c.publish(address, "to myself")
    c.read()
    c.publish(address, "in a transaction", exchange="amq.direct", mandatory=True)
    c.read()
    c.call("basic.cancel", consumer_tag="r")
    c.consume("amq.rabbitmq.reply-to", "r", no_ack=True)
    c.publish(address, "to who I was", mandatory=True)
    c.read()


@scenario
def direct_reply_nowait(s: Script) -> None:
    c = s.channel()
    c.send(
        "basic.consume",
        queue="amq.rabbitmq.reply-to",
        consumer_tag="r",
        no_ack=True,
        nowait=True,
    )
    c.read()
    c.consume("amq.rabbitmq.reply-to", "r", no_ack=True)


@scenario
def direct_reply_confirmed(s: Script) -> None:
    client, server = s.channel(), s.channel()
    client.consume("amq.rabbitmq.reply-to", "r", no_ack=True)
    server.queue("q")
    client.publish("q", reply_to="amq.rabbitmq.reply-to")
    client.read()
    server.get()
    address = str(server.connection.properties["reply_to"])
    server.call("confirm.select")
    for body in "ab":
        server.publish(address, body, delivery_mode=2)
        server.read()
    client.read()
    client.close()
    server.publish(address, "late")
    server.read()


@scenario
def get_with_consumer(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.call("basic.qos", prefetch_count=1)
    c.consume()
    fill(c, "abc")
    c.read()
    c.get(no_ack=False)
    c.get()
    c.get()
    c.send("basic.nack", delivery_tag=2, multiple=True, requeue=True)
    c.read()
