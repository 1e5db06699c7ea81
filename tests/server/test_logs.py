"""Log lines."""

from __future__ import annotations

import io
import json
import logging
import re
import threading

import pytest

from amqpd.server import logs
from amqpd.server.logs import Logs

LOG = logging.getLogger("amqpd.connection")


@pytest.fixture(autouse=True)
def _root_level() -> object:
    """Put the level back."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)


def test_a_text_line_has_rabbitmqs_shape() -> None:
    stream = io.StringIO()
    with Logs("info", "text", stream):
        LOG.info("accepting AMQP connection (%s)", "a -> b")

    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00 \[info\] "
        r"accepting AMQP connection \(a -> b\)\n",
        stream.getvalue(),
    )


def test_a_json_line_is_one_object_even_with_a_traceback() -> None:
    stream = io.StringIO()
    with Logs("info", "json", stream):
        try:
            raise ZeroDivisionError("by \x1b zero")
        except ZeroDivisionError:
            LOG.exception("it\nfailed")

    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["category"], entry["msg"]) == (
        "error",
        "connection",
        "it\nfailed",
    )
    assert "ZeroDivisionError" in entry["traceback"]


@pytest.mark.parametrize(
    ("logger", "domain"),
    [
        ("amqpd.connection", "rabbitmq.connection"),
        ("amqpd.amqp.handshake", "rabbitmq.connection"),
        ("amqpd.channel", "rabbitmq.channel"),
        ("amqpd.server", "rabbitmq"),
        ("asyncio", "rabbitmq"),
    ],
)
def test_a_json_line_has_rabbitmqs_names_and_no_spaces(logger: str, domain: str) -> None:
    stream = io.StringIO()
    with Logs("info", "json", stream):
        logging.getLogger(logger).info("a text")

    line = stream.getvalue()
    assert f'"level":"info","msg":"a text","domain":"{domain}",' in line
    assert line.startswith('{"time":"')


def test_a_text_line_cannot_be_forged_by_what_a_client_sent() -> None:
    stream = io.StringIO()
    with Logs("info", "text", stream):
        LOG.info("user '%s'", "x\n2026-01-01 00:00:00.000000+00:00 [info] user 'admin' \x1b[2J")

    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


#: Terminals obey U+009B as they obey ESC [; the others end or turn around a line.
STEERING = "\x9b2J \x85 \u2028 \u202e"


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_line_steers_a_terminal_or_ends_early(form: logs.Format) -> None:
    stream = io.StringIO()
    with Logs("info", form, stream):
        try:
            raise ValueError(f"{STEERING}\n2026-01-01 [info] user 'admin'") from KeyError(
                "x\n2026-01-01 [info] user 'admin'"
            )
        except ValueError:
            LOG.exception("user '%s'", STEERING)

    text = stream.getvalue()
    assert text.replace("\n", "").isprintable()
    assert "\\u202e" in text
    assert not [line for line in text.splitlines()[1:] if line.startswith("2026")]


def test_less_than_the_level_is_not_logged() -> None:
    stream = io.StringIO()
    with Logs("warning", "text", stream) as log:
        LOG.info("no")
        log.set_level("info")
        LOG.info("yes")

    assert "no" not in stream.getvalue()
    assert "yes" in stream.getvalue()


def test_arguments_are_written_as_they_were_when_it_happened() -> None:
    stream = io.StringIO()
    names = ["a"]
    with Logs("info", "text", stream):
        LOG.info("%s", names)
        names.append("b")

    assert "['a']\n" in stream.getvalue()


class Stuck(io.StringIO):
    """A standard error that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()

    def write(self, text: str) -> int:
        """Wait until somebody does."""
        self.free.wait()
        return super().write(text)


def test_a_standard_error_that_nobody_reads_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "BACKLOG", 10)
    stream = Stuck()
    with Logs("info", "text", stream):
        for number in range(100):
            LOG.info("line %d", number)
        stream.free.set()

    lines = stream.getvalue().splitlines()
    assert "line 0" in lines[0]
    assert any("lines dropped" in line for line in lines)
    assert len(lines) < 20


class Broken(io.StringIO):
    """A standard error that is gone."""

    def write(self, text: str) -> int:
        """Fail."""
        raise BrokenPipeError


def test_a_standard_error_that_is_gone_is_no_reason_to_fail() -> None:
    with Logs("info", "text", Broken()):
        LOG.info("nobody hears this")
        LOG.info("nor this")


def test_warnings_of_python_are_logged() -> None:
    import warnings

    stream = io.StringIO()
    with Logs("info", "text", stream), warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("careful", UserWarning, stacklevel=1)

    assert "careful" in stream.getvalue()
