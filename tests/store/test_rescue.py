"""A damaged page that the writer needs ends one life; the next one goes on without it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from amqpd.broker.definitions import PutBinding, PutExchange, PutQueue, PutVhost
from amqpd.broker.run import Append, Settle
from amqpd.store import Row, StoreDamaged, StoreFailed, StoreFull
from amqpd.store.check import check
from amqpd.store.mark import Mark
from tests.store.batches import Driven, Writing, settle
from tests.store.test_identity import a_store

if TYPE_CHECKING:
    from pathlib import Path

PAGE: Final = 4096
QUEUES: Final = {1: "one", 2: "two"}
#: Tables of which nobody could say what is missing, and what is read with them.
DEFINITIONS: Final = (
    "vhost", "user", "permission", "topic_permission", "exchange", "queue", "binding", "parameter",
    "lane", "garbage",
)  # fmt: skip


@dataclass
class Filled:
    """A stopped store, what is in its lanes, and which pages hold what."""

    directory: Path
    bodies: dict[int, list[bytes]]
    #: By table or index, and kind of page.
    pages: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def damaged(self, folder: Path, page: int, fill: int = 0xFF) -> Path:
        """A copy with one page that is something else."""
        copy = folder / "damaged"
        shutil.copytree(self.directory, copy)
        with (copy / "amqpd.db").open("r+b") as file:
            file.seek((page - 1) * PAGE)
            file.write(bytes([fill]) * PAGE)
        return copy


def opened(directory: Path, *, rescue: bool = False) -> Driven:
    return a_store(directory, page_size_bytes=PAGE, wal_limit_bytes=1 << 26, rescue=rescue)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """Two queues, fed in turn, so that their messages share pages; some of 20 KB."""
    directory = tmp_path_factory.mktemp("filled") / "data"
    store, writing = opened(directory), Writing()
    queues = [PutQueue("/", name, True, False, False, {}, (id_,)) for id_, name in QUEUES.items()]
    exchanges = [PutExchange("/", f"e{n}", "fanout", True, False, False, {}) for n in range(60)]
    bindings = [
        PutBinding("/", f"e{n}", name, "queue", "k", {})
        for n in range(60)
        for name in QUEUES.values()
    ]
    store.write(writing.batch(defines=[PutVhost("/"), *queues, *exchanges, *bindings]))
    bodies: dict[int, list[bytes]] = {1: [], 2: []}
    for number in range(200):
        lane = 1 + number % 2
        size = 20_000 if number % 40 < 2 else 300
        new = [b"%d/%06d" % (lane, number * 10 + n) + bytes(size) for n in range(10)]
        bodies[lane] += new
        deadlines = [10**13 + n for n in range(10)] if number % 5 == 0 else None
        entry = writing.append(new, lane, deadlines=deadlines)
        if deadlines:
            entry.targets[0].early = True
        store.write(writing.batch(entry))
    # Pages that are free.
    extra = writing.append([bytes(4000)] * 200, 1)
    store.write(writing.batch(extra))
    store.write(writing.batch(settle(extra)))
    store.close()
    made = Filled(directory, bodies)
    with closing(sqlite3.connect(directory / "amqpd.db")) as connection:
        for name, kind, page in connection.execute(
            "SELECT name, pagetype, pageno FROM dbstat ORDER BY path"
        ):
            made.pages.setdefault((name, kind), []).append(page)
        (trunk,) = connection.execute("PRAGMA freelist_count").fetchone()
        assert trunk
    octets = (directory / "amqpd.db").read_bytes()
    made.pages["", "freelist"] = [int.from_bytes(octets[32:36], "big")]
    return made


def read(store: Driven, lane: int) -> list[Row] | StoreFailed:
    """All of a lane; what the store says if it cannot."""
    rows: list[Row] = []
    while True:
        answers: list[list[Row] | StoreFailed] = []
        at = rows[-1].position + 1 if rows else 0
        store.store.read(lane, at, 1 << 39, 1000, 1 << 40, answers.append)
        while not answers:
            store.turn()
        if isinstance(answers[0], StoreFailed):
            return answers[0]
        if not answers[0]:
            return rows
        rows += answers[0]


def used(store: Driven) -> dict[int, list[bytes]] | StoreFailed | StoreFull:
    """Consume everything and publish something; what there was."""
    found: dict[int, list[bytes]] = {}
    writing = Writing(store.snapshot.next_message_id, 1 << 20)
    writing.positions = {id_: lane.next_position for id_, lane in store.snapshot.lanes.items()}
    entries: list[Append | Settle] = []
    for lane in QUEUES:
        rows = read(store, lane)
        if isinstance(rows, StoreFailed):
            return rows
        found[lane] = [row.body for row in rows]
        entry = writing.append([b"new"], lane, deadlines=[10**13])
        entry.targets[0].early = True
        entries.append(entry)
        entries += [
            Settle(
                lane, row.position, row.position + 1, row.message_id, row.shared,
                len(row.body), row.transient,
            )
            for row in rows
        ]  # fmt: skip
    define = PutBinding("/", "e1", QUEUES[1], "queue", "new", {})
    # One batch: after a failure all of it is undone.
    outcome = store.write(writing.batch(*entries, defines=[define]))
    if isinstance(outcome, StoreFailed | StoreFull):
        return outcome
    return found


def quarantined(directory: Path) -> int:
    with closing(sqlite3.connect(directory / "amqpd.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM quarantine").fetchone()[0])


def judge(filled: Filled, directory: Path, *, rescue: bool) -> str:
    """What becomes of a damaged store: how its lives went; nothing is altered or lost unsaid."""
    lives: list[str] = []
    while len(lives) < 3:
        try:
            store = opened(directory, rescue=rescue)
        except StoreDamaged as error:
            lives.append("refused" if str(directory) in str(error) else f"without a name: {error}")
            assert not list(directory.glob("*.new*"))
            return " ".join(lives)
        found = used(store)
        store.close()
        if isinstance(found, dict):
            break
        lives.append("failed" if str(directory) in str(found) else f"without a name: {found}")
    else:
        pytest.fail(f"it dies again and again: {found}")
    missing = 0
    for lane, wanted in filled.bodies.items():
        assert found[lane] == [body for body in wanted if body in set(found[lane])]
        missing += len(wanted) - len(found[lane])
    assert not missing or quarantined(directory) == missing
    # A page that nobody needs may stay as it is.
    assert not lives or [str(one) for one in check(directory / "amqpd.db")] == []
    return " ".join([*lives, "whole" if not missing else "others"])


def outcomes(
    filled: Filled, folder: Path, *, rescue: bool, fill: int = 0xFF
) -> dict[tuple[str, str], str]:
    """What becomes of it if a page of each kind is damaged."""
    found = {}
    for place, pages in filled.pages.items():
        copy = filled.damaged(folder, pages[len(pages) // 2], fill)
        found[place] = judge(filled, copy, rescue=rescue)
        shutil.rmtree(copy)
    return found


@pytest.mark.timeout(300)
def test_no_damaged_page_ends_more_than_one_life(filled: Filled, tmp_path: Path) -> None:
    found = outcomes(filled, tmp_path, rescue=False)

    assert set(found.values()) <= {"refused", "whole", "others", "failed whole", "failed refused"}
    # The next start goes on without the page where nothing is missing then, and is refused where
    # messages are.
    assert found["message", "leaf"] == "failed refused"
    assert found["queue_message", "leaf"] == "failed refused"
    assert found["", "freelist"] == "failed whole"
    assert found["queue_message_early", "internal"] == "failed whole"
    assert found["message", "overflow"] == "others"
    # At the first look, where nothing was written yet, it is up to somebody to decide.
    assert found["message", "internal"] == "refused"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fill", [0xFF, 0])
def test_with_leave_a_broker_starts_without_what_cannot_be_read(
    filled: Filled, tmp_path: Path, fill: int
) -> None:
    found = outcomes(filled, tmp_path, rescue=True, fill=fill)

    refused = {name for (name, _), outcome in found.items() if outcome == "refused"}
    assert refused <= {"sqlite_schema", *DEFINITIONS}
    assert {"sqlite_schema", "queue", "user", "permission", "lane"} <= refused
    assert found["message", "internal"] == "others"


def test_the_damaged_file_is_kept_and_what_is_missing_is_told(
    filled: Filled, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pages = filled.pages["message", "leaf"]
    page = pages[len(pages) // 2]
    copy = filled.damaged(tmp_path, page)
    store = opened(copy)
    assert isinstance(used(store), StoreFailed)
    store.close()

    with pytest.raises(StoreDamaged, match=rf"page {page}\b.* cannot be read: .*store\.rescue"):
        opened(copy)
    assert not list(copy.glob("amqpd.db.*damaged*"))
    store = opened(copy, rescue=True)

    assert sum(store.snapshot.quarantined.values()) > 0
    store.close()
    kept = min(copy.glob("amqpd.db.damaged-*"), key=lambda path: len(path.name))
    assert kept.stat().st_mode & 0o777 == 0o600
    assert f"page {page}" in caplog.text
    assert "queue 'one' in vhost '/': " in caplog.text
    assert "messages cannot be read" in caplog.text


def test_damage_that_is_not_there_any_more_changes_nothing(
    filled: Filled, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = tmp_path / "data"
    shutil.copytree(filled.directory, copy)
    Mark(copy / "amqpd.db").leave(damage=True)

    store = opened(copy)
    assert used(store) == filled.bodies
    store.close()

    assert "no damage is found, now" in caplog.text
    assert not Mark(copy / "amqpd.db").is_there
    assert not list(copy.glob("*.damaged-*"))


@pytest.mark.parametrize("moved", [(), ("-wal",), ("-wal", "")])
def test_a_rescue_that_was_cut_off_goes_on(
    filled: Filled, tmp_path: Path, moved: tuple[str, ...]
) -> None:
    copy = tmp_path / "data"
    shutil.copytree(filled.directory, copy)
    path = copy / "amqpd.db"
    shutil.copy(path, copy / "amqpd.db.new")
    (copy / "amqpd.db-wal").write_bytes(b"of the damaged file")
    Mark(path).set_rescued()
    for suffix in moved:
        (copy / f"amqpd.db{suffix}").rename(copy / f"amqpd.db.damaged-before{suffix}")

    store = opened(copy)

    assert used(store) == filled.bodies
    store.close()
    assert not (copy / "amqpd.db.new").exists()


def test_without_room_for_a_second_file_the_damaged_one_is_left_as_it_is(
    filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = filled.pages["message", "leaf"]
    copy = filled.damaged(tmp_path, pages[len(pages) // 2])
    before = (copy / "amqpd.db").read_bytes()
    Mark(copy / "amqpd.db").leave(damage=True)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    with pytest.raises(StoreFull, match="make room"):
        opened(copy)

    assert (copy / "amqpd.db").read_bytes() == before
