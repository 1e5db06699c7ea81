"""A Celery application for Flower to look at."""

from __future__ import annotations

from celery import Celery

app = Celery("shop", broker="amqp://guest:guest@localhost//", backend="rpc://")
app.conf.update(worker_send_task_events=True, task_send_sent_event=True)


@app.task
def add(a, b):
    """A task."""
    return a + b
