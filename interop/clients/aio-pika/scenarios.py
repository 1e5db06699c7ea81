"""Every scenario with aio-pika."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import sys
from datetime import UTC, datetime

import aio_pika
from aio_pika import ExchangeType, Message
from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    ChannelClosed,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    ProbableAuthenticationError,
    QueueEmpty,
)
from aio_pika.patterns import RPC

SCENARIOS = {}
URI = "amqp://guest:guest@localhost/"
CERTIFICATES = os.environ["CERTIFICATES"]


def scenario(run):
    """Register a function under its name, written with dashes."""
    SCENARIOS[run.__name__.replace("_", "-")] = run
    return run


async def control(word):
    """Have the broker restarted, blocked or unblocked."""
    process = await asyncio.create_subprocess_exec(os.environ["BROKER_CONTROL"], word)
    assert await process.wait() == 0


async def temporary(channel, **arguments):
    """A queue of this connection's own."""
    named = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return await channel.declare_queue(exclusive=True, arguments=named)


async def bound(channel, exchange, key="", **options):
    """A queue with one binding."""
    queue = await temporary(channel)
    await queue.bind(exchange, key, **options)
    return queue


async def send(channel, queue, body, **properties):
    """Publish to a queue."""
    message = Message(body, **properties)
    return await channel.default_exchange.publish(message, queue.name)


async def bodies(queue):
    """Everything that is in the queue."""
    found = []
    while message := await queue.get(no_ack=True, fail=False):
        found.append(message.body)
    return found


async def until(condition, seconds=10):
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def letter(queue):
    """The first message in a queue that nobody consumes."""
    async with asyncio.timeout(10):
        while (message := await queue.get(no_ack=True, fail=False)) is None:
            await asyncio.sleep(0.1)
        return message


async def works(uri, **options):
    """A second connection is of use."""
    async with await aio_pika.connect(uri, **options) as connection:
        channel = await connection.channel()
        queue = await temporary(channel)
        await send(channel, queue, b"secret")
        assert await bodies(queue) == [b"secret"]


@scenario
async def connect_plain(channel):
    connection = (await channel.get_underlay_channel()).connection
    assert connection.server_properties["product"] == "RabbitMQ"
    await works(URI)


@scenario
async def connect_refused(channel):
    try:
        await aio_pika.connect("amqp://guest:wrong@localhost/")
    except ProbableAuthenticationError as error:
        assert "ACCESS_REFUSED" in str(error), error
    else:
        raise AssertionError("it got in")


@scenario
async def connect_tls(channel):
    context = ssl.create_default_context(cafile=f"{CERTIFICATES}/ca.pem")
    await works("amqps://guest:guest@localhost/", ssl_context=context)


@scenario
async def connect_external(channel):
    context = ssl.create_default_context(cafile=f"{CERTIFICATES}/ca.pem")
    context.load_cert_chain(f"{CERTIFICATES}/client.pem", f"{CERTIFICATES}/client.key")
    await works("amqps://localhost/?auth=external", ssl_context=context)


@scenario
async def topology(channel):
    exchange = await channel.declare_exchange("aio.exchange", durable=True)
    queue = await channel.declare_queue("aio.queue", durable=True)
    await queue.bind(exchange, "key")
    await exchange.publish(Message(b"one"), "key")
    await queue.unbind(exchange, "key")
    await exchange.publish(Message(b"two"), "key", mandatory=False)
    assert await bodies(queue) == [b"one"]
    await queue.delete()
    await exchange.delete()
    try:
        await channel.declare_queue("aio.queue", passive=True)
    except ChannelNotFoundEntity as error:
        assert "NOT_FOUND" in str(error)
    else:
        raise AssertionError("it is there")
    assert channel.is_closed


@scenario
async def inequivalent(channel):
    await channel.declare_queue("aio.kind", exclusive=True)
    try:
        await channel.declare_queue("aio.kind", exclusive=True, arguments={"x-max-length": 1})
    except ChannelPreconditionFailed as error:
        assert "PRECONDITION_FAILED" in str(error)
    else:
        raise AssertionError("it was allowed")


@scenario
async def exchange_direct(channel):
    exchange = await channel.declare_exchange("aio.direct", ExchangeType.DIRECT)
    red, blue = await bound(channel, exchange, "red"), await bound(channel, exchange, "blue")
    for key in ("red", "blue", "green", "red"):
        await exchange.publish(Message(key.encode()), key, mandatory=False)
    assert await bodies(red) == [b"red", b"red"]
    assert await bodies(blue) == [b"blue"]


