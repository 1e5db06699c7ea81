"""The node, as scripts look at it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from amqpd import __version__
from amqpd.cli.main import group

if TYPE_CHECKING:
    from tests.cli.ctl.conftest import Ctl


async def test_a_running_broker_answers(ctl: Ctl) -> None:
    assert "Ping succeeded" in await ctl.run("ping")
    assert await ctl.run("await_startup") == ""
    await ctl.run("wait", "--pid", "1")
    assert await ctl.run("version") == f"{__version__}\n"
    assert await ctl.run("server_version", "-q") == "4.2.0\n"


async def test_the_status_says_what_and_how_it_is(ctl: Ctl) -> None:
    said = await ctl.run("status")

    for line in (f"OS PID: {os.getpid()}", "Alarms\n\n(none)", "Connection count: 0"):
        assert line in said
    facts = json.loads(await ctl.run("status", "--formatter", "json"))
    assert facts["product_name"] == "RabbitMQ"
    assert facts["totals"] == {"virtual_host_count": 1, "connection_count": 0, "queue_count": 0}
    await ctl.run("set_vm_memory_high_watermark", "absolute", "64GB")
    assert "Memory high watermark setting: 64000.0 mb" in await ctl.run("status", "--unit", "mb")
    assert "one of: bytes, mb, gb" in await ctl.run("status", "--unit", "stones", code=64)


async def test_the_cluster_is_one_node(ctl: Ctl) -> None:
    row = json.loads(await ctl.run("cluster_status", "--formatter", "json"))

    assert len(row["running_nodes"]) == 1
    assert row["running_nodes"][0] in await ctl.run("cluster_status")


async def test_listeners_are_listed(ctl: Ctl) -> None:
    assert f"port: {ctl.api.broker.port}, protocol: amqp" in await ctl.run("listeners")


async def test_erlang_is_refused(ctl: Ctl) -> None:
    assert "runs no Erlang" in await ctl.run("eval", "1 + 1.", code=64)


async def test_a_broker_that_was_started_elsewhere_is_not_stopped(ctl: Ctl) -> None:
    assert "stop it where it runs" in await ctl.run("stop", code=69)


def test_a_broker_is_found_and_stopped_from_the_directory_it_was_started_in(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "amqpd", "--port", "0", "--http-port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(
        [*command, "--metrics-port", "off"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as broker:
        assert broker.stdout is not None
        while not broker.stdout.readline().startswith("ready in"):
            assert broker.poll() is None
        here = {"AMQPD_STORE_PATH": str(tmp_path / "amqpd-data")}

        for password, code in (("guest", 0), ("wrong", 65)):
            asked = CliRunner(env=here).invoke(
                group, ["ctl", "authenticate_user", "guest", password]
            )
            assert asked.exit_code == code, asked.output
        result = CliRunner(env=here).invoke(group, ["ctl", "stop"])

        assert result.exit_code == 0, result.output
        assert broker.wait(60) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["check_running"],
        ["is_running"],
        ["check_alarms"],
        ["check_local_alarms"],
        ["check_virtual_hosts"],
        ["check_protocol_listener", "amqp"],
    ],
)
async def test_a_healthy_broker_passes_its_checks(ctl: Ctl, arguments: list[str]) -> None:
    assert await ctl.run(*arguments)


async def test_a_check_that_fails_says_why(ctl: Ctl) -> None:
    port = str(ctl.api.broker.port)
    await ctl.run("check_port_listener", port)

    await ctl.run("check_port_listener", "1", code=69)
    await ctl.run("check_protocol_listener", "mqtt", code=69)


async def test_alarms_are_listed(ctl: Ctl) -> None:
    assert "reported no alarms, local or clusterwide" in await ctl.run("alarms")
    assert json.loads(await ctl.run("alarms", "--formatter", "json"))["alarms"] == []


async def test_the_settings_in_force_are_shown_without_secrets(ctl: Ctl) -> None:
    shown = await ctl.run("environment")

    assert "{heartbeat_s,60}" in shown
    assert '{default_password,"guest"}' not in shown


async def test_features_are_listed(ctl: Ctl) -> None:
    assert ["quorum_queue", "enabled"] in await ctl.quiet("list_feature_flags")
    assert all(len(row) == 2 for row in await ctl.quiet("list_deprecated_features"))
    await ctl.run("enable_feature_flag", "all")
    await ctl.run("enable_feature_flag", "quorum_queue")
    await ctl.run("enable_feature_flag", "nothing", code=64)


async def test_interfaces_arguments_and_verbs_are_listed(ctl: Ctl) -> None:
    interfaces = {row[0]: row for row in await ctl.quiet("list_network_interfaces")}
    assert "127.0.0.1" in interfaces["lo"][2]

    assert ["amqp.channel_max", "2047"] in await ctl.quiet("command_line_arguments")
    assert await ctl.run("autocomplete", "list_q") == "list_queues\n"


async def test_the_log_is_followed(ctl: Ctl) -> None:
    following = asyncio.create_task(ctl.run("log_tail_stream", "-d", "1"))
    while not following.done():
        logging.getLogger("amqpd.test").warning("orders are late")
        await ctl.api.get("/overview")

    assert "[warning] orders are late\n" in await following


async def test_this_node_has_copies_of_all_queues_and_no_other_has(ctl: Ctl) -> None:
    node = (await ctl.api.get("/overview"))["node"]

    assert await ctl.run("grow", node, "all") == f"Growing all quorum queues on {node}...\n"
    await ctl.run("grow", "rabbit@elsewhere", "all", code=65)
