"""A full disk holds publishers back; consumers go on, nothing is lost, and it ends by itself."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.client import Client
from tests.server.running import Program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client import Channel

BODY = b"x" * 4000
PATIENCE_S = 120.0
SHORT_CYCLES = 2
LONG_CYCLES = 100


def broker(disk: Path, *, free_bytes: int = 0, reserve_bytes: int = 0) -> Program:
    """A broker on a small disk, which looks at it often."""
    environment = {
        "AMQPD_RESOURCES_DISK_FREE_BYTES": str(free_bytes),
        "AMQPD_RESOURCES_CHECK_INTERVAL_S": "0.1",
        "AMQPD_STORE_RESERVE_BYTES": str(reserve_bytes),
    }
    return Program(disk / "data", environment=environment)


def fill(disk: Path) -> Path:
    """Somebody else takes all the space there is."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"f" * 65_536)
        except OSError:
            return filler


class Publisher:
    """Publishes numbered messages with confirms until it is held back."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.channel = client.channel()
        self.channel.declare_queue("q", durable=True)
        self.channel.select_confirms()

    def publish_until_blocked(self) -> None:
        """Until the broker says so, and nothing is confirmed any more."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.client.blocked:
            assert time.monotonic() < deadline, "never blocked"
            while len(self.channel.unconfirmed) < 200 and not self.client.blocked:
                number = b"%08d" % (self.channel.published + 1)
                self.channel.publish("", "q", number + BODY, persistent=True)
                self.client.read()
            self.client.read(0.02)
        while self.client.read(0.3):
            pass

    @property
    def confirmed(self) -> set[bytes]:
        """The numbers that were confirmed."""
        every = range(1, self.channel.published + 1)
        return {b"%08d" % number for number in every if number not in self.channel.unconfirmed}

    def wait_until_all_is_confirmed(self) -> None:
        """The broker goes on by itself."""
        deadline = time.monotonic() + PATIENCE_S
        while self.client.blocked or self.channel.unconfirmed:
            self.client.read(0.1)
            assert time.monotonic() < deadline, f"{len(self.channel.unconfirmed)} not confirmed"


def drain(channel: Channel, count: int) -> list[bytes]:
    """Consume and ack so many messages; their numbers."""
    tag = channel.consume("q", prefetch=100)
    found: list[bytes] = []
    while len(found) < count:
        delivery = channel.next_delivery(PATIENCE_S)
        assert delivery is not None, f"only {len(found)} of {count} came"
        assert delivery.body[8:] == BODY
        found.append(delivery.body[:8])
        channel.ack(delivery.tag)
    channel.cancel(tag)
    return found


def fill_and_drain(disk: Path, cycles: int) -> None:
    """Up to the disk alarm and down again, in one life; then a kill."""
    seen: list[bytes] = []
    with (
        broker(disk, free_bytes=8 << 20) as program,
        Client(program.wait_ready().port) as client,
        Client(program.port) as other,
    ):
        publisher, consumer = Publisher(client), other.channel()
        for _ in range(cycles):
            publisher.publish_until_blocked()
            seen += drain(consumer, len(publisher.confirmed) - len(seen))
            publisher.wait_until_all_is_confirmed()
        published = publisher.confirmed
        client.read(0.5)  # An ack is on disk soon.
        program.process.kill()
    with broker(disk) as program, Client(program.wait_ready().port) as client:
        channel = client.channel()
        left = channel.declare_queue("q", passive=True).message_count or 0
        seen += drain(channel, left)
    assert published <= set(seen), "confirmed, and lost"
    assert len(seen) == len(set(seen)), "acked, and came back"


def test_the_disk_alarm_holds_publishers_until_consumers_have_made_room(
    small_disk: Callable[[int], Path],
) -> None:
    fill_and_drain(small_disk(112), SHORT_CYCLES)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_times_up_to_the_disk_alarm_and_down(small_disk: Callable[[int], Path]) -> None:
    fill_and_drain(small_disk(112), LONG_CYCLES)


def test_consuming_goes_on_when_others_have_filled_the_disk(
    small_disk: Callable[[int], Path],
) -> None:
    disk = small_disk(128)
    with broker(disk, reserve_bytes=12 << 20) as program:
        with Client(program.wait_ready().port) as client, Client(program.port) as other:
            publisher, consumer = Publisher(client), other.channel()
            for _ in range(2000):
                number = b"%08d" % (publisher.channel.published + 1)
                publisher.channel.publish("", "q", number + BODY, persistent=True)
            publisher.channel.wait_confirms()
            filler = fill(disk)
            publisher.publish_until_blocked()

            acked = drain(consumer, 2000)
            filler.unlink()
            publisher.wait_until_all_is_confirmed()
            published = publisher.confirmed
            filler = fill(disk)
        program.process.kill()
    # Without any room, and without the reserve, there is no reading all of it.
    filler.unlink()
    assert "given up" in program.log, "the disk was not full"

    with broker(disk) as program, Client(program.wait_ready().port) as client:
        channel = client.channel()
        left = channel.declare_queue("q", passive=True).message_count or 0
        found = [channel.get("q", no_ack=True) for _ in range(left)]
    numbers = [delivery.body[:8] for delivery in found if delivery is not None]
    assert not set(acked) & set(numbers), "acked, and came back"
    assert published <= set(acked) | set(numbers), "confirmed, and lost"


def test_a_broker_starts_on_a_disk_that_is_full(small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(96)
    with broker(disk, reserve_bytes=2 << 20) as program:
        with Client(program.wait_ready().port) as client:
            channel = client.channel()
            channel.declare_queue("q", durable=True)
            channel.select_confirms()
            channel.publish("", "q", b"a" * 8 + BODY, persistent=True)
            channel.wait_confirms()
        assert program.stop() == 0
    fill(disk)
    assert os.statvfs(disk).f_bavail == 0

    with (
        broker(disk, reserve_bytes=2 << 20) as program,
        Client(program.wait_ready().port) as client,
    ):
        assert drain(client.channel(), 1) == [b"a" * 8]
