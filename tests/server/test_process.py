"""The process among others."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import signal
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from amqpd.server import process
from amqpd.server.process import Listening, RunFile
from tests.server.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize(
    ("host", "uri"),
    [
        ("127.0.0.1", "amqp://127.0.0.1:5672"),
        ("0.0.0.0", "amqp://127.0.0.1:5672"),  # noqa: S104 - it is shown, not bound
        ("::", "amqp://[::1]:5672"),
        ("fe80::1", "amqp://[fe80::1]:5672"),
        ("192.0.2.1", "amqp://192.0.2.1:5672"),
    ],
)
def test_a_uri_leads_to_the_port_from_this_machine(host: str, uri: str) -> None:
    assert Listening("amqp", host, 5672).uri == uri


def test_run_json_is_written_whole_and_removed(tmp_path: Path) -> None:
    file = RunFile(tmp_path)
    file.path.write_text("left by a killed broker")

    file.write("1.2.3", "amqpd@here", [Listening("amqp", "127.0.0.1", 5672)])

    assert json.loads(file.path.read_text()) == {
        "pid": os.getpid(),
        "version": "1.2.3",
        "node": "amqpd@here",
        "listeners": [
            {
                "protocol": "amqp",
                "host": "127.0.0.1",
                "port": 5672,
                "path": "",
                "uri": "amqp://127.0.0.1:5672",
            }
        ],
    }
    assert os.listdir(tmp_path) == ["run.json"]
    file.remove()
    file.remove()
    assert os.listdir(tmp_path) == []


def test_without_a_supervisor_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    process.notify("READY=1")


@pytest.mark.parametrize("abstract", [False, True])
def test_the_supervisor_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        name = f"amqpd-test-{os.getpid()}"
        supervisor.bind(f"\0{name}" if abstract else str(tmp_path / name))
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if abstract else str(tmp_path / name))

        process.notify("RELOADING=1", "MONOTONIC_USEC=1")

        assert supervisor.recv(100) == b"RELOADING=1\nMONOTONIC_USEC=1"


def test_a_supervisor_that_is_gone_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))

    process.notify("READY=1")


@pytest.fixture
def _file_limit() -> Iterator[None]:
    """Put the limit back."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.usefixtures("_file_limit")
def test_all_open_files_that_are_allowed_are_used() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))

    assert process.raise_file_limit() > 256

    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 256


def test_what_exists_when_the_broker_is_up_is_not_collected_again() -> None:
    thresholds = gc.get_threshold()
    try:
        process.settle_memory()

        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
        young, often, _ = gc.get_threshold()
        # A collection looks at some ms of objects, and is not for what comes and goes in a turn.
        assert 10_000 <= young <= 50_000
        assert young * often <= 500_000
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)


def test_threads_hand_the_interpreter_on_sooner_than_usual() -> None:
    usual = sys.getswitchinterval()
    try:
        process.share_the_interpreter()

        assert sys.getswitchinterval() < usual
    finally:
        sys.setswitchinterval(usual)


async def test_signals_reach_the_loop_until_that_is_undone() -> None:
    heard: list[str] = []
    undo = process.on_signals(
        asyncio.get_running_loop(), heard.append, lambda: heard.append("reload")
    )

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.raise_signal(number)
        await until(lambda: bool(heard))
    await until(lambda: len(heard) == 3)
    undo()

    assert heard == ["SIGTERM", "SIGINT", "reload"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
