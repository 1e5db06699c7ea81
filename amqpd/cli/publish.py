"""`amqpd publish`: messages from the command line, confirmed before it says so."""

from __future__ import annotations

import itertools
import json
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click
from pamqp.commands import Basic

from amqpd.cli.amqp import ChannelClosed
from amqpd.cli.dial import address, dial_options, dialled
from amqpd.cli.options import fail
from amqpd.cli.progress import counting
from amqpd.cli.remote import EX_DATA, EX_USAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from amqpd.cli.amqp import Channel, Client

#: Publishes without a confirm at any time.
WINDOW: Final = 256
TEXTS: Final = frozenset(
    {
        "content_type", "content_encoding", "correlation_id", "reply_to", "expiration",
        "message_id", "type", "user_id", "app_id",
    }
)  # fmt: skip
NUMBERS: Final = frozenset({"priority"})
NOT_FOUND: Final = 404


@click.command()
@click.argument("body", required=False)
@dial_options
@click.option("-q", "--queue", metavar="QUEUE", help="To this queue; made if it is not there.")
@click.option("-x", "--exchange", default="", metavar="NAME", help="To this exchange.")
@click.option("-k", "--key", default="", metavar="KEY", help="Routing key.")
@click.option("-n", "--count", type=click.IntRange(1), default=1, help="So many times.  [1]")
@click.option("--rate", type=click.FloatRange(min=0.001), help="At most so many a second.")
@click.option("--lines", is_flag=True, help="Each line of standard input is a message.")
@click.option("--transient", is_flag=True, help="Not to survive a restart.")
@click.option("-H", "--header", multiple=True, metavar="NAME=VALUE", help="A header.")
@click.option("--property", "given", multiple=True, metavar="NAME=VALUE", help="A property.")
@click.option(
    "--template",
    is_flag=True,
    help="{count}, {time} and {time_ms} in the body stand for themselves.",
)
@click.option("--json", "as_json", is_flag=True, help="Say what was done in JSON.")
def publish(
    body: str | None,
    uri: str | None,
    vhost: str | None,
    queue: str | None,
    exchange: str,
    key: str,
    count: int,
    rate: float | None,
    lines: bool,
    transient: bool,
    header: tuple[str, ...],
    given: tuple[str, ...],
    template: bool,
    as_json: bool,
) -> None:
    """Publish messages and wait until they are confirmed.

    The body is the argument, or standard input without one.
    """
    if queue is not None and exchange:
        raise click.UsageError("--queue and --exchange exclude each other")
    if queue is None and not exchange and not key:
        raise click.UsageError("where to? --queue QUEUE, or --exchange NAME with --key KEY")
    if lines and body is not None:
        raise click.UsageError("--lines reads standard input: leave the body out")
    properties = _properties(given, header, transient)
    with dialled(address(uri, vhost), "amqpd publish") as client:
        channel, declared = _ready(client, queue, transient)
        if declared and not as_json:
            click.echo(f"queue '{queue}' did not exist: declared, durable")
        channel.select_confirms()
        sender = _Sender(channel, exchange, key if queue is None else queue, properties, rate)
        bodies = _bodies(body, count, lines, template)
        if properties.content_type is None and body is not None and _is_json(body):
            properties.content_type = "application/json"
        began_s = time.monotonic()
        with counting(0 if lines else count, "publishing") as done:
            sender.send(bodies, done)
        took_ms = (time.monotonic() - began_s) * 1000
        sender.report(took_ms, transient, as_json)
        client.close()


def _ready(client: Client, queue: str | None, transient: bool) -> tuple[Channel, bool]:
    """A channel, and whether the queue had to be made."""
    channel = client.channel()
    if queue is None:
        return channel, False
    try:
        channel.declare_queue(queue, passive=True)
    except ChannelClosed as closed:
        if closed.code != NOT_FOUND:
            raise
        channel = client.channel()
        channel.declare_queue(queue, durable=True)
        return channel, True
    return channel, False


