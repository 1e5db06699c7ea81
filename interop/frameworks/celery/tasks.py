"""The tasks of a small Celery application."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery
from celery.signals import worker_ready
from kombu import Queue

app = Celery("tasks", broker="amqp://guest:guest@localhost//", backend="rpc://")
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    result_expires=60,
    task_queues=[
        Queue("celery", queue_arguments={"x-max-priority": 10}),
        Queue("slow", queue_arguments={"x-max-priority": 10}),
    ],
)
if os.environ.get("QUORUM"):
    # Celery's own recipe for quorum queues: ETA goes through a ladder of exchanges with TTLs.
    app.conf.update(
        task_queues=None,
        task_default_queue="safe",
        task_default_queue_type="quorum",
        task_default_exchange_type="topic",
        worker_detect_quorum_queues=True,
    )


@worker_ready.connect
def tell(**_):
    Path(os.environ["READY"]).touch()


@app.task
def add(x, y):
    return x + y


@app.task(bind=True, max_retries=3)
def flaky(self, succeed_at):
    if self.request.retries < succeed_at:
        raise self.retry(countdown=0.1)
    return self.request.retries


@app.task
def note(word):
    with open(os.environ["NOTES"], "a", encoding="utf-8") as notes:
        notes.write(f"{word}\n")


@app.task
def fail():
    raise ValueError("as intended")
