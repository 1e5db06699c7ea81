"""TTL, dead letters, length limits, priorities of messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from script import Channel, Script, scenario

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wire import Value

EXPIRED_S = 0.6


def with_dead_letters(c: Channel, **arguments: Value) -> None:
    """A queue `q` whose dead letters go to `dead` under their own keys."""
    c.queue("dead")
    c.bind("dead", "amq.fanout")
    extra = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    c.queue(arguments={"x-dead-letter-exchange": "amq.fanout", **extra})


@scenario
def ttl_of_queue(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-message-ttl": 200})
    c.publish()
    c.get()
    c.publish()
    s.wait(EXPIRED_S)
    c.get()
    c.queue(passive=True)


@scenario
def ttl_of_message(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.publish(body="short", expiration="200")
    c.publish(body="long", expiration="60000")
    c.publish(body="none")
    s.wait(EXPIRED_S)
    c.drain()


@scenario
def ttl_behind_longer(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.publish(body="none")
    c.publish(body="short", expiration="200")
    s.wait(EXPIRED_S)
    c.queue(passive=True)
    c.drain()


@scenario
def ttl_smaller_of_both(s: Script) -> None:
    c = s.channel()
    with_dead_letters(c, message_ttl=200)
    c.publish(body="a", expiration="60000")
    s.wait(EXPIRED_S)
    c.drain("dead")
    c.publish(body="b", expiration="1")
    s.wait(EXPIRED_S)
    c.drain("dead", "q")


@scenario
def ttl_zero(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.publish(body="a", expiration="0")
    c.read()
    c.get()
    c.consume(no_ack=True)
    c.publish(body="b", expiration="0")
    c.read()
    c.queue("r", arguments={"x-message-ttl": 0})
    c.publish("r")
    c.read()
    c.get("r")
    c.consume("r", "u")
    c.publish("r", "taken")
    c.read()


@scenario
def ttl_unacked_does_not_expire(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.publish(expiration="200")
    tag = c.get(no_ack=False)
    s.wait(EXPIRED_S)
    c.send("basic.reject", delivery_tag=tag, requeue=True)
    c.read()
    c.get()


@scenario
def dead_rejected(s: Script) -> None:
    c = s.channel()
    with_dead_letters(c)
    c.publish(body="a", message_id="1", headers={"h": 1}, delivery_mode=2, priority=3)
    tag = c.get(no_ack=False)
    c.send("basic.reject", delivery_tag=tag)
    c.read()
    c.drain("dead")
    c.publish(body="b")
    c.publish(body="c")
    c.get(no_ack=False)
    tag = c.get(no_ack=False)
    c.send("basic.nack", delivery_tag=tag, multiple=True)
    c.read()
    c.drain("dead")


@scenario
def dead_expired(s: Script) -> None:
    c = s.channel()
    with_dead_letters(c)
    c.bind("q", "amq.direct", "k")
    c.publish("k", "a", "amq.direct", expiration="100", headers={"CC": ["o"], "BCC": ["p"]})
    s.wait(EXPIRED_S)
    c.drain("dead")


@scenario
def dead_length(s: Script) -> None:
    c = s.channel()
    with_dead_letters(c, max_length=2)
    for body in "abcd":
        c.publish(body=body)
    c.read()
    c.drain("dead", "q")


@scenario
def dead_with_key(s: Script) -> None:
    c = s.channel()
    c.queue("dead")
    c.queue("other")
    c.queue(
        arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"},
    )
    c.publish(headers={"CC": ["other"], "BCC": ["other"]})
    tag = c.get(no_ack=False)
    c.send("basic.reject", delivery_tag=tag)
    c.read()
    c.drain("dead", "other")


@scenario
def dead_cc_without_key(s: Script) -> None:
    c = s.channel()
    c.queue("one")
    c.queue("two")
    for key in ("q", "cc", "bcc"):
        c.bind("one" if key != "bcc" else "two", "amq.direct", key)
    c.queue(arguments={"x-dead-letter-exchange": "amq.direct"})
    c.publish(headers={"CC": ["cc"], "BCC": ["bcc"]})
    tag = c.get(no_ack=False)
    c.send("basic.reject", delivery_tag=tag)
    c.read()
    c.drain("one", "two")


@scenario
def dead_exchange_missing(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-dead-letter-exchange": "not-there"})
    c.publish()
    tag = c.get(no_ack=False)
    c.send("basic.reject", delivery_tag=tag)
    c.read()
    c.get()


@scenario
def dead_twice(s: Script) -> None:
    c = s.channel()
    c.queue("second", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "end"})
    c.queue("end")
    c.queue(arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "second"})
    c.publish(expiration="50")
    s.wait(EXPIRED_S)
    tag = c.get("second", no_ack=False)
    c.send("basic.reject", delivery_tag=tag)
    c.read()
    c.drain("end")


@scenario
def dead_round_and_round(s: Script) -> None:
    c = s.channel()
    c.queue("wait", arguments={"x-dead-letter-exchange": "amq.direct", "x-message-ttl": 50})
    c.queue(arguments={"x-dead-letter-exchange": "amq.fanout"})
    c.bind("wait", "amq.fanout")
    c.bind("q", "amq.direct", "q")
    c.publish(headers={"own": 1})
    for _ in range(3):
        s.wait(0.3)
        tag = c.get(no_ack=False)
        c.send("basic.reject", delivery_tag=tag)
        c.read()


@scenario
def dead_cycle_of_expiry(s: Script) -> None:
    c = s.channel()
    c.queue(
        arguments={
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "q",
            "x-message-ttl": 50,
        },
    )
    c.publish()
    s.wait(EXPIRED_S)
    c.queue(passive=True)


@scenario
def dead_requeued_is_not(s: Script) -> None:
    c = s.channel()
    with_dead_letters(c)
    c.publish()
    tag = c.get(no_ack=False)
    c.send("basic.reject", delivery_tag=tag, requeue=True)
    c.read()
    c.call("queue.purge", queue="q")
    c.publish()
    c.read()
    c.call("queue.delete", queue="q")
    c.drain("dead")


@scenario
def dead_from_client_history(s: Script) -> None:
    c = s.channel()
    with_dead_letters(c)
    histories: tuple[Mapping[str, Value], ...] = (
        {"x-death": "text"},
        {"x-death": []},
        {"x-first-death-reason": "mine"},
    )
    for headers in histories:
        c.publish(headers=headers)
        tag = c.get(no_ack=False)
        c.send("basic.reject", delivery_tag=tag)
        c.read()
    c.drain("dead")


@scenario
def length_drops_head(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-max-length": 2})
    for body in "abc":
        c.publish(body=body)
    c.read()
    c.get(no_ack=False)
    c.publish(body="d")
    c.read()
    c.send("basic.nack", delivery_tag=1, requeue=True)
    c.read()
    c.drain()


@scenario
def length_zero(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-max-length": 0})
    c.publish(body="a", mandatory=True)
    c.read()
    c.get()
    c.consume()
    c.publish(body="b")
    c.read()


@scenario
def length_in_bytes(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-max-length-bytes": 10})
    for body in ("aaaa", "bbbb", "cccc", "dddddddddddd", "e"):
        c.publish(body=body, headers={"not": "counted"})
        c.read()
        c.queue(passive=True)
    c.drain()


@scenario
def length_refuses(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    c.call("confirm.select")
    for body in "abc":
        c.publish(body=body)
        c.read()
    c.drain()
    c.publish(body="d")
    c.read()
    c.drain()


@scenario
def length_refuses_with_dead_letter(s: Script) -> None:
    c = s.channel()
    with_dead_letters(c, max_length=1, overflow="reject-publish-dlx")
    c.call("confirm.select")
    for body in "abc":
        c.publish(body=body)
        c.read()
    c.drain("dead", "q")


@scenario
def length_refused_by_one_of_two(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    c.queue("r")
    for queue in "qr":
        c.bind(queue, "amq.fanout")
    c.call("confirm.select")
    for body in "ab":
        c.publish("", body, "amq.fanout", mandatory=True)
        c.read()
    c.drain("q", "r")


@scenario
def priorities(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-max-priority": 5})
    for body, priority in (("none", None), ("1", 1), ("9", 9), ("5", 5), ("0", 0), ("3", 3)):
        if priority is None:
            c.publish(body=body)
        else:
            c.publish(body=body, priority=priority)
    c.read()
    tag = c.get(no_ack=False)
    c.get(no_ack=False)
    c.send("basic.nack", delivery_tag=tag, requeue=True)
    c.read()
    c.drain()


@scenario
def priorities_and_length(s: Script) -> None:
    c = s.channel()
    with_dead_letters(c, max_priority=5, max_length=2)
    for body, priority in (("a", 1), ("b", 3), ("c", 2), ("d", 5)):
        c.publish(body=body, priority=priority)
    c.read()
    c.drain("q", "dead")


@scenario
def priorities_and_consumer(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-max-priority": 5})
    c.call("basic.qos", prefetch_count=1)
    for body, priority in (("a", 1), ("b", 3), ("c", 2)):
        c.publish(body=body, priority=priority)
    c.read()
    c.consume()
    c.read()
    c.publish(body="d", priority=5)
    c.read()
    for tag in (1, 2, 3):
        c.send("basic.ack", delivery_tag=tag)
        c.read()


@scenario
def ttl_of_returned_message(s: Script) -> None:
    c = s.channel()
    with_dead_letters(c, message_ttl=300)
    c.publish(body="a")
    c.read()
    tag = c.get(no_ack=False)
    c.send("basic.reject", delivery_tag=tag, requeue=True)
    c.read()
    s.wait(EXPIRED_S)
    c.get()
    c.drain("dead")


@scenario
def ttl_and_consumer(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-message-ttl": 200})
    c.call("basic.qos", prefetch_count=1)
    c.consume()
    for body in "ab":
        c.publish(body=body)
    c.read()
    s.wait(EXPIRED_S)
    c.send("basic.ack", delivery_tag=1)
    c.read()
    c.publish(body="c")
    c.read()


@scenario
def ttl_zero_of_several_consumers(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-message-ttl": 0})
    c.call("basic.qos", prefetch_count=1)
    c.consume(tag="a")
    c.consume(tag="b")
    for body in "123":
        c.publish(body=body)
        c.read()
    c.send("basic.ack", delivery_tag=2, multiple=True)
    c.read()


@scenario
def ttl_counts_down_in_each_queue(s: Script) -> None:
    c = s.channel()
    c.queue("q", arguments={"x-message-ttl": 200})
    c.queue("r", arguments={"x-message-ttl": 60_000})
    for queue in "qr":
        c.bind(queue, "amq.fanout")
    c.publish("", "a", "amq.fanout")
    s.wait(EXPIRED_S)
    c.drain("q", "r")


@scenario
def expires_renewed(s: Script) -> None:
    c = s.channel()
    c.queue("q", arguments={"x-expires": 600})
    c.queue("r", arguments={"x-expires": 600})
    c.queue("s", arguments={"x-expires": 600})
    for _ in range(3):
        s.wait(0.3)
        c.get("q")
        c.queue("r", arguments={"x-expires": 600})
    c.queue("s", passive=True)
    s.wait(1.5)
    c.queue("q", passive=True)
    c.queue("r", passive=True)


@scenario
def expires_after_consumer(s: Script) -> None:
    c = s.channel()
    c.queue("q", arguments={"x-expires": 300})
    c.consume("q")
    s.wait(0.6)
    c.call("basic.cancel", consumer_tag="t")
    s.wait(1.0)
    c.queue("q", passive=True)


@scenario
def length_counts_ready_only(s: Script) -> None:
    c = s.channel()
    with_dead_letters(c, max_length=2)
    for body in "ab":
        c.publish(body=body)
    c.read()
    c.get(no_ack=False)
    c.get(no_ack=False)
    for body in "cde":
        c.publish(body=body)
    c.read()
    c.drain("dead")
    c.send("basic.nack", delivery_tag=2, multiple=True, requeue=True)
    c.read()
    c.drain("dead", "q")


@scenario
def length_of_returned_with_consumer(s: Script) -> None:
    c = s.channel()
    with_dead_letters(c, max_length=1)
    c.call("basic.qos", prefetch_count=1)
    c.consume()
    for body in "ab":
        c.publish(body=body)
        c.read()
    c.send("basic.nack", delivery_tag=1, requeue=True)
    c.read()
    c.drain("dead")


@scenario
def length_of_both_kinds(s: Script) -> None:
    c = s.channel()
    with_dead_letters(c, max_length=3, max_length_bytes=6)
    for body in ("a", "b", "c", "d", "eeee", "ffffffff", "g"):
        c.publish(body=body)
        c.read()
    c.drain("dead", "q")


@scenario
def length_refuses_bytes(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-max-length-bytes": 5, "x-overflow": "reject-publish"})
    c.call("confirm.select")
    for body in ("aaa", "bb", "c", "", "dddddd"):
        c.publish(body=body)
        c.read()
    c.drain()
    c.publish(body="eeeeee")
    c.read()


@scenario
def length_refuses_mandatory(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    c.call("confirm.select")
    for body in "ab":
        c.publish(body=body, mandatory=True)
        c.read()
    c.publish("nowhere", mandatory=True)
    c.read()


@scenario
def length_refuses_beside_consumer(s: Script) -> None:
    c, other = s.channel(), s.channel()
    c.queue(exclusive=False, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    c.call("confirm.select")
    other.call("basic.qos", prefetch_count=1)
    other.consume()
    for body in "abc":
        c.publish(body=body)
        c.read()
        other.read()
    other.send("basic.ack", delivery_tag=1)
    other.read()
    c.publish(body="d")
    c.read()


@scenario
def length_zero_with_dead_letters(s: Script) -> None:
    c = s.channel()
    with_dead_letters(c, max_length=0)
    c.call("confirm.select")
    c.publish(body="a")
    c.read()
    c.drain("dead")
    c.consume()
    c.publish(body="b")
    c.read()
    c.drain("dead")


@scenario
def length_and_priorities_refuse(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-max-length": 1, "x-max-priority": 5, "x-overflow": "reject-publish"})
    c.call("confirm.select")
    for priority in (1, 5):
        c.publish(priority=priority)
        c.read()
    c.drain()


@scenario
def priorities_returned(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-max-priority": 3})
    for body, priority in (("a", 1), ("b", 2), ("c", 1), ("d", 3)):
        c.publish(body=body, priority=priority)
    c.read()
    for _ in range(4):
        c.get(no_ack=False)
    c.publish(body="e", priority=2)
    c.send("basic.nack", delivery_tag=4, multiple=True, requeue=True)
    c.read()
    c.drain()


@scenario
def priorities_of_255(s: Script) -> None:
    c = s.channel()
    c.queue(arguments={"x-max-priority": 255})
    for priority in (0, 254, 255, 1):
        c.publish(body=str(priority), priority=priority)
    c.read()
    c.drain()


@scenario
def priorities_and_expiry(s: Script) -> None:
    c = s.channel()
    with_dead_letters(c, max_priority=2)
    c.publish(body="low", priority=0, expiration="100")
    c.publish(body="high", priority=2)
    s.wait(EXPIRED_S)
    c.drain("dead", "q")


@scenario
def purge_leaves_unacked(s: Script) -> None:
    c = s.channel()
    with_dead_letters(c)
    for body in "abc":
        c.publish(body=body)
    c.read()
    c.get(no_ack=False)
    c.call("queue.purge", queue="q")
    c.send("basic.reject", delivery_tag=1, requeue=True)
    c.read()
    c.drain("q", "dead")
