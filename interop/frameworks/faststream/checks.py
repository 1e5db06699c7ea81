"""FastStream: subscribers, publishers, a chain, request and reply, rejecting to a dead letter."""

from __future__ import annotations

import asyncio
import os
import sys

from faststream import AckPolicy, FastStream
from faststream.rabbit import (
    ExchangeType,
    RabbitBroker,
    RabbitExchange,
    RabbitMessage,
    RabbitQueue,
)
from pydantic import BaseModel

broker = RabbitBroker("amqp://guest:guest@localhost:5672/")
app = FastStream(broker)
heard: list[object] = []
logs = RabbitExchange("fast.logs", type=ExchangeType.TOPIC)
poison = RabbitQueue(
    "fast.poison",
    durable=True,
    arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "fast.dead"},
)


class Order(BaseModel):
    """What a customer wants."""

    number: int
    item: str


@broker.subscriber("fast.orders")
@broker.publisher("fast.invoices")
async def take(order: Order) -> str:
    return f"invoice for {order.item}"


@broker.subscriber("fast.invoices")
async def invoice(text: str) -> None:
    heard.append(text)


@broker.subscriber("fast.quotes")
async def quote(item: str) -> int:
    return len(item)


@broker.subscriber(RabbitQueue("fast.errors", auto_delete=True, routing_key="*.error"), logs)
async def error_log(text: str) -> None:
    heard.append(text)


@broker.subscriber(poison, ack_policy=AckPolicy.REJECT_ON_ERROR)
async def refuse(text: str) -> None:
    raise ValueError(text)


@broker.subscriber("fast.dead")
async def dead(message: RabbitMessage) -> None:
    heard.append(message.headers["x-death"][0]["reason"])


async def until(condition, seconds=15):
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


async def chain():
    await broker.publish(Order(number=1, item="tea"), "fast.orders")
    await until(lambda: heard == ["invoice for tea"])


async def request():
    answer = await broker.request("bread", "fast.quotes", timeout=10)
    assert await answer.decode() == 5


async def topic():
    for key in ("shop.error", "shop.info"):
        await broker.publish(key, exchange=logs, routing_key=key)
    await until(lambda: heard == ["shop.error"])


async def reject():
    await broker.publish("bad", "fast.poison")
    await until(lambda: heard == ["rejected"])


async def ordered():
    for number in range(10):
        await broker.publish(f"{number}", "fast.invoices")
    await until(lambda: len(heard) == 10)
    assert heard == [str(number) for number in range(10)]


async def recovered():
    control = await asyncio.create_subprocess_exec(os.environ["BROKER_CONTROL"], "restart")
    assert await control.wait() == 0
    for _ in range(60):
        try:
            await asyncio.wait_for(broker.publish("after", "fast.invoices"), 2)
            break
        except Exception:
            await asyncio.sleep(0.5)
    await until(lambda: "after" in heard, 30)


async def main():
    """Print what holds."""
    await broker.start()
    for check in (chain, request, topic, reject, ordered, recovered):
        name = check.__name__
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        heard.clear()
        try:
            await check()
            print(f"ok {name}")
        except Exception as problem:
            print(f"not ok {name} - {type(problem).__name__} {problem}".replace("\n", " "))
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
