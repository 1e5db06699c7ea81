"""Every scenario with pika's blocking connection."""

from __future__ import annotations

import contextlib
import os
import ssl
import subprocess
import sys
import time

import pika
import pika.credentials
import pika.exceptions

SCENARIOS = {}


def scenario(run):
    """Register a function under its name, written with dashes."""
    SCENARIOS[run.__name__.replace("_", "-")] = run
    return run


def control(word):
    """Have the broker restarted, blocked or unblocked."""
    subprocess.run([os.environ["BROKER_CONTROL"], word], check=True)


def connect(**options):
    """A connection to the local broker."""
    return pika.BlockingConnection(pika.ConnectionParameters("localhost", **options))


def bodies(channel, queue):
    """Everything that is in the queue."""
    found = []
    while (got := channel.basic_get(queue, auto_ack=True))[0]:
        found.append(got[2])
    return found


def until(condition, connection, seconds=10):
    """Serve the connection until something is so."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        connection.process_data_events(time_limit=0.1)
    assert condition(), "it did not happen in time"


class Amqplain:
    """The mechanism AMQPLAIN: a field table with the login."""

    TYPE = "AMQPLAIN"
    erase_on_connect = False

    def response_for(self, start):
        fields = {"LOGIN": "guest", "PASSWORD": "guest"}
        response = b""
        for key, value in fields.items():
            response += bytes([len(key)]) + key.encode()
            response += b"S" + len(value).to_bytes(4, "big") + value.encode()
        return self.TYPE, response

    def erase_credentials(self):
        """Nothing to forget."""


class Anonymous(Amqplain):
    """The mechanism ANONYMOUS."""

    TYPE = "ANONYMOUS"

    def response_for(self, start):
        return self.TYPE, b""


pika.credentials.VALID_TYPES += [Amqplain, Anonymous]


@scenario
def connect_plain(channel):
    properties = channel.connection._impl.server_properties
    assert properties["product"] == "RabbitMQ"
    assert properties["capabilities"]["publisher_confirms"]


@scenario
def connect_amqplain(channel):
    with connect(credentials=Amqplain()) as other:
        assert other.channel().queue_declare("", exclusive=True).method.queue


@scenario
def connect_external(channel):
    context = tls()
    folder = os.environ["CERTIFICATES"]
    context.load_cert_chain(f"{folder}/client.pem", f"{folder}/client.key")
    options = pika.SSLOptions(context, "localhost")
    external = pika.credentials.ExternalCredentials()
    with connect(port=5671, ssl_options=options, credentials=external) as other:
        assert other.channel().queue_declare("", exclusive=True).method.queue


@scenario
def connect_anonymous(channel):
    with connect(credentials=Anonymous()) as other:
        assert other.channel().queue_declare("", exclusive=True).method.queue


@scenario
def connect_refused(channel):
    try:
        connect(credentials=pika.PlainCredentials("guest", "wrong"))
    except pika.exceptions.ProbableAuthenticationError as error:
        assert "(403)" in str(error), error
    else:
        raise AssertionError("it got in")


def tls():
    """A context that trusts the test's authority."""
    return ssl.create_default_context(cafile=f"{os.environ['CERTIFICATES']}/ca.pem")


@scenario
def connect_tls(channel):
    options = pika.SSLOptions(tls(), "localhost")
    with connect(port=5671, ssl_options=options) as other:
        secure = other.channel()
        queue = secure.queue_declare("", exclusive=True).method.queue
        secure.basic_publish("", queue, b"secret")
        assert bodies(secure, queue) == [b"secret"]


