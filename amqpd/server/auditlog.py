"""The audit log as files: JSON lines, each with the hash of the one before.

    AuditLog(path, max_bytes, files)
        .append(entries)    one write and one sync; called by one thread
        .head               number and hash of the last line
    verify(path) -> Verified        reads all files of a log, the oldest first
    newest(path, event, text, below, most)      its last entries, for those who look

A line is a JSON object with `seq`, `time`, what happened, and at its end `hash`: SHA-256 over
the hash of the line before and the line without its own. So nothing can be changed, left out or
put in without changing all that follows. Whoever can write the whole file can also do that;
that is why every start says number and hash in the log, which is kept elsewhere.

A full file becomes `audit.1.log`, the one before `audit.2.log`; the chain goes on across them.
What a crash has cut off in the middle of a line is taken away at the next start, and said.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

LOG = logging.getLogger("amqpd.audit")

#: What the first line follows.
GENESIS: Final = "0" * 64
#: What the next file ends with until it is in its place.
NEW: Final = ".new"
_HASH: Final = ',"hash":"'
_END: Final = '"}'
#: How far from the end the last line begins, at most.
LINE_BYTES: Final = 65_536
#: Lines that are looked at for those that somebody wants to see.
LOOKED_AT: Final = 200_000

Entry = dict[str, object]


class Head(NamedTuple):
    """The last line of a log."""

    number: int = 0
    digest: str = GENESIS


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found; `error` is empty if the chain is whole."""

    lines: int
    head: Head
    error: str = ""


