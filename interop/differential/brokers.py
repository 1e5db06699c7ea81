"""Starts a broker with its recorder in a network namespace of its own, with the users,
permissions, policies and limits of definitions.json.
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
WORKERS = 12
LIMIT_S = 1800


def transcripts(
    broker: str, address: str | None, only: str, work: Path, reference: Path | None = None
) -> compare.Transcripts:
    """What the broker says in all scenarios; started first unless it runs at the address.

    Raises:
        SystemExit: it could not be started or recorded; the logs in `work` say why.
    """
    out = work / f"{broker}.json"
    recorder = [sys.executable, str(HERE / "record.py"), address or "127.0.0.1:5672", str(out)]
    recorder += ["--only", only]
    if reference:
        recorder += ["--reference", str(reference)]
    if address:
        code = subprocess.call(recorder, stderr=subprocess.DEVNULL)
    else:
        code = _in_namespace(broker, [*recorder, "--workers", str(WORKERS)], work / broker)
    if code or not out.exists():
        raise SystemExit(f"{broker} was not recorded to the end; see {work / broker}")
    return compare.read_transcripts(out)


def _in_namespace(broker: str, recorder: list[str], work: Path) -> int:
    work.mkdir()
    defined = work / "definitions.json"
    defined.write_text(json.dumps(definitions.definitions(WORKERS)), encoding="utf-8")
    command, environment = (_rabbitmq if broker == "rabbitmq" else _amqpd)(work, defined)
    order = {
        "work": str(work),
        "broker": command,
        "broker_environment": environment,
        "command": recorder,
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


def _amqpd(work: Path, defined: Path) -> tuple[list[str], dict[str, str]]:
    data = work / "data"
    settings = work / "amqpd.toml"
    settings.write_text("[auth]\nfailure_delay_s = 0.0\n", encoding="utf-8")
    environment = {"PYTHONPATH": str(ROOT)}
    prepare = [sys.executable, str(HERE / "prepare.py"), str(defined), str(data)]
    subprocess.run(prepare, env={**os.environ, **environment}, check=True)
    command = [sys.executable, "-m", "amqpd", "start", "--config", str(settings)]
    return [*command, "--data-dir", str(data)], environment


def _rabbitmq(work: Path, defined: Path) -> tuple[list[str], dict[str, str]]:
    (work / "plugins").write_text(f"[{','.join(PLUGINS)}].\n", encoding="utf-8")
    settings = work / "rabbitmq.conf"
    settings.write_text(f"load_definitions = {defined}\n", encoding="utf-8")
    return [RABBITMQ], {
        "HOME": str(work),
        "RABBITMQ_CONFIG_FILE": str(settings),
        "RABBITMQ_MNESIA_BASE": str(work / "mnesia"),
        "RABBITMQ_LOG_BASE": str(work / "log"),
        "RABBITMQ_NODENAME": "rabbit@localhost",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(work / "plugins"),
        "RABBITMQ_PID_FILE": str(work / "pid"),
    }
