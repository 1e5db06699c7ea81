"""Memory and disk."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

from amqpd.broker.broker import Alarms
from amqpd.config import Resources
from amqpd.server import resources
from amqpd.server.resources import CLOSE_BYTES, Watch

if TYPE_CHECKING:
    from pathlib import Path


class Machine:
    """A machine whose memory and disk are set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.used = 0
        self.free = 1_000_000
        monkeypatch.setattr(resources, "memory_available", lambda: 1000)
        monkeypatch.setattr(resources, "resident_bytes", lambda: self.used)
        monkeypatch.setattr(resources, "disk_free_bytes", lambda _: self.free)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One with 1000 bytes of memory."""
    return Machine(monkeypatch)


SETTINGS = Resources(memory_watermark=0.6, disk_free_bytes=1000)


def test_the_memory_alarm_comes_above_the_mark_and_goes_five_percent_below(
    machine: Machine, tmp_path: Path
) -> None:
    watch = Watch(SETTINGS, tmp_path)
    seen = []
    for machine.used in (600, 601, 590, 571, 569, 590, 601):
        seen.append(watch.look().alarms.memory)

    assert seen == [False, True, True, True, False, False, True]


def test_the_disk_alarm_comes_below_the_mark_and_goes_five_percent_above(
    machine: Machine, tmp_path: Path
) -> None:
    watch = Watch(SETTINGS, tmp_path)
    seen = []
    for machine.free in (1000, 999, 1001, 1049, 1050, 1001):
        seen.append(watch.look().alarms.disk)

    assert seen == [False, True, True, True, False, False]


@pytest.mark.parametrize(
    ("settings", "memory_limit", "disk_limit"),
    [
        (Resources(), 600, 50_000_000),
        (Resources(memory_watermark_bytes=123), 123, 50_000_000),
        (Resources(memory_bytes=2000, memory_watermark=0.5), 1000, 50_000_000),
        (Resources(disk_free_share=1.5, disk_free_bytes=7), 600, 1500),
        (Resources(memory_bytes=2000, disk_free_share=0.5), 1200, 1000),
    ],
)
@pytest.mark.usefixtures("machine")
def test_limits_are_a_share_or_a_number_of_bytes(
    tmp_path: Path, settings: Resources, memory_limit: int, disk_limit: int
) -> None:
    watch = Watch(SETTINGS, tmp_path)

    watch.use(settings)

    assert (watch.memory_limit_bytes, watch.disk_limit_bytes) == (memory_limit, disk_limit)


def test_what_the_store_will_still_take_is_not_free(machine: Machine, tmp_path: Path) -> None:
    owed = [0, 1000, 1001, 960, 950, -5000, 0]
    watch = Watch(SETTINGS, tmp_path, lambda: owed.pop(0))
    machine.free = 2000

    seen = [watch.look().alarms.disk for _ in range(6)]

    assert seen == [False, False, True, True, False, False]
    assert watch.look().disk_free_bytes == 2000


@pytest.mark.parametrize(
    ("used", "free", "is_close"),
    [
        (480, CLOSE_BYTES + 1000, False),
        (481, CLOSE_BYTES + 1000, True),
        (0, CLOSE_BYTES + 999, True),
    ],
)
def test_it_tells_when_an_alarm_may_come_soon(
    machine: Machine, tmp_path: Path, used: int, free: int, is_close: bool
) -> None:
    machine.used, machine.free = used, free

    assert Watch(SETTINGS, tmp_path).look().is_close == is_close


def test_both_may_be_short(machine: Machine, tmp_path: Path) -> None:
    machine.used, machine.free = 1000, 0

    look = Watch(SETTINGS, tmp_path).look()

    assert look.alarms == Alarms(memory=True, disk=True)
    assert (look.memory_bytes, look.disk_free_bytes) == (1000, 0)


def test_this_process_uses_memory_files_and_has_a_limit(tmp_path: Path) -> None:
    assert 1 << 20 < resources.resident_bytes() < resources.memory_available()
    assert resources.disk_free_bytes(tmp_path) > 0
    assert resources.open_files() >= 3


class Groups:
    """Control groups in a folder; this process is in slice/service."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = folder / "groups"
        (self.root / "slice" / "service").mkdir(parents=True)
        self.own = folder / "own"
        self.own.write_text("1:name=systemd:/elsewhere\n0::/slice/service\n")
        monkeypatch.setattr(resources, "GROUPS", self.root)
        monkeypatch.setattr(resources, "OWN_GROUP", self.own)

    def limit(self, group: str, text: str) -> None:
        """Write a limit as the kernel shows it."""
        (self.root / group / "memory.max").write_text(text)


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Groups:
    """Without any limit."""
    return Groups(tmp_path, monkeypatch)


@pytest.mark.parametrize("group", ["slice/service", "slice", "."])
def test_the_limit_of_a_control_group_counts_and_those_around_it(
    groups: Groups, group: str
) -> None:
    groups.limit(group, "123\n")

    assert resources.memory_available() == 123


def test_the_lowest_limit_counts(groups: Groups) -> None:
    groups.limit("slice/service", "456\n")
    groups.limit("slice", "123\n")

    assert resources.memory_available() == 123


def test_a_limit_on_the_process_counts_too(groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (100 + which, -1))

    assert resources.memory_available() == 100 + resource.RLIMIT_AS


def test_no_limit_is_the_machines_memory(groups: Groups) -> None:
    without = resources.memory_available()
    groups.limit("slice/service", "max\n")
    assert resources.memory_available() == without

    groups.own.unlink()

    assert resources.memory_available() == without > 1 << 28


def test_the_old_hierarchy_counts_too(groups: Groups) -> None:
    (groups.root / "memory").mkdir()
    (groups.root / "memory" / "memory.limit_in_bytes").write_text("123\n")

    assert resources.memory_available() == 123
