"""What rabbitmqctl 3.10 prints, and how it ends, kept as facts: ours does the same.

Recorded from RabbitMQ's own commands with the same things in both brokers. `{node}` is the
name of the node, `{port}` its AMQP port. What only Erlang has is left out: process numbers in
place of names, terms in errors, its own versions.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from click.testing import CliRunner

from amqpd.cli.main import group
from tests.management.served import Api, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


#: The words, the exit code, standard output, standard error up to the arguments given.
Fact = tuple[list[str], int, str, str]
NONE: Final = "Error (argument validation): not enough arguments.\n"
MANY: Final = "Error (argument validation): too many arguments.\n"


def _refused(text: str) -> str:
    return f"Error:\n{text}\n\n"


SETTINGS: Final[list[Fact]] = [
    (["list_users"], 0, "Listing users ...\nuser\ttags\nguest\t[administrator]\n", ""),
    (["list_users", "-q"], 0, "user\ttags\nguest\t[administrator]\n", ""),
    (["list_users", "-s"], 0, "guest\t[administrator]\n", ""),
    (["list_users", "--no-table-headers"], 0, "Listing users ...\nguest\t[administrator]\n", ""),
    (["list_users", "--formatter", "csv"], 0, '"user","tags"\n"guest","[administrator]"\n', ""),
    (["list_users", "--formatter", "json"], 0,
     '[\n{"user":"guest","tags":["administrator"]}\n]\n', ""),
    (["list_users", "--formatter", "json_stream"], 0,
     '{"user":"guest","tags":["administrator"]}\n', ""),
    (["list_users", "extra"], 64, "", MANY),
    (["list_user"], 64, "", "\nCommand 'list_user' not found. \nDid you mean 'list_users'? \n\n"),
    (["add_user"], 64, "", NONE),
    (["add_user", "", "x"], 65, "",
     "Error (argument validation): Bad argument: user cannot be an empty string\n"),
    (["add_user", "-q", "a1", "pw"], 0, "", ""),
    (["add_user", "a1", "pw"], 70, 'Adding user "a1" ...\n',
     _refused('User "a1" already exists')),
    (["change_password", "a1", "new"], 0, 'Changing password for user "a1" ...\n', ""),
    (["change_password", "no", "new"], 67, 'Changing password for user "no" ...\n',
     _refused('User "no" does not exist')),
    (["authenticate_user", "a1", "new"], 0, 'Authenticating user "a1" ...\nSuccess\n', ""),
    (["authenticate_user", "a1", "bad"], 65, 'Authenticating user "a1" ...\n', _refused(
        "Error: failed to authenticate user \"a1\"\nuser 'a1' - invalid credentials")),
    (["set_user_tags", "a1", "monitoring", "policymaker"], 0,
     'Setting tags for user "a1" to [monitoring, policymaker] ...\n', ""),
    (["set_user_tags", "no", "x"], 67, 'Setting tags for user "no" to [x] ...\n',
     _refused('User "no" does not exist')),
    (["set_permissions", "a1", "^a", "^b", "^c"], 0,
     'Setting permissions for user "a1" in vhost "/" ...\n', ""),
    (["set_permissions", "no", "a", "b", "c"], 67,
     'Setting permissions for user "no" in vhost "/" ...\n', _refused("User no does not exist")),
    (["set_permissions", "-p", "no", "a1", "a", "b", "c"], 69,
     'Setting permissions for user "a1" in vhost "no" ...\n',
     _refused("Virtual host no does not exist")),
    (["list_permissions"], 0, 'Listing permissions for vhost "/" ...\n'
     "user\tconfigure\twrite\tread\na1\t^a\t^b\t^c\nguest\t.*\t.*\t.*\n", ""),
    (["list_permissions", "-p", "no"], 65, 'Listing permissions for vhost "no" ...\n',
     "Virtual host 'no' does not exist\n\n"),
    (["clear_permissions", "a1"], 0, 'Clearing permissions for user "a1" in vhost "/" ...\n', ""),
    (["clear_permissions", "a1"], 0, 'Clearing permissions for user "a1" in vhost "/" ...\n', ""),
    (["clear_permissions", "-p", "no", "a1"], 69,
     'Clearing permissions for user "a1" in vhost "no" ...\n',
     _refused("Virtual host no does not exist")),
    (["clear_topic_permissions", "a1", "amq.topic"], 0,
     'Clearing topic permissions on "amq.topic" for user "a1" in vhost "/" ...\n', ""),
    (["set_user_limits", "a1", '{"max-connections": 5}'], 0,
     'Setting user limits to "{"max-connections": 5}" for user "a1" ...\n', ""),
    (["set_user_limits", "a1", '{"foo": 5}'], 69,
     'Setting user limits to "{"foo": 5}" for user "a1" ...\n',
     _refused('Unrecognised terms [{<<"foo">>,5}] in user-limits')),
    (["list_user_limits", "--user", "a1"], 0,
     'Listing limits for user "a1" ...\n{"max-connections":5}\n', ""),
    (["list_user_limits", "--user", "a1", "--formatter", "json"], 0,
     '{"message":"{\\"max-connections\\":5}"}\n', ""),
    (["clear_user_limits", "a1", "all"], 0, 'Clearing all limits for user "a1" ...\n', ""),
    (["clear_user_limits", "a1", "max-channels"], 0,
     'Clearing "max-channels" limit for user "a1" ...\n', ""),
    (["delete_user", "a1"], 0, 'Deleting user "a1" ...\n', ""),
    (["delete_user", "a1"], 67, 'Deleting user "a1" ...\n',
     _refused('User "a1" does not exist')),
    (["add_vhost", "w1"], 0, 'Adding vhost "w1" ...\n', ""),
    (["add_vhost", "w1", "--formatter", "json"], 0, '{"node":"{node}","result":"ok"}\n', ""),
    (["set_vhost_tags", "w1", "a", "b"], 0,
     'Setting tags for virtual host "w1" to [a, b] ...\n', ""),
    (["list_vhosts", "nosuch"], 64, "",
     "Error (argument validation): Info key(s) nosuch are not supported\n"),
    (["list_vhosts", "name,tracing", "-q"], 0, "name\ttracing\n/\tfalse\nw1\tfalse\n", ""),
    (["list_vhost_limits", "-p", "w1"], 0, 'Listing limits for vhost "w1" ...\n', ""),
    (["clear_vhost_limits", "-p", "w1"], 69, 'Clearing vhost "w1" limits ...\n',
     _refused("Parameter does not exist")),
    (["set_vhost_limits", "-p", "w1", '{"max-queues": 5}'], 0,
     'Setting vhost limits to "{"max-queues": 5}" for vhost "w1" ...\n', ""),
    (["list_vhost_limits", "-p", "w1"], 0,
     'Listing limits for vhost "w1" ...\n{"max-queues":5}\n', ""),
    (["list_vhost_limits", "--global"], 0,
     'Listing limits for all vhosts ...\nvhost\tlimits\nw1\t{"max-queues":5}\n', ""),
    (["list_vhost_limits", "-p", "w1", "--formatter", "json"], 0,
     '{"node":"{node}","result":"ok","value":"{\\"max-queues\\":5}"}\n', ""),
    (["trace_on", "-p", "w1"], 0,
     'Starting tracing for vhost "w1" ...\nTrace enabled for vhost w1\n', ""),
    (["trace_off", "-p", "w1"], 0,
     'Stopping tracing for vhost "w1" ...\nTrace disabled for vhost w1\n', ""),
    (["restart_vhost", "-p", "w1"], 0, "Trying to restart vhost 'w1' on node '{node}' ...\n"
     "Vhost 'w1' is already running on node '{node}'\n", ""),
    (["delete_vhost", "w1"], 0, 'Deleting vhost "w1" ...\n', ""),
    (["delete_vhost", "w1"], 65, 'Deleting vhost "w1" ...\n',
     "Virtual host 'w1' does not exist\n\n"),
    (["set_policy", "p", "^q", '{"max-length": 10}', "--priority", "1", "--apply-to", "queues"], 0,
     'Setting policy "p" for pattern "^q" to "{"max-length": 10}" with priority "1" '
     'for vhost "/" ...\n', ""),
    (["set_policy", "p", "^q", '{"nosuch": 10}'], 69,
     'Setting policy "p" for pattern "^q" to "{"nosuch": 10}" with priority "0" '
     'for vhost "/" ...\n',
     _refused('Validation failed\n\n[{<<"nosuch">>,10}] are not recognised policy settings')),
    (["set_policy", "p", "^q", "{}"], 69,
     'Setting policy "p" for pattern "^q" to "{}" with priority "0" for vhost "/" ...\n',
     _refused("Validation failed\n\nno policy provided")),
    (["set_policy", "-p", "no", "p", "^q", '{"max-length": 10}'], 65,
     'Setting policy "p" for pattern "^q" to "{"max-length": 10}" with priority "0" '
     'for vhost "no" ...\n', "Virtual host 'no' does not exist\n\n"),
    (["list_policies"], 0, 'Listing policies for vhost "/" ...\n'
     "vhost\tname\tpattern\tapply-to\tdefinition\tpriority\n"
     '/\tp\t^q\tqueues\t{"max-length":10}\t1\n', ""),
    (["list_policies", "--formatter", "json"], 0,
     '[\n{"vhost":"/","name":"p","pattern":"^q","apply-to":"queues",'
     '"definition":"{\\"max-length\\":10}","priority":1}\n]\n', ""),
    (["list_policies", "--formatter", "csv"], 0,
     '"vhost","name","pattern","apply-to","definition","priority"\n'
     '"/","p","^q","queues","{""max-length"":10}","1"\n', ""),
    (["clear_policy", "p"], 0, 'Clearing policy "p" on vhost "/" ...\n', ""),
    (["clear_policy", "p"], 69, 'Clearing policy "p" on vhost "/" ...\n',
     _refused("Parameter does not exist")),
    (["list_policies", "--formatter", "csv"], 0, "", ""),
    (["list_policies", "--formatter", "pretty_table"], 0,
     'Listing policies for vhost "/" ...\n', ""),
    (["set_operator_policy", "o", "^q", '{"expires": 9}'], 0,
     'Setting operator policy override "o" for pattern "^q" to "{"expires": 9}" '
     'with priority "0" for vhost "/" ...\n', ""),
    (["clear_operator_policy", "o"], 0, 'Clearing operator policy "o" on vhost "/" ...\n', ""),
    (["set_parameter", "nosuch", "x", "{}"], 69,
     'Setting runtime parameter "x" for component "nosuch" to "{}" in vhost "/" ...\n',
     _refused("Validation failed\n\ncomponent nosuch not found")),
    (["clear_parameter", "x", "y"], 69,
     'Clearing runtime parameter "y" for component "x" on vhost "/" ...\n',
     _refused("Parameter does not exist")),
    (["set_global_parameter", "g", '{"a":[1,2]}'], 0,
     'Setting global runtime parameter "g" to "{"a":[1,2]}" ...\n', ""),
    (["clear_global_parameter", "g"], 0, 'Clearing global runtime parameter "g" ...\n', ""),
    (["clear_global_parameter", "g"], 69, 'Clearing global runtime parameter "g" ...\n',
     _refused("Parameter does not exist")),
]  # fmt: skip

THINGS: Final[list[Fact]] = [
    (["list_queues"], 0, "Timeout: 60.0 seconds ...\nListing queues for vhost / ...\n"
     "name\tmessages\nq\t1\n", ""),
    (["list_queues", "name", "policy", "--formatter", "json"], 0,
     '[\n{"name":"q","policy":""}\n]\n', ""),
    (["list_queues", "name", "nosuch", "foo"], 64, "",
     "Error (argument validation): Info key(s) foo,nosuch are not supported\n"),
    (["list_queues", "-q", "--offline", "name"], 0, "", ""),
    (["list_bindings", "-q", "source_name", "destination_name", "routing_key"], 0,
     "source_name\tdestination_name\trouting_key\n\tq\tq\n", ""),
    (["list_connections"], 0, "Listing connections ...\n", ""),
    (["list_channels"], 0, "Listing channels ...\n", ""),
    (["list_consumers"], 0, "Listing consumers in vhost / ...\n", ""),
    (["delete_queue", "q", "--if-empty"], 64,
     "Deleting queue 'q' on vhost '/' if queue is empty ...\n",
     _refused("Queue is not empty")),
    (["purge_queue", "q"], 0, "Purging queue 'q' in vhost '/' ...\n", ""),
    (["purge_queue", "no"], 69, "Purging queue 'no' in vhost '/' ...\n", _refused("not_found")),
    (["delete_queue", "q"], 0, "Deleting queue 'q' on vhost '/' ...\n"
     "Queue was successfully deleted with 0 ready messages\n", ""),
    (["delete_queue", "q"], 64, "Deleting queue 'q' on vhost '/' ...\n",
     _refused("Queue not found")),
    (["list_queues", "--formatter", "json"], 0, "[\n]\n", ""),
    (["close_all_connections", "-p", "/", "bye"], 0,
     "Closing all connections in vhost /, reason: bye...\nClosed 0 connections\n", ""),
    (["close_all_connections", "bye"], 0,
     "Closing all connections to node {node} (across all vhosts), reason: bye...\n"
     "Closed 0 connections\n", ""),
    (["close_all_user_connections", "no", "bye"], 0,
     "Closing connections of user no, reason: bye...\n", ""),
    (["close_connection", "x"], 64, "", NONE),
    (["quorum_status", "no"], 69, "Status of quorum queue no on node {node} ...\n",
     _refused("not_found")),
    (["stream_status", "no"], 69, "Status of stream no on node {node} ...\n",
     _refused("not_found")),
]  # fmt: skip

BROKER: Final[list[Fact]] = [
    (["ping", "-q"], 0, "Ping succeeded\n", ""),
    (["ping", "--formatter", "json"], 0, '{"message":"Ping succeeded"}\n', ""),
    (["check_running"], 0, "Checking if RabbitMQ is running on node {node} ...\n"
     "RabbitMQ on node {node} is fully booted and running\n", ""),
    (["is_running", "--formatter", "json"], 0,
     '{"message":"RabbitMQ on node {node} is fully booted and running","result":true}\n', ""),
    (["is_booting"], 0, "Asking node {node} for its boot status ...\n"
     "RabbitMQ on node {node} is fully booted (check with is_running), "
     "stopped or has not started booting yet\n", ""),
    (["check_alarms"], 0, "Asking node {node} to report any local resource alarms ...\n"
     "Node {node} reported no alarms, local or clusterwide\n", ""),
    (["check_local_alarms"], 0, "Asking node {node} to report any local resource alarms ...\n"
     "Node {node} reported no local alarms\n", ""),
    (["check_alarms", "--formatter", "json"], 0, '{"result":"ok"}\n', ""),
    (["alarms"], 0, "Asking node {node} to report any known resource alarms ...\n"
     "Node {node} reported no alarms, local or clusterwide\n", ""),
    (["alarms", "--formatter", "json"], 0, '{"alarms":[],"node":"{node}","result":"ok"}\n', ""),
    (["check_virtual_hosts"], 0, "Checking if all vhosts are running on node {node} ...\n"
     "Node {node} reported all vhosts as running\n", ""),
    (["check_port_listener", "{port}"], 0,
     "Asking node {node} if there's an active listener on port {port} ...\n"
     "A listener for port {port} is running on node {node}.\n", ""),
    (["check_port_listener", "{port}", "--formatter", "json"], 0,
     '{"node":"{node}","port":"{port}","result":"ok"}\n', ""),
    (["check_port_listener", "x"], 65, "",
     "Error (argument validation): Bad argument: Argument must be a positive integer\n"),
    (["check_protocol_listener", "amqp"], 0,
     "Asking node {node} if there's an active listener for protocol amqp ...\n"
     "A listener for protocol amqp is running on node {node}.\n", ""),
    (["check_certificate_expiration", "--within", "2", "--unit", "months"], 0,
     "Checking certificate expiration on node {node} ...\n"
     "No certificates are expiring within 2 months.\n", ""),
    (["check_if_node_is_quorum_critical"], 0,
     "Checking if node {node} is critical for quorum of any quorum queues ...\n"
     "Node {node} seems to be the only one in a single node cluster, "
     "the check does not apply\n", ""),
    (["enable_feature_flag", "all"], 0, "Enabling all feature flags ...\n", ""),
    (["enable_feature_flag", "no"], 64, 'Enabling feature flag "no" ...\n',
     _refused("This feature flag is not supported by node {node}")),
    (["set_cluster_name", "cc"], 0, "Setting cluster name to cc ...\n", ""),
    (["set_log_level", "debug"], 0, 'Setting log level to "debug" ...\n', ""),
    (["set_disk_free_limit", "1MB"], 0,
     "Setting disk free limit on {node} to 1MB bytes ...\n", ""),
    (["set_disk_free_limit", "mem_relative", "0.1"], 0,
     "Setting disk free limit on {node} to 0.1 times the total RAM ...\n", ""),
    (["set_vm_memory_high_watermark", "0.4"], 0,
     "Setting memory threshold on {node} to 0.4 ...\n", ""),
    (["set_vm_memory_high_watermark", "absolute", "1GB"], 0,
     "Setting memory threshold on {node} to 1GB bytes ...\n", ""),
    (["set_vm_memory_high_watermark", "2.0"], 65, "", "Error (argument validation): "
     "Bad argument: The threshold should be a fraction between 0.0 and 1.0\n"),
    (["set_vm_memory_high_watermark", "absolute"], 64, "", NONE),
    (["suspend_listeners"], 0, "Will suspend client connection listeners on node {node}. "
     "The node will no longer accept client connections!\n", ""),
    (["resume_listeners"], 0, "Will resume client connection listeners on node {node}. "
     "The node will now accept client connections\n", ""),
    (["await_startup", "--formatter", "json"], 0, '{"node":"{node}","result":"ok"}\n', ""),
    (["await_online_nodes", "1", "-q"], 0, "", ""),
    (["plugins", "is_enabled", "rabbitmq_management"], 0,
     "Asking node {node} if plugin rabbitmq_management is enabled...\n"
     "Plugin rabbitmq_management is enabled on node {node}\n", ""),
    (["import_definitions", "/nosuch.json"], 65, "",
     "Error (argument validation): Bad argument: File /nosuch.json does not exist\n"),
    (["export_definitions", "/nosuch/x.json"], 65, "",
     "Error (argument validation): Bad argument: Directory /nosuch does not exist\n"),
]  # fmt: skip


class Reference:
    """A broker to compare with what was recorded."""

    def __init__(self, api: Api, node: str) -> None:
        self.api = api
        self.names = {"{node}": node, "{port}": str(api.broker.port)}

    def hold(self, facts: list[Fact]) -> None:
        """Each command, one after the other, does what was recorded."""
        runner = CliRunner(env={"AMQPD_URL": self.api.uri})
        for words, code, out, err in facts:
            arguments = ["ctl", *map(self._named, words)]
            result = runner.invoke(group, arguments, prog_name="amqpd")
            said = result.stderr.partition("Arguments given:")[0]
            assert (result.exit_code, result.stdout, said) == (
                code, self._named(out), self._named(err)
            ), words  # fmt: skip

    def _named(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(name, value)
        return text


@pytest.fixture
async def reference(tmp_path: Path) -> AsyncIterator[Reference]:
    async with served(tmp_path) as api:
        overview: dict[str, Any] = await api.get("/overview")
        yield Reference(api, overview["node"])


@pytest.mark.parametrize("facts", [SETTINGS, BROKER], ids=["settings", "broker"])
async def test_commands_print_what_rabbitmqctl_prints(
    reference: Reference, facts: list[Fact]
) -> None:
    await asyncio.to_thread(reference.hold, facts)


async def test_commands_about_queues_print_what_rabbitmqctl_prints(reference: Reference) -> None:
    api = reference.api
    await api.put("/queues/%2F/q", {"durable": True})
    sent = {"routing_key": "q", "payload": "x", "payload_encoding": "string", "properties": {}}
    await api.post("/exchanges/%2F/amq.default/publish", sent)

    await asyncio.to_thread(reference.hold, THINGS)


async def test_passwords_among_the_arguments_are_not_repeated(reference: Reference) -> None:
    arguments = ["ctl", "--password", "secret", "list_users", "extra", "--password=secret"]
    result = CliRunner().invoke(group, arguments, prog_name="amqpd")

    assert result.exit_code == 64
    assert "\t--password *** list_users extra --password=***\n" in result.stderr


async def test_errors_are_objects_where_results_are(reference: Reference) -> None:
    runner = CliRunner(env={"AMQPD_URL": reference.api.uri})
    arguments = ["ctl", "delete_user", "nobody", "--formatter", "json"]
    result = await asyncio.to_thread(runner.invoke, group, arguments)

    assert json.loads(result.stderr) == {
        "message": 'User "nobody" does not exist', "result": "error"
    }  # fmt: skip
