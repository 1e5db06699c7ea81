"""Every scenario with Kombu on py-amqp: what Celery stands on."""

from __future__ import annotations

import contextlib
import os
import ssl
import subprocess
import sys
import threading
import time

import amqp.exceptions
from amqp.sasl import RAW
from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.common import eventloop
from kombu.mixins import ConsumerMixin

SCENARIOS = {}
URI = "amqp://guest:guest@localhost//"
CERTIFICATES = os.environ["CERTIFICATES"]


def scenario(run):
    """Register a function under its name, written with dashes."""
    SCENARIOS[run.__name__.replace("_", "-")] = run
    return run


def control(word):
    """Have the broker restarted, blocked or unblocked."""
    subprocess.run([os.environ["BROKER_CONTROL"], word], check=True)


def temporary(channel, exchange=None, key="", name="", **options):
    """A declared queue of this connection's own."""
    queue = Queue(name, exchange, key, exclusive=True, durable=False, **options)(channel)
    queue.declare()
    return queue


def transient(name, kind, channel, **options):
    """A declared exchange."""
    exchange = Exchange(name, kind, durable=False, auto_delete=True, **options)(channel)
    exchange.declare()
    return exchange


def send(channel, queue, body, **properties):
    """Publish to a queue; bytes go as they are."""
    Producer(channel).publish(body, routing_key=queue.name, **properties)


def bodies(queue):
    """Everything that is in the queue."""
    found = []
    while message := queue.get(no_ack=True):
        body = message.body
        found.append(body.decode() if isinstance(body, bytes) else body)
    return found


def until(condition, connection, seconds=10):
    """Serve the connection until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        try:
            connection.drain_events(timeout=0.1)
        except TimeoutError:
            continue


def letter(queue):
    """The first message in a queue that nobody consumes."""
    for _ in range(100):
        if message := queue.get(no_ack=True):
            return message
        time.sleep(0.1)
    raise AssertionError("no dead letter")


def works(**options):
    """A second connection is of use."""
    with Connection(URI, **options) as connection:
        channel = connection.channel()
        queue = temporary(channel)
        send(channel, queue, "secret")
        assert bodies(queue) == ["secret"]


@scenario
def connect_plain(channel):
    assert channel.connection.server_properties["product"] == "RabbitMQ"
    works(login_method="PLAIN")


@scenario
def connect_amqplain(channel):
    works(login_method="AMQPLAIN")


def trusting(**more):
    """TLS that trusts the test's authority."""
    return {"ca_certs": f"{CERTIFICATES}/ca.pem", "cert_reqs": ssl.CERT_REQUIRED, **more}


@scenario
def connect_tls(channel):
    works(port=5671, ssl=trusting())


@scenario
def connect_external(channel):
    own = {"certfile": f"{CERTIFICATES}/client.pem", "keyfile": f"{CERTIFICATES}/client.key"}
    works(port=5671, ssl=trusting(**own), login_method="EXTERNAL")


@scenario
def connect_anonymous(channel):
    works(transport_options={"authentication": RAW(b"ANONYMOUS", b"")})


@scenario
def connect_refused(channel):
    try:
        Connection("amqp://guest:wrong@localhost//").connect()
    except amqp.exceptions.AccessRefused as error:
        assert error.reply_code == 403
    else:
        raise AssertionError("it got in")


@scenario
def topology(channel):
    exchange = Exchange("kombu.exchange", "direct", durable=True)(channel)
    queue = Queue("kombu.queue", exchange, "key", durable=True)(channel)
    queue.declare()
    producer = Producer(channel, exchange)
    producer.publish("one", routing_key="key")
    queue.unbind_from(exchange, "key")
    producer.publish("two", routing_key="key")
    assert bodies(queue) == ["one"]
    queue.delete()
    exchange.delete()
    try:
        queue.queue_declare(passive=True)
    except amqp.exceptions.NotFound as error:
        assert error.reply_code == 404
    else:
        raise AssertionError("it is there")
    assert channel.connection.connected


@scenario
def inequivalent(channel):
    temporary(channel, name="kombu.kind")
    try:
        temporary(channel, name="kombu.kind", max_length=1)
    except amqp.exceptions.PreconditionFailed as error:
        assert error.reply_code == 406
    else:
        raise AssertionError("it was allowed")


@scenario
def exchange_direct(channel):
    exchange = transient("kombu.direct", "direct", channel)
    red, blue = temporary(channel, exchange, "red"), temporary(channel, exchange, "blue")
    for key in ("red", "blue", "green", "red"):
        Producer(channel, exchange).publish(key, routing_key=key)
    assert bodies(red) == ["red", "red"]
    assert bodies(blue) == ["blue"]


