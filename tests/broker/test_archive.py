"""Streams of a broker without a store: what is in memory is read, and nobody waits for more."""

from __future__ import annotations

import pytest

from amqpd.broker.stream import Stream
from tests.broker.model import FakeConsumer, Model, a_table


class Reader(FakeConsumer):
    def __init__(self, start: object) -> None:
        super().__init__()
        self.arguments = a_table({"x-stream-offset": start})


def a_stream(model: Model, **arguments: object) -> Stream:
    more = {name.replace("_", "-"): arguments[name] for name in arguments}
    queue = model.queue("s", arguments={"x-queue-type": "stream", **more})
    assert isinstance(queue, Stream)
    return queue


@pytest.mark.parametrize("start", ["first", "last", "next", 1])
def test_a_consumer_gets_what_comes_while_it_is_there(start: object) -> None:
    model = Model()
    a_stream(model)
    model.publish(b"a", b"b", key="s")
    model.commit()

    reader = Reader(start)
    model.consume(reader, "s")
    for _ in range(3):
        model.turn()
    assert reader.bodies == []
    model.publish(b"c", key="s")
    model.commit()

    assert reader.bodies == [b"c"]


def test_all_segments_may_stay() -> None:
    model = Model()
    stream = a_stream(model, x_max_length_bytes=1, x_stream_max_segment_size_bytes=1)

    for body in (b"a", b"b", b"c"):
        model.publish(body, key="s")
        model.commit()

    assert (stream.first, stream.ready) == (0, 3)
