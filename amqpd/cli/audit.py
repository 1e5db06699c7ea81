"""`amqpd audit`: is the audit log as it was written?"""

from __future__ import annotations

from pathlib import Path

import click

from amqpd.cli.answer import EX_DATA, EX_NO_INPUT, answer, answers, fail, wants_json
from amqpd.cli.options import load


@click.group()
def audit() -> None:
    """The audit log: who did what from where."""


@audit.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--config", "config_file", type=click.Path(path_type=Path), metavar="FILE",
              help="Settings (TOML); they say where the data directory is.")  # fmt: skip
@click.option("--data-dir", metavar="DIR", help="Where messages are kept.  [./amqpd-data]")
@click.option("--hash", "said", metavar="HASH", default="",
              help="One that the broker has said: is its line still there?")  # fmt: skip
@answers("lines", "number", "hash", "error")
def verify(file: Path | None, config_file: Path | None, data_dir: str | None, said: str) -> None:
    """See whether the audit log was changed since it was written.

    FILE is audit.log in the data directory, unless another one is named. Older files beside it
    are read as well. That last lines were cut off is seen only with a hash that was kept
    elsewhere: the broker says one in its own log when it starts and when it stops.
    """
    from amqpd.server.audit import FILE as NAME
    from amqpd.server.auditlog import verify as verified

    if file is None:
        file = Path(load(config_file, {"data_dir": data_dir}).settings.store.path) / NAME
    try:
        found = verified(file, said)
    except OSError as error:
        step = "--data-dir says where the broker keeps its data"
        fail(f"{file}: {error.strerror}; {step}", EX_NO_INPUT)
    if wants_json():
        head = found.head
        answer(
            {
                "lines": found.lines,
                "number": head.number,
                "hash": head.digest,
                "error": found.error or None,
            }
        )
        raise SystemExit(EX_DATA if found.error else 0)
    if found.error:
        fail(f"{file.parent}: {found.error}; {found.lines} lines before it are whole", EX_DATA)
    click.echo(f"{found.lines} lines are whole, up to number {found.head.number}")
    click.echo(f"hash {found.head.digest}")
