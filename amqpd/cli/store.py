"""`amqpd check`, `backup`, `restore`, `salvage`: the store's file, beside the broker or without."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from amqpd.cli.answer import (
    EX_CONFIG,
    EX_DATA,
    EX_IO,
    EX_NO_INPUT,
    EX_SOFTWARE,
    EX_TRY_AGAIN,
    answer,
    answers,
    fail,
    note,
    wants_json,
)
from amqpd.cli.progress import growing, working

if TYPE_CHECKING:
    from amqpd.store import StoreError

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)
_directory = click.option(
    "--data-dir", "directory", type=_FOLDER, default=Path("amqpd-data"), metavar="DIR",
    help="The data directory.  [./amqpd-data]",
)  # fmt: skip


@click.command()
@_directory
@click.option("--file", "file", type=_FILE, metavar="FILE", help="A copy, instead of a directory.")
@answers("store", "findings")
def check(directory: Path, file: Path | None) -> None:
    """Look through a store: pages, tables, counters, every message; 65 if something is wrong."""
    from amqpd.store import StoreError
    from amqpd.store.check import check as look
    from amqpd.store.sqlite import FILE

    path = file or directory / FILE
    _must_be_there(path)
    try:
        with working("checking"):
            findings = [str(one) for one in look(path)]
    except StoreError as error:
        _fail(error)
    if wants_json():
        answer({"store": str(path), "findings": findings})
        raise SystemExit(EX_DATA if findings else 0)
    for finding in findings:
        note(finding)
    if findings:
        fail(
            f"store {path}: {len(findings)} findings; 'amqpd salvage' saves what can be read",
            EX_DATA,
        )
    click.echo(f"store {path}: whole")


@click.command()
@click.argument("target", type=_FILE)
@_directory
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
@answers("file", "bytes", "checked")
def backup(target: Path, directory: Path, overwrite: bool) -> None:
    """Copy a store into one file, consistent, while the broker runs."""
    from amqpd.store import StoreError
    from amqpd.store.check import check as look
    from amqpd.store.copy import backup as copy
    from amqpd.store.sqlite import FILE

    if target.exists() and not overwrite:
        fail(f"'{target}' is there already: choose another name, or --overwrite", EX_DATA)
    _must_be_there(directory / FILE)
    try:
        with growing(_new(target), _size(directory / FILE), "copying"):
            copy(directory / FILE, target)
        with working("checking"):
            damaged = next(look(target), None)
    except StoreError as error:
        _fail(error)
    if damaged is not None:
        fail(f"{damaged} (the copy is as the store is: see 'amqpd check')", EX_DATA)
    size = target.stat().st_size
    answer(
        {"file": str(target), "bytes": size, "checked": True},
        f"{target}: {size} bytes, checked",
    )


@click.command()
@click.argument("source", type=_FILE)
@_directory
@click.option("--replace", is_flag=True, help="Keep the store that is there under another name.")
@answers("data_dir", "restored")
def restore(source: Path, directory: Path, replace: bool) -> None:
    """Make a copy the store of a data directory; the broker must not run."""
    from amqpd.store import StoreError
    from amqpd.store.copy import restore as put_back

    try:
        with working("copying"):
            put_back(source, directory, replace=replace)
    except StoreError as error:
        _fail(error)
    answer(
        {"data_dir": str(directory), "restored": True}, f"{directory}: restored; start the broker"
    )


@click.command()
@click.argument("target", type=_FILE)
@_directory
@answers("file", "rows")
def salvage(target: Path, directory: Path) -> None:
    """Copy what can still be read of a damaged store into a new file, for 'amqpd restore'."""
    from amqpd.store import StoreError
    from amqpd.store.copy import salvage as save
    from amqpd.store.sqlite import FILE, LOCK, lock

    if target.exists():
        fail(f"'{target}' is there already: choose another name", EX_DATA)
    _must_be_there(directory / FILE)
    try:
        lock(directory / LOCK)  # until the process ends
        with growing(_new(target), _size(directory / FILE), "saving"):
            rows = save(directory / FILE, target)
    except StoreError as error:
        _fail(error)
    answer(
        {"file": str(target), "rows": dict(rows)},
        *(f"{count:>12} {table}" for table, count in rows.items() if count),
        f"{target}: look at it with 'amqpd check --file', then 'amqpd restore'",
    )


def _must_be_there(path: Path) -> None:
    """A store to look at; 66 if there is none."""
    if not path.exists():
        step = "--data-dir says where the broker keeps its data"
        fail(f"store {path}: there is none; {step}", EX_NO_INPUT)


def _new(target: Path) -> Path:
    """Where a copy is made before it is put in its place (`amqpd.store.copy`)."""
    return target.with_name(f"{target.name}.new")


def _size(path: Path) -> int:
    """Of a store, with what is only in its log yet; 0 if there is none."""
    files = (path, path.with_name(f"{path.name}-wal"))
    return sum(one.stat().st_size for one in files if one.exists())


def _fail(error: StoreError) -> NoReturn:
    from amqpd.store import StoreDamaged, StoreFailed, StoreLocked, StoreNewer

    codes = {
        StoreDamaged: EX_DATA,
        StoreFailed: EX_IO,
        StoreLocked: EX_TRY_AGAIN,
        StoreNewer: EX_CONFIG,
    }
    fail(str(error), codes.get(type(error), EX_SOFTWARE))
