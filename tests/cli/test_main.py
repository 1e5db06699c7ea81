"""The command `amqpd`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from amqpd import __version__
from amqpd.cli.main import group, main


def invoke(*arguments: str) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(group, list(arguments), prog_name="amqpd")


def test_the_version_is_told() -> None:
    assert invoke("--version").output.startswith(f"amqpd {__version__} (Python 3.")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_the_commands(option: str) -> None:
    result = invoke(option)

    assert result.exit_code == 0
    for word in ("start", "config", "amqpd start --help"):
        assert word in result.output


def test_help_of_start_lists_every_option() -> None:
    result = invoke("start", "--help")

    for option in (
        "--config FILE", "--data-dir DIR", "--host ADDR", "--port N", "--tls-port N",
        "--tls-cert FILE", "--tls-key FILE", "--tls-ca FILE", "--http-port N",
        "--metrics-port N", "--log-level LEVEL", "--no-sync",
    ):  # fmt: skip
        assert option in result.output


@pytest.mark.parametrize(
    "arguments",
    [("--port", "x"), ("--port=x",), ("start", "--port", "x"), ("--no-sync", "--port=x")],
)
def test_without_a_command_it_is_start(arguments: tuple[str, ...]) -> None:
    result = invoke(*arguments)

    assert result.exit_code == 78
    assert "amqp.port" in result.output


def test_a_word_that_is_no_command_is_an_error_of_usage() -> None:
    result = invoke("strat")

    assert result.exit_code == 64
    assert "No such command 'strat'" in result.output


def test_main_ends_with_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])

    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("amqpd ")


def test_python_m_amqpd_is_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "amqpd", "--version"], capture_output=True, text=True, check=True
    )

    assert done.stdout == invoke("--version").output


def test_an_answer_that_cannot_be_written_is_said_to_be() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "amqpd", "examples"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 74
    assert done.stderr == "amqpd: the answer cannot be written: No space left on device\n"


def test_an_error_of_ours_ends_with_70() -> None:
    code = (
        "from amqpd.cli import main as run\n"
        "from amqpd.cli.main import COMMANDS\n"
        "COMMANDS['examples'] = 'amqpd.cli.no_such_module:x'\n"
        "run(['examples'])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 70
    assert "ModuleNotFoundError" in done.stderr
    assert done.stderr.endswith("amqpd: this is an error of amqpd itself\n")


def test_nothing_slow_is_imported_to_tell_the_version() -> None:
    code = (
        "import sys; from amqpd.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('aiohttp', 'apsw', 'sqlite3', 'sqlite_utils') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


def test_a_command_that_is_mistyped_gets_the_nearest() -> None:
    assert "No such command 'quues'. Did you mean 'queues'?" in invoke("quues").output


def test_nothing_is_styled_where_no_color_is_wished_for() -> None:
    runner = CliRunner()
    styled = runner.invoke(group, ["examples", "publish"], color=True)
    plain = runner.invoke(group, ["examples", "publish"], color=True, env={"NO_COLOR": "1"})

    assert "\x1b[1m" in styled.output
    assert "\x1b" not in plain.output
