"""`amqpd consume`: shows the messages of a queue as they come."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from amqpd.cli.answer import (
    EX_SOFTWARE,
    EX_USAGE,
    answers,
    fail,
    note,
    wants_json,
)
from amqpd.cli.complete import names_of
from amqpd.cli.dial import address, dial_options, dialled
from amqpd.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpd.cli.amqp import Channel, Delivery

#: How long one look for more takes; Ctrl-C is heard at once.
LOOK_S: Final = 0.5
#: Of a body that is no text, so many bytes are shown.
SHOWN_BYTES: Final = 64


@click.command()
@click.argument("queue", shell_complete=names_of("queues"))
@dial_options
@click.option("--ack", is_flag=True, help="Acknowledge: the messages leave the queue.")
@click.option("-n", "--count", type=click.IntRange(1), help="End after so many.")
@click.option(
    "--wait", "wait_s", type=click.FloatRange(min=0), metavar="SECONDS", help="End when none came."
)
@click.option("--prefetch", type=click.IntRange(1, 65535), default=64, help="At a time.  [64]")
@click.option(
    "--pipe",
    "command",
    metavar="COMMAND",
    help="Through the standard input of this program, and show what it prints.",
)
@click.option("--headers", is_flag=True, help="Show exchange, key and properties, too.")
@answers(
    says="one object a line: {exchange, routing_key, redelivered, properties, "
    "payload_bytes, payload, payload_encoding}"
)
def consume(
    queue: str,
    uri: str | None,
    vhost: str | None,
    ack: bool,
    count: int | None,
    wait_s: float | None,
    prefetch: int,
    command: str | None,
    headers: bool,
) -> None:
    """Show the messages of a queue as they come; Ctrl-C ends.

    Without --ack they go back to the queue at the end, marked as redelivered.
    """
    with dialled(address(uri, vhost), "amqpd consume") as client:
        channel = client.channel()
        channel.consume(queue, prefetch=prefetch)
        seen = 0
        try:
            for seen, one in enumerate(_deliveries(channel, count, wait_s), 1):
                body = one.body if command is None else _through(command, one.body)
                one = replace(one, body=body)
                click.echo(_json(one) if wants_json() else printable(_text(seen, one, headers)))
                if ack:
                    channel.ack(one.tag)
        except KeyboardInterrupt:
            pass
        client.close()
    if not wants_json():
        what = "acknowledged" if ack else "back in the queue, marked as redelivered"
        click.echo(f"{seen} shown, {what}")


def _deliveries(channel: Channel, count: int | None, wait_s: float | None) -> Iterator[Delivery]:
    left, told = count, False
    until_s = time.monotonic() + (wait_s or 0.0)
    while left is None or left > 0:
        one = channel.next_delivery(LOOK_S if wait_s is None else min(LOOK_S, wait_s))
        if one is not None:
            yield one
            left = None if left is None else left - 1
            until_s = time.monotonic() + (wait_s or 0.0)
        elif channel.cancelled:
            note("the queue is gone")
            return
        elif wait_s is not None and time.monotonic() >= until_s:
            return
        elif not told and wait_s is None:
            note("waiting, Ctrl-C ends")
            told = True


def _through(command: str, octets: bytes) -> bytes:
    """What a program makes of a body; one that fails ends this, and the message goes back."""
    words = shlex.split(command)
    try:
        # What is run is what the person at the keyboard has named.
        done = subprocess.run(  # noqa: S603
            words, input=octets, stdout=subprocess.PIPE, check=False
        )
    except (OSError, IndexError) as error:
        said = error.strerror if isinstance(error, OSError) else "no program is named"
        fail(f"--pipe {command}: {said}", EX_USAGE)
    if done.returncode:
        step = "the message goes back to its queue"
        fail(f"--pipe {command}: ended with {done.returncode}; {step}", EX_SOFTWARE)
    return done.stdout.rstrip(b"\n")


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