@scenario
async def exchange_fanout(channel):
    exchange = await channel.declare_exchange("aio.fanout", ExchangeType.FANOUT)
    queues = [await bound(channel, exchange) for _ in range(3)]
    await exchange.publish(Message(b"all"), "whatever")
    assert [await bodies(queue) for queue in queues] == [[b"all"]] * 3


@scenario
async def exchange_topic(channel):
    exchange = await channel.declare_exchange("aio.topic", ExchangeType.TOPIC)
    queue = await bound(channel, exchange, "*.red.#")
    for key in ("a.red", "a.blue", "b.red.x.y", "red"):
        await exchange.publish(Message(key.encode()), key, mandatory=False)
    assert await bodies(queue) == [b"a.red", b"b.red.x.y"]


@scenario
async def exchange_headers(channel):
    exchange = await channel.declare_exchange("aio.headers", ExchangeType.HEADERS)
    wanted = {"x-match": "all", "colour": "red", "size": 3}
    queue = await bound(channel, exchange, arguments=wanted)
    for headers in ({"colour": "red", "size": 3, "more": 1}, {"colour": "red"}, {}):
        message = Message(b"%d" % len(headers), headers=headers)
        await exchange.publish(message, "", mandatory=False)
    assert await bodies(queue) == [b"3"]


@scenario
async def exchange_binding(channel):
    inner = await channel.declare_exchange("aio.inner", ExchangeType.FANOUT)
    outer = await channel.declare_exchange("aio.outer", ExchangeType.DIRECT)
    await inner.bind(outer, "through")
    queue = await bound(channel, inner)
    await outer.publish(Message(b"in"), "through")
    await outer.publish(Message(b"out"), "past", mandatory=False)
    assert await bodies(queue) == [b"in"]


@scenario
async def alternate_exchange(channel):
    other = await channel.declare_exchange("aio.other", ExchangeType.FANOUT)
    arguments = {"alternate-exchange": "aio.other"}
    exchange = await channel.declare_exchange("aio.main", arguments=arguments)
    queue = await bound(channel, other)
    await exchange.publish(Message(b"caught"), "nobody")
    assert await bodies(queue) == [b"caught"]


@scenario
async def properties(channel):
    sent = {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "headers": {
            "text": "größe",
            "int": 42,
            "long": 1 << 40,
            "yes": True,
            "list": [1, {"a": 2}],
        },
        "delivery_mode": aio_pika.DeliveryMode.PERSISTENT,
        "priority": 3,
        "correlation_id": "c1",
        "reply_to": "answers",
        "expiration": 60,
        "message_id": "m1",
        "timestamp": datetime.fromtimestamp(1_700_000_000, UTC),
        "type": "order",
        "user_id": "guest",
        "app_id": "aio-pika",
    }
    queue = await temporary(channel)
    await send(channel, queue, b"{}", **sent)
    got = await queue.get(no_ack=True)
    assert {name: getattr(got, name) for name in sent} == sent


@scenario
async def get(channel):
    queue = await temporary(channel)
    for body in (b"1", b"2"):
        await send(channel, queue, body)
    first = await queue.get()
    assert (first.body, first.message_count) == (b"1", 1)
    await first.ack()
    assert await bodies(queue) == [b"2"]
    try:
        await queue.get()
    except QueueEmpty:
        pass
    else:
        raise AssertionError("not empty")


async def in_order(channel, queue, count):
    """Publish numbers and consume them again, each acknowledged."""
    await asyncio.gather(*(send(channel, queue, b"%d" % number) for number in range(count)))
    await channel.set_qos(200)
    heard = []
    async with queue.iterator(timeout=10) as messages:
        async for message in messages:
            async with message.process():
                heard.append(int(message.body))
            if len(heard) == count:
                break
    assert heard == list(range(count))


@scenario
async def consume_ack(channel):
    queue = await channel.declare_queue("aio.consumed")
    await in_order(channel, queue, 100)
    assert (await queue.delete()).message_count == 0


@scenario
async def requeue(channel):
    queue = await temporary(channel)
    await send(channel, queue, b"again")
    first = await queue.get()
    await first.nack(requeue=True)
    second = await queue.get()
    assert (first.redelivered, second.redelivered) == (False, True)
    await second.reject(requeue=False)
    assert await bodies(queue) == []


@scenario
async def confirms(channel):
    queue = await channel.declare_queue("aio.confirmed", durable=True)
    persistent = {"delivery_mode": aio_pika.DeliveryMode.PERSISTENT}
    await asyncio.gather(*(send(channel, queue, b"x", **persistent) for _ in range(1000)))
    deleted = await queue.delete(if_empty=False)
    assert deleted.message_count == 1000


