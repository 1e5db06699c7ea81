"""`amqpd check …` for monitoring systems: one line, figures behind a bar, Nagios' exit codes.

    QUEUE OK - orders: 3 ready, 1 consumer | ready=3;1000;10000 consumers=1

0 is well, 1 a warning, 2 critical, 3 not known. `amqpd check` alone, or `check store`, looks
through the store's file and has the exit codes of all other commands.
"""

from __future__ import annotations

import contextlib
import enum
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

import click

from amqpd.cli.answer import answer, answers
from amqpd.cli.complete import names_of
from amqpd.cli.groups import default_to
from amqpd.cli.reach import NOT_FOUND, a_name, broker_options, place, vhost_name, vhost_option
from amqpd.cli.remote import Remote, RemoteError, segment
from amqpd.cli.store import check as store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Command = TypeVar("_Command", bound="Callable[..., None]")
PATIENCE_S: Final = 10.0
DAY_S: Final = 86_400


class Status(enum.IntEnum):
    """How it is; the value is the exit code."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(slots=True)
class Report:
    """What is said of one thing."""

    about: str
    status: Status = Status.OK
    texts: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    limits: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)

    def add(self, text: str, status: Status = Status.OK) -> None:
        """Say something; the worst counts."""
        self.texts.append(text)
        self.status = max(self.status, status)

    def measure(
        self, name: str, value: float, warning: float | None = None, critical: float | None = None
    ) -> None:
        """A figure, and from where on it is bad."""
        self.figures[name] = value
        self.limits[name] = (warning, critical)
        for limit, status in ((critical, Status.CRITICAL), (warning, Status.WARNING)):
            if limit is not None and value >= limit:
                self.add(f"{name} {_plain(value)} is at or over {_plain(limit)}", status)
                return

    def end(self) -> NoReturn:
        """Say it and end the process."""
        figures = " ".join(self._figure(name) for name in self.figures)
        line = f"{self.about.upper()} {self.status.name} - {', '.join(self.texts)}"
        answer(
            {
                "about": self.about,
                "status": self.status.name.lower(),
                "text": ", ".join(self.texts),
                "figures": self.figures,
            },
            f"{line} | {figures}" if figures else line,
        )
        raise SystemExit(int(self.status))

    def _figure(self, name: str) -> str:
        limits = [_plain(one) if one is not None else "" for one in self.limits[name]]
        shown = f"'{name}'" if " " in name else name
        return ";".join([f"{shown}={_plain(self.figures[name])}", *limits]).rstrip(";")


def _plain(value: float) -> str:
    """A figure as monitoring systems read it: with all its digits and no exponent."""
    return f"{value:.15g}"


@contextlib.contextmanager
def _asked(report: Report) -> Iterator[Remote]:
    """The broker that is meant; one that is not reached is critical, a refusal not known."""
    remote = Remote(place(timeout_s=PATIENCE_S))
    try:
        yield remote
    except RemoteError as error:
        report.add(error.reason, Status.CRITICAL if not error.status else Status.UNKNOWN)
        report.end()
    finally:
        remote.close()


_shape = answers("about", "status", "text", "figures")


def _limits(what: str) -> Callable[[_Command], _Command]:
    """Add `--warning` and `--critical`."""

    def add(command: _Command) -> _Command:
        for short, word, text in (("-c", "critical", "Critical"), ("-w", "warning", "A warning")):
            command = click.option(
                short, f"--{word}", type=float, metavar="N", help=f"{text} from {what} on."
            )(command)
        return command

    return add


@click.group(cls=default_to("store"))
def check() -> None:
    """Is it well? For monitoring systems (0, 1, 2, 3 as Nagios has them); alone: the store."""


check.add_command(store, "store")


@check.command()
@broker_options
@_shape
def broker() -> None:
    """The broker serves clients, and no alarm holds publishers back."""
    report = Report("broker")
    with _asked(report) as remote:
        began_s = time.perf_counter()
        overview = remote.get("/overview")
        report.measure("ms", round((time.perf_counter() - began_s) * 1000, 1))
        for node in remote.get("/nodes"):
            for key, name in (("mem_alarm", "memory"), ("disk_free_alarm", "disk")):
                if node.get(key):
                    report.add(f"{name} alarm: publishers are held", Status.CRITICAL)
            report.measure("memory_bytes", node.get("mem_used", 0))
            report.measure("disk_free_bytes", node.get("disk_free", 0))
        _service(remote, report)
    report.add(f"amqpd {overview['amqpd_version']} at {remote.place.uri}")
    report.end()


def _service(remote: Remote, report: Report) -> None:
    try:
        remote.get("/health/checks/is-in-service")
    except RemoteError as error:
        if not error.status:
            raise
        report.add(error.reason, Status.CRITICAL)


@check.command()
@click.argument("name", callback=a_name, shell_complete=names_of("queues"))
@_limits("so many ready")
@click.option("--min-consumers", type=click.IntRange(0), default=0, metavar="N",
              help="Critical with fewer.  [0]")  # fmt: skip
@vhost_option
@broker_options
@_shape
def queue(name: str, warning: float | None, critical: float | None, min_consumers: int) -> None:
    """A queue is there, not too long, and somebody consumes it."""
    report = Report("queue")
    with _asked(report) as remote:
        try:
            found = remote.get(f"/queues/{segment(vhost_name())}/{segment(name)}")
        except RemoteError as error:
            if error.status != NOT_FOUND:
                raise
            report.add(f"no queue '{name}' in vhost '{vhost_name()}'", Status.CRITICAL)
            report.end()
    consumers = found.get("consumers") or 0
    report.add(f"{name}: {found.get('messages_ready', 0)} ready, {_several(consumers, 'consumer')}")
    report.measure("ready", found.get("messages_ready", 0), warning, critical)
    report.measure("unacked", found.get("messages_unacknowledged", 0))
    report.measure("consumers", consumers)
    if consumers < min_consumers:
        report.add(f"{min_consumers} consumers are wanted", Status.CRITICAL)
    report.end()


@check.command()
@_limits("so many")
@broker_options
@_shape
def connections(warning: float | None, critical: float | None) -> None:
    """There are not too many connections."""
    report = Report("connections")
    with _asked(report) as remote:
        totals = remote.get("/overview")["object_totals"]
    report.add(_several(totals["connections"], "connection"))
    report.measure("connections", totals["connections"], warning, critical)
    report.measure("channels", totals["channels"])
    report.end()


@check.command()
@click.option("--warning-days", type=click.IntRange(0), default=30, help="[30]")
@click.option("--critical-days", type=click.IntRange(0), default=7, help="[7]")
@broker_options
@_shape
def certificates(warning_days: int, critical_days: int) -> None:
    """No certificate of a listener ends soon."""
    report = Report("certificates")
    with _asked(report) as remote:
        for days, status in ((critical_days, Status.CRITICAL), (warning_days, Status.WARNING)):
            try:
                remote.get(f"/health/checks/certificate-expiration/{days}/days")
            except RemoteError as error:
                if error.status != 503:
                    raise
                report.add(error.reason, status)
                report.end()
    report.add(f"none ends within {warning_days} days")
    report.end()


def _several(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
