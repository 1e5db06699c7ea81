"""`amqpd config`."""

from __future__ import annotations

import itertools
import json
import re
import tomllib
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from amqpd import config, config_text
from amqpd.cli.main import group
from amqpd.config import Settings
from tests.server.running import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def invoke(*arguments: str, **environment: str) -> Result:
    """Run `amqpd config …` in this process."""
    return CliRunner().invoke(group, ["config", *arguments], env=environment)


def test_show_prints_a_file_that_says_the_same(tmp_path: Path) -> None:
    printed = invoke("show", "--port", "0", "--no-sync", "--show-secrets").output
    file = tmp_path / "amqpd.toml"
    file.write_text(printed)

    settings = config.load(file, {}, {}).settings

    assert (settings.amqp.port, settings.store.sync) == (0, False)
    assert settings.auth == Settings().auth


def test_show_with_comments_explains_every_setting() -> None:
    lines = invoke("show", "--comments").output.splitlines()

    for before, line in itertools.pairwise(lines):
        if " = " in line and not line.startswith("#"):
            assert before.startswith("# "), line


def test_show_origin_tells_where_values_come_from() -> None:
    result = invoke(
        "show", "--origin", "--port", "0", AMQPD_LOG_LEVEL="debug", AMQPD_AUTH_DEFAULT_PASSWORD="x"
    )

    assert result.output.splitlines() == [
        "amqp.port = 0  (command line)",
        "auth.default_password = ***  (AMQPD_AUTH_DEFAULT_PASSWORD)",
        "log.level = debug  (AMQPD_LOG_LEVEL)",
    ]


def test_show_origin_without_any_says_so() -> None:
    assert invoke("show", "--origin").output == "everything is a default\n"


def test_check_is_content_with_what_is_right() -> None:
    result = invoke("check", AMQPD_LOG_LEVEL="debug")

    assert result.exit_code == 0
    assert result.output == "settings are right (1 of them not defaults)\n"


def test_check_warns_of_variables_that_mean_nothing() -> None:
    result = invoke("check", AMQPD_LGO_LEVEL="debug")

    assert result.exit_code == 0
    assert "warning: section 'lgo'" in result.output


@pytest.mark.parametrize("command", ["show", "check"])
def test_a_wrong_setting_is_one_line_and_exit_78(command: str) -> None:
    result = invoke(command, AMQPD_LOG_LEVEL="loud")

    assert result.exit_code == 78
    assert result.output.startswith("amqpd: setting 'log.level' (from AMQPD_LOG_LEVEL)")
    assert len(result.output.splitlines()) == 1


def test_check_tells_all_that_is_wrong_at_once(tmp_path: Path) -> None:
    file = tmp_path / "amqpd.toml"
    file.write_text(
        "[ampq]\nport = 1\n[amqp]\nprot = 1\nproxies = ['nobody']\n[log]\nlevel = 'loud'\n"
    )

    told = invoke("check", "--config", str(file), "--tls-port", "5671", AMQPD_TLS_VERIFY="perhaps")
    as_json = invoke("check", "--json", "--config", str(file))
    shown = invoke("show", "--config", str(file))

    lines = told.output.splitlines()
    assert told.exit_code == as_json.exit_code == shown.exit_code == 78
    assert [line.split("'")[1] for line in lines] == [
        "ampq", "amqp.prot", "log.level", "tls.verify", "amqp.proxies", "amqp.tls_port",
    ]  # fmt: skip
    assert all(line.startswith("amqpd: ") for line in lines)
    assert json.loads(as_json.output)["reason"].count("\n") == 3
    assert shown.output.endswith("(and 3 more: see `amqpd config check`)\n")


def test_a_conflict_with_a_setting_that_is_wrong_itself_is_not_told() -> None:
    told = invoke("check", "--tls-port", "everywhere", "--tls-cert", "/nowhere")

    assert "'amqp.tls_port' (from command line)" in told.output
    assert len(told.output.splitlines()) == 1


def test_the_sample_file_shows_every_setting_with_its_default() -> None:
    sample = (ROOT / "conf" / "amqpd.toml").read_text()

    shown = [re.sub(r"^#(?=\w)", "", line) for line in sample.splitlines()]
    written = config_text.to_toml(Settings(), comments=True, show_secrets=True)
    assert "\n".join(shown).endswith(written.rstrip("\n"))
    assert tomllib.loads(sample) == {section: {} for section in config.SECTIONS}


def test_a_rabbitmq_conf_is_printed_as_settings(tmp_path: Path) -> None:
    file = tmp_path / "rabbitmq.conf"
    file.write_text("heartbeat = 30\nnum_acceptors.tcp = 1\n")

    result = CliRunner().invoke(group, ["config", "import", str(file)])

    assert result.exit_code == 0
    assert "[amqp]\nheartbeat_s = 30\n" in result.output
    assert "num_acceptors.tcp has no effect" in result.output


def test_a_rabbitmq_conf_that_is_wrong_is_told_with_a_line_for_each_mistake(tmp_path: Path) -> None:
    file = tmp_path / "rabbitmq.conf"
    file.write_text("heartbeat = soon\nwhat\nchannel_max = many\nlisteners.tcp.1 = x\n")

    result = CliRunner().invoke(group, ["config", "import", str(file)])

    assert result.exit_code == 78
    assert "line 1: heartbeat = soon: must be a number" in result.output
    assert "line 2: must be key = value: what" in result.output
    assert "line 3: channel_max = many" in result.output
    assert len(result.output.splitlines()) == 4
