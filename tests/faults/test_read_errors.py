"""What the disk does not give back is missed by its own queue, and by nobody else."""

from __future__ import annotations

import json
import shutil
import sqlite3
import urllib.request
from contextlib import closing
from typing import TYPE_CHECKING, Final

from amqpd.store.schema import VERSION
from tests.client import Client
from tests.server.running import Program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.client import Channel

PAGE: Final = 16_384
PATIENCE_S: Final = 60.0


class Disk:
    """A broker's data directory, of which a page can be made unreadable."""

    def __init__(self, recorder: Path, folder: Path) -> None:
        self.recorder = recorder
        self.data = folder / "data"
        self.flag = folder / "unreadable"

    def broker(self, bad_page: int = 0) -> Program:
        """With page `bad_page` (from 1) unreadable as long as the flag is there; 0 for none."""
        environment = {
            "LD_PRELOAD": str(self.recorder),
            "RECORD_DIRECTORY": str(self.data),
            "UNREADABLE_WHILE": str(self.flag),
        }
        if bad_page:
            environment["UNREADABLE"] = f"{(bad_page - 1) * PAGE}:{PAGE}"
            self.flag.touch()
        return Program(self.data, "--http-port", "0", environment=environment)

    def page_with(self, octets: bytes) -> int:
        """The page that these are on."""
        at = (self.data / "amqpd.db").read_bytes().find(octets)
        assert at > 0
        return at // PAGE + 1

    def first_leaf_of(self, table: str) -> int:
        """The page with the lowest keys of a table."""
        copy = self.data.with_name("copy.db")
        shutil.copy(self.data / "amqpd.db", copy)
        with closing(sqlite3.connect(copy)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
            pages = connection.execute(
                "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path",
                [table],
            ).fetchall()
        assert len(pages) > 2
        return int(pages[0][0])


def fill(channel: Channel, queue: str, count: int, size: int) -> list[bytes]:
    """Publish so many messages, persistent and confirmed."""
    channel.declare_queue(queue, durable=True)
    channel.select_confirms()
    bodies = [b"%s-%05d-" % (queue.encode(), n) + b"x" * size for n in range(count)]
    for body in bodies:
        channel.publish("", queue, body, persistent=True)
    channel.wait_confirms()
    return bodies


def filled(disk: Disk, count: int, size: int) -> dict[str, list[bytes]]:
    """A stopped broker's store with two queues, the one that will be bad first."""
    with disk.broker() as program:
        with Client(program.wait_ready().port, timeout_s=PATIENCE_S) as client:
            channel = client.channel()
            bodies = {queue: fill(channel, queue, count, size) for queue in ("bad", "good")}
        assert program.stop() == 0
    return bodies


def consumed(channel: Channel, queue: str, count: int) -> list[bytes]:
    """The next messages of a queue, not acked yet."""
    channel.consume(queue)
    found = []
    for _ in range(count):
        delivery = channel.next_delivery(PATIENCE_S)
        assert delivery is not None
        found.append(delivery.body)
    return found


def state(program: Program, queue: str) -> str:
    """As the HTTP API tells it."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{program.port_of('http')}/api/queues/%2F/{queue}",
        headers={"Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q="},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310 - the same
        return str(json.load(answer)["state"])


def metrics(program: Program) -> str:
    """What Prometheus would be told."""
    url = f"http://127.0.0.1:{program.port_of('http')}/metrics"
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return str(answer.read().decode())


def test_a_message_that_cannot_be_read_is_set_aside_and_the_others_come(
    recorder: Path, tmp_path: Path
) -> None:
    disk = Disk(recorder, tmp_path)
    bodies = filled(disk, 40, 5000)
    bad = bodies["bad"][20]

    with disk.broker(disk.page_with(bad[:10])) as program:
        with Client(program.wait_ready().port, timeout_s=PATIENCE_S) as client:
            assert consumed(client.channel(), "good", 40) == bodies["good"]
            channel = client.channel()
            left = channel.declare_queue("bad", passive=True).message_count
            assert left is not None
            found = consumed(channel, "bad", left)
            # A page has room for three of them.
            missing = [body for body in bodies["bad"] if body not in found]
            assert found == [body for body in bodies["bad"] if body not in missing]
            assert bad in missing
            assert len(missing) <= 4
            fill(client.channel(), "good", 1, 10)
            assert state(program, "bad") == "running"
        disk.flag.unlink()
        assert program.stop() == 0
    assert program.log.count("cannot be read") == len(missing)
    assert "quarantined" in program.log


def test_a_queue_that_cannot_be_read_is_faulted_until_it_can(
    recorder: Path, tmp_path: Path
) -> None:
    disk = Disk(recorder, tmp_path)
    bodies = filled(disk, 3000, 10)

    with disk.broker(disk.first_leaf_of("queue_message")) as program:
        with Client(program.wait_ready().port, timeout_s=PATIENCE_S) as client:
            waiting = client.channel()
            waiting.consume("bad")

            assert consumed(client.channel(), "good", 3000) == bodies["good"]
            fill(client.channel(), "good", 1, 10)
            assert state(program, "bad") == "faulted"
            assert state(program, "good") == "running"
            assert "amqpd_queues_faulted 1\n" in metrics(program)
            assert not waiting.deliveries

            disk.flag.unlink()
            found = [waiting.next_delivery(PATIENCE_S) for _ in range(3000)]
            assert [one.body for one in found if one] == bodies["bad"]
            assert state(program, "bad") == "running"
        assert program.stop() == 0
    assert "its queue is faulted" in program.log
    assert "can be read again" in program.log
