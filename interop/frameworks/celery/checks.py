"""Runs a Celery worker and uses it: results by rpc://, retries, ETA, priority, canvas, control."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["NOTES"] = tempfile.mkstemp(prefix="notes-")[1]

from celery import chain, group
from tasks import add, app, fail, flaky, note

PATIENCE_S = 30


@contextlib.contextmanager
def worker(*options, **environment):
    """A worker process, once it takes tasks."""
    ready = Path(tempfile.mkdtemp(prefix="worker-")) / "ready"
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-l", "warning"]
    process = subprocess.Popen(
        [*command, "--pool", "solo", "--without-gossip", "--without-mingle", *options],
        env={**os.environ, **environment, "READY": str(ready)},
        stdout=sys.stderr,
    )
    try:
        until(ready.exists)
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def notes():
    """What the worker noted, in order."""
    return Path(os.environ["NOTES"]).read_text(encoding="utf-8").split()


def until(condition):
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def result():
    assert add.delay(4, 4).get(timeout=PATIENCE_S) == 8


def error():
    failed = fail.delay()
    try:
        failed.get(timeout=PATIENCE_S)
    except ValueError as problem:
        assert str(problem) == "as intended"
    else:
        raise AssertionError("it did not fail")


def retry():
    assert flaky.delay(2).get(timeout=PATIENCE_S) == 2


def eta():
    started = time.monotonic()
    assert add.apply_async((1, 1), countdown=1.5).get(timeout=PATIENCE_S) == 2
    assert time.monotonic() - started >= 1.4


def canvas():
    assert chain(add.s(1, 2), add.s(3))().get(timeout=PATIENCE_S) == 6
    assert group(add.s(n, n) for n in range(5))().get(timeout=PATIENCE_S) == [0, 2, 4, 6, 8]


def control():
    until(lambda: app.control.inspect(timeout=1).active_queues())
    (answers,) = app.control.inspect(timeout=2).active_queues().values()
    assert {queue["name"] for queue in answers} == {"celery"}
    assert app.control.ping(timeout=2)


def priority():
    for level in (1, 9, 5):
        note.apply_async((f"p{level}",), priority=level, queue="slow")
    with worker("-Q", "slow", "-n", "slow@%h"):
        until(lambda: len(notes()) == 3)
    assert notes() == ["p9", "p5", "p1"], notes()


def recovered():
    subprocess.run([os.environ["BROKER_CONTROL"], "restart"], check=True)
    note.apply_async(
        ("after",), retry=True, retry_policy={"max_retries": 20, "interval_start": 0.5}
    )
    until(lambda: "after" in notes())


QUORUM = """
import time
from tasks import add, flaky, note
note.apply_async(("quorum-eta",), countdown=1.5)
note.delay("quorum-now")
"""


def quorum():
    with worker("-n", "quorum@%h", QUORUM="1"):
        environment = {**os.environ, "QUORUM": "1"}
        subprocess.run([sys.executable, "-c", QUORUM], env=environment, check=True)
        until(lambda: "quorum-eta" in notes())
    assert notes()[-2:] == ["quorum-now", "quorum-eta"], notes()


def main():
    """Print what holds."""
    checks = {check.__name__: check for check in (result, error, retry, eta, canvas, control)}
    with worker("-Q", "celery", "-n", "main@%h"):
        for name, check in {**checks, "priority": priority, "recovered": recovered}.items():
            report(name, check)
    report("quorum", quorum)


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
