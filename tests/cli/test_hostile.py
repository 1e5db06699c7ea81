"""The command line against a broker that means harm: it ends with one line, soon, and small."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from pamqp import frame, header
from pamqp.body import ContentBody
from pamqp.commands import Basic, Connection
from pamqp.commands import Channel as ChannelClass

from amqpd.cli.tables import lines
from amqpd.text import printable
from tests.client import Client, Gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pamqp.base import Frame as Command

HEAD = 7


def method(command: Command, channel: int = 0) -> bytes:
    return frame.marshal(command, channel)


START = method(Connection.Start(0, 9, {}, "PLAIN", "en_US"))
TUNE = method(Connection.Tune(0, 131_072, 0))
OPEN = method(Connection.OpenOk()) + method(ChannelClass.OpenOk(), 1)


@contextlib.contextmanager
def a_broker(says: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port behind which `says` talks to one client."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                accepted, _ = listening.accept()
                with accepted:
                    accepted.settimeout(10)
                    says(accepted)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.close()
            thread.join(15)


@pytest.mark.parametrize(
    "octets",
    [
        b"", b"HTTP/1.1 200 OK\r\n\r\n", bytes(100), b"\xff" * 1000, b"AMQP\0\0\x09\x01",
        START[:-1] + b"\x00", b"\x01\0\0\xff\xff\xff\xff\0\x0a\0\x0a",
        b"\x01\0\0\0\0\0\x04\0\x0a\0\x0a\xce", b"\x01\0\0\0\0\0\x02\0\x0a\xce",
        b"\x01\0\0\0\0\0\x0e\0\x0a\0\x0a\0\x09\x7f\xff\xff\xff\x01aF\xce",
        START + TUNE + OPEN + b"\x02\0\1\0\0\0\x0e\0\x3c\0\0" + b"\xff" * 10 + b"\xce",
        START + TUNE + OPEN + b"\x03\0\1\0\0\0\x01x\xce" * 3,
    ],
)  # fmt: skip
def test_43_any_octets_end_a_client(octets: bytes) -> None:
    def says(one: socket.socket) -> None:
        one.recv(100)
        one.sendall(octets)

    with (
        a_broker(says) as port,
        pytest.raises((Gone, TimeoutError)),
        Client(port, timeout_s=2.0) as client,
    ):
        client.channel().call(Basic.Qos(), Basic.QosOk)


def test_43_a_frame_that_never_ends_is_not_waited_for() -> None:
    def says(one: socket.socket) -> None:
        one.recv(100)
        one.sendall(b"\x01\0\0\xff\xff\xff\xff")
        for _ in range(1000):
            one.sendall(bytes(65_536))

    with a_broker(says) as port, pytest.raises(Gone, match="a frame of"):
        Client(port, timeout_s=5.0)


def test_43_a_body_that_never_ends_is_not_collected() -> None:
    def says(one: socket.socket) -> None:
        one.recv(100)
        deliver = method(Basic.Deliver("t", 1, False, "", ""), 1)
        huge = method_content(2**62)
        one.sendall(START + TUNE + OPEN + deliver + huge + frame.marshal(ContentBody(b"x"), 1))
        while one.recv(1000):
            pass

    with (
        a_broker(says) as port,
        pytest.raises(Gone, match="a message of"),
        Client(port, timeout_s=5.0) as client,
    ):
        client.channel().call(Basic.Qos(), Basic.QosOk)


def method_content(size: int) -> bytes:
    return frame.marshal(header.ContentHeader(0, size, Basic.Properties()), 1)


def test_43_the_command_ends_with_one_line(tmp_path: object) -> None:
    def says(one: socket.socket) -> None:
        one.recv(100)
        text = "\x1b]0;owned\x07\x1b[2Jsecret \x9b31m"
        one.sendall(START + method(Connection.Close(320, text, 0, 0)))
        one.recv(1000)

    with a_broker(says) as port:
        done = subprocess.run(
            [sys.executable, "-m", "amqpd", "consume", "q", "--uri", f"amqp://127.0.0.1:{port}/"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    assert done.returncode not in (0, -11)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "\x1b" not in done.stderr
    assert "\\x1b[2Jsecret" in done.stderr


def test_43_names_and_messages_do_not_steer_the_terminal() -> None:
    hostile = "\x1b]0;x\x07\x9b2J\u202eabc\ttab"

    (_, row) = lines(["name"], [{"name": hostile}], "table")

    assert not any(ord(one) < 32 and one != "\t" for one in row)
    assert "\x9b" not in row
    assert printable("a\nb\tc é") == "a\nb\tc é"
    assert printable("\x1b\x7f\u202e") == "\\x1b\\x7f\\u202e"
