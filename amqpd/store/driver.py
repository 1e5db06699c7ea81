"""Connections to SQLite: the one interface the store uses, and the standard library's.

Two libraries can stand behind it: apsw, which brings a current SQLite and binds arrays of
integers (`driver_apsw.py`), and Python's own `sqlite3`, which passes them as JSON. The schema
and the statements are the same; only the source of numbers differs. A process uses one of
them for all its connections to an open file, never both.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from array import array
    from collections.abc import Generator, Sequence
    from pathlib import Path

#: What can be bound to a statement and comes back from one.
Value = int | str | bytes | float | None
#: SQLite's primary result codes that the store tells apart.
BUSY: Final = 5
CORRUPT: Final = 11
IO_ERROR: Final = 10
FULL: Final = 13
NOT_A_DATABASE: Final = 26
#: Extended ones: what is there is not given back, or not all of it.
_UNREADABLE: Final = (10 | 1 << 8, 10 | 2 << 8)

DriverName = Literal["auto", "apsw", "sqlite3"]


def to_int(value: Value) -> int:
    """The number that a column holds.

    Raises:
        ValueError: it holds something else: the file is damaged where SQLite cannot see it.
    """
    if not isinstance(value, int):
        raise ValueError(f"a number was expected, not {value!r}")
    return value


class SqlError(Exception):
    """A statement failed; `code` is SQLite's primary result code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code & 0xFF
        #: What is on disk cannot be read, or is not what it should be.
        self.is_damage = self.code in (CORRUPT, NOT_A_DATABASE) or code in _UNREADABLE


class Numbers(Protocol):
    """An array of integers in the form that the driver's source of numbers takes."""


class Connection(Protocol):
    """One connection. Any thread may use it, one at a time."""

    def run(self, sql: str, values: Sequence[Value | Numbers] = ()) -> list[tuple[Value, ...]]:
        """Execute one statement to its end.

        Raises:
            SqlError: SQLite reported an error.
        """
        ...

    def each(
        self, sql: str, values: Sequence[Value | Numbers]
    ) -> Generator[tuple[Value, ...], None, None]:
        """The rows of a query one by one; closing the iterator ends the query.

        Raises:
            SqlError: SQLite reported an error.
        """
        ...

    def numbers(self, numbers: array[int]) -> Numbers:
        """Make an array (64-bit, not empty) bindable where a statement has a source."""
        ...

    @property
    def in_transaction(self) -> bool:
        """A transaction is open."""
        ...

    def close(self) -> None:
        """Give the files back."""
        ...


class Driver(Protocol):
    """A SQLite library."""

    #: Its name and the version of SQLite behind it, for the log.
    name: str
    version: str

    def open(self, path: Path, *, read_only: bool) -> Connection:
        """Connect to an existing file.

        Raises:
            SqlError: it cannot be opened.
        """
        ...

    def source(self, parameter: int) -> str:
        """A table expression `n` over the numbers bound to `?parameter`, column `value`."""
        ...

    #: Column of that table that counts from 0.
    index: str


def select(name: DriverName = "auto") -> Driver:
    """The driver of that name; `auto` takes apsw where it is installed and binds arrays."""
    if name != "sqlite3" and find_spec("apsw") is not None:
        from amqpd.store.driver_apsw import ApswDriver

        if name == "apsw" or ApswDriver.binds_arrays():
            return ApswDriver()
    return StandardDriver()


def memory_bytes() -> int:
    """What SQLite has taken for itself in this process; 0 if that is not known."""
    if "apsw" not in sys.modules:
        return 0
    from amqpd.store.driver_apsw import memory_bytes as of_apsw

    return of_apsw()


class StandardDriver:
    """Python's `sqlite3`; numbers travel as a JSON array."""

    name = "sqlite3"
    version = sqlite3.sqlite_version
    index = "n.key"

    def open(self, path: Path, *, read_only: bool) -> Connection:
        """Connect to an existing file."""
        mode = "ro" if read_only else "rw"
        try:
            raw = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise _translated(error) from error
        return StandardConnection(raw)

    def source(self, parameter: int) -> str:
        """A table expression over the numbers bound to `?parameter`."""
        return f"json_each(?{parameter}) AS n"


class StandardConnection:
    """A connection of Python's `sqlite3`."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    def run(self, sql: str, values: Sequence[Value | Numbers] = ()) -> list[tuple[Value, ...]]:
        """Execute one statement to its end."""
        try:
            return self._raw.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _translated(error) from error

    def each(
        self, sql: str, values: Sequence[Value | Numbers]
    ) -> Generator[tuple[Value, ...], None, None]:
        """The rows of a query one by one."""
        try:
            with closing(self._raw.execute(sql, values)) as cursor:
                yield from cursor
        except sqlite3.Error as error:
            raise _translated(error) from error

    def numbers(self, numbers: array[int]) -> Numbers:
        """A JSON array."""
        return f"[{','.join(map(str, numbers))}]"

    @property
    def in_transaction(self) -> bool:
        """A transaction is open."""
        return self._raw.in_transaction

    def close(self) -> None:
        """Give the files back."""
        self._raw.close()


def _translated(error: sqlite3.Error) -> SqlError:
    code: int = getattr(error, "sqlite_errorcode", 1)
    return SqlError(code, f"{getattr(error, 'sqlite_errorname', 'ERROR')}: {error}")
