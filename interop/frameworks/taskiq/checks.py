"""Taskiq on aio-pika: tasks, retries, delays, priorities, a restart of the broker."""

from __future__ import annotations

import asyncio
import os
import sys
import time

from taskiq import SimpleRetryMiddleware
from taskiq.api import run_receiver_task
from taskiq_aio_pika import AioPikaBroker, Exchange, Queue

broker = AioPikaBroker(
    "amqp://guest:guest@localhost:5672/",
    task_queues=[Queue(name="taskiq.tasks", max_priority=10)],
    delay_queue=Queue(name="taskiq.delay"),
).with_middlewares(SimpleRetryMiddleware(default_retry_count=3))
#: A second one, whose delays are kept by an exchange of the type x-delayed-message.
delaying = AioPikaBroker(
    "amqp://guest:guest@localhost:5672/",
    exchange=Exchange(name="taskiq.delaying"),
    task_queues=[Queue(name="taskiq.delayed")],
    delayed_message_exchange_plugin=True,
)
heard: list[object] = []


@broker.task
async def add(x: int, y: int) -> None:
    heard.append(x + y)


@delaying.task
async def multiply(x: int, y: int) -> None:
    heard.append(x * y)


@broker.task(retry_on_error=True)
async def flaky() -> None:
    heard.append("try")
    if len(heard) < 3:
        raise RuntimeError("not yet")


async def until(condition, seconds=20):
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


async def task():
    await add.kiq(1, 2)
    await until(lambda: heard == [3])


async def retry():
    await flaky.kiq()
    await until(lambda: heard == ["try"] * 3)


async def delay():
    started = time.monotonic()
    await add.kicker().with_labels(delay=1).kiq(2, 2)
    await until(lambda: heard == [4])
    assert time.monotonic() - started >= 0.9


async def delayed_exchange():
    started = time.monotonic()
    await multiply.kicker().with_labels(delay=1).kiq(6, 7)
    await until(lambda: heard == [42])
    assert time.monotonic() - started >= 0.9


async def priority():
    for level in (1, 9, 5):
        await add.kicker().with_labels(priority=level).kiq(level, 0)
    await until(lambda: len(heard) == 3)


async def recovered():
    control = await asyncio.create_subprocess_exec(os.environ["BROKER_CONTROL"], "restart")
    assert await control.wait() == 0
    for _ in range(60):
        try:
            await asyncio.wait_for(add.kiq(20, 1), 2)
            break
        except Exception:
            await asyncio.sleep(0.5)
    await until(lambda: 21 in heard, 30)


async def main():
    """Print what holds."""
    receivers = []
    for one in (broker, delaying):
        one.is_worker_process = True
        await one.startup()
        receivers.append(asyncio.create_task(run_receiver_task(one)))
    for check in (task, retry, delay, delayed_exchange, priority, recovered):
        name = check.__name__.replace("_", "-")
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        heard.clear()
        try:
            await check()
            print(f"ok {name}")
        except Exception as problem:
            print(f"not ok {name} - {type(problem).__name__} {problem}".replace("\n", " "))
    for receiver in receivers:
        receiver.cancel()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
