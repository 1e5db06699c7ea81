"""Starts a broker with the users, permissions, policies and limits of definitions.json, has it
recorded, and stops it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import compare
import definitions

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
INSIDE = HERE.parent / "suites" / "inside.py"
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
#: Exchange types that come with RabbitMQ but are off.
PLUGINS = (
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_jms_topic_exchange",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_sharding",
)
#: Scenarios played side by side; most of their time is waiting for what should not come.
WORKERS = {"amqpd": 48, "rabbitmq": 12}
LIMIT_S = 1800
START = (sys.executable, "-m", "amqpd", "start")
STOP_S = 30
SETTINGS = """
[amqp]
port = 0
[http]
port = "off"
[metrics]
port = "off"
[auth]
failure_delay_s = 0.0
"""


def transcripts(
    broker: str, address: str | None, only: str, work: Path, reference: Path | None = None
) -> compare.Transcripts:
    """What the broker says in all scenarios; started first unless it runs at the address.

    Raises:
        SystemExit: it could not be started, recorded or stopped; the logs in `work` say why.
    """
    out = work / f"{broker}.json"
    recorder = [sys.executable, str(HERE / "record.py"), str(out), "--only", only]
    if reference:
        recorder += ["--reference", str(reference)]
    if address:
        code = _record(recorder, address)
    else:
        workers = WORKERS[broker]
        recorder += ["--workers", str(workers)]
        folder = work / broker
        folder.mkdir()
        defined = folder / "definitions.json"
        defined.write_text(json.dumps(definitions.definitions(workers)), encoding="utf-8")
        code = (_rabbitmq if broker == "rabbitmq" else _amqpd)(folder, defined, recorder)
    if code or not out.exists():
        raise SystemExit(f"{broker} was not recorded to the end; see {work / broker}")
    return compare.read_transcripts(out)


def _record(recorder: list[str], address: str, log: Path | None = None) -> int:
    with (log or Path(os.devnull)).open("w", encoding="utf-8") as errors:
        return subprocess.call([*recorder, "--address", address], stderr=errors)


def _amqpd(work: Path, defined: Path, recorder: list[str]) -> int:
    """Record an amqpd on a free port; not 0 if it had to log a traceback, or did not stop well."""
    data = work / "data"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    prepare = [sys.executable, str(HERE / "prepare.py"), str(defined), str(data)]
    subprocess.run(prepare, env=environment, check=True)
    settings = work / "amqpd.toml"
    settings.write_text(SETTINGS, encoding="utf-8")
    log = work / "broker.log"
    with log.open("wb") as written:
        broker = subprocess.Popen(
            [*START, "--config", str(settings), "--data-dir", str(data)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=written,
        )
    assert broker.stdout is not None
    try:
        for line in broker.stdout:
            if line.startswith(b"ready in"):
                break
        else:
            return 1
        listeners = json.loads((data / "run.json").read_text(encoding="utf-8"))["listeners"]
        code = _record(recorder, f"127.0.0.1:{listeners[0]['port']}", work / "suite.log")
    finally:
        broker.terminate()
        broker.stdout.close()
        stopped = broker.wait(STOP_S)
    return code or stopped or b"Traceback" in log.read_bytes()


def _rabbitmq(work: Path, defined: Path, recorder: list[str]) -> int:
    """Record a RabbitMQ in a network namespace of its own, where its ports are free."""
    (work / "plugins").write_text(f"[{','.join(PLUGINS)}].\n", encoding="utf-8")
    settings = work / "rabbitmq.conf"
    settings.write_text(f"load_definitions = {defined}\n", encoding="utf-8")
    order = {
        "work": str(work),
        "broker": [RABBITMQ],
        "broker_environment": {
            "HOME": str(work),
            "RABBITMQ_CONFIG_FILE": str(settings),
            "RABBITMQ_MNESIA_BASE": str(work / "mnesia"),
            "RABBITMQ_LOG_BASE": str(work / "log"),
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(work / "plugins"),
            "RABBITMQ_PID_FILE": str(work / "pid"),
        },
        "command": [*recorder, "--address", "127.0.0.1:5672"],
        "cwd": str(work),
        "environment": {},
        "seconds": LIMIT_S,
    }
    own = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid():
        own.append("--map-root-user")
    code = subprocess.call([*own, sys.executable, str(INSIDE), json.dumps(order)])
    if code == 0:
        code = int(json.loads((work / "inside.json").read_text(encoding="utf-8"))["suite"])
    return code
