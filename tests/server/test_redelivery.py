"""What comes back, seen by pika, unchanged, against a broker with its store on disk."""

from __future__ import annotations

import base64
import json
import socket
import urllib.request
from typing import TYPE_CHECKING, Any

import pika  # type: ignore[import-untyped]  # pika has no types
import pika.exceptions  # type: ignore[import-untyped]  # as above
import pytest

from tests.server.running import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

QUORUM = {"x-queue-type": "quorum"}
DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
#: How long something may take to arrive.
PATIENCE_S = 10


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One broker for all tests of this file; it logs no traceback and ends well."""
    folder = tmp_path_factory.mktemp("redelivery")
    with Program(folder / "data", "--http-port", "0") as program:
        yield program.wait_ready()
        assert program.stop() == 0
        assert "Traceback" not in program.log, program.log[-4000:]


def connect(broker: Program, user: str = "guest") -> pika.BlockingConnection:
    """A client's connection; passwords are as users are called."""
    login = pika.PlainCredentials(user, user)
    parameters = pika.ConnectionParameters(
        "127.0.0.1", broker.port, credentials=login, heartbeat=30
    )
    return pika.BlockingConnection(parameters)


@pytest.fixture
def connection(broker: Program) -> Iterator[pika.BlockingConnection]:
    """A connection of pika's blocking client."""
    connection = connect(broker)
    yield connection
    if connection.is_open:
        connection.close()


@pytest.fixture
def channel(connection: pika.BlockingConnection, request: pytest.FixtureRequest) -> Any:
    """A channel in confirm mode."""
    channel = connection.channel()
    channel.confirm_delivery()
    return channel


