"""Rebuilds what a disk may hold after the power was lost, from a recording of `recorder.c`.

Of each file there is what a finished sync made safe, and what was written since. After a loss
of power of the latter there is nothing, everything, any 512-octet sector or none of it, or any
of the writes in any order: the policies. A new file is there for certain only once its
directory was synced. What a failed sync should have made safe never is, unless it is written
again. The file `events` is not part of the disk: it says what was handed in and
what was confirmed, in the order of everything else.
"""

from __future__ import annotations

import enum
import signal
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator

SECTOR = 512
RECORD = struct.Struct("=cIQQ")
#: Kills a process below the recorder between two records: by SIGKILL one may be cut.
DEADLY = signal.SIGRTMIN + 7


class Policy(enum.Enum):
    """What survives of that which was not synced."""

    NOTHING = "nothing"
    EVERYTHING = "everything"
    SECTORS = "each sector or not"
    REORDERED = "any writes in any order"


@dataclass(frozen=True)
class Change:
    """A write, or with `octets` None a truncate to `offset`."""

    sequence: int
    offset: int
    octets: bytes | None

    def apply(self, image: bytearray) -> None:
        """Make the change."""
        if self.octets is None:
            del image[self.offset :]
            image.extend(bytes(self.offset - len(image)))
            return
        image.extend(bytes(max(0, self.offset - len(image))))
        image[self.offset : self.offset + len(self.octets)] = self.octets

    def sectors(self) -> Iterator[Change]:
        """The same write, sector by sector."""
        if self.octets is None:
            yield self
            return
        at, end = self.offset, self.offset + len(self.octets)
        while at < end:
            edge = min(end, (at // SECTOR + 1) * SECTOR)
            yield Change(self.sequence, at, self.octets[at - self.offset : edge - self.offset])
            at = edge


@dataclass
class File:
    """One inode."""

    safe: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)
    linked: bool = False

    def image(self, policy: Policy, chance: random.Random) -> bytes:
        """The file after the loss."""
        image = bytearray(self.safe)
        changes: Iterable[Change] = self.pending
        match policy:
            case Policy.NOTHING:
                changes = ()
            case Policy.EVERYTHING:
                pass
            case Policy.SECTORS:
                parts = [part for change in self.pending for part in change.sectors()]
                changes = [part for part in parts if chance.random() < 0.5]
            case Policy.REORDERED:
                chosen = [change for change in self.pending if chance.random() < 0.5]
                chance.shuffle(chosen)
                changes = chosen
        for change in changes:
            change.apply(image)
        return bytes(image)


class Disk:
    """Plays a recording; at each record `files` is the disk's state then."""

    def __init__(self, recording: bytes, directory: Path) -> None:
        self.files: dict[str, File] = {}
        #: The last batch handed in and the last one confirmed, so far.
        self.handed = 0
        self.confirmed = 0
        self.ready = False
        self._recording = recording
        self._directory = str(directory)
        self._open: dict[int, str] = {}
        self._syncing: dict[int, int] = {}

    def play(self) -> Iterator[int]:
        """The number of each record, once it is applied."""
        at, sequence = 0, 0
        while at + RECORD.size <= len(self._recording):
            kind, file, offset, length = RECORD.unpack_from(self._recording, at)
            at += RECORD.size
            octets = self._recording[at : at + length]
            at += length
            sequence += 1
            self._apply(sequence, kind, file, offset, octets)
            yield sequence

    def _apply(self, sequence: int, kind: bytes, file: int, offset: int, octets: bytes) -> None:
        if kind == b"O":
            self._open[file] = Path(octets.decode()).name
            if octets.decode() != self._directory:
                self.files.setdefault(self._open[file], File())
            return
        if kind == b"U":
            self.files.pop(Path(octets.decode()).name, None)
            return
        if kind == b"C":
            self.note(octets)
            return
        name = self._open[file]
        if name == "events":
            self._event(octets)
        elif kind == b"S":
            self._syncing[file] = sequence
        elif kind == b"E":
            self._synced(name, self._syncing.pop(file))
        elif kind == b"F" and name in self.files:
            # The system tells once, and counts what was not written as written.
            self.files[name].pending.clear()
        elif name in self.files:
            change = Change(sequence, offset, octets if kind == b"W" else None)
            self.files[name].pending.append(change)

    def _synced(self, name: str, begun: int) -> None:
        if name == Path(self._directory).name:
            for file in self.files.values():
                file.linked = True
        elif name in self.files:
            file = self.files[name]
            while file.pending and file.pending[0].sequence < begun:
                file.pending.pop(0).apply(file.safe)

    def note(self, octets: bytes) -> None:
        """Somebody else has written this down meanwhile."""

    def _event(self, octets: bytes) -> None:
        what, number = octets.split()
        match what:
            case b"ready":
                self.ready = True
            case b"handed":
                self.handed = int(number)
            case b"confirmed":
                self.confirmed = int(number)

    def lose_power(self, policy: Policy, chance: random.Random, into: Path) -> None:
        """Write what is left into a directory."""
        into.mkdir()
        for name, file in self.files.items():
            if name in ("events", "lock") or name.endswith("-shm"):
                continue
            if file.linked or policy is not Policy.NOTHING:
                (into / name).write_bytes(file.image(policy, chance))