class _Sender:
    """Publishes with a window of unconfirmed messages."""

    def __init__(
        self,
        channel: Channel,
        exchange: str,
        key: str,
        properties: Basic.Properties,
        rate: float | None,
    ) -> None:
        self._channel = channel
        self._exchange = exchange
        self._key = key
        self._properties = properties
        self._rate = rate
        self.published = 0

    def send(self, bodies: Iterator[bytes], done: Callable[[int], None]) -> None:
        began_s = time.monotonic()
        for octets in bodies:
            if self._rate is not None:
                due_s = began_s + self.published / self._rate
                time.sleep(max(0.0, due_s - time.monotonic()))
            self._channel.publish(
                self._exchange, self._key, octets, mandatory=True, properties=self._properties
            )
            self.published += 1
            done(1)
            if len(self._channel.unconfirmed) >= WINDOW:
                self._channel.client.read(self._channel.client.timeout_s)
        while self._channel.unconfirmed:
            if not self._channel.client.read(self._channel.client.timeout_s):
                raise TimeoutError(f"{len(self._channel.unconfirmed)} messages are not confirmed")

    def report(self, took_ms: float, transient: bool, as_json: bool) -> None:
        """Say what became of them; 65 when some went nowhere."""
        returned = len(self._channel.returned)
        refused = self._channel.refused
        confirmed = self.published - refused
        if as_json:
            facts = {
                "published": self.published,
                "confirmed": confirmed,
                "refused": refused,
                "unroutable": returned,
                "ms": round(took_ms, 3),
            }
            click.echo(json.dumps(facts))
        else:
            where = "" if transient or returned else ", on disk"
            click.echo(
                f"{self.published} published, {confirmed} confirmed{where} ({took_ms:.0f} ms)"
            )
        if returned:
            target = f"exchange '{self._exchange or '(default)'}' with key '{self._key}'"
            fail(f"{returned} went nowhere: {target} leads to no queue", EX_DATA)
        if refused:
            fail(f"{refused} were refused by a full queue", EX_DATA)


def _bodies(body: str | None, count: int, lines: bool, template: bool) -> Iterator[bytes]:
    numbers = itertools.count(1)
    if lines:
        for line in sys.stdin.buffer:
            text = line.rstrip(b"\r\n")
            for _ in range(count):
                yield _filled(text, next(numbers), template)
        return
    octets = sys.stdin.buffer.read() if body is None else body.encode()
    for _ in range(count):
        yield _filled(octets, next(numbers), template)


def _is_json(text: str) -> bool:
    """Whether it is an object or a list; a mere word or number may be anything."""
    if text[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _filled(octets: bytes, number: int, template: bool) -> bytes:
    if not template:
        return octets
    now_s = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s))
    values = {"{count}": str(number), "{time}": stamp, "{time_ms}": str(int(now_s * 1000))}
    for name, value in values.items():
        octets = octets.replace(name.encode(), value.encode())
    return octets


def _properties(given: Sequence[str], headers: Sequence[str], transient: bool) -> Basic.Properties:
    values: dict[str, Any] = {"delivery_mode": 1 if transient else 2}
    for item in given:
        name, value = _pair(item, "--property")
        name = name.replace("-", "_")
        if name in TEXTS:
            values["message_type" if name == "type" else name] = value
        elif name in NUMBERS and value.isdecimal():
            values[name] = int(value)
        else:
            known = ", ".join(sorted(TEXTS | NUMBERS))
            fail(f"--property {item}: must be NAME=VALUE with one of {known}", EX_USAGE)
    if headers:
        values["headers"] = dict(_typed(item) for item in headers)
    return Basic.Properties(**values)


def _pair(item: str, option: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not name or not equals:
        fail(f"{option} {item}: must be NAME=VALUE", EX_USAGE)
    return name, value


def _typed(item: str) -> tuple[str, Any]:
    """A header; numbers, booleans, lists and objects as in JSON, anything else is a text."""
    name, value = _pair(item, "--header")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
