"""What a shell completes."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from amqpd.cli.main import group
from tests.management.served import served

if TYPE_CHECKING:
    from pathlib import Path


def complete(*words: str) -> list[str]:
    """What comes after these words; the last one is begun."""
    made = ShellComplete(group, {}, "amqpd", "_AMQPD_COMPLETE")
    return [one.value for one in made.get_completions([*words[:-1]], words[-1])]


def test_commands_and_options_are_completed() -> None:
    assert complete("que") == ["queue", "queues"]
    assert complete("queue", "p") == ["pause", "purge"]
    assert "--json" in complete("queue", "show", "--")


async def test_names_are_completed_from_the_broker_that_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AMQPD_URL", raising=False)
    async with served(tmp_path) as api:
        for name in ("orders", "orders.late", "bills"):
            await api.put(f"/queues/%2F/{name}", {"durable": True})
        await api.put("/vhosts/shop")

        def asked(*words: str) -> list[str]:
            return complete(*words[:-1], "--url", api.uri, words[-1])

        def asked_all() -> list[list[str]]:
            return [
                asked("queue", "show", "ord"),
                asked("peek", "b"),
                asked("queue", "show", "-p", "shop", ""),
                asked("vhost", "delete", "s"),
                asked("exchange", "show", "amq.t"),
            ]

        found = await asyncio.to_thread(asked_all)

    assert found == [["orders", "orders.late"], ["bills"], [], ["shop"], ["amq.topic"]]


def test_without_a_broker_there_are_no_names_and_no_complaint(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert complete("queue", "show", "--url", "http://127.0.0.1:1", "") == []
    assert complete("queue", "show", "--url", "nonsense", "") == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    result = CliRunner().invoke(group, ["completion", shell], prog_name="amqpd")

    assert result.exit_code == 0
    assert "_AMQPD_COMPLETE" in result.output


def test_bash_understands_the_script() -> None:
    bash = shutil.which("bash")
    assert bash is not None
    script = CliRunner().invoke(group, ["completion", "bash"], prog_name="amqpd").output

    # What the shell asks the program, with a program that says what it was asked.
    asked = "amqpd() { echo plain,$COMP_CWORD; }; export -f amqpd"
    done = subprocess.run(
        [bash, "-c", f"{asked}; eval {shlex.quote(script)}; complete -p amqpd"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "amqpd" in done.stdout
