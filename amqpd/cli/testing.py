"""`amqpd testing`: a broker for a test suite in any language.

It takes free ports, keeps nothing, writes its addresses to standard output, one a line with
user and password, then an empty line, and lives as long as its standard input: whoever started
it closes that, or dies, and the broker and its data are gone.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
from typing import TYPE_CHECKING

import click

from amqpd.cli.answer import fail
from amqpd.cli.options import load, settings_options
from amqpd.cli.start import serve
from amqpd.testing.address import QUIET, login_uri, vhost_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from amqpd.config import Settings
    from amqpd.server.app import BrokerServer, Started


@click.command()
@settings_options
@click.option("--set", "given", multiple=True, metavar="KEY=VALUE", help="Any setting.")
def testing(file: Path | None, given: tuple[str, ...], **options: object) -> None:
    """Start a broker for tests: free ports, nothing kept, ends with standard input."""
    temporary = "" if options["data_dir"] else tempfile.mkdtemp(prefix="amqpd-")
    extra = {**QUIET, "store.path": temporary, "log.level": "warning", "store.reserve_bytes": "0"}
    for item in given:
        key, equals, value = item.partition("=")
        if not equals:
            fail(f"--set {item}: must be KEY=VALUE, as in amqp.heartbeat_s=5", 78)
        extra[key] = value
    try:
        code = serve(load(file, options, extra), _announce)
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
    raise SystemExit(code)


def _announce(server: BrokerServer, started: Started, _loop_name: str) -> None:
    for line in addresses(started):
        click.echo(line)
    click.echo()
    loop = asyncio.get_running_loop()
    # A thread that nobody waits for: a read from a terminal cannot be cut short.
    threading.Thread(target=_watch_input, args=(loop, server), daemon=True).start()


def addresses(started: Started) -> Iterator[str]:
    """Where clients find the broker; plain AMQP first, if it is served."""
    auth = _as_mapping(started.settings)
    for one in started.listeners:
        yield login_uri(one.protocol, one.host, one.port, auth, vhost_path(auth))
    for one in started.http:
        yield login_uri("http", one.host, one.port, auth, "")
    for one in started.metrics:
        yield f"{one.uri}/metrics"


def _as_mapping(settings: Settings) -> dict[str, str]:
    auth = settings.auth
    return {
        "auth.default_user": auth.default_user,
        "auth.default_password": auth.default_password,
        "auth.default_vhost": auth.default_vhost,
    }


def _watch_input(loop: asyncio.AbstractEventLoop, server: BrokerServer) -> None:
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        # No standard input at all is an ended one.
        pass
    try:
        loop.call_soon_threadsafe(lambda: server.stop("end of standard input", wait=False))
    except RuntimeError:
        # The broker stopped for another reason; its loop is closed.
        return
