"""Transactions in every order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from script import Channel, Script, register, scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from script import Scenario

ORDERS: Mapping[str, str] = {
    "commit": "p a c",
    "rollback": "p a r",
    "rollback_then_commit": "p a r c",
    "ack_after_rollback": "a r a c",
    "reject": "d c",
    "requeue": "n c",
    "requeue_rolled_back": "n r c",
    "ack_and_requeue": "a n c",
    "ack_twice": "a c a c",
    "ack_all": "A c",
    "requeue_all": "N c",
    "requeue_all_rolled_back": "N r",
    "recover": "R c",
    "recover_within": "a R c",
    "publish_twice": "p c p c",
    "publish_and_return": "p m c",
    "return_rolled_back": "m r c",
    "cancel_within": "a x c",
    "get_within": "g a c",
    "empty": "c r c r",
}


def _ack(c: Channel) -> None:
    c.send("basic.ack", delivery_tag=1)


#: One letter for each thing to do.
STEPS: Mapping[str, Callable[[Channel], object]] = {
    "p": lambda c: c.publish(body="new"),
    "m": lambda c: c.publish("nowhere", "returned", mandatory=True),
    "a": _ack,
    "A": lambda c: c.send("basic.ack", delivery_tag=0, multiple=True),
    "d": lambda c: c.send("basic.reject", delivery_tag=1),
    "n": lambda c: c.send("basic.reject", delivery_tag=2, requeue=True),
    "N": lambda c: c.send("basic.nack", delivery_tag=0, multiple=True, requeue=True),
    "R": lambda c: c.call("basic.recover", requeue=True),
    "g": lambda c: c.get(no_ack=True),
    "x": lambda c: c.call("basic.cancel", consumer_tag="t"),
    "c": lambda c: c.call("tx.commit"),
    "r": lambda c: c.call("tx.rollback"),
}


def _in_order(letters: str) -> Scenario:
    def run(s: Script) -> None:
        c = s.channel()
        c.queue()
        for body in "abc":
            c.publish(body=body)
        c.call("tx.select")
        c.call("basic.qos", prefetch_count=2)
        c.consume()
        c.read()
        for letter in letters.split():
            STEPS[letter](c)
            c.read()
        c.close()
        c.drain()

    return run


for _name, _letters in ORDERS.items():
    register(f"tx_order_{_name}", _in_order(_letters))


@scenario
def tx_error_before_commit(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.publish(body="old")
    c.read()
    tag = c.get(no_ack=False)
    c.call("tx.select")
    c.publish(body="lost")
    c.send("basic.ack", delivery_tag=tag)
    c.get("missing")
    c.drain()


@scenario
def tx_connection_closed(s: Script) -> None:
    c, other = s.channel(), s.channel()
    other.queue(exclusive=False)
    c.call("tx.select")
    c.publish(body="lost")
    c.read()
    c.connection.close()
    other.drain()


@scenario
def tx_to_several_queues(s: Script) -> None:
    c = s.channel()
    for queue in "qr":
        c.queue(queue)
        c.bind(queue, "amq.fanout")
    c.call("tx.select")
    c.publish("", "all", "amq.fanout")
    c.publish("q", "one")
    c.queue("r", passive=True)
    c.call("tx.commit")
    c.drain("q", "r")


@scenario
def tx_routes_at_publish(s: Script) -> None:
    c = s.channel()
    c.queue("q")
    c.queue("r")
    c.bind("q", "amq.direct", "k")
    c.call("tx.select")
    c.publish("k", "early", "amq.direct")
    c.call("queue.unbind", queue="q", exchange="amq.direct", routing_key="k")
    c.bind("r", "amq.direct", "k")
    c.publish("k", "late", "amq.direct")
    c.call("tx.commit")
    c.drain("q", "r")


@scenario
def tx_refused_properties(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.call("tx.select")
    c.publish(body="a")
    c.publish(body="b", expiration="soon")
    c.read()
    c.drain()


@scenario
def tx_expired_meanwhile(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.call("tx.select")
    c.publish(body="a", expiration="150")
    s.wait(0.3)
    c.call("tx.commit")
    c.get()


@scenario
def tx_consumer_and_publisher(s: Script) -> None:
    connection = s.connect()
    c, other = connection.channel(), connection.channel()
    c.queue()
    other.consume(no_ack=True)
    c.call("tx.select")
    c.publish(body="a")
    c.read()
    c.call("tx.commit")
    c.read()
