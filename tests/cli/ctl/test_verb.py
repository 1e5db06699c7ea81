"""What all verbs share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from amqpd.cli.ctl.verb import GROUPS, VERBS
from amqpd.cli.main import group

if TYPE_CHECKING:
    from tests.cli.ctl.conftest import Ctl


@pytest.mark.parametrize("name", sorted(VERBS))
def test_every_verb_has_a_help_that_says_what_it_does(name: str) -> None:
    result = CliRunner().invoke(group, ["ctl", name, "--help"])

    assert result.exit_code == 0
    assert str(VERBS[name].help) in " ".join(result.output.split())


def test_the_help_lists_every_verb_once() -> None:
    result = CliRunner().invoke(group, ["ctl", "--help"])

    words = [line.split()[0] for line in result.output.splitlines() if line.startswith("  ")]
    assert sorted(word for word in words if word in VERBS) == sorted(VERBS)
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(VERBS)


@pytest.mark.parametrize(
    "arguments", [["list_user"], ["add_user"], ["list_users", "--nope"], ["--formatter", "xml"]]
)
def test_what_is_not_understood_ends_with_64(arguments: list[str]) -> None:
    assert CliRunner().invoke(group, ["ctl", *arguments]).exit_code == 64


def test_a_broker_that_is_not_there_is_named_and_ends_with_69() -> None:
    result = CliRunner().invoke(group, ["ctl", "ping", "--url", "http://127.0.0.1:1"])

    assert result.exit_code == 69
    assert "http://127.0.0.1:1: not reached" in result.output
    assert "AMQPD_URL name another" in result.output


async def test_options_stand_before_or_behind_the_verb(ctl: Ctl) -> None:
    before = await ctl.run("-n", "rabbit@host", "-q", "-p", "/", "list_permissions")
    behind = await ctl.run("list_permissions", "-n", "rabbit@host", "-q", "-p", "/")

    assert before == behind == "user\tconfigure\twrite\tread\nguest\t.*\t.*\t.*\n"


async def test_results_come_in_every_format(ctl: Ctl) -> None:
    assert await ctl.run("list_users") == "Listing users ...\nuser\ttags\nguest\t[administrator]\n"
    assert await ctl.run("list_users", "-q", "--no-table-headers") == "guest\t[administrator]\n"
    listed = json.loads(await ctl.run("list_users", "--formatter", "json"))
    assert listed == [{"user": "guest", "tags": ["administrator"]}]
    table = await ctl.run("-q", "--formatter", "csv", "list_users")
    assert table == '"user","tags"\n"guest","[administrator]"\n'
    framed = await ctl.run("-q", "--formatter", "pretty_table", "list_users")
    assert "│ guest │ [administrator] │" in framed
    terms = await ctl.run("-q", "--formatter", "erlang", "list_users")
    assert terms == '[[{user,<<"guest">>},{tags,[<<"administrator">>]}]]\n'


async def test_a_wrong_password_is_told_with_the_next_step(ctl: Ctl) -> None:
    said = await ctl.run("--password", "wrong", "list_users", code=77)

    assert "user 'guest' was refused" in said
    assert "--username and --password" in said