@scenario
def exchange_fanout(channel):
    exchange = transient("kombu.fanout", "fanout", channel)
    queues = [temporary(channel, exchange) for _ in range(3)]
    Producer(channel, exchange).publish("all", routing_key="whatever")
    assert [bodies(queue) for queue in queues] == [["all"]] * 3


@scenario
def exchange_topic(channel):
    exchange = transient("kombu.topic", "topic", channel)
    queue = temporary(channel, exchange, "*.red.#")
    for key in ("a.red", "a.blue", "b.red.x.y", "red"):
        Producer(channel, exchange).publish(key, routing_key=key)
    assert bodies(queue) == ["a.red", "b.red.x.y"]


@scenario
def exchange_headers(channel):
    exchange = transient("kombu.headers", "headers", channel)
    wanted = {"x-match": "all", "colour": "red", "size": 3}
    queue = temporary(channel, exchange, binding_arguments=wanted)
    for headers in ({"colour": "red", "size": 3, "more": 1}, {"colour": "red"}, {}):
        Producer(channel, exchange).publish(str(len(headers)), headers=headers)
    assert bodies(queue) == ["3"]


@scenario
def exchange_binding(channel):
    inner = transient("kombu.inner", "fanout", channel)
    outer = transient("kombu.outer", "direct", channel)
    inner.bind_to(outer, "through")
    queue = temporary(channel, inner)
    Producer(channel, outer).publish("in", routing_key="through")
    Producer(channel, outer).publish("out", routing_key="past")
    assert bodies(queue) == ["in"]


@scenario
def alternate_exchange(channel):
    other = transient("kombu.other", "fanout", channel)
    arguments = {"alternate-exchange": "kombu.other"}
    exchange = transient("kombu.main", "direct", channel, arguments=arguments)
    queue = temporary(channel, other)
    Producer(channel, exchange).publish("caught", routing_key="nobody")
    assert bodies(queue) == ["caught"]


@scenario
def properties(channel):
    sent = {
        "headers": {
            "text": "größe",
            "int": 42,
            "long": 1 << 40,
            "yes": True,
            "list": [1, {"a": 2}],
        },
        "delivery_mode": 2,
        "priority": 3,
        "correlation_id": "c1",
        "reply_to": "answers",
        "expiration": 60,
        "message_id": "m1",
        "type": "order",
        "user_id": "guest",
        "app_id": "kombu",
    }
    queue = temporary(channel)
    send(channel, queue, {"order": 1}, serializer="json", **sent)
    message = queue.get(no_ack=True)
    seen = {**message.properties, "headers": message.headers}
    assert {name: seen[name] for name in sent} == {**sent, "expiration": "60000"}, seen
    assert message.content_type == "application/json"
    assert message.content_encoding == "utf-8"
    assert message.payload == {"order": 1}


@scenario
def get(channel):
    queue = temporary(channel)
    send(channel, queue, "1")
    send(channel, queue, "2")
    first = queue.get()
    assert (first.payload, first.delivery_info["message_count"]) == ("1", 1)
    first.ack()
    assert bodies(queue) == ["2"]
    assert queue.get() is None


def listening(channel, queue, **options):
    """A consumer of a queue that is declared already: the broker's own names may not be again."""
    return Consumer(channel, [queue], auto_declare=False, **options)


def in_order(channel, queue, count):
    """Publish numbers and consume them again, each acknowledged."""
    for number in range(count):
        send(channel, queue, str(number))
    heard = []

    def hear(body, message):
        heard.append(int(body))
        message.ack()

    with listening(channel, queue, callbacks=[hear], prefetch_count=200):
        for _ in eventloop(channel.connection.client, timeout=10, limit=count):
            continue
        until(lambda: len(heard) == count, channel.connection.client)
    assert heard == list(range(count))


@scenario
def consume_ack(channel):
    queue = Queue("kombu.consumed", durable=False)(channel)
    queue.declare()
    in_order(channel, queue, 100)
    assert queue.delete() == 0


@scenario
def requeue(channel):
    queue = temporary(channel)
    send(channel, queue, "again")
    first = queue.get()
    first.requeue()
    second = queue.get()
    assert not first.delivery_info["redelivered"]
    assert second.delivery_info["redelivered"]
    second.reject()
    assert bodies(queue) == []


@scenario
def confirms(channel):
    with Connection(URI, transport_options={"confirm_publish": True}) as connection:
        confirming = connection.channel()
        queue = Queue("kombu.confirmed", durable=True)(confirming)
        queue.declare()
        for number in range(1000):
            send(confirming, queue, str(number), delivery_mode=2)
        assert queue.delete() == 1000


