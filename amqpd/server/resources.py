"""Watching memory and disk: when one runs short, publishers are held back.

Memory is what this process has resident, measured against a share of what it may use: its own
limit, the control group's, or the machine's memory; or against a number of bytes. Disk is the free
space where the data are, less what the store will still take of it for what it has. An alarm
goes off only when things are 5 % better than when it came on, so it does not flap.
"""

from __future__ import annotations

import gc
import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from amqpd.broker.broker import Alarms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amqpd.config import Resources

#: How much better it must get before an alarm is lifted.
HYSTERESIS: Final = 0.05
#: From this part of the memory limit on, and with this much above the disk's, a look a second
#: is not enough: so much can be written in one.
CLOSE: Final = 0.8
CLOSE_BYTES: Final = 1 << 30
PAGE_BYTES: Final = resource.getpagesize()
#: Where control groups are, and which one this process is in.
GROUPS: Final = Path("/sys/fs/cgroup")
OWN_GROUP: Final = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class Look:
    """What was found."""

    alarms: Alarms
    memory_bytes: int
    disk_free_bytes: int
    #: An alarm may come soon: look again before long.
    is_close: bool = False


class Watch:
    """Looks at memory and disk; keeps nothing but the last alarms."""

    def __init__(
        self,
        settings: Resources,
        directory: Path,
        owed: Callable[[], int] = lambda: 0,
    ) -> None:
        self._directory = directory
        self._owed = owed
        self._alarms = Alarms()
        self.use(settings)

    def use(self, settings: Resources) -> None:
        """These limits hold from now on."""
        memory = settings.memory_bytes or memory_available()
        share = int(memory * settings.memory_watermark)
        self.memory_limit_bytes = settings.memory_watermark_bytes or share
        self.disk_limit_bytes = int(memory * settings.disk_free_share) or settings.disk_free_bytes

    def look(self) -> Look:
        """Measure; may take as long as the disk does, so it belongs into a thread."""
        used, free = resident_bytes(), disk_free_bytes(self._directory)
        left = free - self._owed()
        was = self._alarms
        limit = self.memory_limit_bytes * (1 - HYSTERESIS if was.memory else 1)
        need = self.disk_limit_bytes * (1 + HYSTERESIS if was.disk else 1)
        self._alarms = Alarms(memory=used > limit, disk=left < need)
        is_close = used > CLOSE * limit or left < need + CLOSE_BYTES
        return Look(self._alarms, used, free, is_close)


def memory_available() -> int:
    """Bytes that this process may use: the machine's, or what its limits and groups allow."""
    machine = os.sysconf("SC_PHYS_PAGES") * PAGE_BYTES
    limits = [_number(path) for path in _group_limits()]
    own, _ = resource.getrlimit(resource.RLIMIT_AS)
    if own != resource.RLIM_INFINITY:
        limits.append(own)
    return min([machine, *[limit for limit in limits if limit]])


def _group_limits() -> Iterator[Path]:
    """The files with the limits of this process's control group and of those around it."""
    yield GROUPS / "memory" / "memory.limit_in_bytes"
    try:
        lines = OWN_GROUP.read_text().splitlines()
    except OSError:
        lines = []
    # The unified hierarchy is the line without controllers: 0::/system.slice/amqpd.service
    names = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    group = GROUPS.joinpath(*names)
    while group.is_relative_to(GROUPS):
        yield group / "memory.max"
        group = group.parent


def resident_bytes() -> int:
    """What this process has in memory."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
    except OSError:
        # Not Linux: the most it ever had, in KiB.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def disk_free_bytes(directory: Path) -> int:
    """Free space that this process may use where the directory is."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def open_files() -> int:
    """File descriptors in use."""
    return len(os.listdir("/proc/self/fd"))


class Work(NamedTuple):
    """What this process has done since it began."""

    #: Collections of garbage.
    collections: int
    context_switches: int
    #: What went over the disk; not what the page cache had, or still has.
    read_bytes: int
    written_bytes: int


def own_work() -> Work:
    """All of it; 0 for what the machine does not tell."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        lines = []  # a hardened container may hide it
    moved = {name: int(value) for name, _, value in (line.partition(": ") for line in lines)}
    return Work(
        sum(one["collections"] for one in gc.get_stats()),
        used.ru_nvcsw + used.ru_nivcsw,
        moved.get("read_bytes", 0),
        moved.get("write_bytes", 0),
    )


def _number(path: Path) -> int:
    try:
        text = path.read_text().strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0
