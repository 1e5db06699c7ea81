"""`amqpd top`: what moves, live."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click

from amqpd.cli.answer import answers, wants_json
from amqpd.cli.reach import VHOST, broker_options, kept, reached, vhost_option
from amqpd.cli.remote import Remote, segment
from amqpd.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: By what queues are sorted: the key that chooses it, the API's name, and the title.
SORTS: Final = {
    "messages": ("m", "messages"),
    "unacked": ("u", "messages_unacknowledged"),
    "in": ("i", "message_stats.publish_details.rate"),
    "out": ("o", "message_stats.deliver_get_details.rate"),
    "consumers": ("c", "consumers"),
}
KEYS: Final = {key: name for name, (key, _) in SORTS.items()}
#: Of which width each column is; the name takes what is left.
TITLES: Final = (
    ("type", 8), ("state", 8), ("ready", 10), ("unacked", 10), ("cons", 6), ("in/s", 10),
    ("out/s", 10),
)  # fmt: skip
#: What a narrow terminal does without, the least wanted first.
EXPENDABLE: Final = ("type", "state", "cons", "unacked")
#: The least that a name gets.
LEAST: Final = 16
#: Switch to a page of its own and back, hide and show the cursor, go home, clear what follows.
ENTER: Final = "\x1b[?1049h\x1b[?25l"
LEAVE: Final = "\x1b[?25h\x1b[?1049l"
HOME: Final = "\x1b[H"
TO_END_OF_LINE: Final = "\x1b[K"
TO_END: Final = "\x1b[J"
DEFAULT_ROWS: Final = 20
#: The line of the titles, and what rates are of.
TITLE: Final = 3
RATES: Final = ("publish", "deliver_get")


@click.command()
@click.option("--sort", type=click.Choice([*SORTS]), default="messages", help="[messages]")
@click.option("--interval", type=click.FloatRange(min=0.2), default=2.0, metavar="SECONDS",
              help="Between two looks.  [2]")  # fmt: skip
@click.option("-n", "--count", type=click.IntRange(1), help="End after so many looks.")
@vhost_option
@broker_options
@answers(says="one object a look: {overview, node, queues, queues_in_all}")
def top(sort: str, interval: float, count: int | None) -> None:
    """Show what moves, live; q ends. Without a terminal: one look, or --count of them."""
    live = not wants_json() and sys.stdout.isatty() and sys.stdin.isatty()
    vhost = kept(VHOST) or None
    with reached() as remote:
        if live:
            _live(remote, vhost, sort, interval, count)
        else:
            _plain(remote, vhost, sort, interval, count or 1)


def _plain(remote: Remote, vhost: str | None, sort: str, interval: float, count: int) -> None:
    look = Looks(remote, vhost)
    for number in range(count):
        if number:
            time.sleep(interval)
        found = look(sort, DEFAULT_ROWS)
        if wants_json():
            click.echo(json.dumps(found))
        else:
            for line in _screen(found, sort, 100, DEFAULT_ROWS + 4):
                click.echo(line.rstrip())


def _live(remote: Remote, vhost: str | None, sort: str, interval: float, count: int | None) -> None:
    left, look = count, Looks(remote, vhost)
    with _terminal() as keyboard:
        while left is None or left > 0:
            width, height = shutil.get_terminal_size()
            found = look(sort, height)
            lines = [line[:width] for line in _screen(found, sort, width, height - 1)]
            lines = [click.style(one, bold=True) if at == TITLE else one for at, one in
                     enumerate(lines)]  # fmt: skip
            lines.append(click.style(f"q ends; sort by {_help(sort)}"[:width], dim=True))
            text = f"{TO_END_OF_LINE}\r\n".join(lines)
            sys.stdout.write(f"{HOME}{text}{TO_END_OF_LINE}{TO_END}")
            sys.stdout.flush()
            left = None if left is None else left - 1
            pressed = _pressed(keyboard, interval) if left != 0 else ""
            if pressed in ("q", "Q", "\x03", "\x04", "\x1b"):
                return
            sort = KEYS.get(pressed, sort)


def _help(sort: str) -> str:
    return "  ".join(
        f"[{key}]{name[1:]}" if name == sort else f"{key}:{name}"
        for name, (key, _) in SORTS.items()
    )


@contextlib.contextmanager
def _terminal() -> Iterator[int]:
    """A page of its own, keys as they are pressed; everything as before afterwards."""
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        sys.stdout.write(ENTER)
        yield keyboard
    except KeyboardInterrupt:
        return
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
        sys.stdout.write(LEAVE)
        sys.stdout.flush()


def _pressed(keyboard: int, wait_s: float) -> str:
    """The key that is pressed within this time."""
    ready, _, _ = select.select([keyboard], [], [], wait_s)
    return os.read(keyboard, 64).decode(errors="replace")[:1] or "q" if ready else ""


class Looks:
    """Looks at a broker; rates are of the time since the look before."""

    def __init__(self, remote: Remote, vhost: str | None) -> None:
        self._remote = remote
        self._path = f"/queues/{segment(vhost)}" if vhost else "/queues"
        self._at_s = 0.0
        self._counts: dict[str, dict[str, int]] = {}

    def __call__(self, sort: str, rows: int) -> dict[str, Any]:
        """What there is now: the broker, its node, and so many queues."""
        size = max(1, min(rows, 500))
        page = self._remote.get(
            self._path, page=1, page_size=size, sort=SORTS[sort][1], sort_reverse="true"
        )
        nodes = self._remote.get("/nodes")
        overview = self._remote.get("/overview")
        self._measure([overview, *page["items"]])
        return {
            "overview": overview,
            "node": nodes[0] if nodes else {},
            "queues": page["items"],
            "queues_in_all": page["total_count"],
        }

    def _measure(self, things: Sequence[dict[str, Any]]) -> None:
        """Put rates of our own in place of the broker's, which are of every five seconds."""
        now_s, counts = time.monotonic(), {}
        for one in things:
            stats = one.get("message_stats") or {}
            name = f"{one.get('vhost', '')}/{one.get('name', '')}"
            counts[name] = {key: stats[key] for key in RATES if key in stats}
            before = self._counts.get(name, {})
            for key in before.keys() & counts[name].keys():
                rate = (counts[name][key] - before[key]) / max(0.001, now_s - self._at_s)
                stats[f"{key}_details"] = {"rate": max(0.0, round(rate, 1))}
        self._at_s, self._counts = now_s, counts


