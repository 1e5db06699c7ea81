"""`amqpd publish`: messages from the command line, confirmed before it says so."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

from amqpd.cli import outgoing
from amqpd.cli.amqp import ChannelClosed
from amqpd.cli.answer import EX_DATA, answer, answers, fail, wants_json
from amqpd.cli.complete import names_of
from amqpd.cli.dial import address, dial_options, dialled
from amqpd.cli.progress import counting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amqpd.cli.amqp import Channel, Client
    from amqpd.cli.outgoing import Outgoing

#: Publishes without a confirm at any time.
WINDOW: Final = 256
NOT_FOUND: Final = 404


@click.command()
@click.argument("body", required=False)
@dial_options
@click.option(
    "-q",
    "--queue",
    metavar="QUEUE",
    shell_complete=names_of("queues"),
    help="To this queue; made if it is not there.",
)
@click.option(
    "-x",
    "--exchange",
    default="",
    metavar="NAME",
    shell_complete=names_of("exchanges"),
    help="To this exchange.",
)
@click.option("-k", "--key", default="", metavar="KEY", help="Routing key.")
@click.option("-n", "--count", type=click.IntRange(1), default=1, help="So many times.  [1]")
@click.option("--rate", type=click.FloatRange(min=0.001), help="At most so many a second.")
@click.option("--lines", is_flag=True, help="Each line of standard input is a message.")
@click.option(
    "--jsonl",
    metavar="FILE",
    help="Each line is a message as `consume --json` writes it; '-' is standard input.",
)
@click.option("--transient", is_flag=True, help="Not to survive a restart.")
@click.option("-H", "--header", multiple=True, metavar="NAME=VALUE", help="A header.")
@click.option("--property", "given", multiple=True, metavar="NAME=VALUE", help="A property.")
@click.option(
    "--template",
    is_flag=True,
    help="{count}, {time} and {time_ms} in the body stand for themselves.",
)
@answers("published", "confirmed", "refused", "unroutable", "declared", "ms")
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
    jsonl: str | None,
    transient: bool,
    header: tuple[str, ...],
    given: tuple[str, ...],
    template: bool,
) -> None:
    """Publish messages and wait until they are confirmed.

    The body is the argument, or standard input without one.
    """
    if queue is not None and exchange:
        raise click.UsageError("--queue and --exchange exclude each other")
    if queue is None and not exchange and not key and jsonl is None:
        raise click.UsageError("where to? --queue QUEUE, or --exchange NAME with --key KEY")
    if lines and body is not None:
        raise click.UsageError("--lines reads standard input: leave the body out")
    if jsonl is not None and (lines or body is not None):
        raise click.UsageError("--jsonl brings the messages: leave the body and --lines out")
    properties = outgoing.properties(given, header, transient)
    if jsonl is None:
        messages = outgoing.bodies(properties, body, count, lines=lines, template=template)
    else:
        messages = outgoing.saved(jsonl, properties, count)
    with dialled(address(uri, vhost), "amqpd publish") as client:
        channel, declared = _ready(client, queue, transient)
        if declared and not wants_json():
            click.echo(f"queue '{queue}' did not exist: declared, durable")
        channel.select_confirms()
        sender = _Sender(channel, exchange, key if queue is None else queue, rate)
        began_s = time.monotonic()
        with counting(0 if lines or jsonl else count, "publishing") as done:
            sender.send(messages, done)
        took_ms = (time.monotonic() - began_s) * 1000
        sender.report(took_ms, transient, declared)
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
        rate: float | None,
    ) -> None:
        self._channel = channel
        self._exchange = exchange
        self._key = key
        self._rate = rate
        self.published = 0

    def send(self, messages: Iterator[Outgoing], done: Callable[[int], None]) -> None:
        began_s = time.monotonic()
        for one in messages:
            if self._rate is not None:
                due_s = began_s + self.published / self._rate
                time.sleep(max(0.0, due_s - time.monotonic()))
            named = self._exchange or self._key  # what is said here wins over what was saved
            self._channel.publish(
                self._exchange if named else one.exchange,
                self._key if named else one.key,
                one.body,
                mandatory=True,
                properties=one.properties,
            )
            self.published += 1
            done(1)
            if len(self._channel.unconfirmed) >= WINDOW:
                self._channel.client.read(self._channel.client.timeout_s)
        while self._channel.unconfirmed:
            if not self._channel.client.read(self._channel.client.timeout_s):
                raise TimeoutError(f"{len(self._channel.unconfirmed)} messages are not confirmed")

    def report(self, took_ms: float, transient: bool, declared: bool) -> None:
        """Say what became of them; 65 when some went nowhere."""
        returned = len(self._channel.returned)
        refused = self._channel.refused
        confirmed = self.published - refused
        facts = {
            "published": self.published,
            "confirmed": confirmed,
            "refused": refused,
            "unroutable": returned,
            "declared": declared,
            "ms": round(took_ms, 3),
        }
        where = "" if transient or returned else ", on disk"
        answer(
            facts, f"{self.published} published, {confirmed} confirmed{where} ({took_ms:.0f} ms)"
        )
        if returned:
            first = self._channel.returned[0]
            target = f"exchange '{first.exchange or '(default)'}' with key '{first.routing_key}'"
            fail(f"{returned} went nowhere: {target} leads to no queue", EX_DATA)
        if refused:
            fail(f"{refused} were refused by a full queue", EX_DATA)
