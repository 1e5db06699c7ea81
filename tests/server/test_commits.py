"""Journal to store and back."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from amqpd.broker.definitions import PutVhost
from amqpd.broker.journal import Journal, Mark
from amqpd.broker.lane import Lane
from amqpd.server import commits
from amqpd.server.commits import Commits
from amqpd.store import Row, StoreFailed, StoreFull, StoreUnreadable
from amqpd.store.memory import MemoryStore
from tests.broker.test_delivery import Owner, a_run
from tests.server.waiting import turns, until

if TYPE_CHECKING:
    import pytest

    from amqpd.broker.journal import Batch
    from amqpd.store import ReadDone, WriteDone

FAILED = StoreFailed(Path("db"), "store: Input/output error")
FULL = StoreFull(Path("db"), "store: disk full")


class HeldStore(MemoryStore):
    """A store whose writes end when the test says so."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop().call_soon)
        self.held: list[tuple[Batch, WriteDone]] = []
        self.rows: list[Row] | StoreFailed = []

    def write(self, batch: Batch, done: WriteDone) -> None:
        """Take it and wait."""
        self.held.append((batch, done))

    def finish(self, outcome: StoreFull | StoreFailed | None = None) -> None:
        """End the write under way."""
        batch, done = self.held.pop(0)
        done(batch.number if outcome is None else outcome)

    def read(
        self,
        lane: int,
        from_position: int,
        upto_position: int,
        max_messages: int,
        max_bytes: int,
        done: ReadDone,
    ) -> None:
        """Answer at once."""
        done(self.rows)


