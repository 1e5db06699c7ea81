"""`amqpd start`: the start screen and the exit codes."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from amqpd import __version__
from amqpd.cli.start import screen
from amqpd.config import load
from amqpd.server.app import Started
from amqpd.server.process import Exit, Listening
from tests.client import Client
from tests.server.running import Program

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.config import Value


def shown(**flags: Value) -> list[str]:
    """The start screen of a new broker with these settings."""
    settings = load(None, {}, {key.replace("__", "."): v for key, v in flags.items()}).settings
    started = Started(
        settings=settings,
        is_new=True,
        clean=True,
        queues=0,
        messages=0,
        listeners=[Listening("amqp", "127.0.0.1", 5672)],
        http=[Listening("http", "127.0.0.1", 15672)],
        metrics=[Listening("http", "127.0.0.1", 15692)],
    )
    return list(screen(started, "", "defaults"))


def test_the_first_screen_says_where_to_go() -> None:
    lines = shown()

    assert lines[0].startswith(f"amqpd {__version__}   Python 3.")
    assert "SQLite 3." in lines[0]
    assert lines[1:] == [
        "  data      ./amqpd-data              new",
        "  config    defaults                  amqpd config show",
        "  AMQP      amqp://127.0.0.1:5672",
        "  web       http://127.0.0.1:15672    guest / guest, this machine only",
        "  metrics   http://127.0.0.1:15692/metrics",
    ]


def test_no_sync_is_said_loudly() -> None:
    assert shown(store__sync=False)[-1].startswith("  NO SYNC")


def test_a_password_that_everybody_knows_and_anybody_may_use_is_said_loudly() -> None:
    assert "from ANYWHERE" in shown(auth__loopback_users="")[4]
    assert shown(auth__default_password="s3cret")[4].endswith("http://127.0.0.1:15672")


def test_the_screen_is_on_standard_output_and_the_log_on_standard_error(tmp_path: Path) -> None:
    with Program(tmp_path / "data", "--no-sync").wait_ready() as broker:
        assert broker.screen[0].startswith("amqpd ")
        assert re.fullmatch(r"ready in \d+\.\d s +Ctrl-C stops, messages stay", broker.screen[-1])
        assert any("NO SYNC" in line for line in broker.screen)
        assert broker.stop() == Exit.OK
        assert "[info] Server startup complete" in broker.log


def test_settings_come_from_the_file_it_is_given(tmp_path: Path) -> None:
    file = tmp_path / "amqpd.toml"
    file.write_text('[node]\nname = "amqpd@file"\n[log]\nformat = "json"\n')

    with Program(tmp_path / "data", "--config", str(file)).wait_ready() as broker:
        assert broker.run["node"] == "amqpd@file"
        assert f"  config    {file}" in broker.screen[2]
        assert broker.stop() == Exit.OK
        assert broker.log.startswith('{"time"')


def test_a_wrong_setting_is_one_line_and_nothing_is_made(tmp_path: Path) -> None:
    with Program(tmp_path / "data", environment={"AMQPD_AMQP_PROT": "1"}) as broker:
        assert broker.process.wait(timeout=60) == Exit.CONFIG
        (line,) = broker.log.splitlines()

    assert line.startswith("amqpd: setting 'amqp.prot' (from AMQPD_AMQP_PROT): does not exist")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("loop", ["on", "auto"])
def test_uvloop_is_used_if_asked_for(tmp_path: Path, loop: str) -> None:
    pytest.importorskip("uvloop")
    environment = {"AMQPD_NODE_UVLOOP": loop}

    with Program(tmp_path / "data", environment=environment).wait_ready() as broker:
        assert broker.screen[0].endswith(", uvloop")
        with Client(broker.port) as client:
            assert client.channel().declare_queue("q", durable=True).queue == "q"
            client.close()
        assert broker.stop() == Exit.OK


@pytest.mark.slow
def test_it_accepts_connections_within_half_a_second(tmp_path: Path) -> None:
    took = []
    for round_number in range(5):
        started = time.monotonic()
        with Program(tmp_path / f"data{round_number}").wait_ready() as broker:
            with Client(broker.port):
                took.append(time.monotonic() - started)
            assert broker.stop() == Exit.OK

    assert min(took) <= 0.5, took
