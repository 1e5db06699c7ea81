"""RabbitMQ's newer command line for its API, unchanged: `rabbitmqadmin` 2, the one in Rust.

    cargo install rabbitmqadmin

It is looked for on the path and where cargo puts it, or named by RABBITMQADMIN.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.management.served import Api


def _program() -> str:
    home = str(Path.home() / ".cargo" / "bin")
    named = os.environ.get("RABBITMQADMIN")
    found = named or shutil.which("rabbitmqadmin", path=f"{os.environ['PATH']}:{home}")
    if not found:
        return ""
    told = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    return found if told.startswith("rabbitmqadmin 2") else ""


PROGRAM = _program()
pytestmark = pytest.mark.skipif(not PROGRAM, reason="needs `cargo install rabbitmqadmin`")

#: A life: what is made is shown, changed and removed. `NODE` and `PORT` are those of the broker.
STEPS = """
show overview
show churn
show memory_breakdown_in_bytes --node NODE
show memory_breakdown_in_percent --node NODE
nodes list
nodes memory_breakdown_in_bytes --node NODE
auth_attempts stats --node NODE
vhosts declare --name v1 --description shop --default-queue-type quorum --tracing
vhosts enable_deletion_protection --name v1
vhosts disable_deletion_protection --name v1
declare vhost --name v2
vhosts list
declare user --name u1 --password p1 --tags monitoring
users list
users connections --username guest
users permissions
users limits
declare permissions --user u1 --configure .* --write .* --read .*
permissions list
declare queue --name q1 --type quorum --durable true
declare queue --name q2 --type classic --arguments {"x-max-length":10}
queues declare --name q3
queues list
queues show --name q1
declare stream --name s1 --expiration 1D
streams list
declare exchange --name x1 --type topic
exchanges declare --name x2 --type fanout
exchanges bind --source x1 --destination-type queue --destination q1 --routing-key a
declare binding --source x1 --destination-type queue --destination q2 --routing-key b.#
bindings declare --source x2 --destination-type exchange --destination x1 --routing-key k
bindings list
publish message --exchange x1 --routing-key b.c --payload hello
publish message --routing-key q2 --payload direct --properties {"priority":3}
get messages --queue q2 --count 1 --ack-mode ack_requeue_true
purge queue --name q2
declare policy --name p1 --pattern ^q --apply-to queues --priority 1 --definition {"max-length":100}
policies list_in --vhost /
policies list_matching_object --name q1 --type queues
policies list_conflicting
policies patch --name p1 --definition {"message-ttl":7000}
policies update_definition --name p1 --definition-key max-length --new-value 5
policies delete_definition_keys --name p1 --definition-keys max-length
policies declare_override --name p1 --override-name p1o --definition {"max-length":2}
policies declare_blanket --name blanket --apply-to queues --definition {"max-length":99}
declare operator_policy --name o1 --pattern ^q --apply-to queues --definition {"max-length":100}
operator_policies list
declare parameter --component federation-upstream --name f1 --value {"uri":"amqp://localhost"}
parameters list_all
parameters list --component federation-upstream
global_parameters set --name g1 --value {"a":1}
global_parameters list
declare vhost_limit --name max-queues --value 100
vhost_limits list
vhost_limits delete --name max-queues
declare user_limit --user u1 --name max-connections --value 5
user_limits list
user_limits delete --user u1 --name max-connections
connections list
connections list_of_user --username guest
channels list
list consumers
feature_flags list
feature_flags enable_all
deprecated_features list
deprecated_features list_used
health_check local_alarms
health_check cluster_wide_alarms
health_check node_is_quorum_critical
health_check port_listener --port PORT
health_check protocol_listener --protocol amqp
definitions export --file d.json
definitions export_from_vhost --file dv.json
definitions import --file d.json
definitions import_into_vhost --file dv.json --vhost v2
passwords salt_and_hash secret
plugins list_all
plugins list_on_node --node NODE
rebalance queues
federation list_all_upstreams
federation list_all_links
shovels list_all
close user_connections --username u1
bindings delete --source x1 --destination-type queue --destination q1 --routing-key a
delete queue --name q2
queues delete_multiple --name-pattern ^q3 --approve
streams delete --name s1
delete exchange --name x1
delete policy --name p1
policies delete --name blanket
delete operator_policy --name o1
delete parameter --component federation-upstream --name f1
global_parameters clear --name g1
delete permissions --user u1
delete user --name u1
delete vhost --name v1
vhosts delete --name v2
vhosts delete --name v2 --idempotently
list nodes
list policies
""".strip().splitlines()


async def test_a_whole_life_of_objects(api: Api, tmp_path: Path) -> None:
    node = (await api.get("/overview"))["node"]
    where = ("-P", api.uri.rpartition(":")[2], "--host", "127.0.0.1", "--non-interactive")
    for line in STEPS:
        words = line.replace("NODE", node).replace("PORT", str(api.broker.port)).split()
        process = await asyncio.create_subprocess_exec(
            PROGRAM,
            *where,
            *words,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, (line, out.decode())

    exported = json.loads((tmp_path / "d.json").read_text())
    assert {one["name"] for one in exported["queues"]} >= {"q1", "q2", "s1"}
    assert [one["name"] for one in await api.get("/vhosts")] == ["/"]