@scenario
async def mandatory_return(channel):
    async with await aio_pika.connect(URI) as connection:
        raising = await connection.channel(on_return_raises=True)
        try:
            await raising.default_exchange.publish(Message(b"back"), "aio.nowhere")
        except DeliveryError as error:
            assert error.message.delivery.reply_code == 312
            assert error.message.body == b"back"
        else:
            raise AssertionError("not returned")


@scenario
async def prefetch(channel):
    queue = await temporary(channel)
    for number in range(20):
        await send(channel, queue, b"%d" % number)
    await channel.set_qos(5)
    arrived = []
    await queue.consume(arrived.append)
    await until(lambda: len(arrived) == 5)
    await asyncio.sleep(0.3)
    assert len(arrived) == 5
    await arrived[4].ack(multiple=True)
    await until(lambda: len(arrived) == 10)


@scenario
async def ttl(channel):
    plain, brief = await temporary(channel), await temporary(channel, message_ttl=50)
    await send(channel, plain, b"gone", expiration=0.05)
    await send(channel, plain, b"stays")
    await send(channel, brief, b"gone")
    await asyncio.sleep(0.4)
    assert await bodies(plain) == [b"stays"]
    assert await bodies(brief) == []


@scenario
async def dead_letter(channel):
    dlx = await channel.declare_exchange("aio.dlx", ExchangeType.FANOUT)
    dead = await bound(channel, dlx)
    arguments = {"x-dead-letter-exchange": "aio.dlx", "x-dead-letter-routing-key": "dead"}
    queue = await channel.declare_queue("aio.alive", exclusive=True, arguments=arguments)
    await send(channel, queue, b"bad")
    await (await queue.get()).reject(requeue=False)
    message = await letter(dead)
    death = message.headers["x-death"][0]
    assert message.routing_key == "dead"
    assert (death["queue"], death["reason"], death["count"]) == ("aio.alive", "rejected", 1)


@scenario
async def priority(channel):
    queue = await temporary(channel, max_priority=5)
    for number, level in enumerate([1, 5, 0, 5, 3]):
        await send(channel, queue, f"{level}{number}".encode(), priority=level)
    assert await bodies(queue) == [b"51", b"53", b"34", b"10", b"02"]


@scenario
async def max_length(channel):
    queue = await temporary(channel, max_length=3, overflow="reject-publish")
    for body in (b"0", b"1", b"2"):
        await send(channel, queue, body)
    try:
        await send(channel, queue, b"3")
    except DeliveryError:
        assert await bodies(queue) == [b"0", b"1", b"2"]
    else:
        raise AssertionError("the fourth was confirmed")


