"""Starts a broker with its HTTP API, has all calls made, and stops it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import judge

if TYPE_CHECKING:
    from play import Answers

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
INSIDE = HERE.parent / "suites" / "inside.py"
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
PLUGINS = (
    "rabbitmq_management",
    "rabbitmq_prometheus",
    "rabbitmq_stream",
    "rabbitmq_stream_management",
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_jms_topic_exchange",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_sharding",
    "rabbitmq_event_exchange",
)
LIMIT_S = 300
STOP_S = 30
SETTINGS = """
[amqp]
port = 0
[http]
port = 0
[metrics]
port = 0
[auth]
failure_delay_s = 0.0
"""


def answers(broker: str, address: str | None, work: Path) -> Answers:
    """What the broker answers to all calls; started first unless it runs at the address.

    Raises:
        SystemExit: it could not be started, asked to the end, or stopped; the logs in `work`
            say why.
    """
    out = work / f"{broker}.json"
    player = [sys.executable, str(HERE / "play.py"), str(out)]
    if address:
        code = subprocess.call([*player, "--address", address])
    else:
        folder = work / broker
        folder.mkdir()
        code = (_rabbitmq if broker == "rabbitmq" else _amqpd)(folder, player)
    if code or not out.exists():
        raise SystemExit(f"{broker} was not asked to the end; see {work / broker}")
    return judge.read_answers(out)


def _amqpd(work: Path, player: list[str]) -> int:
    """An amqpd on free ports; not 0 if it had to log a traceback, or did not stop well."""
    settings = work / "amqpd.toml"
    settings.write_text(SETTINGS, encoding="utf-8")
    data, log = work / "data", work / "broker.log"
    start = (sys.executable, "-m", "amqpd", "start")
    with log.open("wb") as written:
        broker = subprocess.Popen(
            [*start, "--config", str(settings), "--data-dir", str(data)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
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
        ports = {one["protocol"]: one["port"] for one in listeners}
        address = f"127.0.0.1:{ports['http']}:{ports['amqp']}"
        with (work / "play.log").open("wb") as errors:
            code = subprocess.call([*player, "--address", address], stderr=errors)
    finally:
        broker.terminate()
        broker.stdout.close()
        stopped = broker.wait(STOP_S)
    return code or stopped or b"Traceback" in log.read_bytes()


def _rabbitmq(work: Path, player: list[str]) -> int:
    """A RabbitMQ in a network namespace of its own, where its ports are free."""
    (work / "plugins").write_text(f"[{','.join(PLUGINS)}].\n", encoding="utf-8")
    (work / "rabbitmq.conf").write_text("", encoding="utf-8")
    order = {
        "work": str(work),
        "broker": [RABBITMQ],
        "broker_environment": {
            "HOME": str(work),
            "RABBITMQ_CONFIG_FILE": str(work / "rabbitmq.conf"),
            "RABBITMQ_MNESIA_BASE": str(work / "mnesia"),
            "RABBITMQ_LOG_BASE": str(work / "log"),
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(work / "plugins"),
            "RABBITMQ_PID_FILE": str(work / "pid"),
        },
        "command": [*player, "--address", "127.0.0.1:15672:5672"],
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
