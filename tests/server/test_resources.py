"""Memory and disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker.broker import Alarms
from amqpd.config import Resources
from amqpd.server import resources
from amqpd.server.resources import Watch

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


def test_both_may_be_short(machine: Machine, tmp_path: Path) -> None:
    machine.used, machine.free = 1000, 0

    look = Watch(SETTINGS, tmp_path).look()

    assert look.alarms == Alarms(memory=True, disk=True)
    assert (look.memory_bytes, look.disk_free_bytes) == (1000, 0)


def test_this_process_uses_memory_files_and_has_a_limit(tmp_path: Path) -> None:
    assert 1 << 20 < resources.resident_bytes() < resources.memory_available()
    assert resources.disk_free_bytes(tmp_path) > 0
    assert resources.open_files() >= 3


@pytest.mark.parametrize(("text", "limit"), [("123\n", 123), ("max\n", None), (None, None)])
def test_a_control_groups_limit_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, limit: int | None
) -> None:
    file = tmp_path / "memory.max"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(resources, "GROUP_LIMITS", ())
    machine = resources.memory_available()
    monkeypatch.setattr(resources, "GROUP_LIMITS", (file,))

    assert resources.memory_available() == (limit or machine)
