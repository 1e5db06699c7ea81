"""Brokers by name."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from amqpd.cli.contexts import Context, ContextError, Contexts, in_use, place, read, write
from amqpd.cli.dial import address
from amqpd.cli.main import group
from amqpd.cli.remote import whereabouts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., str]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "contexts.json"


@pytest.fixture
def run(file: Path) -> Run:
    def call(*arguments: str, code: int = 0) -> str:
        runner = CliRunner(env={"AMQPD_CONTEXTS": str(file), "AMQPD_URL": None})
        result = runner.invoke(group, list(arguments), prog_name="amqpd")
        assert result.exit_code == code, (result.output, result.exception)
        return result.output

    return call


def test_contexts_are_added_used_listed_and_removed(run: Run, file: Path) -> None:
    assert "amqpd context add" in run("context", "list")
    run("context", "add", "live", "https://broker.example", "--username", "ops", "--password", "x")
    run("context", "add", "trial", "http://127.0.0.1:1", "--use")

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    rows = json.loads(run("context", "list", "--json"))
    assert [(row["name"], row["in_use"]) for row in rows] == [("live", False), ("trial", True)]
    assert "*  trial" in run("context", "list")
    run("context", "use", "live")
    shown = json.loads(run("context", "show", "live", "--json"))
    assert shown["in_use"]
    assert shown["password"] == "***"
    assert "password  ***" in run("context", "show", "live")
    run("context", "remove", "live")
    assert read(file) == Contexts({"trial": Context("http://127.0.0.1:1")}, "")


def test_the_one_in_use_is_shown_without_its_name(run: Run) -> None:
    assert "the broker here is in use" in run("context", "show", code=65)
    run("context", "add", "live", "http://a", "--use")

    assert run("context", "show").startswith("name      live\n")


def test_files_are_the_same_from_wherever_they_are_used(
    run: Run, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    run("context", "add", "live", "https://a", "--ca", "ca.pem")
    run("context", "add", "here", "./data")

    known = read(file).known
    assert known["live"].ca == str(tmp_path / "ca.pem")
    assert known["here"].url == str(tmp_path / "data")


def test_the_context_before_is_one_word_away(run: Run) -> None:
    run("context", "add", "live", "http://a", "--use")
    run("context", "add", "trial", "http://b", "--use")

    assert "context 'live' is in use" in run("context", "previous")
    assert "context 'trial' is in use" in run("context", "previous")
    run("context", "use", "--none")
    assert "context 'trial' is in use" in run("context", "previous")
    assert "the broker here is in use" in run("context", "previous")


def test_what_is_not_there_or_not_clear_is_told(run: Run) -> None:
    run("context", "add", "live", "http://a")
    assert "did you mean 'live'" in run("context", "use", "lief", code=65)
    assert "amqpd context list" in run("context", "remove", "zzz", code=65)
    assert "must be like" in run("context", "add", "x", "broker", code=64)
    run("context", "use", code=64)
    run("context", "use", "live", "--none", code=64)
    assert "the broker here" in run("context", "use", "--none")
    assert "no context 'zzz'" in run("queues", "--context", "zzz", code=65)


def test_the_context_in_use_says_where_both_apis_are(file: Path, tmp_path: Path) -> None:
    known = {
        "a": Context("https://broker:99", "ops", "secret", vhost="shop", ca="ca.pem"),
        "b": Context("http://[::1]", amqp="amqp://me:mine@other:7/v"),
    }
    write(file, Contexts(known, "a"))
    environment = {"AMQPD_CONTEXTS": str(file)}

    found = whereabouts(None, None, None, environment=environment, directory=tmp_path)
    messages = address(None, None, environment=environment, directory=tmp_path)

    assert (found.uri, found.user, found.password, found.ca) == (
        "https://broker:99", "ops", "secret", "ca.pem",
    )  # fmt: skip
    assert (messages.host, messages.port, messages.tls, messages.vhost, messages.user) == (
        "broker", 5671, True, "shop", "ops",
    )  # fmt: skip
    environment["AMQPD_CONTEXT"] = "b"
    other = address(None, None, environment=environment, directory=tmp_path)
    assert (other.host, other.port, other.user, other.vhost) == ("other", 7, "me", "v")


def test_an_address_that_is_named_wins_over_a_context(file: Path, tmp_path: Path) -> None:
    write(file, Contexts({"a": Context("http://a")}, "a"))
    environment = {"AMQPD_CONTEXTS": str(file), "AMQPD_URL": "http://b"}

    def found(uri: str | None = None, context: str | None = None) -> str:
        place = whereabouts(
            uri, None, None, context=context, environment=environment, directory=tmp_path
        )
        return place.uri

    assert found() == "http://b"
    assert found("http://c") == "http://c"
    assert found(context="a") == "http://a"


def test_messages_go_to_the_broker_that_the_variable_for_the_api_names(
    file: Path, tmp_path: Path
) -> None:
    write(file, Contexts({"a": Context("http://a")}, "a"))
    folder = tmp_path / "data"
    folder.mkdir()
    listening = {"protocol": "amqp", "uri": "amqp://127.0.0.1:77"}
    (folder / "run.json").write_text(json.dumps({"listeners": [listening]}))

    def found(url: str, **more: str) -> tuple[str, str]:
        environment = {"AMQPD_CONTEXTS": str(file), "AMQPD_URL": url, **more}
        place = address(None, None, environment=environment, directory=tmp_path)
        return str(place), place.user

    assert found("https://b.invalid", AMQPD_USERNAME="ops") == ("b.invalid:5671", "ops")
    assert found("http://me:pw@b.invalid") == ("b.invalid:5672", "me")
    assert found(str(folder)) == ("127.0.0.1:77", "guest")
    assert found("http://b", AMQPD_AMQP_URL="amqp://me@c:7") == ("c:7", "me")
    assert found("http://b", AMQPD_CONTEXT="a")[0] == "b:5672"


def test_a_file_that_others_may_read_is_refused(file: Path) -> None:
    write(file, Contexts({"a": Context("http://a")}))
    file.chmod(0o644)

    with pytest.raises(ContextError, match="chmod 600"):
        read(file)


@pytest.mark.parametrize("text", ["", "[]", '{"contexts": 1}', '{"contexts": {"a": {}}}'])
def test_a_file_that_is_none_of_ours_is_told(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    file.chmod(0o600)

    with pytest.raises(ContextError, match="contexts '"):
        in_use("a", {"AMQPD_CONTEXTS": str(file)})


def test_the_file_is_where_such_files_are() -> None:
    assert str(place({"HOME": "/home/x"})) == "/home/x/.config/amqpd/contexts.json"
    assert str(place({"XDG_CONFIG_HOME": "/etc/x"})) == "/etc/x/amqpd/contexts.json"
