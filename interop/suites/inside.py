"""Runs inside a network namespace of its own: brings the loopback up, starts the broker,
runs one suite against it, stops the broker. Told what to do by one JSON argument; leaves
`inside.json` (exit codes, times) in the work folder. Imports nothing of ours.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

#: What is said on each port to be answered.
GREETINGS = {5672: b"AMQP\x00\x00\x09\x01", 15672: b"GET / HTTP/1.0\r\n\r\n"}
#: An address that suites take for one which never answers.
SILENT = "10.255.255.1"
READY_S = 90
STOP_S = 90


def wait_ready(broker: subprocess.Popen[bytes]) -> float:
    """Seconds until AMQP and HTTP are answered; raises when the broker ends before."""
    begin = time.monotonic()
    while time.monotonic() - begin < READY_S:
        if broker.poll() is not None:
            raise SystemExit(f"the broker ended at start with {broker.returncode}")
        try:
            if all(_answers(port, greeting) for port, greeting in GREETINGS.items()):
                return time.monotonic() - begin
        except OSError:
            pass
        time.sleep(0.05)
    raise SystemExit(f"the broker did not accept a connection within {READY_S} s")


def _answers(port: int, greeting: bytes) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=READY_S) as connection:
        connection.sendall(greeting)
        return bool(connection.recv(1))


def stop(broker: subprocess.Popen[bytes]) -> int:
    """Ask the broker to stop as a service would; its exit code, or -9 if it had to be killed."""
    broker.send_signal(signal.SIGTERM)
    try:
        return broker.wait(STOP_S)
    except subprocess.TimeoutExpired:
        broker.kill()
        return broker.wait()


def run(command: list[str], cwd: str, environment: dict[str, str], out: Path, limit_s: int) -> int:
    """Run the suite; its exit code, or -1 when it did not end in time."""
    with out.open("wb") as log:
        suite = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return suite.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(suite.pid, signal.SIGKILL)
            suite.wait()
            return -1


def main(order: str) -> None:
    """Do what the order says."""
    task = json.loads(order)
    work = Path(task["work"])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # What is sent there comes back by the loopback as not meant for this machine, and is dropped.
    subprocess.run(["ip", "route", "add", SILENT, "dev", "lo"], check=True)
    with (work / "broker.log").open("wb") as log:
        broker = subprocess.Popen(
            task["broker"],
            env={**os.environ, **task["broker_environment"]},
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            ready_s = wait_ready(broker)
            for command in task.get("before", ()):
                subprocess.run(command, check=True, stdout=log, stderr=log)
            begin = time.monotonic()
            suite = run(
                task["command"],
                task["cwd"],
                task["environment"],
                work / "suite.log",
                task["seconds"],
            )
            took_s = time.monotonic() - begin
            alive = broker.poll() is None
        finally:
            code = stop(broker)
    outcome = {
        "suite": suite,
        "ready_s": round(ready_s, 2),
        "took_s": round(took_s, 1),
        "alive": alive,
        "broker": code,
    }
    (work / "inside.json").write_text(json.dumps(outcome), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
