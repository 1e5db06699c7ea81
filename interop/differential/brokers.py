"""Starts the two brokers, each with its recorder in a network namespace of its own, both with
the users and permissions of definitions.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TypeAlias

Transcripts: TypeAlias = dict[str, list[str]]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
INSIDE = HERE.parent / "suites" / "inside.py"
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
DEFINITIONS = HERE / "definitions.json"
LIMIT_S = 1800


def read(path: Path) -> Transcripts:
    """Transcripts written earlier."""
    transcripts: Transcripts = json.loads(path.read_text(encoding="utf-8"))
    return transcripts


def transcripts(broker: str, address: str | None, only: str, work: Path) -> Transcripts:
    """What the broker says in all scenarios; started first unless it runs at the address.

    Raises:
        SystemExit: it could not be started or recorded; the logs in `work` say why.
    """
    out = work / f"{broker}.json"
    recorder = [sys.executable, str(HERE / "record.py"), address or "127.0.0.1:5672", str(out)]
    recorder += ["--only", only]
    if address:
        code = subprocess.call(recorder, stderr=subprocess.DEVNULL)
    else:
        code = _in_namespace(broker, recorder, work / broker)
    if code or not out.exists():
        raise SystemExit(f"{broker} was not recorded to the end; see {work / broker}")
    return read(out)


def _in_namespace(broker: str, recorder: list[str], work: Path) -> int:
    work.mkdir()
    command, environment = (_rabbitmq if broker == "rabbitmq" else _amqpd)(work)
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


def _amqpd(work: Path) -> tuple[list[str], dict[str, str]]:
    data = work / "data"
    settings = work / "amqpd.toml"
    settings.write_text("[auth]\nfailure_delay_s = 0.0\n", encoding="utf-8")
    environment = {"PYTHONPATH": str(ROOT)}
    prepare = [sys.executable, str(HERE / "prepare.py"), str(DEFINITIONS), str(data)]
    subprocess.run(prepare, env={**os.environ, **environment}, check=True)
    command = [sys.executable, "-m", "amqpd", "start", "--config", str(settings)]
    return [*command, "--data-dir", str(data)], environment


def _rabbitmq(work: Path) -> tuple[list[str], dict[str, str]]:
    (work / "plugins").write_text("[].\n", encoding="utf-8")
    settings = work / "rabbitmq.conf"
    settings.write_text(f"load_definitions = {DEFINITIONS}\n", encoding="utf-8")
    return [RABBITMQ], {
        "HOME": str(work),
        "RABBITMQ_CONFIG_FILE": str(settings),
        "RABBITMQ_MNESIA_BASE": str(work / "mnesia"),
        "RABBITMQ_LOG_BASE": str(work / "log"),
        "RABBITMQ_NODENAME": "rabbit@localhost",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(work / "plugins"),
        "RABBITMQ_PID_FILE": str(work / "pid"),
    }
