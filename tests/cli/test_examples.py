"""`amqpd examples`: every line in it can be called."""

from __future__ import annotations

import json
import shlex

import click
import pytest
from click.testing import CliRunner

from amqpd.cli.examples import EXAMPLES
from amqpd.cli.main import group

LINES = [one.line for each in EXAMPLES.values() for one in each]


@pytest.mark.parametrize("line", LINES)
def test_every_line_is_understood_by_its_command(line: str) -> None:
    program, *words = shlex.split(line)
    assert program == "amqpd"
    for sign in "<>":
        if sign in words:
            words = words[: words.index(sign)]

    command: click.Command = group
    context = click.Context(group, info_name="amqpd")
    while isinstance(command, click.Group):
        context = command.make_context(context.info_name, [*words], parent=None)
        left = [*context._protected_args, *context.args]
        _, found, words = command.resolve_command(context, left)
        assert found is not None
        command = found
    command.make_context("it", [*words])


def test_a_word_finds_what_is_about_it() -> None:
    runner = CliRunner()

    assert "amqpd stat" in runner.invoke(group, ["examples", "watch"]).output
    assert "amqpd queue purge" in runner.invoke(group, ["examples", "purge"]).output
    everything = json.loads(runner.invoke(group, ["examples", "--json"]).output)
    assert [one["line"] for one in everything] == LINES
    wrong = runner.invoke(group, ["examples", "pubish"])
    assert wrong.exit_code == 65
    assert "Did you mean 'publish'?" in wrong.output
