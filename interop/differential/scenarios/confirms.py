"""Confirms and transactions."""

from __future__ import annotations

from script import Script, scenario


@scenario
def confirm_select(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.publish(body="before")
    c.call("confirm.select")
    c.call("confirm.select")
    for body in "ab":
        c.publish(body=body)
        c.read()
    c.send("confirm.select", nowait=True)
    c.publish(body="c")
    c.read()


@scenario
def confirm_unroutable(s: Script) -> None:
    c = s.channel()
    c.call("confirm.select")
    c.publish("none")
    c.read()
    c.publish("none", mandatory=True)
    c.read()
    c.publish("k", exchange="not-there")
    c.read()
    c.publish("none")
    c.read()


@scenario
def confirm_durable(s: Script) -> None:
    c = s.channel()
    c.queue(exclusive=False, durable=True)
    c.call("confirm.select")
    c.publish(delivery_mode=2)
    c.read()
    c.publish(delivery_mode=1)
    c.read()
    c.consume(no_ack=True)
    c.read()
    c.publish(delivery_mode=2)
    c.read()


@scenario
def confirm_refused_property(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.call("confirm.select")
    c.publish(user_id="bob")
    c.read()
    c.publish(expiration="soon")
    c.read()


@scenario
def confirm_then_tx(s: Script) -> None:
    c = s.channel()
    c.call("confirm.select")
    c.call("tx.select")
    c.call("tx.select")
    c.call("confirm.select")


@scenario
def tx_unselected(s: Script) -> None:
    c = s.channel()
    c.call("tx.commit")
    c.call("tx.rollback")


@scenario
def tx_publish(s: Script) -> None:
    connection = s.connect()
    c, other = connection.channel(), connection.channel()
    c.queue()
    c.call("tx.select")
    c.call("tx.select")
    c.publish(body="a")
    c.publish("none", body="returned", mandatory=True)
    c.read()
    other.get()
    c.call("tx.commit")
    c.read()
    other.get()
    c.publish(body="b")
    c.call("tx.rollback")
    c.call("tx.commit")
    other.get()
    c.publish(body="c")
    c.close()
    other.get()


@scenario
def tx_acks(s: Script) -> None:
    c = s.channel()
    c.queue()
    for body in "abcd":
        c.publish(body=body)
    c.consume()
    c.read()
    c.call("tx.select")
    c.send("basic.ack", delivery_tag=1)
    c.send("basic.nack", delivery_tag=2, requeue=True)
    c.read()
    c.call("tx.rollback")
    c.read()
    c.send("basic.ack", delivery_tag=1)
    c.send("basic.reject", delivery_tag=2, requeue=True)
    c.call("tx.commit")
    c.read()
    c.close()
    c.drain()


@scenario
def tx_ack_twice(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.publish()
    c.get(no_ack=False)
    c.call("tx.select")
    c.send("basic.ack", delivery_tag=1)
    c.send("basic.ack", delivery_tag=1)
    c.read()
    c.get()


@scenario
def tx_ack_unknown(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.call("tx.select")
    c.publish(body="a")
    c.send("basic.ack", delivery_tag=5)
    c.call("tx.commit")
    c.get()


@scenario
def tx_publish_missing_exchange(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.call("tx.select")
    c.publish(body="a")
    c.publish(exchange="not-there")
    c.read()
    c.get()


@scenario
def tx_to_full_queue(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    c.call("tx.select")
    c.publish(body="a")
    c.publish(body="b")
    c.call("tx.commit")
    c.read()
    c.drain()


@scenario
def tx_dead_letters(s: Script) -> None:
    c = s.channel()
    c.queue("dead")
    c.bind("dead", "amq.fanout")
    c.queue(arguments={"x-dead-letter-exchange": "amq.fanout"})
    c.publish(body="a")
    tag = c.get(no_ack=False)
    c.call("tx.select")
    c.send("basic.reject", delivery_tag=tag)
    c.read()
    c.get("dead")
    c.call("tx.commit")
    c.read()
    c.get("dead")


@scenario
def tx_and_declares(s: Script) -> None:
    c = s.channel()
    c.call("tx.select")
    c.queue()
    c.publish(body="a")
    c.call("queue.delete", queue="q")
    c.call("tx.commit")
    c.queue()
    c.call("queue.purge", queue="q")
