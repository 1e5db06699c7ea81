"""`amqpd bench churn` and `bench many`: what comes and goes, and many queues.

One thing after the other over one connection (or one connection after the other), so that the
figures are of how long each takes; they say nothing of several clients at once.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final

import click

from amqpd.cli.answer import answer, answers, note
from amqpd.cli.dial import address, connect, dial_options, dialled
from amqpd.cli.load import Latencies
from amqpd.cli.progress import counting

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.cli.amqp import Channel, Client
    from amqpd.cli.dial import Address

NAME: Final = "amqpd bench"
#: Publishes without a confirm at any time.
WINDOW: Final = 256


def _connections(place: Address, _client: Client) -> Callable[[], None]:
    def once() -> None:
        with connect(place, NAME) as client:
            client.close()

    return once


def _channels(_place: Address, client: Client) -> Callable[[], None]:
    def once() -> None:
        client.channel().close()

    return once


def _queues(_place: Address, client: Client) -> Callable[[], None]:
    channel, name = client.channel(), _name()

    def once() -> None:
        channel.declare_queue(name, durable=True)
        channel.delete_queue(name)

    return once


def _bindings(_place: Address, client: Client) -> Callable[[], None]:
    channel, name = client.channel(), _name()
    channel.declare_queue(name, exclusive=True)
    keys = iter(range(1 << 62))

    def once() -> None:
        channel.bind(name, "amq.topic", f"key.{next(keys)}")

    return once


def _name() -> str:
    return f"amqpd-bench-{secrets.token_hex(4)}"


KINDS: Final = {
    "connections": _connections,
    "channels": _channels,
    "queues": _queues,
    "bindings": _bindings,
}


@click.command()
@click.argument("what", type=click.Choice([*KINDS]))
@dial_options
@click.option("-z", "--time", "seconds", type=click.FloatRange(min=0.1), default=10.0,
              metavar="SECONDS", help="How long.  [10]")  # fmt: skip
@answers("what", "seconds", "count", "per_s", "latency_ms")
def churn(uri: str | None, vhost: str | None, what: str, seconds: float) -> None:
    """Open and close connections or channels, declare and delete queues, or bind, one by one."""
    place = address(uri, vhost)
    taken = Latencies()
    with dialled(place, NAME) as client:
        once = KINDS[what](place, client)
        began_s = time.monotonic()
        count, tell_s = 0, began_s + 1.0
        while (now_s := time.monotonic()) < began_s + seconds:
            before_ns = time.monotonic_ns()
            once()
            taken.add(time.monotonic_ns() - before_ns)
            count += 1
            if now_s >= tell_s:
                note(f"{now_s - began_s:5.0f} s   {count:>10,} {what}")
                tell_s += 1.0
        took_s = time.monotonic() - began_s
        client.close()
    summary = taken.summary()
    facts = {
        "what": what,
        "seconds": round(took_s, 3),
        "count": count,
        "per_s": round(count / took_s, 1),
        "latency_ms": summary,
    }
    shown = "   ".join(f"{name} {value:g}" for name, value in summary.items())
    answer(facts, f"{count:,} {what} in {took_s:.1f} s, {count / took_s:,.0f}/s   ms   {shown}")


@click.command()
@dial_options
@click.option("--queues", "wanted", type=click.IntRange(1, 1_000_000), default=1000, metavar="N",
              help="So many queues.  [1000]")  # fmt: skip
@click.option("-n", "--messages", type=click.IntRange(0), default=10, metavar="N",
              help="So many into each.  [10]")  # fmt: skip
@click.option("-s", "--size", type=click.IntRange(0, 100_000_000), default=1000,
              help="Bytes of a body.  [1000]")  # fmt: skip
@answers("queues", "declared_per_s", "published", "confirmed_per_s", "got_per_s", "deleted_per_s")
def many(uri: str | None, vhost: str | None, wanted: int, messages: int, size: int) -> None:
    """Declare many durable queues, publish to each in turn, get everything, delete them."""
    prefix = _name()
    names = [f"{prefix}-{number}" for number in range(wanted)]
    with dialled(address(uri, vhost), NAME) as client:
        channel = client.channel()
        made: list[str] = []
        try:
            declared = _timed("declaring", names, lambda name: _declare(channel, name, made))
            channel.select_confirms()
            octets = b"x" * size
            keys = names * messages
            confirmed = _timed("publishing", keys, lambda name: _publish(channel, name, octets))
            got = _timed("getting", keys, lambda name: _get(channel, name))
        finally:
            deleted = _timed("deleting", made, lambda name: _delete(channel, name))
        client.close()
    facts = {
        "queues": wanted,
        "declared_per_s": declared,
        "published": len(keys),
        "confirmed_per_s": confirmed,
        "got_per_s": got,
        "deleted_per_s": deleted,
    }
    answer(
        facts,
        f"{wanted:,} queues: declared {declared:,.0f}/s, deleted {deleted:,.0f}/s",
        f"{len(keys):,} messages: confirmed {confirmed:,.0f}/s, got and acknowledged {got:,.0f}/s",
    )


def _timed(what: str, names: list[str], once: Callable[[str], None]) -> float:
    """Do it for each; how many a second."""
    began_s = time.monotonic()
    with counting(len(names), what) as done:
        for name in names:
            once(name)
            done(1)
    return round(len(names) / max(1e-6, time.monotonic() - began_s), 1)


def _declare(channel: Channel, name: str, made: list[str]) -> None:
    channel.declare_queue(name, durable=True)
    made.append(name)


def _publish(channel: Channel, name: str, octets: bytes) -> None:
    channel.publish("", name, octets, persistent=True)
    if len(channel.unconfirmed) >= WINDOW:
        channel.wait_confirms()


def _get(channel: Channel, name: str) -> None:
    channel.wait_confirms()
    one = channel.get(name)
    if one is not None:
        channel.ack(one.tag)


def _delete(channel: Channel, name: str) -> None:
    channel.delete_queue(name)
