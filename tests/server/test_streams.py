"""Streams with clients that people use, over restarts and kills, with the store on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aio_pika
import pika  # type: ignore[import-untyped]  # pika has no types
import pika.exceptions  # type: ignore[import-untyped]  # as above
import pytest

from tests.server.running import Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STREAM = {"x-queue-type": "stream"}


class Lives:
    """A broker that can be started again on the same disk."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.program = Program(data)

    @property
    def port(self) -> int:
        return self.program.port

    def restart(self, *, kill: bool = False) -> None:
        """Stop in good order, or not, and start."""
        if not kill:
            assert self.program.stop() == 0
        self.program.__exit__()
        self.program = Program(self._data).wait_ready()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Lives]:
    """A broker that logs no traceback."""
    lives = Lives(tmp_path / "data")
    lives.program.wait_ready()
    yield lives
    with lives.program as program:
        assert program.stop() == 0
        assert "Traceback" not in program.log, program.log[-4000:]


def connected(broker: Lives) -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port))


def fill(broker: Lives, first: int, upto: int, **headers: object) -> None:
    """Publish with confirms."""
    with connected(broker) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("s", durable=True, arguments=STREAM)
        for number in range(first, upto):
            properties = pika.BasicProperties(headers=headers or None)
            channel.basic_publish("", "s", b"%d" % number, properties)


def read(
    broker: Lives, count: int, tag: str | None = None, **arguments: object
) -> list[tuple[int, bytes]]:
    """Read and acknowledge so many messages, with their offsets."""
    table = {name.replace("_", "-"): value for name, value in arguments.items()}
    heard: list[tuple[int, bytes]] = []
    with connected(broker) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=20)

        def on_message(
            channel: pika.channel.Channel,
            method: pika.spec.Basic.Deliver,
            properties: pika.BasicProperties,
            body: bytes,
        ) -> None:
            heard.append((int(properties.headers["x-stream-offset"]), body))
            channel.basic_ack(method.delivery_tag)
            if len(heard) == count:
                channel.stop_consuming()

        channel.basic_consume("s", on_message, consumer_tag=tag, arguments=table)
        connection.call_later(10, channel.stop_consuming)
        channel.start_consuming()
    return heard


def numbered(first: int, upto: int) -> list[tuple[int, bytes]]:
    return [(number, b"%d" % number) for number in range(first, upto)]


def test_pika_reads_a_stream_again_and_again(broker: Lives) -> None:
    fill(broker, 0, 100)

    for _ in range(2):
        assert read(broker, 100, x_stream_offset="first") == numbered(0, 100)
    assert read(broker, 10, x_stream_offset=90) == numbered(90, 100)
    assert read(broker, 3, x_stream_offset=-3) == numbered(97, 100)
    assert read(broker, 5, x_stream_offset="1h") == numbered(0, 5)


def test_what_was_confirmed_is_there_after_a_kill_under_the_same_offset(broker: Lives) -> None:
    fill(broker, 0, 50)
    broker.restart(kill=True)
    fill(broker, 50, 100)
    broker.restart()

    assert read(broker, 100, x_stream_offset="first") == numbered(0, 100)


def test_a_consumer_with_a_name_goes_on_after_a_restart(broker: Lives) -> None:
    fill(broker, 0, 30)
    tracking = {"x_stream_offset": "first", "x_stream_automatic_offset_tracking": True}
    assert read(broker, 10, "reader", **tracking) == numbered(0, 10)

    broker.restart()

    assert read(broker, 10, "reader") == numbered(10, 20)
    assert read(broker, 10, "reader") == numbered(20, 30)


def test_a_filter_is_exact(broker: Lives) -> None:
    for first, color in ((0, "red"), (10, "blue"), (20, "red")):
        fill(broker, first, first + 10, **{"x-stream-filter-value": color})
    fill(broker, 30, 35)

    found = read(broker, 20, x_stream_offset="first", x_stream_filter="red")
    assert found == [*numbered(0, 10), *numbered(20, 30)]
    more = read(
        broker, 15, x_stream_offset=0, x_stream_filter="blue", x_stream_match_unfiltered=True
    )
    assert more == [*numbered(10, 20), *numbered(30, 35)]


def test_a_stream_without_a_prefetch_limit_is_refused(broker: Lives) -> None:
    fill(broker, 0, 1)
    with connected(broker) as connection, pytest.raises(pika.exceptions.ChannelClosedByBroker) as e:
        connection.channel().basic_consume("s", lambda *_: None)

    assert e.value.reply_code == 406
    assert "consumer prefetch count is not set for stream queue 's'" in e.value.reply_text


def test_a_stream_is_read_while_it_grows_and_its_oldest_part_goes(broker: Lives) -> None:
    with connected(broker) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        limits = {"x-max-length-bytes": 200_000, "x-stream-max-segment-size-bytes": 50_000}
        channel.queue_declare("s", durable=True, arguments={**STREAM, **limits})
        for _ in range(1000):
            channel.basic_publish("", "s", bytes(1000))

        count = channel.queue_declare("s", passive=True).method.message_count
        assert 100 < count <= 200
    (first, _), *_ = read(broker, 1, x_stream_offset="first")
    assert first >= 800
    assert len(read(broker, 1000 - first, x_stream_offset=0)) == 1000 - first


async def test_aio_pika_reads_what_comes(broker: Lives) -> None:
    connection = await aio_pika.connect_robust(f"amqp://guest:guest@127.0.0.1:{broker.port}/")
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=10)
        stream = await channel.declare_queue("s", durable=True, arguments=STREAM)
        heard: list[int] = []
        async with stream.iterator(arguments={"x-stream-offset": "next"}, timeout=10) as messages:
            for number in range(50):
                await channel.default_exchange.publish(aio_pika.Message(b"%d" % number), "s")
            async for message in messages:
                assert message.headers["x-stream-offset"] == len(heard)
                heard.append(int(message.body))
                await message.ack()
                if len(heard) == 50:
                    break

        assert heard == list(range(50))
