"""`report`, `environment` and `memory_breakdown`, beside RabbitMQ 3.10.8's."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.ctl.conftest import Ctl

#: The headings of a report, in their order; `{}` is the node.
HEADINGS = (
    "Reporting server status of node {} ...",
    "Status of node {} ...",
    "Runtime",
    "Plugins",
    "Data directory",
    "Config files",
    "Log file(s)",
    "Alarms",
    "Memory",
    "File Descriptors",
    "Free Disk Space",
    "Totals",
    "Listeners",
    "Cluster status of node {} ...",
    "Basics",
    "Disk Nodes",
    "Running Nodes",
    "Versions",
    "Maintenance status",
    "Network Partitions",
    "Feature flags",
    "Application environment of node {} ...",
    "Listing connections ...",
    "Listing channels ...",
    "Command line arguments of node {} ...",
    "Listing RabbitMQ-specific environment variables defined",
    "Listing queues for vhost / ...",
    "Listing exchanges for vhost / ...",
    "Listing bindings for vhost /...",
    'Listing permissions for vhost "/" ...',
    'Listing policies for vhost "/" ...',
    'Listing runtime parameters for vhost "/" ...',
    "Listing queues for vhost other ...",
    "Listing global runtime parameters ...",
)


async def test_a_report_has_rabbitmqs_headings_in_their_order(ctl: Ctl) -> None:
    await ctl.run("add_vhost", "other")
    await ctl.api.put("/queues/%2F/orders", {"durable": True, "arguments": {"x-max-length": 5}})
    node = (await ctl.api.get("/overview"))["node"]

    told = iter((await ctl.run("report")).splitlines())

    for heading in HEADINGS:
        assert any(line.startswith(heading.format(node)) for line in told), heading


async def test_a_report_lists_all_columns_and_no_secrets(ctl: Ctl) -> None:
    await ctl.api.put("/queues/%2F/orders", {"durable": True, "arguments": {"x-max-length": 5}})

    lines = (await ctl.run("report")).splitlines()

    (row,) = [line for line in lines if line.startswith("orders\t")]
    header = lines[lines.index(row) - 1].split("\t")
    shown = dict(zip(header, row.split("\t"), strict=True))
    assert header[:5] == ["name", "durable", "auto_delete", "arguments", "policy"]
    assert header[-3:] == ["leader", "members", "online"]
    assert shown["durable"] == "true"
    assert shown["arguments"].startswith('[{"x-max-length",5}')
    assert [line for line in lines if "default_password" in line and "***" in line]
    assert not [line for line in lines if "default_password" in line and "guest" in line]


async def test_the_environment_is_erlangs_with_rabbitmqs_names(ctl: Ctl) -> None:
    text = await ctl.run("environment")
    lines = [line.strip(" [,") for line in text.splitlines()]

    assert text.splitlines()[0].startswith("Application environment of node ")
    assert "{rabbit" in lines
    for line in (
        "{disk_free_limit,50000000}",
        "{heartbeat,60}",
        '{default_user,"guest"}',
        "{handshake_timeout,10000}",
        "{connection_max,infinity}",
    ):
        assert line in lines
    assert "{vm_memory_high_watermark,0.6}" in text
    assert re.search(r"\{auth_backends,\[rabbit_auth_backend_internal\]\}", text)
    assert re.search(r'\{tcp_listeners,\[\{"127\.0\.0\.1",\d+\}\]\}', text)
    assert text.count("[") == text.count("]")
    assert text.count("{") == text.count("}")
    assert '{default_password,"***"}' in lines


async def test_programs_get_the_environment_by_application(ctl: Ctl) -> None:
    found = json.loads(await ctl.run("environment", "--formatter", "json"))

    assert found["rabbit"]["frame_max"] == found["amqp"]["frame_max_bytes"] == 131_072
    assert found["rabbit"]["tcp_listeners"] == [["127.0.0.1", found["amqp"]["port"]]]


async def test_parts_of_memory_add_up_and_those_that_nobody_knows_are_not_shown(ctl: Ctl) -> None:
    lines = (await ctl.run("-q", "memory_breakdown", "--unit", "bytes")).splitlines()
    found = json.loads(await ctl.run("memory_breakdown", "--formatter", "json"))

    sizes = [int(re.fullmatch(r"\w+: (\d+) bytes \([\d.]+%\)", line)[1]) for line in lines]  # type: ignore[index]  # it does
    assert sizes == sorted(sizes, reverse=True)
    assert all(sizes)
    assert 99.5 < sum(one["percentage"] for one in found.values()) < 100.5
    assert found["code"]["bytes"] > 0
    assert "queue_procs" not in "".join(lines)
    assert found["queue_procs"]["bytes"] == 0