class AuditLog:
    """Writes one log."""

    def __init__(self, path: Path, max_bytes: int, files: int) -> None:
        """Go on behind the last line.

        Raises:
            OSError: the file cannot be opened.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._files = files
        self._is_stuck = False
        self._file, self.head, self.torn_bytes = _opened(path)

    def append(self, entries: Sequence[Entry]) -> None:
        """Write lines; they are on disk when this returns.

        Raises:
            OSError: none of them is: half a line would break the chain for all that follow.
        """
        head, lines = self.head, []
        for entry in entries:
            line, head = chained(entry, head)
            lines.append(line)
        octets = "".join(lines).encode()
        size = os.fstat(self._file).st_size
        try:
            while octets:
                octets = octets[os.write(self._file, octets) :]
            os.fdatasync(self._file)
        except OSError:
            os.ftruncate(self._file, size)
            raise
        self.head = head
        if self._max_bytes and os.fstat(self._file).st_size >= self._max_bytes:
            self._put_aside()

    def close(self) -> None:
        """No more lines."""
        os.close(self._file)

    def _put_aside(self) -> None:
        """Go on in a new file; if there can be none now, in this one, for its lines are written."""
        try:
            self._rotate()
            self._is_stuck = False
        except OSError as error:
            if not self._is_stuck:
                LOG.error("audit: cannot be put aside, and grows: %s", error)
            self._is_stuck = True

    def _rotate(self) -> None:
        # Under another name first: without it nothing is renamed, nor closed: the number
        # of a file that is closed is soon another's.
        path = self._path.with_suffix(NEW)
        file = _open(path)
        names = [self._path, *(numbered(self._path, n) for n in range(1, self._files))]
        try:
            names[-1].unlink(missing_ok=True)
            for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
                if newer.exists():
                    newer.rename(older)
            path.rename(self._path)
        except OSError:
            os.close(file)
            raise
        os.close(self._file)
        self._file = file


def numbered(path: Path, number: int) -> Path:
    """The name of an older file."""
    return path.with_name(f"{path.stem}.{number}{path.suffix}")


def chained(entry: Mapping[str, object], head: Head) -> tuple[str, Head]:
    """An entry as a line behind another one."""
    number = head.number + 1
    text = json.dumps({"seq": number, **entry}, separators=(",", ":"))
    digest = _digest(head.digest, text[:-1])
    return f"{text[:-1]}{_HASH}{digest}{_END}\n", Head(number, digest)


def _digest(before: str, text: str) -> str:
    return hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _opened(path: Path) -> tuple[int, Head, int]:
    """The file, its last whole line, and how many octets behind it were taken away."""
    file = _open(path)
    size = os.fstat(file).st_size
    tail = os.pread(file, LINE_BYTES, max(0, size - LINE_BYTES))
    torn = len(tail) - (tail.rfind(b"\n") + 1)
    if torn:
        os.ftruncate(file, size - torn)
    lines = tail[: len(tail) - torn].splitlines()
    if not lines and numbered(path, 1).exists():
        lines = numbered(path, 1).read_bytes().splitlines()
    head = Head()
    if lines:
        found = _parts(lines[-1].decode(errors="replace"))
        if found is not None:
            head = Head(found[0], found[2])
    return file, head, torn


def _parts(line: str) -> tuple[int, str, str] | None:
    """Number, text before the hash, and hash of a line; None if it is none of ours."""
    text, found, digest = line.rpartition(_HASH)
    if not found or not digest.endswith(_END) or len(digest) != 64 + len(_END):
        return None
    try:
        entry = json.loads(text + "}")
        return int(entry["seq"]), text, digest.removesuffix(_END)
    except (ValueError, KeyError, TypeError):
        return None


# -- verify ----------------------------------------------------------------------------------


def verify(path: Path, said: str = "") -> Verified:
    """Read a log with its older files and see whether the chain is whole.

    `said` is a hash that the broker has said: without it nobody sees that last lines were cut off.

    Raises:
        OSError: a file cannot be read.
    """
    count, head = 0, Head(-1)
    is_there = said in ("", GENESIS)
    for file, line_number, line in _lines(path):
        parts = _parts(line)
        where = f"{file.name}, line {line_number}"
        if parts is None:
            return Verified(count, head, f"{where}: not a line of this log")
        number, text, digest = parts
        if head.number < 0:
            # Older files may be gone: then the first line has to be believed.
            head = Head(number - 1, GENESIS if number == 1 else "")
        if number != head.number + 1:
            return Verified(count, head, f"{where}: number {number} follows {head.number}")
        if head.digest and digest != _digest(head.digest, text):
            return Verified(count, head, f"{where}: was changed, or a line before it")
        count, head = count + 1, Head(number, digest)
        is_there = is_there or digest == said
    error = "" if is_there else f"no line has the hash {said}: lines are missing at the end"
    return Verified(count, Head(max(0, head.number), head.digest), error)


def _lines(path: Path) -> Iterator[tuple[Path, int, str]]:
    older: list[Path] = []
    while (file := numbered(path, len(older) + 1)).exists():
        older.append(file)
    for file in (*reversed(older), path):
        with file.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                yield file, number, line.rstrip("\n")


# -- look --------------------------------------------------------------------------------


def newest(path: Path, event: str, text: str, below: int, most: int) -> list[object]:
    """The newest entries, the newest first: of an event, with a text, below a number (0: all).

    No more than `LOOKED_AT` lines are looked at.

    Raises:
        OSError: a file cannot be read.
    """
    found: list[object] = []
    wanted, number = text.lower(), 0
    for line in islice(_backwards(path), LOOKED_AT):
        parts = _parts(line.decode(errors="replace"))
        if parts is None or (below and parts[0] >= below):
            continue
        if wanted and wanted not in parts[1].lower():
            continue
        entry = json.loads(parts[1] + "}")
        if event and not str(entry.get("event")).startswith(event):
            continue
        found.append(entry)
        number += 1
        if number == most:
            break
    return found


def _backwards(path: Path) -> Iterator[bytes]:
    """All lines of a log with its older files, the last one first."""
    file, older = path, 0
    while file.exists():
        yield from _lines_backwards(file)
        older += 1
        file = numbered(path, older)


def _lines_backwards(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        at, rest = file.seek(0, os.SEEK_END), b""
        while at:
            size = min(LINE_BYTES, at)
            at -= size
            file.seek(at)
            first, *lines = (file.read(size) + rest).split(b"\n")
            yield from reversed(lines)
            rest = first
        yield rest


def now() -> str:
    """The time, as lines have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
