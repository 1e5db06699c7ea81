"""The broker as a whole, from the command line: stop_app, alarms, limits, eval."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from amqpd.broker.broker import Alarms
from amqpd.cli.ctl import others
from amqpd.cli.ctl.evaluate import value_of

if TYPE_CHECKING:
    from tests.cli.ctl.conftest import Ctl


async def test_the_application_is_stopped_and_started_again(ctl: Ctl) -> None:
    assert "Stopping rabbit application on node" in await ctl.run("stop_app")

    assert "stopped by stop_app" in await ctl.run("status")
    assert "Start it with 'amqpd ctl start_app'" in await ctl.run("list_queues", code=64)
    assert "is not running" in await ctl.run("is_running")
    await ctl.run("check_running", code=69)
    await ctl.run("await_startup", "-t", "0.2", code=69)
    assert "Ping succeeded" in await ctl.run("ping")

    assert await ctl.run("-q", "start_app") == ""
    await ctl.run("await_startup")
    await ctl.run("list_queues")


async def test_the_alarms_of_client_suites(ctl: Ctl) -> None:
    broker = ctl.api.broker.server.broker

    for resource in ("memory", "disk"):
        set_it = f"rabbit_alarm:set_alarm({{{{resource_limit, {resource}, node()}}, []}})."
        assert await ctl.run("eval", set_it) == "ok\n"
        assert getattr(broker.alarms, resource)
        clear = f"rabbit_alarm:clear_alarm({{resource_limit, {resource}, node()}})."
        assert await ctl.run("-n", "rabbit@localhost", "eval", clear) == "ok\n"
    assert broker.alarms == Alarms()


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("channel_max", "2048", "{ok,2048}"),
        ("channel_max", "0", "{ok,65535}"),
        ("loopback_users", "[]", "{ok,[]}"),
        ("loopback_users", '[<<"guest">>]', '{ok,[<<"guest">>]}'),
        ("heartbeat", "7", "{ok,7}"),
        ("consumer_timeout", "36000", "{ok,36000}"),
    ],
)
async def test_the_settings_of_client_suites(ctl: Ctl, key: str, value: str, shown: str) -> None:
    assert await ctl.run("eval", f"application:set_env(rabbit, {key}, {value}).") == "ok\n"

    assert await ctl.run("eval", f"application:get_env(rabbit, {key}).") == f"{shown}\n"


async def test_what_erlang_says_of_itself(ctl: Ctl) -> None:
    assert (await ctl.run("eval", "node().")).startswith("'rabbit@")
    assert await ctl.run("eval", "nodes().") == "[]\n"
    assert await ctl.run("eval", "rabbit_misc:version().") == '"4.2.0"\n'
    assert await ctl.run("eval", "application:get_env(rabbit, nothing).") == "undefined\n"
    assert await ctl.run("eval", "vm_memory_monitor:get_vm_memory_high_watermark().") == "0.6\n"


async def test_other_erlang_is_refused_and_says_what_to_use(ctl: Ctl) -> None:
    assert "amqpd ctl --help" in await ctl.run("eval", "1 + 1.", code=64)
    refused = await ctl.run("eval", "application:set_env(rabbit, cookie, 1).", code=64)
    assert "known are channel_max" in refused


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("0.4", 0.4), ('<<"a b">>', "a b"), ('"a"', "a"), ("[a,b]", ["a", "b"]),
     ("true", True), ("undefined", 0), ("plain", "plain")],
)  # fmt: skip
def test_terms_are_read(text: str, value: object) -> None:
    assert value_of(text) == value


async def test_the_memory_limit_holds_and_frees_publishers(ctl: Ctl) -> None:
    broker = ctl.api.broker.server.broker

    for limit in (("0.00000001",), ("0",), ("absolute", "1"), ("absolute", "0")):
        await ctl.run("set_vm_memory_high_watermark", *limit)
        assert broker.alarms.memory, limit
        await ctl.run("set_vm_memory_high_watermark", "0.6")
        assert not broker.alarms.memory, limit
    await ctl.run("set_vm_memory_high_watermark", "absolute", "1GiB")
    environment = await ctl.run("environment")
    assert "{memory_watermark_bytes,1073741824}" in environment
    await ctl.run("set_vm_memory_high_watermark", "1.5", code=65)
    await ctl.run("set_vm_memory_high_watermark", "much", code=65)
    await ctl.run("set_vm_memory_high_watermark", "absolute", code=64)


async def test_the_disk_limit_holds_and_frees_publishers(ctl: Ctl) -> None:
    await ctl.run("set_disk_free_limit", "mem_relative", "1000000")
    assert "Free disk space alarm on node" in await ctl.run("alarms")
    for check in ("check_alarms", "check_local_alarms"):
        assert "Free disk space alarm on node" in await ctl.run(check, code=69)
    (alarm,) = json.loads(await ctl.run("alarms", "--formatter", "json"))["local"]
    assert alarm.startswith("Free disk space alarm on node")
    await ctl.run("set_disk_free_limit", "1MB")
    assert "no alarms" in await ctl.run("alarms")
    assert "{disk_free_bytes,1000000}" in await ctl.run("environment")
    assert "not valid" in await ctl.run("set_disk_free_limit", "little", code=65)


async def test_the_log_level_is_set(ctl: Ctl) -> None:
    await ctl.run("set_log_level", "warning")
    assert '{level,"warning"}' in await ctl.run("environment")
    assert "Try one of debug" in await ctl.run("set_log_level", "loud", code=69)


async def test_listeners_are_suspended_and_resumed(ctl: Ctl) -> None:
    port = str(ctl.api.broker.port)
    await ctl.run("suspend_listeners")
    await ctl.run("check_port_listener", port, code=69)
    await ctl.run("resume_listeners")
    await ctl.run("check_port_listener", port)
    await ctl.run("drain")
    await ctl.run("check_port_listener", port, code=69)
    await ctl.run("revive")
    await ctl.run("check_port_connectivity")


async def test_settings_are_read_again(ctl: Ctl) -> None:
    await ctl.run("set_log_level", "error")
    await ctl.run("reload")
    assert '{level,"info"}' in await ctl.run("environment")


async def test_what_needs_a_cluster_is_refused_with_its_reason(ctl: Ctl) -> None:
    for name in ("join_cluster", "forget_cluster_node", "rename_cluster_node"):
        assert "amqpd is one node" in await ctl.run(name, "rabbit@other", code=64)
    assert "data directory" in await ctl.run("reset", code=64)
    await ctl.run("await_online_nodes", "1")
    await ctl.run("await_online_nodes", "3", code=70)
    await ctl.run("await_online_nodes", "many", code=65)


async def test_the_cluster_gets_a_name(ctl: Ctl) -> None:
    await ctl.run("set_cluster_name", "shop")
    assert await ctl.run("eval", "rabbit_nodes:cluster_name().") == '<<"shop">>\n'


async def test_diagnostics_answer(ctl: Ctl) -> None:
    for arguments in (
        ["is_booting"], ["memory_breakdown"], ["list_node_auth_attempt_stats"],
        ["list_node_auth_attempt_stats", "--by-source"], ["check_certificate_expiration"],
        ["check_if_node_is_quorum_critical"], ["list_unresponsive_queues"], ["tls_versions"],
        ["cipher_suites"], ["list_ciphers"], ["list_hashes"], ["log_location"], ["report"],
        ["resolve_hostname", "localhost"], ["rebalance", "all"], ["rotate_logs"],
        ["await_online_quorum_plus_one"], ["consume_event_stream", "-d", "0.01"],
        ["clear_auth_backend_cache"],
    ):  # fmt: skip
        await ctl.run(*arguments)
    await ctl.api.put("/queues/%2F/q", {"durable": True, "arguments": {"x-queue-type": "quorum"}})
    (row,) = json.loads(await ctl.run("quorum_status", "q", "--formatter", "json"))
    assert row["Raft State"] == "leader"


async def test_plugins_of_rabbitmq_are_there_or_not(ctl: Ctl) -> None:
    listed = (await ctl.run("plugins", "list", "-q", "-m")).split()
    assert "rabbitmq_management" in listed
    await ctl.run("plugins", "enable", "rabbitmq_management", "rabbitmq_prometheus")
    await ctl.run("plugins", "is_enabled", *listed)
    assert "are not there: rabbitmq_mqtt" in await ctl.run(
        "plugins", "enable", "rabbitmq_mqtt", code=70
    )
    assert "Plugin rabbitmq_mqtt is not enabled" in await ctl.run(
        "plugins", "is_enabled", "rabbitmq_mqtt", code=69
    )
    for verb in ("enable", "is_enabled"):
        await ctl.run("plugins", verb, code=64)
    await ctl.run("plugins", "disable", "rabbitmq_mqtt")
    await ctl.run("plugins", "disable", "rabbitmq_management", code=65)
    await ctl.run("plugins", "-q", "set", "rabbitmq_management")
    await ctl.run("plugins", "directories")
    assert "[E*] rabbitmq_management " in await ctl.run("plugins", "list")
    assert "API and web page" in await ctl.run("plugins", "list", "-v", "management$")
    await ctl.run("plugins", "list", "(", code=65)
    assert await ctl.run("plugins", "list", "--formatter", "csv", "rabbitmq_sharding")
    rows = json.loads(await ctl.run("plugins", "list", "--formatter", "json"))["plugins"]
    assert {row["enabled"] for row in rows} == {"enabled"}


async def test_the_rest_of_rabbitmqs_verbs_does_it_does_nothing_or_says_why(ctl: Ctl) -> None:
    for name in others.IDLE:
        assert others.IDLE[name] in await ctl.run(name, "anything")
    for reason, names in others.REFUSED:
        for name in names:
            assert reason in await ctl.run(name, "anything", code=64)
    for arguments in (
        ["help"], ["help", "add_user"], ["node_health_check"], ["certificates"], ["os_env"],
        ["reset_node_auth_attempt_metrics"], ["log_tail"], ["log_tail", "-N", "3"],
    ):  # fmt: skip
        await ctl.run(*arguments)
    assert "'nothing' not found" in await ctl.run("help", "nothing", code=64)


async def test_one_message_is_peeked_at_as_rabbitmq_queues_does(ctl: Ctl) -> None:
    await ctl.api.put("/queues/%2F/q", {"durable": True})
    for payload in ("a", "b"):
        sent = {"routing_key": "q", "payload": payload, "payload_encoding": "string"}
        await ctl.api.post("/exchanges/%2F/amq.default/publish", {**sent, "properties": {}})

    rows = dict(await ctl.quiet("peek", "q", "2"))

    assert (rows["payload"], rows["routing_key"]) == ("b", "q")
    assert "does not have a message" in await ctl.run("peek", "q", "3", code=69)
    await ctl.run("peek", "q", "first", code=64)
    assert "of a classic queue" in await ctl.run("stream_status", "q", code=69)
    stream = {"durable": True, "arguments": {"x-queue-type": "stream"}}
    await ctl.api.put("/queues/%2F/s", stream)
    (row,) = json.loads(await ctl.run("stream_status", "s", "--formatter", "json"))
    assert row["role"] == "writer"


async def test_a_super_stream_is_made_and_removed_as_a_whole(ctl: Ctl) -> None:
    await ctl.run("add_super_stream", "orders", "--max-length-bytes", "1000000")
    await ctl.run("add_super_stream", "zones", "--binding-keys", "emea, apac", "--max-age", "1D")

    exchange = await ctl.api.get("/exchanges/%2F/orders")
    assert (exchange["type"], exchange["arguments"]) == ("direct", {"x-super-stream": True})
    queues = await ctl.api.get("/queues/%2F")
    assert [(one["name"], one["type"]) for one in queues] == [
        (name, "stream")
        for name in ("orders-0", "orders-1", "orders-2", "zones-apac", "zones-emea")
    ]
    assert queues[0]["arguments"]["x-max-length-bytes"] == 1_000_000
    assert queues[3]["arguments"]["x-max-age"] == "1D"
    bound = await ctl.api.get("/exchanges/%2F/zones/bindings/source")
    assert {
        (one["routing_key"], one["destination"], one["arguments"]["x-stream-partition-order"])
        for one in bound
    } == {("emea", "zones-emea", 0), ("apac", "zones-apac", 1)}

    await ctl.run("delete_super_stream", "orders")
    await ctl.run("delete_super_stream", "zones")

    assert await ctl.api.get("/queues/%2F") == []
    await ctl.api.get("/exchanges/%2F/zones", 404)


async def test_what_is_no_super_stream_is_told(ctl: Ctl) -> None:
    both = ("--partitions", "2", "--binding-keys", "a")
    assert "not both" in await ctl.run("add_super_stream", "s", *both, code=64)
    assert "greater than 0" in await ctl.run("add_super_stream", "s", "--partitions", "0", code=64)
    assert "no number of bytes" in await ctl.run(
        "add_super_stream", "s", "--max-length-bytes", "x", code=64
    )
    assert "does not exist" in await ctl.run("delete_super_stream", "s", code=65)
    assert "is not a super stream" in await ctl.run("delete_super_stream", "amq.direct", code=64)
    assert await ctl.api.get("/queues/%2F") == []
