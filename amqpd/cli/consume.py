"""`amqpd consume`: shows the messages of a queue as they come."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any, Final

import click

from amqpd.cli.dial import address, dial_options, dialled
from amqpd.cli.options import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpd.cli.amqp import Channel, Delivery

#: How long one look for more takes; Ctrl-C is heard at once.
LOOK_S: Final = 0.5
#: Of a body that is no text, so many bytes are shown.
SHOWN_BYTES: Final = 64


@click.command()
@click.argument("queue")
@dial_options
@click.option("--ack", is_flag=True, help="Acknowledge: the messages leave the queue.")
@click.option("-n", "--count", type=click.IntRange(1), help="End after so many.")
@click.option(
    "--wait", "wait_s", type=click.FloatRange(min=0), metavar="SECONDS", help="End when none came."
)
@click.option("--prefetch", type=click.IntRange(1, 65535), default=64, help="At a time.  [64]")
@click.option("--headers", is_flag=True, help="Show exchange, key and properties, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a message.")
def consume(
    queue: str,
    uri: str | None,
    vhost: str | None,
    ack: bool,
    count: int | None,
    wait_s: float | None,
    prefetch: int,
    headers: bool,
    as_json: bool,
) -> None:
    """Show the messages of a queue as they come; Ctrl-C ends.

    Without --ack they go back to the queue at the end, marked as redelivered.
    """
    with dialled(address(uri, vhost), "amqpd consume") as client:
        channel = client.channel()
        channel.consume(queue, prefetch=prefetch)
        seen = 0
        try:
            for seen, one in enumerate(_deliveries(channel, count, wait_s, as_json), 1):
                click.echo(_json(one) if as_json else printable(_text(seen, one, headers)))
                if ack:
                    channel.ack(one.tag)
        except KeyboardInterrupt:
            pass
        client.close()
    if not as_json:
        what = "acknowledged" if ack else "back in the queue, marked as redelivered"
        click.echo(f"{seen} shown, {what}")


def _deliveries(
    channel: Channel, count: int | None, wait_s: float | None, as_json: bool
) -> Iterator[Delivery]:
    left, told = count, as_json
    until_s = time.monotonic() + (wait_s or 0.0)
    while left is None or left > 0:
        one = channel.next_delivery(LOOK_S if wait_s is None else min(LOOK_S, wait_s))
        if one is not None:
            yield one
            left = None if left is None else left - 1
            until_s = time.monotonic() + (wait_s or 0.0)
        elif channel.cancelled:
            click.echo("the queue is gone", err=True)
            return
        elif wait_s is not None and time.monotonic() >= until_s:
            return
        elif not told and wait_s is None:
            click.echo("waiting, Ctrl-C ends", err=True)
            told = True


def _text(number: int, one: Delivery, headers: bool) -> str:
    mark = " (redelivered)" if one.redelivered else ""
    line = f"#{number}{mark} {_body(one.body)}"
    if not headers:
        return line
    facts = {"exchange": one.exchange or "(default)", "key": one.routing_key, **_properties(one)}
    return "\n".join([line, *(f"    {name}: {value}" for name, value in facts.items())])


def _body(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        more = "…" if len(octets) > SHOWN_BYTES else ""
        return f"{len(octets)} bytes: {octets[:SHOWN_BYTES].hex(' ')}{more}"


def _properties(one: Delivery) -> dict[str, Any]:
    return {name: value for name, value in dict(one.properties).items() if value not in (None, "")}


def _json(one: Delivery) -> str:
    try:
        payload, encoding = one.body.decode(), "string"
    except UnicodeDecodeError:
        payload, encoding = base64.b64encode(one.body).decode(), "base64"
    facts = {
        "exchange": one.exchange,
        "routing_key": one.routing_key,
        "redelivered": one.redelivered,
        "properties": _properties(one),
        "payload_bytes": len(one.body),
        "payload": payload,
        "payload_encoding": encoding,
    }
    return json.dumps(facts, default=str)
