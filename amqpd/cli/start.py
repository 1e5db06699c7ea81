"""`amqpd start`: the broker, from the command line to the start screen and the exit code."""

from __future__ import annotations

import asyncio
import gc
import logging
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amqpd import __version__
from amqpd.cli.answer import fail
from amqpd.cli.options import load, settings_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amqpd.config import Config, Settings
    from amqpd.server.app import BrokerServer, Started
    from amqpd.store import Post, Store


@click.command()
@settings_options
def start(file: Path | None, **options: object) -> None:
    """Start the broker; Ctrl-C or SIGTERM stops it, messages stay."""
    started_s = _process_start_s()
    loaded = load(file, options)

    def announce(_server: BrokerServer, started: Started, loop_name: str) -> None:
        for line in screen(started, loop_name, _config_source(loaded, file)):
            click.echo(line)
        took = f"ready in {time.monotonic() - started_s:.1f} s"
        click.echo(f"{took:<38}Ctrl-C stops, messages stay")

    raise SystemExit(serve(loaded, announce))


def serve(loaded: Config, announce: Callable[[BrokerServer, Started, str], None]) -> int:
    """Run a broker to its end, with logging; the exit code.

    `announce(server, started, loop_name)` is called once connections are accepted.
    """
    # Only now: a wrong setting is told in milliseconds.
    from amqpd.server.logs import Logs
    from amqpd.server.process import Exit, StartError

    log = loaded.settings.log
    with Logs(log.level, log.format):
        try:
            return _run(loaded, announce)
        except StartError as error:
            fail(str(error), error.code)
        except KeyboardInterrupt:
            # Before the broker listens to signals: there is nothing to stop yet.
            return Exit.OK
        except Exception:
            logging.getLogger("amqpd.server").exception("internal error")
            return Exit.SOFTWARE


def _run(loaded: Config, announce: Callable[[BrokerServer, Started, str], None]) -> int:
    # Nothing that is made while starting is garbage.
    gc.disable()
    from amqpd.server.app import BrokerServer
    from amqpd.server.private import private_process
    from amqpd.server.process import settle_memory, share_the_interpreter

    private_process()

    for warning in loaded.warnings:
        logging.getLogger("amqpd.config").warning("%s", warning)
    loop_name, make_loop = _event_loop(loaded.settings)

    async def life() -> int:
        def started(what: Started) -> None:
            announce(server, what, loop_name)
            sys.stdout.flush()
            settle_memory()
            share_the_interpreter()

        server = BrokerServer(loaded, make_store=make_store, announce=started)
        return await server.run()

    with asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(life())


def make_store(directory: Path, settings: Settings, post: Post) -> Store:
    """The store of these settings."""
    from amqpd.store.settings import StoreSettings
    from amqpd.store.sqlite import SqliteStore

    found = settings.store
    made = StoreSettings(
        sync=found.sync,
        reserve_bytes=found.reserve_bytes,
        accept_older=found.accept_older,
        rescue=found.rescue,
    )
    return SqliteStore(directory, post, made)


def screen(started: Started, loop_name: str, source: str) -> Iterator[str]:
    """The start screen, but for its last line: one fact a line, addresses to click on."""
    parts = [
        f"Python {platform.python_version()}",
        f"SQLite {_sqlite_version()}",
        _openssl_version(),
    ]
    if loop_name:
        parts.append(loop_name)
    yield f"amqpd {__version__}   {', '.join(parts)}"
    settings = started.settings
    yield _line("data", settings.store.path, _state(started))
    yield _line("config", source, "amqpd config show")
    rule = _login_rule(settings)
    for one in started.listeners:
        # Where somebody is asked for it; without a page it belongs to the first line.
        yield _line(one.protocol.upper(), one.uri, "" if started.http else rule)
    for one in started.http:
        yield _line("web", one.uri, rule)
    for one in started.metrics:
        yield _line("metrics", f"{one.uri}/metrics")
    if not settings.store.sync:
        yield "  NO SYNC   a power cut loses confirmed messages: for tests and benchmarks only"


def _line(name: str, value: str, remark: str = "") -> str:
    return f"  {name:<10}{value:<25} {remark}".rstrip()


def _state(started: Started) -> str:
    if started.is_new:
        return "new"
    state = f"{_count(started.queues, 'queue')}, {_count(started.messages, 'message')}"
    return state if started.clean else f"{state}, recovered after a crash"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _login_rule(settings: Settings) -> str:
    auth = settings.auth
    if (auth.default_user, auth.default_password) != ("guest", "guest"):
        return ""
    if "guest" in auth.loopback_users:
        return "guest / guest, this machine only"
    return "guest / guest, from ANYWHERE: change the password"


def _config_source(loaded: Config, file: Path | None) -> str:
    files = {one.source for one in loaded.origins.values() if one.source.endswith(".toml")}
    if file is not None:
        return str(file)
    return ", ".join(sorted(files)) or "defaults"


def _event_loop(settings: Settings) -> tuple[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loop's name, if it is not Python's own, and how to make one."""
    if settings.node.uvloop == "off":
        return "", asyncio.new_event_loop
    try:
        import uvloop
    except ImportError:
        if settings.node.uvloop == "on":
            fail("setting 'node.uvloop': uvloop is not installed; pip install 'amqpd[speed]'", 78)
        return "", asyncio.new_event_loop
    return "uvloop", uvloop.new_event_loop


def _openssl_version() -> str:
    """`OpenSSL 3.0.19`, without the date."""
    import ssl

    return " ".join(ssl.OPENSSL_VERSION.split()[:2])


def _sqlite_version() -> str:
    from amqpd.store.driver import select

    return select("auto").version


def _process_start_s() -> float:
    """When this process began, on the monotonic clock: importing counts too."""
    now = time.monotonic()
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        import os

        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        # Not Linux: the time since here has to do.
        return now
    return now - max(0.0, age)
