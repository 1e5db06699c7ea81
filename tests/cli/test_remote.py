"""Where the broker is, and what becomes of a request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from amqpd.cli.remote import Place, Remote, RemoteError, run_file, whereabouts

if TYPE_CHECKING:
    from pathlib import Path


def test_without_a_word_it_is_the_default_port(tmp_path: Path) -> None:
    place = whereabouts(None, None, None, environment={}, directory=tmp_path)

    assert place == Place("http://127.0.0.1:15672", "guest", "guest")


def test_the_broker_of_this_directory_comes_before_the_default(tmp_path: Path) -> None:
    listeners = [
        {"protocol": "amqp", "uri": "amqp://127.0.0.1:1"},
        {"protocol": "http", "uri": "http://127.0.0.1:2"},
    ]
    (tmp_path / "run.json").write_text(json.dumps({"listeners": listeners}))

    found = whereabouts(None, None, None, environment={}, directory=tmp_path)

    assert found.uri == "http://127.0.0.1:2"


def test_an_address_may_carry_who_asks(tmp_path: Path) -> None:
    environment = {"AMQPD_URL": "https://bob:p%40ss@broker:99/prefix/"}

    place = whereabouts(None, None, None, environment=environment, directory=tmp_path)

    assert (place.uri, place.user, place.password) == ("https://broker:99/prefix", "bob", "p@ss")


def test_options_win(tmp_path: Path) -> None:
    environment = {"AMQPD_URL": "http://a", "AMQPD_USERNAME": "b", "AMQPD_PASSWORD": "c"}

    place = whereabouts("http://x", "y", "z", environment=environment, directory=tmp_path)

    assert (place.uri, place.user, place.password) == ("http://x", "y", "z")


def test_an_address_that_is_none_is_an_error_of_usage(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        whereabouts("broker:15672", None, None, environment={}, directory=tmp_path)

    assert ended.value.code == 64


@pytest.mark.parametrize("text", ["", "[]", "nonsense"])
def test_a_run_file_that_says_nothing_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)

    assert run_file({}, tmp_path) == {}


def test_a_password_is_in_no_text_that_is_shown() -> None:
    place = Place("http://127.0.0.1:1", "bob", "canary")

    with pytest.raises(RemoteError) as refused:
        Remote(place).get("/overview")

    assert "canary" not in f"{place!r} {refused.value}"