def _screen(found: dict[str, Any], sort: str, width: int, height: int) -> Iterator[str]:
    overview, node = found["overview"], found["node"]
    totals, lengths = overview["object_totals"], overview["queue_totals"]
    yield printable(
        f"amqpd {overview['amqpd_version']}  {overview['node']}  up {_span(node.get('uptime', 0))}"
        f"   memory {_size(node.get('mem_used', 0))} of {_size(node.get('mem_limit', 0))}"
        f"   disk {_size(node.get('disk_free', 0))} free{_alarms(node)}"
    )
    yield (
        f"in {_rate(overview, 'publish')}/s  out {_rate(overview, 'deliver_get')}/s   "
        f"{lengths.get('messages_ready', 0)} ready  "
        f"{lengths.get('messages_unacknowledged', 0)} unacked   "
        f"{totals['queues']} queues  {totals['connections']} connections  "
        f"{totals['channels']} channels  {totals['consumers']} consumers"
    )
    titles = _fitting(width)
    room = max(12, width - sum(each + 1 for _, each in titles))
    yield ""
    yield _row("queue", {name: name for name, _ in titles}, room)
    shown = found["queues"][: max(0, height - 5)]
    for one in shown:
        facts = _facts(one)
        yield printable(_row(_name(one), {name: facts[name] for name, _ in titles}, room))
    if not shown:
        yield "no queues; `amqpd publish --queue orders hello` makes one"
    elif found["queues_in_all"] > len(shown):
        yield f"… {found['queues_in_all'] - len(shown)} more, less {sort}"


def _fitting(width: int) -> list[tuple[str, int]]:
    """The columns that have room beside the name."""
    titles = list(TITLES)
    for name in EXPENDABLE:
        if width - sum(each + 1 for _, each in titles) >= LEAST:
            break
        titles = [one for one in titles if one[0] != name]
    return titles


def _name(one: dict[str, Any]) -> str:
    where = "" if one["vhost"] == "/" else f"{one['vhost']}/"
    return f"{where}{one['name']}"


def _facts(one: dict[str, Any]) -> dict[str, str]:
    return {
        "type": one.get("type", ""),
        "state": one.get("state", ""),
        "ready": str(one.get("messages_ready", 0)),
        "unacked": str(one.get("messages_unacknowledged", 0)),
        "cons": str(one.get("consumers", 0)),
        "in/s": _rate(one, "publish"),
        "out/s": _rate(one, "deliver_get"),
    }


def _row(name: str, values: dict[str, str], room: int) -> str:
    shown = name if len(name) <= room else f"{name[: room - 1]}…"
    widths = dict(TITLES)
    cells = [
        f"{value:<{widths[title]}}" if title in ("type", "state") else f"{value:>{widths[title]}}"
        for title, value in values.items()
    ]
    return " ".join([f"{shown:<{room}}", *cells])


def _rate(facts: dict[str, Any], key: str) -> str:
    details = (facts.get("message_stats") or {}).get(f"{key}_details") or {}
    return f"{details.get('rate', 0.0):.1f}"


def _alarms(node: dict[str, Any]) -> str:
    on = [
        name
        for key, name in (("mem_alarm", "MEMORY"), ("disk_free_alarm", "DISK"))
        if node.get(key)
    ]
    return f"   ALARM: {', '.join(on)}, publishers are held" if on else ""


def _size(octets: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if octets < 1000:
            return f"{octets:.0f} {unit}" if unit in ("B", "KB") else f"{octets:.1f} {unit}"
        octets /= 1000
    return f"{octets:.1f} TB"


def _span(milliseconds: int) -> str:
    seconds = milliseconds // 1000
    days, hours = seconds // 86_400, seconds // 3600 % 24
    minutes = seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