@scenario
def mandatory_return(channel):
    returned = []
    producer = Producer(channel, on_return=lambda *got: returned.append(got))
    producer.publish("back", routing_key="kombu.nowhere", mandatory=True)
    until(lambda: returned, channel.connection.client)
    error, _exchange, _key, message = returned[0]
    assert error.reply_code == 312
    assert message.body in ("back", b"back")


@scenario
def prefetch(channel):
    queue = temporary(channel)
    for number in range(20):
        send(channel, queue, str(number))
    arrived = []
    with listening(channel, queue, on_message=arrived.append, prefetch_count=5):
        client = channel.connection.client
        until(lambda: len(arrived) == 5, client)
        with contextlib.suppress(TimeoutError):
            client.drain_events(timeout=0.3)
        assert len(arrived) == 5
        arrived[4].ack(multiple=True)
        until(lambda: len(arrived) == 10, client)


@scenario
def ttl(channel):
    plain, brief = temporary(channel), temporary(channel, message_ttl=0.05)
    send(channel, plain, "gone", expiration=0.05)
    send(channel, plain, "stays")
    send(channel, brief, "gone")
    time.sleep(0.4)
    assert bodies(plain) == ["stays"]
    assert bodies(brief) == []


@scenario
def dead_letter(channel):
    dead = temporary(channel, transient("kombu.dlx", "fanout", channel))
    arguments = {"x-dead-letter-exchange": "kombu.dlx", "x-dead-letter-routing-key": "dead"}
    queue = temporary(channel, name="kombu.alive", queue_arguments=arguments)
    send(channel, queue, "bad")
    queue.get().reject()
    message = letter(dead)
    death = message.headers["x-death"][0]
    assert message.delivery_info["routing_key"] == "dead"
    assert (death["queue"], death["reason"], death["count"]) == ("kombu.alive", "rejected", 1)


@scenario
def priority(channel):
    queue = temporary(channel, max_priority=5)
    for number, level in enumerate([1, 5, 0, 5, 3]):
        send(channel, queue, f"{level}{number}", priority=level)
    assert bodies(queue) == ["51", "53", "34", "10", "02"]


@scenario
def max_length(_channel):
    with Connection(URI, transport_options={"confirm_publish": True}) as connection:
        confirming = connection.channel()
        arguments = {"x-max-length": 3, "x-overflow": "reject-publish"}
        queue = temporary(confirming, queue_arguments=arguments)
        for number in range(3):
            send(confirming, queue, str(number))
        try:
            send(confirming, queue, "3")
        except amqp.exceptions.MessageNacked:
            assert bodies(queue) == ["0", "1", "2"]
        else:
            raise AssertionError("the fourth message was confirmed")


@scenario
def quorum(channel):
    dead = temporary(channel, transient("kombu.dlx", "fanout", channel))
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": 2,
        "x-dead-letter-exchange": "kombu.dlx",
    }
    queue = Queue("kombu.quorum", durable=True, queue_arguments=arguments)(channel)
    queue.declare()
    send(channel, queue, "poison", delivery_mode=2)
    counts = []

    def hear(message):
        counts.append(message.headers.get("x-delivery-count", 0))
        message.requeue()

    with Consumer(channel, [queue], on_message=hear):
        until(lambda: len(counts) == 3, channel.connection.client)
    assert counts == [0, 1, 2], counts
    assert letter(dead).headers["x-death"][0]["reason"] == "delivery_limit"
    queue.delete()


@scenario
def stream(channel):
    arguments = {"x-queue-type": "stream"}
    queue = Queue("kombu.stream", durable=True, queue_arguments=arguments)(channel)
    queue.declare()
    for number in range(10):
        send(channel, queue, str(number))
    client = channel.connection.client
    for offset, expected in ((5, list(range(5, 10))), ("first", list(range(10)))):
        read = []

        def hear(message, read=read):
            read.append((message.headers["x-stream-offset"], message.payload))
            message.ack()

        reading = client.channel()
        stream = Queue(
            "kombu.stream",
            durable=True,
            queue_arguments=arguments,
            consumer_arguments={"x-stream-offset": offset},
        )(reading)
        with Consumer(reading, [stream], on_message=hear, prefetch_count=100):
            until(lambda read=read, expected=expected: len(read) == len(expected), client)
        assert read == [(number, str(number)) for number in expected], read
        reading.close()
    queue.delete()


@scenario
def rpc(channel):
    requests = temporary(channel)
    # The name is the broker's; it is consumed, never declared.
    replies = Queue("amq.rabbitmq.reply-to", no_ack=True, no_declare=True)
    answers = []

    def serve(body, message):
        answer = {"routing_key": message.properties["reply_to"], "serializer": "json"}
        correlation = message.properties["correlation_id"]
        Producer(channel).publish(body.upper(), correlation_id=correlation, **answer)
        message.ack()

    def answered(body, message):
        answers.append((message.properties["correlation_id"], body))

    with (
        listening(channel, replies, callbacks=[answered], no_ack=True),
        listening(channel, requests, callbacks=[serve]),
    ):
        send(channel, requests, "hello", reply_to="amq.rabbitmq.reply-to", correlation_id="7")
        until(lambda: answers, channel.connection.client)
    assert answers == [("7", "HELLO")]


