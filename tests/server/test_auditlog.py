"""The audit log as files: nothing can be changed without being seen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from amqpd.server.auditlog import GENESIS, AuditLog, Head, Verified, newest, numbered, verify
from tests.server.filling import no_longer_than, no_more_files

if TYPE_CHECKING:
    from pathlib import Path


def written(path: Path, *events: str, max_bytes: int = 0, files: int = 3) -> Head:
    log = AuditLog(path, max_bytes, files)
    for event in events:
        log.append([{"time": "t", "event": event}])
    log.close()
    return log.head


def test_lines_are_numbered_and_chained(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"

    head = written(path, "a", "b")

    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert (first["seq"], first["event"], second["seq"]) == (1, "a", 2)
    assert first["hash"] != second["hash"] == head.digest
    assert verify(path).lines == 2
    assert verify(path).head == head
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_log_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"

    written(path, "a")
    head = written(path, "b")

    assert head.number == 2
    assert verify(path).error == ""


def test_an_empty_log_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    assert written(path) == Head(0, GENESIS)

    assert verify(path).lines == 0
    assert verify(path).error == ""


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda lines: [lines[0], *lines[2:]], "number 3 follows 1"),
        (lambda lines: [lines[1], lines[0], lines[2]], "number 1 follows 2"),
        (lambda lines: [lines[0].replace('"a"', '"x"'), *lines[1:]], "was changed"),
        (lambda lines: [lines[0], lines[1].replace("t", "u", 1), lines[2]], "was changed"),
        (lambda lines: [*lines, lines[2]], "number 3 follows 3"),
        (lambda lines: [lines[0], "", *lines[1:]], "not a line of this log"),
        (lambda lines: [lines[0], '{"seq":2}', *lines[2:]], "not a line of this log"),
        (lambda lines: [lines[0], lines[1][:-8] + '0000000"}', lines[2]], "not a line|was changed"),
    ],
)
def test_any_change_is_seen(tmp_path: Path, change: object, error: str) -> None:
    path = tmp_path / "audit.log"
    written(path, "a", "b", "c")

    lines = path.read_text().splitlines()
    path.write_text("".join(f"{line}\n" for line in change(lines)))  # type: ignore[operator]  # a lambda

    found = verify(path).error
    assert any(part in found for part in error.split("|")), found


def test_lines_cut_off_at_the_end_are_seen_by_the_hash_that_was_said(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    head = written(path, "a", "b", "c")

    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))

    assert verify(path).error == ""
    assert verify(path).head != head


def test_what_a_crash_cut_off_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    written(path, "a", "b")
    with path.open("a") as file:
        file.write('{"seq":3,"ev')

    log = AuditLog(path, 0, 3)
    assert log.torn_bytes == 12
    log.append([{"event": "c"}])
    log.close()

    assert verify(path).lines == 3
    assert verify(path).error == ""


def test_a_line_that_the_disk_took_half_of_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    written(path, "a", "b")
    before = path.read_bytes()
    log = AuditLog(path, 0, 3)

    with no_longer_than(len(before) + 40), pytest.raises(OSError, match="too large"):
        log.append([{"event": "c"}, {"event": "d"}])
    after = path.read_bytes()
    log.append([{"event": "e"}])
    log.close()

    assert after == before
    assert (verify(path).lines, verify(path).error) == (3, "")


def test_the_hash_that_was_said_is_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    said = written(path, "a", "b").digest
    written(path, "c")

    assert verify(path, said).error == ""
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
    assert "no line has the hash" in verify(path, said).error
    written(tmp_path / "empty.log")
    assert verify(tmp_path / "empty.log", GENESIS).error == ""


def test_full_files_are_put_aside_and_the_chain_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"

    head = written(path, *"abcdefgh", max_bytes=250)

    assert numbered(path, 1).exists()
    assert numbered(path, 2).exists()
    assert not numbered(path, 3).exists()
    assert verify(path).head == head
    assert verify(path).error == ""
    assert head == written(path)


def test_a_file_that_cannot_be_put_aside_is_written_on_until_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "audit.log"
    log = AuditLog(path, max_bytes=1, files=3)
    with no_more_files():
        for number in range(3):
            log.append([{"event": f"of {number}"}])
    log.append([{"event": "last"}])
    log.append([{"event": "in the next one"}])
    log.close()

    assert verify(path) == Verified(5, log.head)
    assert caplog.text.count("audit: cannot be put aside") == 1
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "audit.1.log", "audit.2.log", "audit.log",
    ]  # fmt: skip


def test_a_log_goes_on_behind_a_file_that_was_just_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    written(path, "a", max_bytes=1)
    assert path.stat().st_size == 0

    assert written(path, "b").number == 2
    assert verify(path).lines == 2


def test_the_newest_lines_are_found_across_files(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    long = "x" * 100
    written(path, *(f"login {long} {number}" for number in range(20)), max_bytes=1000, files=9)
    written(path, "stop", max_bytes=1000, files=9)

    def numbers(event: str = "", text: str = "", below: int = 0, most: int = 5) -> list[int]:
        return [entry["seq"] for entry in newest(path, event, text, below, most)]  # type: ignore[index]

    assert numbered(path, 2).exists()
    assert numbers() == [21, 20, 19, 18, 17]
    assert numbers(most=100) == list(range(21, 0, -1))
    assert numbers("login", below=3) == [2, 1]
    assert numbers(text=" 7") == [8]
    assert newest(tmp_path / "none.log", "", "", 0, 5) == []


def test_lines_that_are_longer_than_a_step_are_found(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    written(path, "a" * 150_000, "b")

    found = newest(path, "", "", 0, 5)

    assert [str(entry["event"])[0] for entry in found] == ["b", "a"]  # type: ignore[index]