@scenario
def topology(channel):
    channel.exchange_declare("pika.exchange", "direct", durable=True)
    channel.queue_declare("pika.queue", durable=True)
    channel.queue_bind("pika.queue", "pika.exchange", "key")
    channel.basic_publish("pika.exchange", "key", b"one")
    channel.queue_unbind("pika.queue", "pika.exchange", "key")
    channel.basic_publish("pika.exchange", "key", b"two")
    assert bodies(channel, "pika.queue") == [b"one"]
    channel.queue_delete("pika.queue")
    channel.exchange_delete("pika.exchange")
    try:
        channel.queue_declare("pika.queue", passive=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        assert error.reply_code == 404
    assert channel.is_closed
    assert channel.connection.is_open


@scenario
def inequivalent(channel):
    channel.queue_declare("pika.kind", exclusive=True)
    try:
        channel.queue_declare("pika.kind", exclusive=True, arguments={"x-max-length": 1})
    except pika.exceptions.ChannelClosedByBroker as error:
        assert error.reply_code == 406
    assert channel.is_closed


def exchange(channel, kind, bindings, **options):
    """An exchange of a type, and a queue for each binding."""
    name = f"pika.{kind}"
    channel.exchange_declare(name, kind, auto_delete=True, **options)
    queues = []
    for binding in bindings:
        queues.append(channel.queue_declare("", exclusive=True).method.queue)
        channel.queue_bind(queues[-1], name, **binding)
    return name, queues


@scenario
def exchange_direct(channel):
    keys = [{"routing_key": "red"}, {"routing_key": "blue"}]
    name, (red, blue) = exchange(channel, "direct", keys)
    for key in ("red", "blue", "green", "red"):
        channel.basic_publish(name, key, key.encode())
    assert bodies(channel, red) == [b"red", b"red"]
    assert bodies(channel, blue) == [b"blue"]


@scenario
def exchange_fanout(channel):
    name, queues = exchange(channel, "fanout", [{}, {}, {}])
    channel.basic_publish(name, "whatever", b"all")
    assert [bodies(channel, queue) for queue in queues] == [[b"all"]] * 3


@scenario
def exchange_topic(channel):
    name, (queue,) = exchange(channel, "topic", [{"routing_key": "*.red.#"}])
    for key in ("a.red", "a.blue", "b.red.x.y", "red"):
        channel.basic_publish(name, key, key.encode())
    assert bodies(channel, queue) == [b"a.red", b"b.red.x.y"]


@scenario
def exchange_headers(channel):
    wanted = {"x-match": "all", "colour": "red", "size": 3}
    name, (queue,) = exchange(channel, "headers", [{"arguments": wanted}])
    for headers in ({"colour": "red", "size": 3, "more": 1}, {"colour": "red"}, {}):
        body = str(len(headers)).encode()
        channel.basic_publish(name, "", body, pika.BasicProperties(headers=headers))
    assert bodies(channel, queue) == [b"3"]


@scenario
def exchange_binding(channel):
    inner, (queue,) = exchange(channel, "fanout", [{}])
    channel.exchange_declare("pika.outer", "direct", auto_delete=True)
    channel.exchange_bind(inner, "pika.outer", "through")
    channel.basic_publish("pika.outer", "through", b"in")
    channel.basic_publish("pika.outer", "past", b"out")
    assert bodies(channel, queue) == [b"in"]


@scenario
def alternate_exchange(channel):
    other, (queue,) = exchange(channel, "fanout", [{}])
    name, _ = exchange(channel, "direct", [], arguments={"alternate-exchange": other})
    channel.basic_publish(name, "nobody", b"caught")
    assert bodies(channel, queue) == [b"caught"]
    channel.exchange_delete(name)


@scenario
def properties(channel):
    sent = pika.BasicProperties(
        content_type="application/json",
        content_encoding="utf-8",
        headers={"text": "größe", "int": 42, "long": 1 << 40, "yes": True, "list": [1, {"a": 2}]},
        delivery_mode=2,
        priority=3,
        correlation_id="c1",
        reply_to="answers",
        expiration="60000",
        message_id="m1",
        timestamp=1_700_000_000,
        type="order",
        user_id="guest",
        app_id="pika",
    )
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.basic_publish("", queue, b"{}", sent)
    assert channel.basic_get(queue, auto_ack=True)[1] == sent


@scenario
def get(channel):
    queue = channel.queue_declare("", exclusive=True).method.queue
    for body in (b"1", b"2"):
        channel.basic_publish("", queue, body)
    first, _, body = channel.basic_get(queue)
    assert (body, first.message_count) == (b"1", 1)
    channel.basic_ack(first.delivery_tag)
    assert bodies(channel, queue) == [b"2"]
    assert channel.basic_get(queue) == (None, None, None)


@scenario
def consume_ack(channel):
    channel.queue_declare("pika.consumed")
    for number in range(100):
        channel.basic_publish("", "pika.consumed", b"%d" % number)
    heard = []
    for method, _, body in channel.consume("pika.consumed", inactivity_timeout=5):
        assert method, "nothing more came"
        heard.append(body)
        channel.basic_ack(method.delivery_tag)
        if len(heard) == 100:
            break
    channel.cancel()
    assert heard == [b"%d" % number for number in range(100)]
    assert channel.queue_delete("pika.consumed").method.message_count == 0


@scenario
def requeue(channel):
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.basic_publish("", queue, b"again")
    first = channel.basic_get(queue)[0]
    assert not first.redelivered
    channel.basic_nack(first.delivery_tag, requeue=True)
    second = channel.basic_get(queue)[0]
    assert second.redelivered
    channel.basic_reject(second.delivery_tag, requeue=False)
    assert bodies(channel, queue) == []


@scenario
def confirms(channel):
    channel.confirm_delivery()
    queue = channel.queue_declare("pika.confirmed", durable=True).method.queue
    for number in range(1000):
        persistent = pika.BasicProperties(delivery_mode=2)
        channel.basic_publish("", queue, b"%d" % number, persistent)
    assert channel.queue_delete(queue).method.message_count == 1000


@scenario
def mandatory_return(channel):
    channel.confirm_delivery()
    try:
        channel.basic_publish("", "pika.nowhere", b"back", mandatory=True)
    except pika.exceptions.UnroutableError as error:
        assert error.messages[0].method.reply_code == 312
        assert error.messages[0].body == b"back"
    else:
        raise AssertionError("it was not returned")


@scenario
def prefetch(channel):
    queue = channel.queue_declare("", exclusive=True).method.queue
    for number in range(20):
        channel.basic_publish("", queue, b"%d" % number)
    tags = []
    channel.basic_qos(prefetch_count=5)
    channel.basic_consume(queue, lambda _channel, method, *_: tags.append(method.delivery_tag))
    until(lambda: len(tags) == 5, channel.connection)
    channel.connection.process_data_events(time_limit=0.3)
    assert len(tags) == 5
    channel.basic_ack(tags[-1], multiple=True)
    until(lambda: len(tags) == 10, channel.connection)


@scenario
def ttl(channel):
    plain = channel.queue_declare("", exclusive=True).method.queue
    short = channel.queue_declare("", exclusive=True, arguments={"x-message-ttl": 50}).method.queue
    channel.basic_publish("", plain, b"gone", pika.BasicProperties(expiration="50"))
    channel.basic_publish("", plain, b"stays")
    channel.basic_publish("", short, b"gone")
    channel.connection.sleep(0.4)
    assert bodies(channel, plain) == [b"stays"]
    assert bodies(channel, short) == []


@scenario
def dead_letter(channel):
    name, (dead,) = exchange(channel, "fanout", [{}])
    arguments = {"x-dead-letter-exchange": name, "x-dead-letter-routing-key": "dead"}
    channel.queue_declare("pika.alive", exclusive=True, arguments=arguments)
    channel.basic_publish("", "pika.alive", b"bad")
    channel.basic_reject(channel.basic_get("pika.alive")[0].delivery_tag, requeue=False)
    until(
        lambda: channel.queue_declare(dead, passive=True).method.message_count, channel.connection
    )
    method, sent, body = channel.basic_get(dead, auto_ack=True)
    death = sent.headers["x-death"][0]
    assert (body, method.routing_key) == (b"bad", "dead")
    assert (death["queue"], death["reason"], death["count"]) == ("pika.alive", "rejected", 1)
    assert sent.headers["x-first-death-reason"] == "rejected"


@scenario
def priority(channel):
    queue = channel.queue_declare("", exclusive=True, arguments={"x-max-priority": 5}).method.queue
    for number, level in enumerate([1, 5, 0, 5, 3]):
        sent = pika.BasicProperties(priority=level)
        channel.basic_publish("", queue, f"{level}{number}".encode(), sent)
    assert bodies(channel, queue) == [b"51", b"53", b"34", b"10", b"02"]


@scenario
def max_length(channel):
    arguments = {"x-max-length": 3, "x-overflow": "reject-publish"}
    queue = channel.queue_declare("", exclusive=True, arguments=arguments).method.queue
    channel.confirm_delivery()
    for number in range(3):
        channel.basic_publish("", queue, b"%d" % number)
    try:
        channel.basic_publish("", queue, b"3")
    except pika.exceptions.NackError:
        assert bodies(channel, queue) == [b"0", b"1", b"2"]
    else:
        raise AssertionError("the fourth message was confirmed")


@scenario
def quorum(channel):
    name, (dead,) = exchange(channel, "fanout", [{}])
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 2, "x-dead-letter-exchange": name}
    queue = channel.queue_declare("pika.quorum", durable=True, arguments=arguments).method.queue
    channel.confirm_delivery()
    channel.basic_publish("", queue, b"poison", pika.BasicProperties(delivery_mode=2))
    counts = []
    for method, sent, _ in channel.consume(queue, inactivity_timeout=5):
        assert method, f"after {counts} nothing more came"
        counts.append((sent.headers or {}).get("x-delivery-count"))
        channel.basic_reject(method.delivery_tag, requeue=True)
        if len(counts) == 3:
            break
    assert counts == [None, 1, 2], counts
    until(
        lambda: channel.queue_declare(dead, passive=True).method.message_count, channel.connection
    )
    sent = channel.basic_get(dead, auto_ack=True)[1]
    assert sent.headers["x-death"][0]["reason"] == "delivery_limit"
    channel.cancel()
    channel.queue_delete(queue)


