"""Connections to SQLite through apsw: a current library that binds arrays of integers.

Imported only where apsw is installed and wanted, see `driver.select`.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import apsw

from amqpd.store.driver import Connection, Numbers, SqlError, Value

if TYPE_CHECKING:
    from array import array
    from collections.abc import Generator, Sequence
    from pathlib import Path


class ApswDriver:
    """apsw; numbers travel as they are."""

    name = "apsw"
    version = apsw.sqlite_lib_version()
    index = "n.rowid - 1"

    @staticmethod
    def binds_arrays() -> bool:
        """This build of apsw has `carray`."""
        return hasattr(apsw, "carray") and "ENABLE_CARRAY" in apsw.compile_options

    def open(self, path: Path, *, read_only: bool) -> Connection:
        """Connect to an existing file."""
        flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
        try:
            return ApswConnection(apsw.Connection(str(path), flags=flags))
        except apsw.Error as error:
            raise _translated(error) from error

    def source(self, parameter: int) -> str:
        """A table expression over the numbers bound to `?parameter`."""
        return f"carray(?{parameter}) AS n"


def memory_bytes() -> int:
    """What SQLite has taken for itself."""
    return apsw.status(apsw.SQLITE_STATUS_MEMORY_USED)[0]


class ApswConnection:
    """A connection of apsw."""

    def __init__(self, raw: apsw.Connection) -> None:
        self._raw = raw

    def run(self, sql: str, values: Sequence[Value | Numbers] = ()) -> list[tuple[Value, ...]]:
        """Execute one statement to its end."""
        try:
            # What may be bound is wider than apsw's stubs know (arrays); rows are as declared.
            return self._raw.execute(sql, cast("Any", values)).fetchall()
        except apsw.Error as error:
            raise _translated(error) from error

    def each(
        self, sql: str, values: Sequence[Value | Numbers]
    ) -> Generator[tuple[Value, ...], None, None]:
        """The rows of a query one by one."""
        try:
            with closing(self._raw.execute(sql, cast("Any", values))) as cursor:
                yield from cursor
        except apsw.Error as error:
            raise _translated(error) from error

    def numbers(self, numbers: array[int]) -> Numbers:
        """The array itself, not copied."""
        return apsw.carray(numbers)

    @property
    def in_transaction(self) -> bool:
        """A transaction is open."""
        return self._raw.in_transaction

    def close(self) -> None:
        """Give the files back."""
        self._raw.close(force=True)


def _translated(error: apsw.Error) -> SqlError:
    code: int = getattr(error, "extendedresult", 0) or getattr(error, "result", 1)
    return SqlError(code, f"{type(error).__name__}: {error}")
