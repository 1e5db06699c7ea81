"""Scenarios with aioamqp."""

from __future__ import annotations

import asyncio
import sys

import aioamqp
import aioamqp.exceptions

SCENARIOS = {}


def scenario(run):
    """Register a function under its name, written with dashes."""
    SCENARIOS[run.__name__.replace("_", "-")] = run
    return run


async def until(condition):
    """Wait until something is so."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


async def temporary(channel):
    """A queue of this connection's own."""
    return (await channel.queue_declare("", exclusive=True))["queue"]


@scenario
async def connect_plain(channel):
    assert channel.protocol.server_properties["product"] == "RabbitMQ"


@scenario
async def topology(channel):
    await channel.exchange_declare("aioamqp.exchange", "direct", auto_delete=True)
    await channel.queue_declare("aioamqp.queue", durable=True)
    await channel.queue_bind("aioamqp.queue", "aioamqp.exchange", "key")
    await channel.basic_publish(b"m", "aioamqp.exchange", "key")
    assert (await channel.basic_get("aioamqp.queue", no_ack=True))["message"] == b"m"
    await channel.queue_unbind("aioamqp.queue", "aioamqp.exchange", "key", {})
    await channel.exchange_delete("aioamqp.exchange")
    await channel.queue_delete("aioamqp.queue")
    try:
        await channel.queue_declare("aioamqp.queue", passive=True)
    except aioamqp.exceptions.ChannelClosed as error:
        assert error.code == 404, error
    else:
        raise AssertionError("it is still there")


@scenario
async def consume_ack(channel):
    queue = await temporary(channel)
    bodies = []

    async def keep(channel, body, envelope, properties):
        bodies.append(body)
        await channel.basic_client_ack(envelope.delivery_tag)

    await channel.basic_qos(prefetch_count=10)
    tag = (await channel.basic_consume(keep, queue))["consumer_tag"]
    for number in range(100):
        await channel.basic_publish(b"%d" % number, "", queue)
    await until(lambda: len(bodies) == 100)
    await channel.basic_cancel(tag)
    assert bodies == [b"%d" % number for number in range(100)]
    assert (await channel.queue_declare(queue, passive=True))["message_count"] == 0


@scenario
async def requeue(channel):
    queue = await temporary(channel)
    seen = []

    async def once_more(channel, body, envelope, properties):
        seen.append(envelope.is_redeliver)
        if len(seen) == 1:
            await channel.basic_client_nack(envelope.delivery_tag, requeue=True)
        else:
            await channel.basic_reject(envelope.delivery_tag, requeue=False)

    await channel.basic_consume(once_more, queue)
    await channel.basic_publish(b"m", "", queue)
    await until(lambda: len(seen) == 2)
    assert seen == [False, True], seen


@scenario
async def confirms(channel):
    await channel.confirm_select()
    await channel.queue_declare("aioamqp.confirms", durable=True)
    persistent = {"delivery_mode": 2}
    for number in range(1000):
        # Returns when the confirm is there.
        await channel.publish(b"%d" % number, "", "aioamqp.confirms", properties=persistent)
    left = await channel.queue_declare("aioamqp.confirms", passive=True)
    assert left["message_count"] == 1000
    await channel.queue_delete("aioamqp.confirms")


@scenario
async def order(channel):
    queue = await temporary(channel)
    bodies = []

    async def keep(channel, body, envelope, properties):
        bodies.append(int(body))

    await channel.basic_consume(keep, queue, no_ack=True)
    for number in range(10_000):
        await channel.basic_publish(b"%d" % number, "", queue)
    await until(lambda: len(bodies) == 10_000)
    assert bodies == list(range(10_000))


async def main():
    """Each scenario on a connection of its own."""
    for name in sys.argv[1:] or SCENARIOS:
        try:
            transport, protocol = await aioamqp.connect(host="localhost")
            await SCENARIOS[name](await protocol.channel())
            await protocol.close()
            transport.close()
        except Exception as error:  # whatever it is, the scenario has failed
            print(f"not ok {name} - {type(error).__name__}: {error}")
        else:
            print(f"ok {name}")


asyncio.run(main())
