"""`amqpd peek`: look at the messages of a queue without touching them."""

from __future__ import annotations

import json
import shlex
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from amqpd.cli.answer import EX_DATA, EX_USAGE, answer, answers, fail, wants_json
from amqpd.cli.complete import names_of
from amqpd.cli.reach import a_name, broker_options, find_queue, reached, vhost_name, vhost_option
from amqpd.cli.remote import segment
from amqpd.text import printable

if TYPE_CHECKING:
    from amqpd.cli.remote import Remote

#: Messages of one answer.
MOST: Final = 1000


@click.command()
@click.argument("name", callback=a_name, metavar="QUEUE", shell_complete=names_of("queues"))
@click.option("-n", "--count", type=click.IntRange(1, 1000), default=10, help="So many.  [10]")
@click.option("--last", type=click.IntRange(1, 1000), metavar="N", help="The last so many.")
@click.option("--after", metavar="PLACE", help="Only behind this place, as the line 'more' has it.")
@click.option("--search", default="", metavar="TEXT", help="Only with this text in it.")
@vhost_option
@broker_options
@answers("messages", "next", "looked_at")
def peek(
    name: str,
    count: int,
    last: int | None,
    after: str | None,
    search: str,
) -> None:
    """Look at the messages of a queue without touching them."""
    place, before = _behind(after)
    with reached() as remote:
        found = find_queue(remote, name)
        if found.get("type") == "stream":
            fail(f"'{name}' is a stream: `amqpd consume` reads it, and it stays", EX_DATA)
        path = f"/queues/{segment(vhost_name())}/{segment(name)}/peek"
        if last is None:
            seen = _next(remote, path, place, before, {"count": count, "search": search})
        else:
            seen = _end(remote, path, found["messages_ready"], last, search)
    if wants_json():
        answer(seen)
        return
    for one in seen["messages"]:
        _print(one)
    click.echo(printable(_summary(name, search, seen)))
    if seen["next"]:
        counted = f":{before + seen['looked_at']}" if before is not None else ""
        words = ["amqpd", "peek", name, "--after", f"{seen['next']}{counted}"]
        words += ["--vhost", vhost_name()] if vhost_name() != "/" else []
        words += ["--search", search] if search else []
        click.echo(f"more: {printable(shlex.join(words))}")


def _behind(after: str | None) -> tuple[str | None, int | None]:
    """The place to begin behind, and how many messages are before that, if it is known."""
    if after is None:
        return None, 0
    place, colon, before = after.partition(":")
    if not colon:
        return place, None
    if not (before.isascii() and before.isdecimal() and len(before) < 20):
        fail(f"--after {after}: must be as `amqpd peek` prints it", EX_USAGE)
    return place, int(before)


def _next(
    remote: Remote, path: str, place: str | None, before: int | None, wish: dict[str, Any]
) -> dict[str, Any]:
    """The first messages behind a place; their numbers count from the head of the queue."""
    seen: dict[str, Any] = remote.post(path, wish | ({"after": place} if place else {}))
    for one in seen["messages"]:
        number = one.pop("number", 0)  # an older broker tells none
        if number and before is not None:
            one["number"] = before + number
    return seen


def _summary(name: str, search: str, seen: dict[str, Any]) -> str:
    shown = len(seen["messages"])
    if shown:
        what = "the message is" if shown == 1 else f"{shown} messages,"
        return f"peeked: {what} still in the queue, not marked as redelivered"
    if search and seen["looked_at"]:
        return f"none of {seen['looked_at']} messages of queue '{name}' has '{search}' in it"
    return f"queue '{name}' has no ready messages"


def _end(remote: Remote, path: str, ready: int, last: int, search: str) -> dict[str, Any]:
    """The last messages of a queue: on to its end, beginning as near to it as is safe."""
    wish: dict[str, Any] = {"count": MOST, "search": search}
    if not search and ready > last:
        first = remote.post(path, {"count": 1})["messages"]
        level, _, position = first[0]["place"].partition(".") if first else ("", "", "")
        if level == "0":  # places grow by one or more from message to message
            wish["after"] = f"0.{int(position) + ready - last - 1}"
    skipped = "after" in wish
    kept: deque[Any] = deque(maxlen=last)
    looked_at = 0
    while True:
        seen = remote.post(path, wish)
        for one in seen["messages"]:
            one["number"] = one.get("number", 0) + looked_at
            kept.append(one)
        looked_at += seen["looked_at"]
        if not seen["next"]:
            break
        wish["after"] = seen["next"]
    if skipped:
        for number, one in enumerate(kept, ready - len(kept) + 1):
            one["number"] = number
    return {"messages": list(kept), "next": None, "looked_at": looked_at}


def _print(one: dict[str, Any]) -> None:
    properties = one["properties"]
    facts = [
        f"#{one['number']}" if "number" in one else "",
        entered(one, datetime.now().astimezone()),
        f"exchange {one['exchange'] or '(default)'}",
        f"key {one['routing_key']}",
        "persistent" if properties.get("delivery_mode") == 2 else "transient",
        f"{one['payload_bytes']} B",
        properties.get("content_type", ""),
        "redelivered" if one["redelivered"] else "",
    ]
    line = "  ".join(fact for fact in facts if fact)
    click.echo(click.style(printable(line), bold=True))
    for name, value in (properties.get("headers") or {}).items():
        click.echo(printable(f"  {name}: {json.dumps(value)}"))
    for text in _pretty(one["payload"]).splitlines() or [""]:
        click.echo(printable(text))


def entered(one: dict[str, Any], now: datetime) -> str:
    """When the broker took a message, in local time.

    It knows as long as the message is in memory, and where it stamps messages with it.
    """
    headers = one["properties"].get("headers") or {} if "properties" in one else {}
    at_ms = one.get("entered_at") or headers.get("timestamp_in_ms")
    if not isinstance(at_ms, int):
        return "time not known"
    try:
        at = datetime.fromtimestamp(at_ms / 1000, now.tzinfo)
    except (ValueError, OverflowError, OSError):
        return "time not known"
    date = "" if at.date() == now.date() else f"{at:%Y-%m-%d} "
    return f"{date}{at:%H:%M:%S}.{at_ms % 1000:03}"


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text
