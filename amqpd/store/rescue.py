"""A start after damage: what can be read goes into a new file, what cannot is set aside.

A page that the writer needs and that cannot be read ends the broker (`writer.py`), and would end
it again whenever the page is needed: shared pages, indexes and the list of free pages are in
nobody's queue. So the next start

1. looks through the whole file and tells what is wrong, with page and queue (`check.py`),
2. copies what can be read into a new file, and counts for each lane what is missing,
3. notes each missing message in `quarantine`, and
4. puts the new file in place of the old one, which is kept, whole, beside it.

Where nothing is missing, as after damage to an index or to the list of free pages, that is all.
Where messages are, the start is refused, and nothing has changed, until `store.rescue` allows it:
nothing is given up without somebody who says so. Nobody gets anything that is altered, and no
queue but those of the missing messages lacks any.
Definitions are different: where users, permissions, queues or bindings cannot be read, or the
number of messages in a lane, nobody knows what is missing, and the store is refused. Nor does
anybody know what small batches that were not in the tables yet have held (`deferred`): a start
without those that cannot be read has to be allowed, too.
"""

# ruff: noqa: S608 - what is put into statements are names of ours; values are bound
from __future__ import annotations

import logging
import os
import shutil
import time
from typing import TYPE_CHECKING, Final

from amqpd.store import StoreDamaged, StoreFull
from amqpd.store.check import check
from amqpd.store.deferred import enter_all
from amqpd.store.driver import SqlError, to_int
from amqpd.store.identity import Note
from amqpd.store.mark import Mark
from amqpd.store.ranges import POSITION_BITS
from amqpd.store.remnants import LARGE, SMALL, copy_rows, mend, put, scratch
from amqpd.store.schema import VERSION, migrate, version_of
from amqpd.store.streamfiles import move_all_in
from amqpd.store.streamlog import StreamFiles, file_of, files_of
from amqpd.store.walend import WalEnd

if TYPE_CHECKING:
    from pathlib import Path

    from amqpd.store.driver import Connection, Driver

log = logging.getLogger(__name__)

#: Small ones of which a part is enough.
_LOSSY: Final = ("quarantine", "stream_offset", "stream_file")
#: Those that must be read as a whole: nobody could say what is missing of them.
_WHOLE: Final = tuple(table for table in SMALL if table not in _LOSSY)
#: The damaged file keeps its name, with this and the time behind it.
KEPT: Final = ".damaged-"
_HELP: Final = "put a copy back with 'amqpd restore', or save what can be read with 'amqpd salvage'"
#: Missing messages of one lane that are noted one by one.
_MOST: Final = 100_000

_MISSING: Final = f"""
INSERT INTO quarantine(lane, position, message_id, reason, found_at)
SELECT key >> {POSITION_BITS}, key & ((1 << {POSITION_BITS}) - 1), message_id, ?1, datetime('now')
FROM queue_message q WHERE flags & 1 = 0
AND NOT EXISTS (SELECT 1 FROM message m WHERE m.id = q.message_id)
AND NOT EXISTS (SELECT 1 FROM garbage g WHERE q.key BETWEEN g.first_key AND g.last_key)
"""

