"""The process among others: signals, systemd's notifications, and `run.json`.

`run.json` in the data directory says that this broker accepts connections, and where. It is
written in one step and is removed by a clean stop; what a killed broker left is replaced.
"""

from __future__ import annotations

import enum
import gc
import json
import os
import resource
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

RUN_FILE: Final = "run.json"
#: Python's own is 5 ms: as long as everybody's latency may be together.
SWITCH_S: Final = 0.001


class Exit(enum.IntEnum):
    """What the process says at its end; the numbers are those of sysexits.h."""

    OK = 0
    UNAVAILABLE = 69
    SOFTWARE = 70
    TRY_AGAIN = 75
    CONFIG = 78


class StartError(Exception):
    """The broker cannot start; one line for a person, and the exit code."""

    def __init__(self, text: str, code: Exit) -> None:
        super().__init__(text)
        self.code = code


class Listening(NamedTuple):
    """One open port."""

    protocol: str
    host: str
    port: int
    #: What its paths begin with.
    path: str = ""

    @property
    def uri(self) -> str:
        """Where a client on this machine finds it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        scheme = self.protocol.partition("/")[0]  # RabbitMQ says http/prometheus
        return f"{scheme}://{host}:{self.port}{self.path}"


class RunFile:
    """`run.json`: present while connections are accepted."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / RUN_FILE

    def write(self, version: str, node: str, listeners: list[Listening]) -> None:
        """Say that the broker is ready."""
        content = {
            "pid": os.getpid(),
            "version": version,
            "node": node,
            "listeners": [one._asdict() | {"uri": one.uri} for one in listeners],
        }
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(content, indent=2) + "\n")
        new.replace(self.path)

    def remove(self) -> None:
        """Say that it is not any more."""
        self.path.unlink(missing_ok=True)


def notify(*states: str) -> None:
    """Tell systemd, if it wants to know (sd_notify(3)): `READY=1`, `STOPPING=1`, …"""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto("\n".join(states).encode(), address)
        except OSError:
            # A supervisor that went away is no reason to stop serving.
            return


def file_limit() -> int:
    """How many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def raise_file_limit() -> int:
    """Use all the open files this process may have; the number of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = 1 << 20
    if soft < hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            return soft
        soft = hard
    return soft


def share_the_interpreter() -> None:
    """Let the loop have the interpreter back soon from the threads of store and logins.

    Each of them may keep it that long whenever the loop wants it; and whatever needs it after
    each row of a query waits that long for a busy loop.
    """
    sys.setswitchinterval(SWITCH_S)


def settle_memory() -> None:
    """What exists once the broker is up stays: the collector need not look at it again.

    A full collection costs 0.1 s per million objects; runs and lanes make few, so it may come
    late, but cycles of closed connections still have to go some day.
    """
    gc.collect()
    gc.freeze()
    # The middle generation is looked at while it is small: 200,000 things, which a document of
    # definitions makes, took 40 ms and more at once.
    gc.set_threshold(10_000, 2, 8000)
    gc.enable()


def has_terminal() -> bool:
    """Whether there is a terminal that this process belongs to."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def on_signals(
    loop: asyncio.AbstractEventLoop,
    stop: Callable[[str], None],
    reload: Callable[[], None],
) -> Callable[[], None]:
    """Call `stop(name)` on SIGTERM and SIGINT, `reload()` on SIGHUP; returns how to undo it.

    A SIGHUP because the terminal was closed in which the broker was started is a stop: nobody
    wants it to go on unseen, but for whoever has said so (nohup).
    """
    may_end = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and has_terminal()

    def hung_up() -> None:
        if may_end and not has_terminal():
            stop("the terminal was closed")
        else:
            reload()

    calls: dict[signal.Signals, tuple[Callable[..., None], tuple[str, ...]]] = {
        signal.SIGTERM: (stop, ("SIGTERM",)),
        signal.SIGINT: (stop, ("SIGINT",)),
        signal.SIGHUP: (hung_up, ()),
    }
    for number, (call, arguments) in calls.items():
        loop.add_signal_handler(number, call, *arguments)

    def undo() -> None:
        for number in calls:
            loop.remove_signal_handler(number)

    return undo
