"""Interceptors: what the broker writes into messages that come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp.commands import Basic, Confirm, Exchange, Queue

from amqpd.broker.interceptors import Interceptors, Stamp
from amqpd.broker.limits import Limits
from tests.wire.wire import Client, World

if TYPE_CHECKING:
    from pamqp.common import FieldTable


def a_client(time: Stamp = Stamp.OFF, node: Stamp = Stamp.OFF) -> Client:
    world = World(limits=Limits(interceptors=Interceptors(time, node, "rabbit@here")))
    world.broker.time_is(5_678)
    client = world.client()
    client.declare("q")
    return client


def properties(client: Client, sent: Basic.Properties) -> dict[str, Any]:
    """Those of a message when it is got, of those that are there."""
    client.publish(b"body", "q", properties=sent)
    got = client.get("q")
    assert got is not None
    assert got.body == b"body"
    return {name: value for name, value in dict(got.properties).items() if value}


def seconds(found: dict[str, Any]) -> int:
    return int(found["timestamp"].timestamp())


def test_the_time_is_in_a_header_and_in_the_timestamp() -> None:
    found = properties(a_client(time=Stamp.KEEP), Basic.Properties(delivery_mode=2, priority=1))

    assert seconds(found) == 5
    assert found["headers"] == {"timestamp_in_ms": 5_678}
    assert (found["delivery_mode"], found["priority"]) == (2, 1)


def test_the_node_is_in_a_header() -> None:
    found = properties(a_client(node=Stamp.KEEP), Basic.Properties(headers={"a": 1}))

    assert found == {"headers": {"a": 1, "x-routed-by": "rabbit@here"}}


@pytest.mark.parametrize("stamp", [Stamp.KEEP, Stamp.OVERWRITE])
def test_what_the_client_has_written_stays_or_not(stamp: Stamp) -> None:
    headers: FieldTable = {"timestamp_in_ms": 1, "x-routed-by": "elsewhere"}
    first = properties(a_client(time=Stamp.OVERWRITE), Basic.Properties())["timestamp"]
    sent = Basic.Properties(headers=headers, timestamp=first.replace(year=1999))

    found = properties(a_client(stamp, stamp), sent)

    if stamp is Stamp.KEEP:
        assert found == {"headers": headers, "timestamp": sent.timestamp}
    else:
        assert found["headers"] == {"timestamp_in_ms": 5_678, "x-routed-by": "rabbit@here"}
        assert seconds(found) == 5


def test_without_them_nothing_is_written() -> None:
    assert properties(a_client(), Basic.Properties(app_id="a")) == {"app_id": "a"}


def test_what_is_written_is_routed_by_too_and_confirmed() -> None:
    client = a_client(node=Stamp.OVERWRITE)
    client.ask(Exchange.Declare(exchange="h", exchange_type="headers"), Exchange.DeclareOk)
    arguments: FieldTable = {"x-match": "all-with-x", "x-routed-by": "rabbit@here"}
    client.ask(Queue.Bind(queue="q", exchange="h", arguments=arguments), Queue.BindOk)
    client.ask(Confirm.Select(), Confirm.SelectOk)

    client.publish(b"1", "", exchange="h")

    (confirm,) = client.hear()
    assert isinstance(confirm, Basic.Ack)
    assert client.get("q") is not None