#: Those of which not even the place is known.
_NOWHERE: Final = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
INSERT INTO quarantine(lane, position, message_id, reason, found_at)
SELECT ?1, -1, 0, ?3, datetime('now') FROM n
"""


def rescue(path: Path, driver: Driver, *, lossy: bool) -> bool:
    """Do so if the last life ended by damage; True if there is another file now.

    Raises:
        StoreDamaged: what must be read as a whole cannot be, or messages would be missing and
            that is not wanted (`lossy`).
        StoreFull: there is no room for a second file.
    """
    mark = Mark(path)
    if mark.is_rescued:
        _swap(path)
        mark.clear()
        return True
    if not mark.is_damage or version_of(path) != VERSION:
        return False
    log.critical("store %s: its last life was ended by damage: looking for it", path)
    findings = [str(finding) for finding in check(path)]
    for finding in findings:
        log.error("%s", finding)
    if not findings:
        log.warning("store %s: no damage is found, now", path)
        return False
    _make_sure_of_room(path)
    new = scratch(path)
    migrate(new)
    try:
        missing = _fill(path, new, driver, findings, lossy)
        if missing and not lossy:
            raise StoreDamaged(path, _refusal(findings, missing))
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    mark.set_rescued()
    _swap(path)
    mark.clear()
    return True


def _refusal(findings: list[str], missing: int) -> str:
    named = next((one for one in findings if ", page " in one), findings[0])
    return (
        f"{named}; {missing} messages cannot be read: put a copy back with 'amqpd restore', save "
        "what can be read with 'amqpd salvage', or start without them by store.rescue"
    )


def _make_sure_of_room(path: Path) -> None:
    """The second file is no larger than both of the first."""
    wal = path.with_name(path.name + "-wal")
    needed = path.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise StoreFull(
            path,
            f"store {path}: it is damaged, and what can be read of it needs {needed} bytes of "
            f"room, there are {free}; make room",
        )


def _fill(path: Path, new: Path, driver: Driver, findings: list[str], lossy: bool) -> int:
    """Write the new file; how many messages are not in it, as far as that is known."""
    damaged, made = driver.open(path, read_only=True), driver.open(new, read_only=False)
    files = StreamFiles(path)
    try:
        # Nobody needs it before it is whole: without a second copy of it in a WAL.
        made.run("PRAGMA journal_mode = OFF")
        made.run("BEGIN")
        for table in SMALL:
            _copy_small(path, damaged, made, table, lossy)
        for table in LARGE:
            copy_rows(damaged, made, table)
        move_all_in(made, files, files.hold(), leave_out=True)
        enter_all(driver, made, files, leave_out=lossy)
        missing = _note_missing(path, made, findings)
        mend(made)
        # Whatever was handed out may have been processed.
        made.run("UPDATE state SET value = 0 WHERE name = 'clean'")
        made.run("COMMIT")
        made.run("PRAGMA journal_mode = WAL")
        return missing
    except SqlError as error:
        raise StoreDamaged(path, f"store {path}: cannot be copied: {error}") from error
    except OSError as error:
        raise StoreDamaged(path, f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise StoreDamaged(path, f"store {path}: {error}; {_HELP}") from error
    finally:
        files.close()
        damaged.close()
        made.close()


def _copy_small(path: Path, damaged: Connection, made: Connection, table: str, lossy: bool) -> None:
    if table not in _WHOLE or (lossy and table == "deferred"):
        copy_rows(damaged, made, table)
        return
    try:
        # By the table, not by an index that may be what is damaged.
        wanted = to_int(damaged.run(f"SELECT count(*) FROM {table} NOT INDEXED")[0][0])
    except SqlError as error:
        text = f"store {path}: table '{table}' is damaged: {error}; {_HELP}"
        raise StoreDamaged(path, text) from error
    if copy_rows(damaged, made, table) != wanted:
        text = f"store {path}: table '{table}' is damaged; put a copy back with 'amqpd restore'"
        raise StoreDamaged(path, text)


def _note_missing(path: Path, made: Connection, findings: list[str]) -> int:
    """What each lane lacks, from its own count of messages, before that is mended; all together."""
    total = 0
    named = (one for one in findings if ", page " in one)
    reason = f"cannot be read: {next(named, findings[0])}"
    before = {lane: count for lane, _, _, count in _lanes(made)}
    made.run(_MISSING, [reason])
    made.run("DELETE FROM queue_message WHERE message_id NOT IN (SELECT id FROM message)")
    mend(made)
    for lane, vhost, queue, count in _lanes(made):
        missing = before[lane] - count
        if missing <= 0:
            continue
        total += missing
        noted = made.run(
            "SELECT count(*) FROM quarantine WHERE lane = ? AND reason = ?", [lane, reason]
        )
        nowhere = min(missing - to_int(noted[0][0]), _MOST)
        if nowhere > 0:
            made.run(_NOWHERE, [lane, nowhere, reason])
        log.error(
            "store %s, queue '%s' in vhost '%s': %d messages cannot be read",
            path,
            queue,
            vhost,
            missing,
        )
    return total


def _lanes(made: Connection) -> list[tuple[int, str, str, int]]:
    return [
        (to_int(lane), str(vhost), str(queue), to_int(count))
        for lane, vhost, queue, count in made.run("SELECT id, vhost, queue, messages FROM lane")
    ]


def _swap(path: Path) -> None:
    """Put the new file in place; may be done again from the beginning if it was interrupted."""
    new = path.with_name(f"{path.name}.new")
    if not new.exists():
        return
    kept = f"{path.name}{KEPT}{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    for number, file in files_of(path).items():
        file.replace(file_of(path.with_name(kept), number))
    # Never the old WAL beside the new file: it goes first.
    for suffix in ("-wal", "-shm", ""):
        old = path.with_name(f"{path.name}{suffix}")
        if old.exists():
            os.replace(old, path.with_name(f"{kept}{suffix}"))
    Note(path).forget()
    WalEnd(path).forget()
    put(new, path)
    log.critical("store %s: what could be read is in a new file; the old one is %s", path, kept)