@scenario
def consumer_cancel(channel):
    queue = Queue("kombu.cancelled", durable=False)(channel)
    queue.declare()
    cancelled = []
    # py-amqp ends with an exception unless the consumer wants to hear of it.
    channel.basic_consume(
        queue.name, callback=print, on_cancel=cancelled.append, consumer_tag="mine"
    )
    with Connection(URI) as other:
        queue(other.channel()).delete()
    until(lambda: cancelled, channel.connection.client)
    assert cancelled == ["mine"]


@scenario
def single_active(channel):
    queue = temporary(channel, queue_arguments={"x-single-active-consumer": True})
    first, second = [], []
    one = listening(channel, queue, callbacks=[lambda body, _: first.append(body)], no_ack=True)
    other = listening(channel, queue, callbacks=[lambda body, _: second.append(body)], no_ack=True)
    one.consume()
    other.consume()
    client = channel.connection.client
    send(channel, queue, "1")
    send(channel, queue, "2")
    until(lambda: len(first) == 2, client)
    one.cancel()
    send(channel, queue, "3")
    until(lambda: second, client)
    assert (first, second) == (["1", "2"], ["3"])


@scenario
def exclusive(channel):
    with Connection(URI) as other:
        temporary(other.channel(), name="kombu.mine")
        try:
            temporary(channel, name="kombu.mine")
        except amqp.exceptions.ResourceLocked as error:
            assert error.reply_code == 405
        else:
            raise AssertionError("it was allowed")


@scenario
def tx(channel):
    queue = temporary(channel)
    channel.tx_select()
    send(channel, queue, "no")
    channel.tx_rollback()
    send(channel, queue, "yes")
    channel.tx_commit()
    assert bodies(queue) == ["yes"]


@scenario
def large_body(channel):
    queue = temporary(channel)
    body = os.urandom(1 << 20) * 8
    send(channel, queue, body, content_type="application/data", content_encoding="binary")
    assert bytes(queue.get(no_ack=True).body) == body


@scenario
def order(channel):
    in_order(channel, temporary(channel), 10_000)


@scenario
def blocked(channel):
    seen = []
    with Connection(URI) as connection:
        connection.connect()
        connection.connection.on_blocked = lambda reason: seen.append("blocked")
        connection.connection.on_unblocked = lambda: seen.append("unblocked")
        publishing = connection.channel()
        control("block")
        try:
            for _ in range(100):
                # A connection that knows that it is blocked publishes nothing.
                if "blocked" in seen:
                    break
                Producer(publishing).publish("x", routing_key="kombu.nowhere")
                try:
                    connection.drain_events(timeout=0.3)
                except TimeoutError:
                    continue
        finally:
            control("unblock")
        until(lambda: seen == ["blocked", "unblocked"], connection, 30)


class Worker(ConsumerMixin):
    """Kombu's own loop: it connects again, declares again and consumes again."""

    def __init__(self, connection, queue):
        self.connection = connection
        self.queue = queue
        self.heard = []

    def get_consumers(self, Consumer, channel):
        return [Consumer([self.queue], callbacks=[self.hear])]

    def hear(self, body, message):
        self.heard.append(body)
        message.ack()


@scenario
def reconnect(channel):
    exchange = Exchange("kombu.again", "direct", durable=True)
    queue = Queue("kombu.again", exchange, "key", durable=True)
    worker = Worker(Connection(URI, heartbeat=5), queue)
    running = threading.Thread(target=worker.run, daemon=True)
    running.start()
    with Connection(URI) as publishing:
        for body in ("before", "after"):
            options = {"exchange": exchange, "routing_key": "key", "declare": [queue]}
            publishing.Producer().publish(body, retry=True, **options)
            for _ in range(200):
                if body in worker.heard:
                    break
                time.sleep(0.1)
            assert body in worker.heard
            if body == "before":
                control("restart")
    worker.should_stop = True
    running.join(10)


def main():
    """Run all scenarios, or those that are named."""
    for name in sys.argv[1:] or SCENARIOS:
        connection = Connection(URI)
        try:
            SCENARIOS[name](connection.channel())
            print(f"ok {name}")
        except Exception as error:
            print(f"not ok {name} - {type(error).__name__} {error}".replace("\n", " "))
        try:
            connection.release()
        except Exception as error:
            print(f"# {name}: {error}")


if __name__ == "__main__":
    main()