@scenario
async def quorum(channel):
    dlx = await channel.declare_exchange("aio.dlx", ExchangeType.FANOUT)
    dead = await bound(channel, dlx)
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": 2,
        "x-dead-letter-exchange": "aio.dlx",
    }
    queue = await channel.declare_queue("aio.quorum", durable=True, arguments=arguments)
    await send(channel, queue, b"poison", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    counts = []
    async with queue.iterator(timeout=10) as messages:
        async for message in messages:
            counts.append(message.headers.get("x-delivery-count", 0))
            await message.reject(requeue=True)
            if len(counts) == 3:
                break
    assert counts == [0, 1, 2], counts
    assert (await letter(dead)).headers["x-death"][0]["reason"] == "delivery_limit"
    await queue.delete(if_unused=False, if_empty=False)


@scenario
async def stream(channel):
    arguments = {"x-queue-type": "stream"}
    queue = await channel.declare_queue("aio.stream", durable=True, arguments=arguments)
    for number in range(10):
        await send(channel, queue, b"%d" % number)
    await channel.set_qos(100)
    for offset, expected in ((5, list(range(5, 10))), ("first", list(range(10)))):
        read = []

        async def hear(message, read=read):
            read.append(message.headers["x-stream-offset"])
            assert message.body == b"%d" % read[-1]
            await message.ack()

        tag = await queue.consume(hear, arguments={"x-stream-offset": offset})
        await until(lambda read=read, expected=expected: len(read) == len(expected))
        await queue.cancel(tag)
        assert read == expected
    await channel.queue_delete("aio.stream")


@scenario
async def rpc(channel):
    requests = await temporary(channel)
    answers = []
    reply_to = await channel.get_queue("amq.rabbitmq.reply-to", ensure=False)
    await reply_to.consume(answers.append, no_ack=True)

    async def serve(request):
        async with request.process():
            answer = Message(request.body.upper(), correlation_id=request.correlation_id)
            await channel.default_exchange.publish(answer, request.reply_to)

    await requests.consume(serve)
    await send(channel, requests, b"hello", reply_to=reply_to.name, correlation_id="7")
    await until(lambda: answers)
    assert (answers[0].correlation_id, answers[0].body) == ("7", b"HELLO")

    # And the library's own pattern, with a queue for the answers.
    pattern = await RPC.create(channel)

    async def multiply(*, x, y):
        return x * y

    await pattern.register("multiply", multiply, auto_delete=True)
    assert await pattern.proxy.multiply(x=6, y=7) == 42
    await pattern.close()


@scenario
async def consumer_cancel(channel):
    queue = await channel.declare_queue("aio.cancelled")
    tag = await queue.consume(print)
    cancelled = []
    underlay = await channel.get_underlay_channel()
    underlay.on_consumer_cancel_callbacks.add(cancelled.append)
    async with await aio_pika.connect(URI) as other:
        await (await other.channel()).queue_delete("aio.cancelled")
    await until(lambda: cancelled)
    assert cancelled[0].consumer_tag == tag


@scenario
async def single_active(channel):
    queue = await temporary(channel, single_active_consumer=True)
    first, second = [], []
    tag = await queue.consume(first.append, no_ack=True)
    await queue.consume(second.append, no_ack=True)
    for body in (b"1", b"2"):
        await send(channel, queue, body)
    await until(lambda: len(first) == 2)
    await queue.cancel(tag)
    await send(channel, queue, b"3")
    await until(lambda: second)
    heard = [[one.body for one in arrived] for arrived in (first, second)]
    assert heard == [[b"1", b"2"], [b"3"]]


@scenario
async def exclusive(channel):
    async with await aio_pika.connect(URI) as other:
        await (await other.channel()).declare_queue("aio.mine", exclusive=True)
        try:
            await channel.declare_queue("aio.mine", passive=True)
        except ChannelClosed as error:
            assert "RESOURCE_LOCKED" in str(error)
        else:
            raise AssertionError("it was allowed")


@scenario
async def tx(channel):
    async with await aio_pika.connect(URI) as connection:
        transactional = await connection.channel(publisher_confirms=False)
        queue = await temporary(transactional)
        rolled_back = transactional.transaction()
        await rolled_back.select()
        await send(transactional, queue, b"no")
        await rolled_back.rollback()
        async with transactional.transaction():
            await send(transactional, queue, b"yes")
        assert await bodies(queue) == [b"yes"]


@scenario
async def large_body(channel):
    queue = await temporary(channel)
    body = os.urandom(1 << 20) * 8
    await send(channel, queue, body)
    assert await bodies(queue) == [body]


@scenario
async def order(channel):
    await in_order(channel, await temporary(channel), 10_000)


@scenario
async def blocked(channel):
    async with await aio_pika.connect(URI) as connection:
        publishing = await connection.channel(publisher_confirms=False)
        await control("block")
        try:
            async with asyncio.timeout(30):
                while await is_ready(connection):
                    await publishing.default_exchange.publish(Message(b"x"), "aio.nowhere")
        finally:
            await control("unblock")
        async with asyncio.timeout(30):
            await connection.transport.ready()


async def is_ready(connection):
    """Whether the broker lets this connection publish: nobody has to wait for that."""
    try:
        await asyncio.wait_for(connection.transport.ready(), 0.3)
    except TimeoutError:
        return False
    return True


@scenario
async def reconnect(channel):
    async with await aio_pika.connect_robust(URI, reconnect_interval=0.5) as connection:
        robust = await connection.channel()
        exchange = await robust.declare_exchange("aio.again", durable=True)
        queue = await robust.declare_queue("aio.again.queue", exclusive=True)
        await queue.bind(exchange, "key")
        heard = []
        await queue.consume(lambda message: heard.append(message.body), no_ack=True)
        await exchange.publish(Message(b"before"), "key")
        await until(lambda: heard == [b"before"])
        await control("restart")
        # What is published before queue and binding are back finds no queue: say it again.
        for _ in range(100):
            if b"after" in heard:
                break
            with contextlib.suppress(*CONNECTION_EXCEPTIONS):
                await asyncio.wait_for(exchange.publish(Message(b"after"), "key"), 2)
            await asyncio.sleep(0.25)
        assert b"after" in heard


async def perform(name):
    """One scenario on a connection of its own."""
    connection = await aio_pika.connect(URI)
    try:
        async with asyncio.timeout(60):
            await SCENARIOS[name](await connection.channel())
    finally:
        if not connection.is_closed:
            await connection.close()


def main():
    """Run all scenarios, or those that are named."""
    for name in sys.argv[1:] or SCENARIOS:
        try:
            asyncio.run(perform(name))
            print(f"ok {name}")
        except (Exception, asyncio.CancelledError) as error:
            print(f"not ok {name} - {type(error).__name__} {error}".replace("\n", " "))


if __name__ == "__main__":
    main()
