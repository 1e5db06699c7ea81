"""Policies, operator policies and limits, all of definitions.json."""

from __future__ import annotations

from typing import TYPE_CHECKING

import wire
from script import Script, scenario

from scenarios.connection import login, started

if TYPE_CHECKING:
    from script import Connection

EXPIRED_S = 0.5


@scenario
def policy_length(s: Script) -> None:
    c = s.channel()
    c.queue("policed-q")
    for body in "abc":
        c.publish("policed-q", body)
    c.read()
    c.drain("policed-q")


@scenario
def policy_and_argument(s: Script) -> None:
    c = s.channel()
    c.queue("policed-less", arguments={"x-max-length": 1})
    c.queue("policed-more", arguments={"x-max-length": 5})
    for queue in ("policed-less", "policed-more"):
        for body in "abc":
            c.publish(queue, body)
        c.read()
        c.drain(queue)


@scenario
def policy_redeclare(s: Script) -> None:
    c = s.channel()
    c.queue("policed-q")
    c.queue("policed-q")
    c.queue("policed-q", arguments={"x-max-length": 2})


@scenario
def policy_dead_letters(s: Script) -> None:
    c = s.channel()
    c.queue("dead")
    c.queue("dying-q")
    c.queue("dying-own", arguments={"x-dead-letter-exchange": "amq.fanout"})
    c.bind("dead", "amq.fanout")
    for queue in ("dying-q", "dying-own"):
        c.publish(queue)
        tag = c.get(queue, no_ack=False)
        c.send("basic.reject", delivery_tag=tag)
        c.read()
        c.drain("dead")


@scenario
def policy_ttl(s: Script) -> None:
    c = s.channel()
    c.queue("fading-q")
    c.queue("fading-longer", arguments={"x-message-ttl": 60_000})
    for queue in ("fading-q", "fading-longer"):
        c.publish(queue)
    s.wait(EXPIRED_S)
    for queue in ("fading-q", "fading-longer"):
        c.queue(queue, passive=True)


@scenario
def policy_expires(s: Script) -> None:
    c = s.channel()
    c.queue("leaving-q")
    s.wait(1.0)
    c.queue("leaving-q", passive=True)


@scenario
def policy_overflow(s: Script) -> None:
    c = s.channel()
    c.queue("full-q")
    c.queue("full-own", arguments={"x-overflow": "drop-head"})
    c.call("confirm.select")
    for queue in ("full-q", "full-own"):
        for body in "ab":
            c.publish(queue, body)
            c.read()
        c.drain(queue)


@scenario
def policy_of_higher_priority(s: Script) -> None:
    c = s.channel()
    c.queue("policed-first-q")
    for body in "abcd":
        c.publish("policed-first-q", body)
    c.read()
    c.drain("policed-first-q")


@scenario
def policy_of_operator(s: Script) -> None:
    c = s.channel()
    c.queue("ruled-q")
    c.queue("ruled-more", arguments={"x-max-length": 5})
    c.queue("ruled-less", arguments={"x-max-length": 1})
    for queue in ("ruled-q", "ruled-more", "ruled-less"):
        for body in "abcd":
            c.publish(queue, body)
        c.read()
        c.drain(queue)


@scenario
def policy_alternate_exchange(s: Script) -> None:
    c = s.channel()
    c.queue()
    c.bind("q", "amq.fanout")
    c.exchange("policed-x")
    c.exchange("policed-x-own", arguments={"alternate-exchange": "nowhere"})
    for exchange in ("policed-x", "policed-x-own"):
        c.publish("k", exchange=exchange, mandatory=True)
        c.read()
    c.drain()


@scenario
def policy_of_exchanges_only(s: Script) -> None:
    c = s.channel()
    c.queue("policed-x-q")
    for body in "abc":
        c.publish("policed-x-q", body)
    c.read()
    c.drain("policed-x-q")


def attempt(s: Script, user: str, vhost: str) -> Connection:
    """Connect up to connection.open, all of it noted down."""
    connection = started(s)
    login(connection, response=f"\0{user}\0{user}")
    connection.send(0, "connection.tune-ok", channel_max=2047, frame_max=131_072)
    connection.call("connection.open", virtual_host=vhost)
    return connection


@scenario
def limit_of_user_connections(s: Script) -> None:
    first = attempt(s, "limited", s.place.vhost)
    s.wait(0.3)
    attempt(s, "limited", s.place.vhost)
    first.close()
    s.wait(0.3)
    attempt(s, "limited", s.place.vhost)


@scenario
def limit_of_user_channels(s: Script) -> None:
    connection = s.connect("channels")
    for number in (1, 2, 3):
        connection.send(number, "channel.open")
        connection.wait_for("channel.open-ok", channel=number)
        s.wait(0.2)


@scenario
def limit_of_vhost_connections(s: Script) -> None:
    attempt(s, "guest", "crowded")
    s.wait(0.3)
    attempt(s, "guest", "crowded")


@scenario
def limit_of_vhost_closed(s: Script) -> None:
    attempt(s, "guest", "closed")


@scenario
def limit_of_vhost_queues(s: Script) -> None:
    c = s.connect(vhost="limited").channel()
    c.queue("one")
    c.queue("two")
    c.queue("two")
    c.queue("three")
    c.queue("")
    c.call("queue.delete", queue="one")
    c.queue("three")


@scenario
def limit_of_message_size(s: Script) -> None:
    c = s.channel()
    c.queue()
    publish = wire.method_payload("basic.publish", {"routing_key": "q"})
    c.frames((1, publish), (2, wire.header_payload(134_217_729, {})), what="128 MiB announced")
    c.read()
