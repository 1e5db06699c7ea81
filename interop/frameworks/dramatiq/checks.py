"""Dramatiq: actors, retries, delays, priorities, the dead-letter queue."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import dramatiq
import pika
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.worker import Worker

PATIENCE_S = 20
broker = RabbitmqBroker(url="amqp://guest:guest@localhost:5672", max_priority=10)
dramatiq.set_broker(broker)
heard: list[object] = []
attempts: list[float] = []


@dramatiq.actor
def count_words(text):
    heard.append(len(text.split()))


@dramatiq.actor(max_retries=2, min_backoff=50, max_backoff=50)
def flaky(succeed_at):
    attempts.append(time.monotonic())
    if len(attempts) < succeed_at:
        raise RuntimeError("not yet")
    heard.append("done")


@dramatiq.actor(max_retries=0, queue_name="hopeless")
def hopeless():
    raise RuntimeError("never")


@dramatiq.actor(queue_name="ranked")
def ranked(level):
    heard.append(level)


def until(condition):
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"it did not happen in time: {heard}"
        time.sleep(0.05)


def send():
    count_words.send("one two three")
    until(lambda: heard == [3])


def retry():
    flaky.send(3)
    until(lambda: heard == ["done"])
    assert len(attempts) == 3


def delay():
    started = time.monotonic()
    count_words.send_with_options(args=("later",), delay=1000)
    until(lambda: heard == [1])
    assert time.monotonic() - started >= 0.9


def dead_letters():
    hopeless.send()
    with pika.BlockingConnection(pika.URLParameters("amqp://guest:guest@localhost:5672")) as link:
        channel = link.channel()

        def dead():
            return channel.basic_get("hopeless.XQ", auto_ack=True)[1]

        found = []
        until(lambda: found.append(dead()) or found[-1])
        assert found[-1].headers["x-death"][0]["queue"] == "hopeless"


def priority():
    worker.pause()
    for level in (1, 9, 5):
        message = ranked.message_with_options(args=(level,), broker_priority=level)
        broker.enqueue(message)
    worker.resume()
    until(lambda: len(heard) == 3)
    # What the worker had fetched before it paused comes in its old order.
    assert sorted(heard) == [1, 5, 9]


def recovered():
    subprocess.run([os.environ["BROKER_CONTROL"], "restart"], check=True)

    def sent():
        try:
            count_words.send("after the restart")
        except dramatiq.errors.ConnectionError:
            return False
        return True

    until(sent)
    until(lambda: 3 in heard)


def main():
    """Print what holds."""
    global worker
    worker = Worker(broker, worker_timeout=100, worker_threads=1)
    worker.start()
    for check in (send, retry, delay, dead_letters, priority, recovered):
        name = check.__name__.replace("_", "-")
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        heard.clear()
        try:
            check()
            print(f"ok {name}")
        except Exception as problem:
            print(f"not ok {name} - {type(problem).__name__} {problem}".replace("\n", " "))
    stopping = threading.Thread(target=worker.stop, daemon=True)
    stopping.start()
    stopping.join(10)
    os._exit(0)


if __name__ == "__main__":
    main()
