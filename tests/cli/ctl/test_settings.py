"""Users, permissions, vhosts, policies, parameters and limits, as scripts set them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.ctl.conftest import Ctl


async def test_users_come_and_go(ctl: Ctl) -> None:
    await ctl.run("add_user", "bob", "secret")
    await ctl.run("set_user_tags", "bob", "monitoring", "policymaker")
    assert ["bob", "[monitoring, policymaker]"] in await ctl.quiet("list_users")
    assert "already exists" in await ctl.run("add_user", "bob", "x", code=70)

    await ctl.run("delete_user", "bob")

    assert await ctl.quiet("list_users") == [["guest", "[administrator]"]]
    assert "does not exist" in await ctl.run("delete_user", "bob", code=67)


async def test_passwords_are_read_from_standard_input_and_changed(ctl: Ctl) -> None:
    await ctl.run("add_user", "bob", stdin="secret\n")
    await ctl.run("authenticate_user", "bob", "secret")
    await ctl.run("change_password", "bob", stdin="other\n")

    assert "failed to authenticate" in await ctl.run("authenticate_user", "bob", "secret", code=65)
    assert "Success" in await ctl.run("authenticate_user", "bob", stdin="other\n")

    await ctl.run("clear_password", "bob")
    await ctl.run("authenticate_user", "bob", "other", code=65)


async def test_tags_do_not_cost_the_password(ctl: Ctl) -> None:
    await ctl.run("add_user", "bob", "secret")

    await ctl.run("set_user_tags", "bob", "monitoring")

    await ctl.run("authenticate_user", "bob", "secret")


async def test_a_hash_can_be_made_and_used(ctl: Ctl) -> None:
    ((hashed,),) = await ctl.quiet("hash_password", "secret")

    await ctl.run("add_user", "bob", hashed, "--pre-hashed-password")

    await ctl.run("authenticate_user", "bob", "secret")


async def test_permissions_are_per_vhost_and_can_be_for_all(ctl: Ctl) -> None:
    await ctl.run("add_user", "bob", "secret")
    await ctl.run("add_vhost", "v")
    await ctl.run("set_permissions", "-p", "v", "bob", "^a", "^b", "")
    assert await ctl.quiet("list_user_permissions", "bob") == [["v", "^a", "^b", ""]]
    assert ["bob", "^a", "^b", ""] in await ctl.quiet("list_permissions", "-p", "v")
    await ctl.run("clear_permissions", "-p", "v", "bob")

    await ctl.run("set_permissions_globally", "bob", ".*", ".*", ".*")

    assert sorted(row[0] for row in await ctl.quiet("list_user_permissions", "bob")) == ["/", "v"]
    await ctl.run("set_permissions", "nobody", ".*", ".*", ".*", code=67)


async def test_topic_permissions_are_set_listed_and_cleared(ctl: Ctl) -> None:
    await ctl.run("set_topic_permissions", "guest", "amq.topic", "^a", "^b")
    row = ["amq.topic", "^a", "^b"]
    assert await ctl.quiet("list_topic_permissions") == [["guest", *row]]
    assert await ctl.quiet("list_user_topic_permissions", "guest") == [["/", *row]]

    await ctl.run("clear_topic_permissions", "guest")

    assert await ctl.quiet("list_topic_permissions") == []


async def test_vhosts_have_metadata_and_protection(ctl: Ctl) -> None:
    await ctl.run("add_vhost", "v", "--description", "d", "--default-queue-type", "quorum")
    await ctl.run("set_vhost_tags", "v", "a", "b")
    await ctl.run("update_vhost_metadata", "v", "--description", "e")
    columns = ("name", "description", "tags", "default_queue_type")
    assert ["v", "e", "[a, b]", "quorum"] in await ctl.quiet("list_vhosts", *columns)

    await ctl.run("enable_vhost_deletion_protection", "v")
    await ctl.run("delete_vhost", "v", code=65)
    await ctl.run("disable_vhost_deletion_protection", "v")
    await ctl.run("delete_vhost", "v")

    assert await ctl.quiet("list_vhosts") == [["/"]]
    said = await ctl.run("list_vhosts", "nope", code=64)
    assert "nope are not supported" in said
    assert "Columns: name, description" in said


async def test_tracing_is_switched(ctl: Ctl) -> None:
    await ctl.run("trace_on")
    assert await ctl.quiet("list_vhosts", "tracing") == [["true"]]

    await ctl.run("trace_off")

    assert await ctl.quiet("list_vhosts", "tracing") == [["false"]]
    assert "already running" in await ctl.run("restart_vhost")


async def test_policies_are_set_listed_and_cleared(ctl: Ctl) -> None:
    await ctl.run("set_policy", "--priority", "1", "p", "^a", '{"max-length":5}')
    await ctl.run("set_operator_policy", "o", "^a", '{"expires":9}', "--apply-to", "queues")
    assert await ctl.quiet("list_policies") == [["/", "p", "^a", "all", '{"max-length":5}', "1"]]
    (row,) = json.loads(await ctl.run("list_operator_policies", "--formatter", "json"))
    assert json.loads(row["definition"]) == {"expires": 9}

    await ctl.run("clear_policy", "p")
    await ctl.run("clear_operator_policy", "o")

    assert await ctl.quiet("list_policies") == await ctl.quiet("list_operator_policies") == []


async def test_a_policy_that_is_wrong_is_refused_with_the_reason(ctl: Ctl) -> None:
    assert "JSON decoding error" in await ctl.run("set_policy", "p", "^a", "{", code=69)
    assert "nonsense" in await ctl.run("set_policy", "p", "^a", '{"nonsense":1}', code=69)


async def test_parameters_are_set_listed_and_cleared(ctl: Ctl) -> None:
    await ctl.run("set_parameter", "federation-upstream", "u", '{"uri":"amqp://"}')
    await ctl.run("set_global_parameter", "g", '"x"')
    (row,) = await ctl.quiet("list_parameters")
    assert row[:2] == ["federation-upstream", "u"]
    assert ["g", '"x"'] in await ctl.quiet("list_global_parameters")

    await ctl.run("clear_parameter", "federation-upstream", "u")
    await ctl.run("clear_global_parameter", "g")

    assert await ctl.quiet("list_parameters") == []
    assert ["g", '"x"'] not in await ctl.quiet("list_global_parameters")


async def test_limits_are_set_listed_and_cleared(ctl: Ctl) -> None:
    await ctl.run("set_vhost_limits", '{"max-queues":3}')
    await ctl.run("set_user_limits", "guest", '{"max-channels":9,"max-connections":8}')
    assert await ctl.quiet("list_vhost_limits", "-p", "/") == [['{"max-queues":3}']]
    assert await ctl.quiet("list_vhost_limits", "--global") == [["/", '{"max-queues":3}']]
    ((limits,),) = await ctl.quiet("list_user_limits", "--user", "guest")
    assert json.loads(limits) == {"max-channels": 9, "max-connections": 8}

    await ctl.run("clear_vhost_limits")
    await ctl.run("clear_user_limits", "guest", "max-channels")

    assert await ctl.quiet("list_vhost_limits") == []
    assert await ctl.quiet("list_vhost_limits", "--global") == []
    assert await ctl.quiet("list_user_limits", "--global") == [["guest", '{"max-connections":8}']]
    assert "must be an object" in await ctl.run("set_vhost_limits", "[1]", code=69)
