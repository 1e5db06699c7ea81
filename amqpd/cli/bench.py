"""`amqpd bench`: a short load with confirms, in the letters of RabbitMQ's PerfTest.

One loop drives all publishers and consumers, so that the load costs one core. Frames are made
once and sent by the hundred; what comes back is looked at only where figures come from.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import selectors
import time
from typing import TYPE_CHECKING, Any, Final

import click
from pamqp.commands import Connection

from amqpd import __version__
from amqpd.cli.amqp import Gone
from amqpd.cli.answer import EX_UNAVAILABLE, answers, fail, wants_json
from amqpd.cli.churn import churn, many
from amqpd.cli.dial import address, dial_options, dialled
from amqpd.cli.groups import default_to
from amqpd.cli.load import Consumer, Latencies, Publisher
from amqpd.cli.reach import CA, CONTEXT, kept
from amqpd.cli.remote import Remote, RemoteError, whereabouts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from amqpd.cli.amqp import Client
    from amqpd.cli.dial import Address
    from amqpd.cli.load import Peer

#: How long what is under way may take to arrive once nothing more is published.
PATIENCE_S: Final = 10.0
TELL_S: Final = 1.0


@click.group(cls=default_to("throughput"))
def bench() -> None:
    """Put the broker under load: throughput, churn, many; alone it is throughput."""


@bench.command()
@dial_options
@click.option("-x", "--producers", type=click.IntRange(0, 1000), default=1, help="[1]")
@click.option("-y", "--consumers", type=click.IntRange(0, 1000), default=1, help="[1]")
@click.option("-s", "--size", type=click.IntRange(8, 100_000_000), default=1000, help="Bytes of a body.  [1000]")  # fmt: skip  # noqa: E501
@click.option("-z", "--time", "seconds", type=click.FloatRange(min=0.1), default=10.0, metavar="SECONDS", help="How long.  [10]")  # fmt: skip  # noqa: E501
@click.option("-c", "--confirm", type=click.IntRange(0, 65_535), default=100, metavar="WINDOW", help="Publishes without a confirm at any time; 0: no confirms.  [100]")  # fmt: skip  # noqa: E501
@click.option("-C", "--pmessages", type=click.IntRange(1), metavar="N", help="At most so many a publisher.")  # fmt: skip  # noqa: E501
@click.option("-r", "--rate", type=click.FloatRange(min=0.1), help="At most so many a second, each publisher.")  # fmt: skip  # noqa: E501
@click.option("-q", "--qos", type=click.IntRange(1, 65_535), default=256, help="Prefetch.  [256]")
@click.option("-a", "--autoack", is_flag=True, help="Consumers do not acknowledge.")
@click.option("--transient", is_flag=True, help="Messages that need not survive a restart.")
@click.option("-u", "--queue", metavar="QUEUE", help="This queue, which stays.  [one that goes]")
@answers(says="one object: what was done and measured, *_ms as {p50, p95, p99, max}")
def throughput(
    uri: str | None,
    vhost: str | None,
    producers: int,
    consumers: int,
    size: int,
    seconds: float,
    confirm: int,
    pmessages: int | None,
    rate: float | None,
    qos: int,
    autoack: bool,
    transient: bool,
    queue: str | None,
) -> None:
    """Publish and consume for some seconds; rates and percentiles at the end."""
    place = address(uri, vhost)
    name = queue or f"amqpd-bench-{secrets.token_hex(4)}"
    about = {
        "client": f"amqpd {__version__}",
        "producers": producers,
        "consumers": consumers,
        "size_bytes": size,
        "confirm_window": confirm,
        "prefetch": qos,
        "persistent": not transient,
        "autoack": autoack,
    }
    with dialled(place, "amqpd bench") as steering:
        channel = steering.channel()
        channel.declare_queue(name, durable=True)
        about |= _server(steering, place, is_named=uri is not None)
        if not wants_json():
            for line in _heading(about):
                click.echo(line)
        run = _Run(wants_json())
        try:
            for _ in range(consumers):
                run.consumers.append(Consumer(run.dial(place), name, qos, autoack))
            for _ in range(producers):
                run.publishers.append(
                    Publisher(
                        run.dial(place),
                        name,
                        size,
                        confirm,
                        persistent=not transient,
                        most=pmessages,
                        rate=rate,
                    )
                )
            result = about | run.go(seconds)
        except Gone as error:
            fail(f"{place}: {error}", EX_UNAVAILABLE)
        finally:
            run.close()
            if queue is None:
                channel.delete_queue(name)
        steering.close()
    if wants_json():
        click.echo(json.dumps(result))
    else:
        for line in _result(result):
            click.echo(line)


bench.add_command(churn)
bench.add_command(many)


def _server(client: Client, place: Address, *, is_named: bool) -> dict[str, Any]:
    """What is measured: the broker, and what a confirm of it means.

    Of a broker that is named by its AMQP address nobody knows where its API is.
    """
    told = client.server_properties
    about: dict[str, Any] = {
        "server": f"{told.get('platform') or told.get('product')}",
        "sync": None,
        "address": str(place),
    }
    if is_named:
        return about
    remote = Remote(whereabouts(None, None, None, context=kept(CONTEXT), ca=kept(CA)))
    try:
        about["sync"] = remote.get("/overview")["sync"]
    except (RemoteError, KeyError):
        pass  # messages go without the API, and so does this
    finally:
        remote.close()
    return about


class _Run:
    """One load, from its first message to its last."""

    def __init__(self, is_quiet: bool) -> None:
        self.publishers: list[Publisher] = []
        self.consumers: list[Consumer] = []
        self._clients: list[Client] = []
        self._is_quiet = is_quiet

    def dial(self, place: Address) -> Client:
        """A connection of the load."""
        from amqpd.cli.dial import connect

        client = connect(place, "amqpd bench")
        self._clients.append(client)
        return client

    def go(self, seconds: float) -> dict[str, Any]:
        """Publish for so long, wait for what is under way, and say how it was."""
        peers: list[Peer] = [*self.publishers, *self.consumers]
        with selectors.DefaultSelector() as selector:
            for one in peers:
                selector.register(one.socket, selectors.EVENT_READ, one)
            began_s = time.monotonic()
            took_s = self._publish(selector, began_s, began_s + seconds)
            until_s = time.monotonic() + PATIENCE_S
            while not self._is_over() and time.monotonic() < until_s:
                self._turn(selector, peers, 0.1)
        return self._figures(took_s)

    def _publish(self, selector: selectors.BaseSelector, began_s: float, until_s: float) -> float:
        peers: list[Peer] = [*self.publishers, *self.consumers]
        tell_s, before = began_s + TELL_S, (0, 0, 0)
        while (now_s := time.monotonic()) < until_s:
            if self.publishers and all(one.is_done for one in self.publishers):
                break
            for one in self.publishers:
                one.publish(now_s - began_s)
            self._turn(selector, peers, min(0.01, until_s - now_s))
            if now_s >= tell_s and not self._is_quiet:
                after = self._counts()
                _tell(now_s - began_s, [b - a for a, b in zip(before, after, strict=True)])
                tell_s, before = tell_s + TELL_S, after
        return time.monotonic() - began_s

    def _turn(self, selector: selectors.BaseSelector, peers: Sequence[Peer], wait_s: float) -> None:
        for one in peers:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if one.unsent else 0)
            if selector.get_key(one.socket).events != wanted:
                selector.modify(one.socket, wanted, one)
        busy = any(one.may_publish for one in self.publishers)
        for key, mask in selector.select(0 if busy else wait_s):
            if mask & selectors.EVENT_READ:
                key.data.read()
            if mask & selectors.EVENT_WRITE:
                key.data.flush()

    def _is_over(self) -> bool:
        published = sum(one.published for one in self.publishers)
        received = sum(one.received for one in self.consumers)
        arrived = not self.consumers or received >= published
        return arrived and all(one.unconfirmed == 0 for one in self.publishers)

    def _counts(self) -> tuple[int, int, int]:
        return (
            sum(one.published for one in self.publishers),
            sum(one.confirmed for one in self.publishers),
            sum(one.received for one in self.consumers),
        )

    def _figures(self, took_s: float) -> dict[str, Any]:
        published, confirmed, received = self._counts()
        confirms = Latencies.of(one.latencies for one in self.publishers)
        deliveries = Latencies.of(one.latencies for one in self.consumers)
        return {
            "seconds": round(took_s, 3),
            "published": published,
            "confirmed": confirmed,
            "refused": sum(one.refused for one in self.publishers),
            "received": received,
            "published_per_s": round(published / took_s, 1),
            "confirmed_per_s": round(confirmed / took_s, 1),
            "received_per_s": round(received / took_s, 1),
            "confirm_ms": confirms.summary(),
            "latency_ms": deliveries.summary(),
        }

    def close(self) -> None:
        """Leave; nobody waits for the answer."""
        for client in self._clients:
            with contextlib.suppress(Gone, OSError):
                client.send(Connection.Close(200, "done", 0, 0))
            client.abort()


def _tell(at_s: float, rates: Sequence[int]) -> None:
    published, confirmed, received = rates
    click.echo(
        f"{at_s:5.0f} s   published {published:>10,}/s   confirmed {confirmed:>10,}/s   "
        f"received {received:>10,}/s"
    )


def _heading(about: Mapping[str, Any]) -> Iterator[str]:
    disk = {True: "synced", False: "NOT synced", None: "not known"}[about["sync"]]
    yield f"{about['server']} at {about['address']}, disk {disk}; client {about['client']}"
    kind = "persistent" if about["persistent"] else "transient"
    window = f"window {about['confirm_window']}" if about["confirm_window"] else "no confirms"
    yield (
        f"{_several(about['producers'], 'publisher')}, "
        f"{_several(about['consumers'], 'consumer')}, "
        f"{about['size_bytes']} B {kind}, {window}, prefetch {about['prefetch']}"
    )


def _several(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _result(found: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    for name in ("published", "confirmed", "received"):
        yield f"{name:<10} {found[name]:>12,}   {found[f'{name}_per_s']:>12,.0f}/s"
    if found["refused"]:
        yield f"refused    {found['refused']:>12,}"
    for title, key in (("to the confirm", "confirm_ms"), ("to the consumer", "latency_ms")):
        if found[key]:
            shown = "   ".join(f"{name} {value:g}" for name, value in found[key].items())
            yield f"{title:<16} ms   {shown}"
