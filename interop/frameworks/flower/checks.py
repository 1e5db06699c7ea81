"""Runs Flower beside a Celery worker and looks at its pages: broker, workers, tasks."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

from shop import add, app

PATIENCE_S = 60
API = "http://guest:guest@localhost:15672/api/"


def free_port():
    """A port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


PORT = free_port()


@contextlib.contextmanager
def program(*words):
    """A command of Celery in a process of its own."""
    command = [sys.executable, "-m", "celery", "-A", "shop", *words]
    environment = {**os.environ, "FLOWER_UNAUTHENTICATED_API": "true"}
    process = subprocess.Popen(command, stdout=sys.stderr, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def page(path):
    """What Flower shows."""
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=10) as answer:
        return answer.read().decode()


def until(find):
    """Wait until something is found."""
    end = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(OSError):
            found = find()
            if found:
                return found
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)


def cells(text):
    """The rows of the tables of a page, as texts."""
    rows = re.findall(r"<tr.*?</tr>", text, re.DOTALL)
    return [
        [re.sub(r"<[^>]+>", "", one).strip() for one in re.findall(r"<td.*?</td>", row, re.DOTALL)]
        for row in rows
    ]


def broker():
    """The page has the queue of the worker, with its figures."""
    rows = until(lambda: [row for row in cells(page("/broker")) if row and row[0] == "celery"])
    name, messages, unacked, ready, consumers, idle_since = rows[0]
    assert (name, messages, unacked, ready) == ("celery", "0", "0", "0"), rows
    assert int(consumers) >= 1, rows
    assert re.match(r"\d{4}-\d\d-\d\d", idle_since), rows


def length():
    """Waiting messages are counted by Flower's own API."""
    path = "/api/queues/length"
    found = until(lambda: json.loads(page(path))["active_queues"])
    assert [one["name"] for one in found] == ["celery"], found


def tasks():
    """Tasks that ran are in the list, told by events."""
    wanted = add.delay(2, 3).id
    until(lambda: wanted in json.loads(page("/api/tasks")))


def api():
    """What Flower asks is what RabbitMQ's API answers."""
    credentials = base64.b64encode(b"guest:guest").decode()
    request = urllib.request.Request(
        "http://localhost:15672/api/queues/%2F", headers={"Authorization": f"Basic {credentials}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        queues = {one["name"]: one for one in json.load(answer)}
    keys = {"messages", "messages_unacknowledged", "messages_ready", "consumers", "idle_since"}
    assert keys <= set(queues["celery"]), queues["celery"]


def main():
    """Print what holds."""
    with (
        program("worker", "--pool", "solo", "-l", "warning", "-E"),
        program("flower", "--address=127.0.0.1", f"--port={PORT}", f"--broker-api={API}"),
    ):
        until(lambda: app.control.inspect(timeout=1).active_queues())
        for check in (broker, length, tasks, api):
            report(check.__name__, check)


def report(name, check):
    """One line for a check, if it is wanted."""
    if sys.argv[1:] and name not in sys.argv[1:]:
        return
    try:
        check()
        print(f"ok {name}")
    except Exception as problem:
        print(f"not ok {name} - {type(problem).__name__} {problem}".replace("\n", " "))


if __name__ == "__main__":
    main()