@scenario
def stream(channel):
    arguments = {"x-queue-type": "stream"}
    queue = channel.queue_declare("pika.stream", durable=True, arguments=arguments).method.queue
    channel.confirm_delivery()
    for number in range(10):
        channel.basic_publish("", queue, b"%d" % number)
    channel.basic_qos(prefetch_count=100)
    for offset, expected in ((5, [5, 6, 7, 8, 9]), ("first", list(range(10)))):
        read = []
        for method, sent, body in channel.consume(
            queue, inactivity_timeout=5, arguments={"x-stream-offset": offset}
        ):
            assert method, f"from {offset} only {read} came"
            read.append(sent.headers["x-stream-offset"])
            assert body == b"%d" % read[-1]
            channel.basic_ack(method.delivery_tag)
            if len(read) == len(expected):
                break
        channel.cancel()
        assert read == expected, read
    channel.queue_delete(queue)


@scenario
def rpc(channel):
    requests = channel.queue_declare("", exclusive=True).method.queue
    answers = []

    def serve(serving, method, sent, body):
        reply = pika.BasicProperties(correlation_id=sent.correlation_id)
        serving.basic_publish("", sent.reply_to, body.upper(), reply)

    def answered(_channel, _method, sent, body):
        answers.append((sent.correlation_id, body))

    channel.basic_consume(requests, serve, auto_ack=True)
    channel.basic_consume("amq.rabbitmq.reply-to", answered, auto_ack=True)
    ask = pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id="7")
    channel.basic_publish("", requests, b"hello", ask)
    until(lambda: answers, channel.connection)
    assert answers == [("7", b"HELLO")]