class Setting:
    """Commits between a journal and a held store."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.store = HeldStore()
        self.committed = 0
        self.full: list[bool] = []
        self.failed: list[StoreFailed] = []
        self.commits = Commits(
            asyncio.get_running_loop(),
            self.journal,
            self.store,
            committed=self._count,
            full=self.full.append,
            failed=self.failed.append,
        )

    def _count(self) -> None:
        self.committed += 1

    def define(self, name: str) -> int:
        """Journal something."""
        return self.journal.define(PutVhost(name))


async def test_one_batch_at_a_time_and_the_next_in_the_turn_that_it_begins() -> None:
    it = Setting()
    it.define("a")
    it.commits.push()
    it.define("b")
    it.define("c")
    it.commits.push()
    assert [len(batch.defines) for batch, _ in it.store.held] == [1]

    it.store.finish()

    assert it.journal.safe == 1
    assert it.committed == 1
    assert it.store.held == [], "confirms go out first"
    it.commits.push()
    assert [len(batch.defines) for batch, _ in it.store.held] == [2]
    it.store.finish()
    assert it.journal.safe == 3
    assert it.commits.batches == 2


async def test_much_that_waits_is_written_at_once_when_the_disk_is_free() -> None:
    it = Setting()
    it.define("a")
    it.commits.push()
    run = a_run(bytes(commits.LITTLE_BYTES))
    lane = Lane(Owner(), it.journal.log, 3, 0, True)
    it.journal.append(run, [(lane, lane.push(run, 0, True), 0)])

    it.store.finish()

    assert [len(batch.appends) for batch, _ in it.store.held] == [1]


async def test_nothing_to_write_is_not_written() -> None:
    it = Setting()

    it.commits.push()

    assert it.store.held == []


async def test_settles_do_not_wait_for_two_batches_of_a_slow_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commits, "COMPANY_S", 0.0)
    it = Setting()
    run = a_run(b"a")
    lane = Lane(Owner(), it.journal.log, 3, 0, True)
    it.journal.append(run, [(lane, lane.push(run, 0, True), 0)])
    it.commits.push()

    lane.settle(run, 0, 0, 1)
    it.commits.push()
    await until(lambda: it.commits._company_over)
    it.define("a")
    it.store.finish()
    it.commits.push()

    ((batch, _),) = it.store.held
    assert (len(batch.defines), len(batch.settles)) == (1, 1)


async def test_settles_wait_for_a_while_and_hold_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commits, "COMPANY_S", 0.0)
    it = Setting()
    run = a_run(b"a")
    lane = Lane(Owner(), it.journal.log, 3, 0, True)
    it.journal.append(run, [(lane, lane.push(run, 0, True), 0)])
    it.commits.push()
    it.store.finish()

    lane.settle(run, 0, 0, 1)
    it.commits.push()
    assert it.store.held == [], "nobody waits for it"
    it.define("a")
    it.commits.push()
    ((batch, _),) = it.store.held
    assert (len(batch.defines), batch.settles) == (1, [])
    it.store.finish()
    assert it.store.held == []
    await until(lambda: it.store.held != [])

    ((batch, _),) = it.store.held
    assert len(batch.settles) == 1
    it.store.finish()
    await turns()
    assert it.store.held == []


async def test_draining_waits_until_all_is_on_disk() -> None:
    it = Setting()
    await it.commits.drain()
    it.define("a")
    draining = asyncio.ensure_future(it.commits.drain())
    await turns()
    it.define("b")
    it.store.finish()
    await turns()
    assert not draining.done()

    it.store.finish()
    await draining

    assert it.journal.safe == 2


async def test_a_full_disk_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "FULL_RETRY_S", 0.0)
    it = Setting()
    it.define("a")
    it.commits.push()
    it.store.finish(FULL)
    await until(lambda: len(it.store.held) == 1)
    it.store.finish(FULL)
    assert it.full == [True]
    assert it.journal.safe == 0

    await until(lambda: len(it.store.held) == 1)
    it.store.finish()

    assert it.full == [True, False]
    assert it.journal.safe == 1


async def test_a_failed_commit_is_final() -> None:
    it = Setting()
    it.define("a")
    draining = asyncio.ensure_future(it.commits.drain())
    await turns()

    it.store.finish(FAILED)
    it.define("b")
    it.commits.push()
    await draining
    await it.commits.drain()
    await it.commits.write_marks([Mark(3, 7, Lane(Owner(), it.journal.log, 3, 0, True))])

    assert it.failed == [FAILED]
    assert it.store.held == []
    assert it.journal.safe == 0


async def test_nothing_is_asked_of_a_store_that_is_about_to_be_closed() -> None:
    it = Setting()
    it.store.rows = [Row(3, 3, 0, False, False, b"", b"", b"")]
    got: list[object] = []

    it.commits.close()
    it.commits.refill(1, 0, 10, 10, 1000, lambda rows, _: got.append(rows))

    assert got == []
    assert it.committed == 0


async def test_a_failed_read_is_final_too() -> None:
    it = Setting()
    it.store.rows = FAILED
    got: list[object] = []

    it.commits.refill(1, 0, 10, 10, 1000, lambda rows, upto: got.append((rows, upto)))

    assert it.failed == [FAILED]
    assert got == []


async def test_a_refill_tells_how_far_it_has_seen() -> None:
    it = Setting()
    got: list[tuple[list[int], int]] = []

    def arrived(
        rows: list[tuple[int, int, int, bool, bool, bytes, bytes, bytes]], upto: int
    ) -> None:
        got.append(([row[0] for row in rows], upto))

    it.store.rows = [Row(at, at, 0, False, False, b"", b"", b"") for at in (3, 4, 7)]
    it.commits.refill(1, 3, 20, 10, 1000, arrived)
    it.store.rows = []
    it.commits.refill(1, 8, 20, 10, 1000, arrived)

    assert got == [([3, 4, 7], 8), ([], 20)]
    assert it.committed == 2


async def test_what_was_read_goes_with_the_last_who_uses_it() -> None:
    it = Setting()

    class Asker:
        """Who wants to know."""

        def arrived(self, rows: object, upto: int) -> None:
            """Has what it wanted."""

    asker = Asker()
    known = weakref.ref(asker)
    gc.disable()
    try:
        it.commits.refill(1, 3, 20, 10, 1000, asker.arrived)
        del asker
        assert known() is None, "it waits for the garbage collector"
    finally:
        gc.enable()


async def test_publishers_are_held_above_a_mark_and_let_go_below_its_half() -> None:
    it = Setting()

    assert (it.commits.congested, it.commits.relieved) == (False, True)
    it.journal.pending_bytes = commits.CONGESTED_BYTES + 1
    assert it.commits.congested
    assert (it.commits.holds(1), it.commits.holds(commits.POLITE_BYTES + 1)) == (False, True)
    it.journal.pending_bytes = 2 * commits.CONGESTED_BYTES + 1
    assert it.commits.holds(1)
    it.journal.pending_bytes = commits.CONGESTED_BYTES - 1

    assert (it.commits.congested, it.commits.relieved) == (False, False)

    it.journal.pending_bytes = 0
    it.journal.pending_messages = commits.CONGESTED_MESSAGES + 1
    assert it.commits.congested
    assert not it.commits.holds(1)
    it.journal.pending_messages = 2 * commits.CONGESTED_MESSAGES + 1
    assert it.commits.holds(1)
    it.journal.pending_messages = commits.CONGESTED_MESSAGES // 2
    assert (it.commits.congested, it.commits.relieved) == (False, False)


async def test_a_commit_that_hangs_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(commits, "SLOW_S", -1.0)
    it = Setting()
    it.commits.watch()
    assert caplog.text == ""
    it.define("a")
    it.commits.push()

    for _ in range(3):
        it.commits.watch()

    assert caplog.text.count("not done yet") == 1


async def test_what_cannot_be_read_now_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "UNREADABLE_RETRY_S", 0.0)
    it = Setting()
    it.store.rows = StoreUnreadable(Path("db"), "store: lane 3 cannot be read", 3)
    seen: list[int] = []

    it.commits.refill(3, 0, 10, 10, 1000, lambda rows, _: seen.append(len(rows)))
    assert it.commits.unreadable == {3: "store: lane 3 cannot be read"}
    it.store.rows = []
    await until(lambda: bool(seen))

    assert it.commits.unreadable == {}
    assert it.failed == []
