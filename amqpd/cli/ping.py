"""`amqpd ping` and `amqpd stat`: does it answer, and what does it do, once a second.

Both end with Ctrl-C or after `--count` looks; `--json` is one object a line.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from typing import TYPE_CHECKING, Any, Final

import click

from amqpd.cli.answer import EX_UNAVAILABLE, answers, fail, print_line, wants_json
from amqpd.cli.reach import broker_options, place, reached
from amqpd.cli.remote import Remote, RemoteError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What answers only while clients are served.
IN_SERVICE: Final = "/health/checks/is-in-service"
#: Whoever asks whether it is there does not wait for a minute.
PATIENCE_S: Final = 5.0
#: Lines between two of titles.
PAGE: Final = 20

_interval = click.option(
    "--interval", type=click.FloatRange(min=0.1), default=1.0, metavar="SECONDS",
    help="Between two looks.  [1]",
)  # fmt: skip
_count = click.option("-n", "--count", type=click.IntRange(1), help="End after so many.")


@click.command()
@click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C.")
@_interval
@_count
@broker_options
@answers(says="one object an answer: {address, ok, ms, reason}")
def ping(watch: bool, interval: float, count: int | None) -> None:
    """Ask the broker whether it serves clients; 69 if not.

    With --watch or --count again and again, and how long the answers took at the end.
    """
    remote = Remote(place(timeout_s=PATIENCE_S))
    took: list[float] = []
    asked = 0
    with contextlib.closing(remote), contextlib.suppress(KeyboardInterrupt):
        for _ in _looks(count or (None if watch else 1), interval):
            asked += 1
            ms, reason, code = _ask(remote)
            if not reason:
                took.append(ms)
            elif not watch and count is None:
                fail(reason, code)
            facts = {"address": remote.place.uri, "ok": not reason, "ms": ms, "reason": reason}
            said = f"{remote.place.uri}: {reason or f'{ms:.1f} ms'}"
            print_line(facts, said)
    if (watch or count) and not wants_json():
        times = f"; ms: {_spread(took)}" if took else ""
        click.echo(f"{asked} asked, {len(took)} answered{times}")
    if not took:
        raise SystemExit(EX_UNAVAILABLE)


def _ask(remote: Remote) -> tuple[float, str, int]:
    """How long an answer took, or why there was none, and the exit code for that."""
    began_s = time.perf_counter()
    try:
        remote.get(IN_SERVICE)
    except RemoteError as error:
        return _since(began_s), error.reason, error.code
    return _since(began_s), "", 0


def _since(began_s: float) -> float:
    return round((time.perf_counter() - began_s) * 1000, 3)


def _spread(took: list[float]) -> str:
    middle = statistics.median(took)
    return f"least {min(took):.1f}, median {middle:.1f}, most {max(took):.1f}"


def _looks(count: int | None, interval_s: float) -> Iterator[None]:
    """So many turns, or without end, each at its time."""
    at_s, done = time.monotonic(), 0
    while count is None or done < count:
        if done:
            at_s += interval_s
            time.sleep(max(0.0, at_s - time.monotonic()))
        done += 1
        yield


# -- stat --------------------------------------------------------------------------------

#: Title, width, and how it is found.
FIGURES: Final = (
    ("ready", 10), ("unacked", 9), ("in/s", 10), ("out/s", 10), ("ack/s", 10), ("conns", 6),
    ("chans", 6), ("queues", 7), ("cons", 6), ("memory", 9), ("alarm", 6),
)  # fmt: skip
RATES: Final = (("in/s", "publish"), ("out/s", "deliver_get"), ("ack/s", "ack"))


@click.command()
@_interval
@_count
@broker_options
@answers(says=f"one object a line: {{time, {', '.join(title for title, _ in FIGURES)}}}")
def stat(interval: float, count: int | None) -> None:
    """One line a second: messages, rates, connections, memory; Ctrl-C ends."""
    with reached() as remote, contextlib.suppress(KeyboardInterrupt):
        before = _Counts(remote.get("/overview"))
        time.sleep(interval)  # rates need two looks
        for number, _ in enumerate(_looks(count, interval)):
            now = _Counts(remote.get("/overview"))
            facts = now.since(before) | _node(remote)
            before = now
            if not wants_json() and number % PAGE == 0:
                titles = "  ".join(f"{title:>{width}}" for title, width in FIGURES)
                click.echo(click.style(f"{'time':<8}  {titles}", bold=True))
            print_line(facts, _line(facts))


class _Counts:
    """The figures of one look."""

    def __init__(self, overview: dict[str, Any]) -> None:
        self.at_s = time.monotonic()
        self.overview = overview
        stats = overview.get("message_stats") or {}
        self.counts = {key: int(stats.get(key, 0)) for _, key in RATES}

    def since(self, before: _Counts) -> dict[str, Any]:
        """What there is now, and the rates since the look before."""
        passed_s = max(0.001, self.at_s - before.at_s)
        totals, lengths = self.overview["object_totals"], self.overview["queue_totals"]
        rates = {
            title: round(max(0, self.counts[key] - before.counts[key]) / passed_s, 1)
            for title, key in RATES
        }
        return {
            "time": time.strftime("%H:%M:%S"),
            "ready": lengths.get("messages_ready", 0),
            "unacked": lengths.get("messages_unacknowledged", 0),
            **rates,
            "conns": totals["connections"],
            "chans": totals["channels"],
            "queues": totals["queues"],
            "cons": totals["consumers"],
        }


def _node(remote: Remote) -> dict[str, Any]:
    nodes = remote.get("/nodes", columns="mem_used,mem_alarm,disk_free_alarm")
    node = nodes[0] if nodes else {}
    named = (("mem_alarm", "memory"), ("disk_free_alarm", "disk"))
    return {
        "memory": node.get("mem_used", 0),
        "alarm": ",".join(name for key, name in named if node.get(key)),
    }


def _line(facts: dict[str, Any]) -> str:
    shown = {**facts, "memory": f"{facts['memory'] / 1e6:.1f} MB", "alarm": facts["alarm"] or "-"}
    cells = (f"{shown[title]!s:>{width}}" for title, width in FIGURES)
    return f"{facts['time']:<8}  {'  '.join(cells)}"