def call(broker: Program, method: str, path: str, content: dict[str, Any]) -> None:
    """Call the HTTP API."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{broker.port_of('http')}/api/{path}",
        json.dumps(content).encode(),
        {
            "Authorization": "Basic " + base64.b64encode(b"guest:guest").decode(),
            "Content-Type": "application/json",
        },
        method=method,
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own address
        assert answer.status in (201, 204)


def publish(channel: Any, queue: str, *octets: bytes, priority: int | None = None) -> None:
    """Publish persistent messages; each of them is on disk then."""
    for one in octets:
        properties = pika.BasicProperties(delivery_mode=2, priority=priority)
        channel.basic_publish("", queue, one, properties, mandatory=True)


def declare(channel: Any, queue: str, **arguments: object) -> None:
    """Declare a durable queue; `x_delivery_limit=2` is an argument."""
    named = {key.replace("_", "-"): value for key, value in arguments.items()}
    channel.queue_declare(queue, durable=True, arguments=named)


def heard(channel: Any, queue: str, count: int) -> list[tuple[Any, Any, bytes]]:
    """The next messages of a queue, with method and properties; they stay unacknowledged."""
    found = []
    for method, properties, octets in channel.consume(queue, inactivity_timeout=PATIENCE_S):
        assert method is not None, "nothing more came"
        found.append((method, properties, octets))
        if len(found) == count:
            return found
    raise AssertionError("the consumer was cancelled")


def wait_for(connection: pika.BlockingConnection, true: Callable[[], bool]) -> None:
    """Have the client look at what arrives until it is so."""
    for _ in range(PATIENCE_S * 20):
        if true():
            return
        connection.process_data_events(0.05)
    raise AssertionError("it did not come about")


def let_go(connection: pika.BlockingConnection) -> None:
    """See that a connection is lost, and give its sockets back."""
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        wait_for(connection, lambda: False)


def write_all(channel: Any) -> None:
    """See that everything said so far is on disk: the answer of a purge waits for that."""
    declare(channel, "mark")
    publish(channel, "mark", b"")
    channel.queue_purge("mark")


def kill(program: Program, connection: pika.BlockingConnection) -> None:
    """End a broker at once."""
    program.process.kill()
    program.process.wait()
    let_go(connection)


# -- counts and limits -------------------------------------------------------------------


def test_returns_are_counted_and_the_count_is_there_after_a_kill(tmp_path: Path) -> None:
    with Program(tmp_path / "data") as program:
        connection = connect(program.wait_ready())
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("q", durable=True, arguments=QUORUM)
        publish(channel, "q", b"a")
        for _ in range(3):
            ((method, _, _),) = heard(channel, "q", 1)
            channel.basic_reject(method.delivery_tag, requeue=True)
        heard(channel, "q", 1)
        write_all(channel)
        kill(program, connection)

    with Program(tmp_path / "data") as program, connect(program.wait_ready()) as connection:
        ((method, properties, octets),) = heard(connection.channel(), "q", 1)

    assert octets == b"a"
    assert method.redelivered
    assert properties.headers == {"x-acquired-count": 3, "x-delivery-count": 3}


def test_poison_is_dead_lettered_after_so_many_failures(channel: Any) -> None:
    declare(channel, "dead")
    declare(channel, "poison", x_queue_type="quorum", x_delivery_limit=2, **DEAD)
    publish(channel, "poison", b"a")

    for _ in range(3):
        ((method, _, _),) = heard(channel, "poison", 1)
        channel.basic_reject(method.delivery_tag, requeue=True)
    channel.cancel()

    ((_, properties, octets),) = heard(channel, "dead", 1)
    assert octets == b"a"
    (death,) = properties.headers["x-death"]
    assert (death["reason"], death["queue"], death["count"]) == ("delivery_limit", "poison", 1)


def test_levels_and_dead_letters_that_nobody_takes_are_there_after_a_kill(tmp_path: Path) -> None:
    sure = {"x_dead_letter_strategy": "at-least-once", "x_overflow": "reject-publish", **DEAD}
    with Program(tmp_path / "data") as program:
        connection = connect(program.wait_ready())
        channel = connection.channel()
        channel.confirm_delivery()
        declare(channel, "q", x_queue_type="quorum", **sure)
        publish(channel, "q", b"lost")
        ((method, _, _),) = heard(channel, "q", 1)
        channel.basic_reject(method.delivery_tag, requeue=False)
        channel.cancel()
        for priority in (0, None, 31, 5):
            publish(channel, "q", str(priority).encode(), priority=priority)
        write_all(channel)
        kill(program, connection)

    with Program(tmp_path / "data") as program, connect(program.wait_ready()) as connection:
        channel = connection.channel()
        found = [octets for _, _, octets in heard(channel, "q", 4)]
        declare(channel, "dead")
        (dead,) = heard(connection.channel(), "dead", 1)

    assert found == [b"31", b"5", b"None", b"0"]
    assert dead[2] == b"lost"
    assert [death["reason"] for death in dead[1].headers["x-death"]] == ["rejected"]


# -- order -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["nack", "reject", "recover", "close", "lost", "cancel", "tx"])
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_what_comes_back_is_redelivered_in_its_old_order(
    broker: Program, channel: Any, kind: str, how: str
) -> None:
    queue = f"order.{kind}.{how}"
    declare(channel, queue, x_queue_type=kind)
    publish(channel, queue, *[b"%d" % number for number in range(6)])
    other = connect(broker)
    theirs = other.channel()
    if how == "tx":
        theirs.tx_select()
    theirs.basic_qos(prefetch_count=4)
    taken = [one[0].delivery_tag for one in heard(theirs, queue, 4)]

    if how in ("nack", "reject"):
        theirs.basic_qos(prefetch_count=1)
        for tag in (taken[2], taken[0], taken[3], taken[1]):
            getattr(theirs, f"basic_{how}")(tag, requeue=True)
    elif how == "recover":
        theirs.basic_recover(requeue=True)
    elif how == "cancel":
        theirs.cancel()
    elif how == "tx":
        theirs.basic_ack(taken[1])
        theirs.tx_rollback()
    elif how == "lost":
        other._impl._transport._sock.shutdown(socket.SHUT_RDWR)
        let_go(other)
    if other.is_open:
        other.close()
    # On a connection of its own a consumer may be there before the loss is noticed.
    wait_for(
        channel.connection,
        lambda: channel.queue_declare(queue, passive=True).method.message_count == 6,
    )

    found = heard(channel, queue, 6)
    assert [octets for _, _, octets in found] == [b"%d" % number for number in range(6)]
    assert [method.redelivered for method, _, _ in found[:4]] == [True] * 4


# -- delayed retry -----------------------------------------------------------------------


def test_a_failed_message_waits_and_the_delay_outlives_a_kill(tmp_path: Path) -> None:
    with Program(tmp_path / "data") as program:
        connection = connect(program.wait_ready())
        channel = connection.channel()
        channel.confirm_delivery()
        declare(
            channel,
            "retry",
            x_queue_type="quorum",
            x_delayed_retry_type="all",
            x_delayed_retry_min=1_500,
        )
        publish(channel, "retry", b"a", b"b")
        ((method, _, _), *_) = heard(channel, "retry", 2)
        channel.basic_reject(method.delivery_tag, requeue=True)
        channel.basic_ack(method.delivery_tag + 1)
        channel.cancel()
        publish(channel, "retry", b"c")
        assert channel.basic_get("retry")[2] == b"c"
        write_all(channel)
        kill(program, connection)

    with Program(tmp_path / "data") as program, connect(program.wait_ready()) as connection:
        waiting = heard(connection.channel(), "retry", 2)
        found = {octets: properties for _, properties, octets in waiting}

    assert found.keys() == {b"a", b"c"}
    assert found[b"a"].headers == {"x-acquired-count": 1, "x-delivery-count": 1}


# -- timeouts ----------------------------------------------------------------------------


def test_a_consumer_that_takes_too_long_is_cancelled(
    connection: pika.BlockingConnection, channel: Any
) -> None:
    declare(channel, "slow", x_queue_type="quorum", x_consumer_timeout=500)
    publish(channel, "slow", b"a", b"b")
    cancelled: list[Any] = []
    arrived: list[Any] = []
    channel.add_on_cancel_callback(cancelled.append)
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("slow", lambda *delivery: arrived.append(delivery), consumer_tag="t")
    wait_for(connection, lambda: bool(arrived))

    wait_for(connection, lambda: bool(cancelled))

    assert cancelled[0].method.consumer_tag == "t"
    assert channel.is_open
    found = heard(channel, "slow", 1)
    assert (found[0][2], found[0][0].redelivered) == (b"a", True)
    assert found[0][1].headers == {"x-acquired-count": 1}


# -- consumers that end ------------------------------------------------------------------


def test_consumers_hear_that_their_queue_is_gone(
    connection: pika.BlockingConnection, channel: Any
) -> None:
    declare(channel, "gone")
    cancelled: list[Any] = []
    channel.add_on_cancel_callback(cancelled.append)
    channel.basic_consume("gone", lambda *_: None, consumer_tag="t")

    channel.queue_delete("gone")

    wait_for(connection, lambda: bool(cancelled))
    assert cancelled[0].method.consumer_tag == "t"


def test_consumers_end_when_their_user_may_not_read_any_more(broker: Program, channel: Any) -> None:
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    call(broker, "PUT", "users/reader", {"password": "reader", "tags": ""})
    call(broker, "PUT", "permissions/%2F/reader", rights)
    declare(channel, "secret")
    declare(channel, "open")
    connection = connect(broker, "reader")
    theirs = connection.channel()
    cancelled: list[str] = []
    arrived: list[bytes] = []
    theirs.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
    for queue in ("secret", "open"):
        theirs.basic_consume(
            queue, lambda *delivery: arrived.append(delivery[3]), True, consumer_tag=queue
        )

    call(broker, "PUT", "permissions/%2F/reader", {**rights, "read": "^open$"})

    wait_for(connection, lambda: bool(cancelled))
    publish(channel, "secret", b"a")
    publish(channel, "open", b"b")
    wait_for(connection, lambda: bool(arrived))
    assert (cancelled, arrived) == (["secret"], [b"b"])
    connection.close()
