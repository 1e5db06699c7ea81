"""What comes back: recover, nack and reject of every mixture, closed channels, whose turn it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from script import Channel, Script, register, scenario

if TYPE_CHECKING:
    from collections.abc import Mapping

    from script import Scenario
    from wire import Value

EXPIRED_S = 0.3


def fill(c: Channel, bodies: str, queue: str = "q", **properties: Value) -> None:
    """A message for each letter."""
    for body in bodies:
        c.publish(queue, body, **properties)
    c.read()


def take(c: Channel, number: int, queue: str = "q") -> list[int]:
    """Get so many without acknowledging them."""
    return [c.get(queue, no_ack=False) for _ in range(number)]


def settle(c: Channel, how: str, tag: int, *, multiple: bool = False) -> None:
    """Ack, nack and lose, or nack and requeue; nothing is answered unless it is wrong."""
    if how == "ack":
        c.send("basic.ack", delivery_tag=tag, multiple=multiple)
    else:
        again = how == "requeue"
        c.send("basic.nack", delivery_tag=tag, multiple=multiple, requeue=again)
    c.read()


#: For five messages that were taken: what is done with which, `*` up to and with it.
MIXTURES: Mapping[str, str] = {
    "every_other": "requeue 1, requeue 3, requeue 5, ack 2, ack 4",
    "backwards": "requeue 5, requeue 4, requeue 3, requeue 2, requeue 1",
    "last_then_all": "requeue 5, requeue* 4",
    "middle_then_all": "ack 3, requeue* 5",
    "all_but_first": "ack 1, requeue* 5",
    "all_at_once": "requeue* 0",
    "none_left": "ack* 0, requeue* 0",
    "lost_and_back": "lose 2, requeue* 3, lose* 5",
    "twice_the_same": "requeue 2, requeue 2",
    "ack_of_returned": "requeue* 3, ack 2",
    "multiple_below_settled": "ack* 3, requeue* 2",
    "beyond": "requeue* 9",
}


def _mixture(orders: str, kind: str) -> Scenario:
    def run(s: Script) -> None:
        c = s.channel()
        arguments: dict[str, Value] = {"x-queue-type": kind} if kind == "quorum" else {}
        c.queue(durable=True, exclusive=False, arguments=arguments)
        fill(c, "abcdefg")
        take(c, 5)
        for order in orders.split(", "):
            how, _, tag = order.partition(" ")
            settle(c, how.rstrip("*"), int(tag), multiple=how.endswith("*"))
        c.queue(passive=True)
        c.drain()

    return run


#: Where RabbitMQ's quorum queues put what comes back behind the rest there is nothing to compare.
WITH_QUORUM = ("none_left", "multiple_below_settled", "beyond")

for _name, _orders in MIXTURES.items():
    register(f"returned_{_name}", _mixture(_orders, "classic"))
    if _name in WITH_QUORUM:
        register(f"returned_quorum_{_name}", _mixture(_orders, "quorum"))


@scenario
def recover_of_gets_and_consumer(s: Script) -> None:
    c = s.channel()
    c.queue()
    fill(c, "abcde")
    take(c, 2)
    c.call("basic.qos", prefetch_count=2)
    c.consume()
    c.read()
    c.call("basic.recover", requeue=True)
    c.read()
    c.call("basic.cancel", consumer_tag="t")
    c.close()
    c.drain()


@scenario
def recover_leaves_other_channels(s: Script) -> None:
    connection = s.connect()
    c, other = connection.channel(), connection.channel()
    c.queue()
    fill(c, "abcd")
    take(c, 1)
    tags = take(other, 2)
    c.call("basic.recover", requeue=True)
    c.drain()
    settle(other, "requeue", tags[-1], multiple=True)
    c.drain()


@scenario
def recover_of_consumer_without_acks(s: Script) -> None:
    c = s.channel()
    c.queue()
    fill(c, "ab")
    c.consume(no_ack=True)
    c.read()
    c.call("basic.recover", requeue=True)
    c.read()


@scenario
def recover_of_several_queues(s: Script) -> None:
    c = s.channel()
    for queue in "qr":
        c.queue(queue)
        fill(c, "ab", queue)
    take(c, 1, "q")
    take(c, 1, "r")
    take(c, 1, "q")
    c.call("basic.recover", requeue=True)
    c.drain("q", "r")


@scenario
def recover_twice(s: Script) -> None:
    c = s.channel()
    c.queue()
    fill(c, "a")
    take(c, 1)
    for _ in range(2):
        c.call("basic.recover", requeue=True)
        c.read()
    tag = c.get(no_ack=False)
    settle(c, "ack", tag)
    settle(c, "ack", 1)


@scenario
def recover_of_deleted_queue(s: Script) -> None:
    connection = s.connect()
    c, other = connection.channel(), connection.channel()
    c.queue()
    fill(c, "ab")
    take(c, 2)
    other.call("queue.delete", queue="q")
    c.call("basic.recover", requeue=True)
    settle(c, "ack", 1)
    other.queue(passive=True)


@scenario
def ack_of_deleted_queue(s: Script) -> None:
    connection = s.connect()
    c, other = connection.channel(), connection.channel()
    c.queue()
    fill(c, "abc")
    take(c, 3)
    other.call("queue.delete", queue="q")
    settle(c, "ack", 1)
    settle(c, "requeue", 2)
    settle(c, "lose", 3)
    c.queue()
    c.drain()


@scenario
def ack_after_purge(s: Script) -> None:
    c = s.channel()
    c.queue()
    fill(c, "abc")
    take(c, 1)
    c.call("queue.purge", queue="q")
    c.queue(passive=True)
    settle(c, "requeue", 1)
    c.drain()


@scenario
def delete_if_empty_with_unacked(s: Script) -> None:
    c = s.channel()
    c.queue()
    fill(c, "a")
    take(c, 1)
    c.call("queue.delete", queue="q", if_empty=True)
    c.read()
    c.queue(passive=True)


@scenario
def returned_after_its_time(s: Script) -> None:
    c = s.channel()
    c.queue("dead")
    c.bind("dead", "amq.fanout")
    c.queue(arguments={"x-dead-letter-exchange": "amq.fanout"})
    fill(c, "a", expiration="150")
    fill(c, "b")
    tags = take(c, 2)
    s.wait(EXPIRED_S)
    settle(c, "requeue", tags[-1], multiple=True)
    s.wait(EXPIRED_S)
    c.drain("q", "dead")


@scenario
def returned_to_several_consumers(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.call("basic.qos", prefetch_count=1)
    c.consume(tag="one")
    c.consume(tag="two")
    c.read()
    fill(c, "abcd")
    settle(c, "requeue", 1)
    settle(c, "ack", 2)
    for tag in c.delivered[2:]:
        settle(c, "ack", tag)
    for tag in c.delivered[4:]:
        settle(c, "ack", tag)


@scenario
def returned_by_closing_goes_to_the_other(s: Script) -> None:
    c, other = s.channel(), s.channel()
    c.queue(exclusive=False)
    c.call("basic.qos", prefetch_count=2)
    c.consume(tag="one")
    c.read()
    fill(c, "abcd")
    other.consume(tag="two")
    other.read()
    c.close()
    other.read()
    settle(other, "ack", 0, multiple=True)


@scenario
def returned_by_lost_connection(s: Script) -> None:
    c, other = s.channel(), s.channel()
    c.queue(exclusive=False)
    fill(c, "abc")
    take(other, 2)
    other.connection.close()
    c.read()
    c.drain()


@scenario
def returned_with_priorities(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-max-priority": 5})
    for body, priority in (("low", 1), ("high", 4), ("low again", 1)):
        c.publish(body=body, priority=priority)
    c.read()
    take(c, 3)
    c.publish(body="new and high", priority=4)
    c.publish(body="new and higher", priority=5)
    settle(c, "requeue", 0, multiple=True)
    c.drain()


@scenario
def returned_headers_stay(s: Script) -> None:
    c = s.channel()
    c.queue()
    fill(c, "a", headers={"own": "value"}, priority=3, message_id="1", delivery_mode=2)
    for _ in range(3):
        settle(c, "requeue", take(c, 1)[0])
    c.drain()


# -- whose turn it is: single active consumers


def single(c: Channel, kind: str = "classic") -> None:
    """A queue with a single active consumer."""
    arguments: dict[str, Value] = {"x-single-active-consumer": True, "x-queue-type": kind}
    c.queue(durable=True, exclusive=False, arguments=arguments)


def _takes_over(kind: str, how: str) -> Scenario:
    def run(s: Script) -> None:
        first, second = s.channel(), s.channel()
        single(first, kind)
        for c, tag in ((first, "one"), (second, "two")):
            c.call("basic.qos", prefetch_count=2)
            c.consume(tag=tag)
            c.read()
        fill(first, "abc")
        if how == "cancelled":
            first.call("basic.cancel", consumer_tag="one")
        elif how == "channel_closed":
            first.close()
        else:
            first.connection.close()
        second.read(2)
        settle(second, "ack", 0, multiple=True)
        if how == "cancelled":
            settle(first, "requeue", 0, multiple=True)
            second.read(2)

    return run


for _kind in ("classic", "quorum"):
    for _how in ("cancelled", "channel_closed", "connection_closed"):
        register(f"single_active_{_kind}_{_how}", _takes_over(_kind, _how))


@scenario
def single_active_of_one_channel(s: Script) -> None:
    c = s.channel()
    single(c)
    for tag in ("one", "two", "three"):
        c.consume(tag=tag, no_ack=True)
    fill(c, "a")
    c.call("basic.cancel", consumer_tag="two")
    fill(c, "b")
    c.call("basic.cancel", consumer_tag="one")
    fill(c, "c")


@scenario
def single_active_and_priority(s: Script) -> None:
    c = s.channel()
    single(c)
    c.consume(tag="low", no_ack=True)
    c.consume(tag="high", no_ack=True, arguments={"x-priority": 10})
    fill(c, "a")
    c.call("basic.cancel", consumer_tag="low")
    fill(c, "b")


@scenario
def single_active_and_get(s: Script) -> None:
    connection = s.connect()
    c, other = connection.channel(), connection.channel()
    single(c)
    fill(c, "ab")
    other.get()
    c.consume(no_ack=True)
    c.read()
    other.get()


@scenario
def single_active_deleted(s: Script) -> None:
    connection = s.connect()
    c, other = connection.channel(), connection.channel()
    single(c)
    c.consume(tag="one")
    c.consume(tag="two")
    c.read()
    other.call("queue.delete", queue="q")
    c.read()


# -- consumers that end


@scenario
def consumer_ends_with_its_queue(s: Script) -> None:
    connection = s.connect()
    c, other = connection.channel(), connection.channel()
    c.queue()
    fill(c, "ab")
    c.call("basic.qos", prefetch_count=1)
    c.consume(tag="one")
    c.consume(tag="two")
    c.read()
    other.call("queue.delete", queue="q")
    c.read()
    settle(c, "ack", 1)
    c.call("basic.cancel", consumer_tag="one")
    c.queue()
    c.consume(tag="one")
    c.read()


@scenario
def consumer_ends_with_expired_queue(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-expires": 200})
    c.consume()
    c.read(3)
    c.call("basic.cancel", consumer_tag="t")
    s.wait(2 * EXPIRED_S)
    c.queue(passive=True)


@scenario
def cancel_of_unknown_tag(s: Script) -> None:
    c = s.channel()
    c.call("basic.cancel", consumer_tag="nobody")
    c.send("basic.cancel", consumer_tag="nobody", nowait=True)
    c.read()
    c.queue()


@scenario
def cancel_of_another_channels_tag(s: Script) -> None:
    connection = s.connect()
    c, other = connection.channel(), connection.channel()
    c.queue()
    c.consume(no_ack=True)
    other.call("basic.cancel", consumer_tag="t")
    fill(c, "a")


@scenario
def cancel_without_an_answer(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.consume(no_ack=True)
    c.send("basic.cancel", consumer_tag="t", nowait=True)
    fill(c, "a")
    c.get()


@scenario
def cancel_ends_auto_delete_queue(s: Script) -> None:
    c = s.channel()
    c.queue(exclusive=False, auto_delete=True)
    c.consume(tag="one")
    c.consume(tag="two")
    fill(c, "ab")
    c.call("basic.cancel", consumer_tag="one")
    c.queue(passive=True, auto_delete=True)
    c.call("basic.cancel", consumer_tag="two")
    c.queue(passive=True, auto_delete=True)


# -- transactions and what comes back from them


@scenario
def tx_mandatory_returns_come_at_commit(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.call("tx.select")
    c.publish("nowhere", "one", mandatory=True)
    c.publish(body="kept", mandatory=True)
    c.publish("nowhere", "two", mandatory=True)
    c.publish("nowhere", "quiet")
    c.read()
    c.call("tx.commit")
    c.read()
    c.drain()


@scenario
def tx_mandatory_to_unbound_meanwhile(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.bind("q", "amq.direct", "k")
    c.call("tx.select")
    c.publish("k", "m", "amq.direct", mandatory=True)
    c.call("queue.delete", queue="q")
    c.call("tx.commit")
    c.read()


@scenario
def tx_mandatory_through_alternate(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.bind("q", "amq.fanout")
    c.exchange("x", "direct", arguments={"alternate-exchange": "amq.fanout"})
    c.call("tx.select")
    c.publish("none", "m", "x", mandatory=True)
    c.read()
    c.call("tx.commit")
    c.read()
    c.drain()


@scenario
def tx_unknown_exchange(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.call("tx.select")
    c.publish(body="m")
    c.publish("k", "m", "missing")
    c.read()
    c.drain()


@scenario
def tx_unknown_tag(s: Script) -> None:
    c = s.channel()
    c.queue()
    fill(c, "a")
    take(c, 1)
    c.call("tx.select")
    settle(c, "ack", 1)
    settle(c, "ack", 1)
    c.call("tx.commit")


@scenario
def tx_requeue_then_dead_letter(s: Script) -> None:
    c = s.channel()
    c.queue("dead")
    c.bind("dead", "amq.fanout")
    c.queue(arguments={"x-dead-letter-exchange": "amq.fanout"})
    fill(c, "abc")
    take(c, 3)
    c.call("tx.select")
    settle(c, "lose", 1)
    settle(c, "requeue", 2)
    settle(c, "ack", 3)
    c.get("dead")
    c.call("tx.commit")
    c.read()
    c.drain("q", "dead")


@scenario
def tx_over_limit(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-max-length": 2})
    c.call("tx.select")
    for body in "abc":
        c.publish(body=body)
    c.call("tx.commit")
    c.drain()


@scenario
def tx_refused_by_full_queue(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    c.call("tx.select")
    for body in "ab":
        c.publish(body=body)
    c.call("tx.commit")
    c.read()
    c.drain()


# -- dead letters that go round


def ring(c: Channel, *queues: str, **arguments: Value) -> None:
    """Queues whose dead letters go to the next, and from the last to the first."""
    extra = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    for queue, following in zip(queues, (*queues[1:], queues[0]), strict=True):
        to: dict[str, Value] = {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": following,
        }
        c.queue(queue, arguments={**to, **extra})


@scenario
def death_round_of_three_rejects(s: Script) -> None:
    c = s.channel()
    ring(c, "q", "r", "s")
    fill(c, "m")
    for queue in ("q", "r", "s", "q", "r"):
        settle(c, "lose", take(c, 1, queue)[0])
    c.drain("q", "r", "s")


@scenario
def death_round_of_expiry_and_reject(s: Script) -> None:
    c = s.channel()
    c.queue("q", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "wait"})
    back: dict[str, Value] = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "q"}
    c.queue("wait", arguments={**back, "x-message-ttl": 50})
    fill(c, "m", headers={"own": 1}, expiration="60000")
    for _ in range(3):
        settle(c, "lose", take(c, 1)[0])
        s.wait(EXPIRED_S)
    c.drain("q", "wait")


@scenario
def death_round_of_lengths(s: Script) -> None:
    c = s.channel()
    ring(c, "q", "r", max_length=1)
    fill(c, "abcd")
    c.drain("q", "r")


@scenario
def death_round_of_one_by_delivery_limit(s: Script) -> None:
    c = s.channel()
    arguments: dict[str, Value] = {
        "x-queue-type": "quorum",
        "x-delivery-limit": 1,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "q",
    }
    c.queue(durable=True, exclusive=False, arguments=arguments)
    fill(c, "m")
    for _ in range(2):
        c.send("basic.reject", delivery_tag=take(c, 1)[0], requeue=True)
        c.read()
    c.read(3)
    c.drain()


@scenario
def death_of_quorum_by_limit_and_reject(s: Script) -> None:
    c = s.channel()
    c.queue("dead")
    c.bind("dead", "amq.fanout")
    arguments: dict[str, Value] = {
        "x-queue-type": "quorum",
        "x-delivery-limit": 1,
        "x-dead-letter-exchange": "amq.fanout",
    }
    c.queue(durable=True, exclusive=False, arguments=arguments)
    fill(c, "ab")
    for _ in range(2):
        c.send("basic.reject", delivery_tag=take(c, 1)[0], requeue=True)
        c.read()
    c.send("basic.reject", delivery_tag=take(c, 1)[0])
    c.read(3)
    c.drain("q", "dead")
