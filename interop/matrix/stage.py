"""Runs inside a network and mount namespace of its own: the broker on the default ports, one
client's program beside it, and a small server through which the program has the broker
restarted and its disk filled. Told what to do by one JSON argument; leaves `stage.json`.
Imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

PORT = 5672
READY_S = 90
STOP_S = 90
#: The broker's disk, and what is left of it while it is full (both brokers want 50 MB free).
DISK_BYTES = 400_000_000
LEFT_BYTES = 20_000_000


class Stage:
    """The broker and what can be done to it."""

    def __init__(self, task: dict[str, object], work: Path) -> None:
        self._command = task["broker"]
        self._environment = {**os.environ, **task["environment"]}  # type: ignore[dict-item]
        self._work = work
        self._filler = work / "data" / "filler"
        self.lock = threading.Lock()
        self.ends: list[int] = []
        self.broker: subprocess.Popen[bytes]

    def start(self) -> None:
        """Start the broker and wait until it accepts connections."""
        with (self._work / "broker.log").open("ab") as log:
            self.broker = subprocess.Popen(
                self._command,  # type: ignore[arg-type]
                env=self._environment,
                cwd=self._work,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        begin = time.monotonic()
        while time.monotonic() - begin < READY_S:
            if self.broker.poll() is not None:
                raise SystemExit(f"the broker ended at start with {self.broker.returncode}")
            if _answers():
                return
            time.sleep(0.05)
        raise SystemExit(f"the broker did not accept a connection within {READY_S} s")

    def stop(self) -> None:
        """Stop it as a service would; killed if it does not go."""
        self.broker.send_signal(signal.SIGTERM)
        try:
            self.ends.append(self.broker.wait(STOP_S))
        except subprocess.TimeoutExpired:
            self.broker.kill()
            self.ends.append(self.broker.wait())

    def obey(self, word: str) -> str:
        """What a program may ask for."""
        with self.lock:
            if word == "restart":
                self.stop()
                self.start()
            elif word == "block":
                status = os.statvfs(self._work / "data")
                fill = status.f_bavail * status.f_frsize - LEFT_BYTES
                with self._filler.open("wb") as filler:
                    os.posix_fallocate(filler.fileno(), 0, fill)
            elif word == "unblock":
                self._filler.unlink(missing_ok=True)
            else:
                return f"no such thing: {word}"
            return "done"


def _answers() -> bool:
    try:
        with socket.create_connection(("127.0.0.1", PORT), timeout=1) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return bool(connection.recv(1))
    except OSError:
        return False


def listen(stage: Stage, path: Path) -> None:
    """Serve `control` on a Unix socket, from a thread of its own."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        while True:
            connection, _ = server.accept()
            with connection:
                word = connection.recv(100).decode().strip()
                connection.sendall(stage.obey(word).encode())

    threading.Thread(target=serve, daemon=True).start()


def perform(task: dict[str, object], work: Path) -> int:
    """Run the program; its exit code, or -1 when it did not end in time."""
    with (work / "program.out").open("wb") as out, (work / "program.err").open("wb") as err:
        program = subprocess.Popen(
            task["command"],  # type: ignore[arg-type]
            cwd=str(task["cwd"]),
            env={**os.environ, **task["program_environment"]},  # type: ignore[dict-item]
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            return program.wait(int(str(task["seconds"])))
        except subprocess.TimeoutExpired:
            return -1
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()


def main(order: str) -> None:
    """Do what the order says."""
    task = json.loads(order)
    work = Path(task["work"])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    (work / "data").mkdir(exist_ok=True)
    size = f"size={DISK_BYTES},mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", work / "data"], check=True)
    for command in task["prepare"]:
        subprocess.run(command, env={**os.environ, **task["environment"]}, check=True)
    stage = Stage(task, work)
    stage.start()
    try:
        listen(stage, work / "control.socket")
        begin = time.monotonic()
        code = perform(task, work)
        took_s = time.monotonic() - begin
        alive = stage.broker.poll() is None
    finally:
        # A program that ended in the middle of a restart leaves that to be finished first.
        with stage.lock:
            stage.stop()
    outcome = {"program": code, "took_s": round(took_s, 1), "alive": alive, "ends": stage.ends}
    (work / "stage.json").write_text(json.dumps(outcome), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