@scenario
def consumer_cancel(channel):
    queue = channel.queue_declare("pika.cancelled").method.queue
    cancelled = []
    channel.add_on_cancel_callback(cancelled.append)
    tag = channel.basic_consume(queue, lambda *_: None)
    with connect() as other:
        other.channel().queue_delete(queue)
    until(lambda: cancelled, channel.connection)
    assert cancelled[0].method.consumer_tag == tag


@scenario
def single_active(channel):
    arguments = {"x-single-active-consumer": True}
    queue = channel.queue_declare("", exclusive=True, arguments=arguments).method.queue
    first, second = [], []
    tag = channel.basic_consume(queue, lambda *got: first.append(got[3]), auto_ack=True)
    channel.basic_consume(queue, lambda *got: second.append(got[3]), auto_ack=True)
    for body in (b"1", b"2"):
        channel.basic_publish("", queue, body)
    until(lambda: len(first) == 2, channel.connection)
    channel.basic_cancel(tag)
    channel.basic_publish("", queue, b"3")
    until(lambda: second, channel.connection)
    assert (first, second) == ([b"1", b"2"], [b"3"])


@scenario
def exclusive(channel):
    with connect() as other:
        other.channel().queue_declare("pika.mine", exclusive=True)
        try:
            channel.queue_declare("pika.mine", passive=True)
        except pika.exceptions.ChannelClosedByBroker as error:
            assert error.reply_code == 405
        assert channel.is_closed


@scenario
def tx(channel):
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.tx_select()
    channel.basic_publish("", queue, b"no")
    channel.tx_rollback()
    channel.basic_publish("", queue, b"yes")
    channel.tx_commit()
    assert bodies(channel, queue) == [b"yes"]


@scenario
def large_body(channel):
    queue = channel.queue_declare("", exclusive=True).method.queue
    body = os.urandom(1 << 20) * 8
    channel.basic_publish("", queue, body)
    assert bodies(channel, queue) == [body]


@scenario
def order(channel):
    queue = channel.queue_declare("", exclusive=True).method.queue
    for number in range(10_000):
        channel.basic_publish("", queue, b"%d" % number)
    channel.basic_qos(prefetch_count=200)
    for number, (method, _, body) in enumerate(channel.consume(queue, inactivity_timeout=10)):
        assert method, f"after {number} nothing more came"
        assert body == b"%d" % number
        channel.basic_ack(method.delivery_tag)
        if number == 9_999:
            break
    channel.cancel()


@scenario
def blocked(channel):
    seen = []
    with connect() as other:
        other.add_on_connection_blocked_callback(lambda *_: seen.append("blocked"))
        other.add_on_connection_unblocked_callback(lambda *_: seen.append("unblocked"))
        publishing = other.channel()
        control("block")
        try:
            for _ in range(100):
                if seen:
                    break
                publishing.basic_publish("", "pika.nowhere", b"x")
                other.process_data_events(time_limit=0.3)
        finally:
            control("unblock")
        until(lambda: seen == ["blocked", "unblocked"], other, 30)


@scenario
def reconnect(channel):
    heard = []

    def hear(again, _method, _properties, body):
        heard.append(body)
        if body == b"before":
            control("restart")
        else:
            again.stop_consuming()

    # pika leaves recovery to a loop of the application's: this is that of its documentation.
    for body in (b"before", b"after"):
        connection = connect(connection_attempts=20, retry_delay=0.5)
        again = connection.channel()
        again.exchange_declare("pika.again", "direct", durable=True)
        again.queue_declare("pika.again", durable=True)
        again.queue_bind("pika.again", "pika.again", "key")
        again.basic_publish("pika.again", "key", body)
        again.basic_consume("pika.again", hear, auto_ack=True)
        try:
            again.start_consuming()
        except pika.exceptions.AMQPConnectionError:
            continue
        connection.close()
    assert heard == [b"before", b"after"]


def main():
    """Run all scenarios, or those that are named."""
    for name in sys.argv[1:] or SCENARIOS:
        try:
            connection = connect()
            SCENARIOS[name](connection.channel())
            with contextlib.suppress(pika.exceptions.AMQPError):
                connection.close()
            print(f"ok {name}")
        except Exception as error:
            print(f"not ok {name} - {type(error).__name__} {error}".replace("\n", " "))


if __name__ == "__main__":
    main()
