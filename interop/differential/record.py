"""Plays scenarios against one broker and writes their transcripts as JSON: what `run` starts,
once for each broker.

Several are played side by side, each in a vhost of its own. A machine that is busy can delay an
answer beyond the silence after which a scenario goes on; therefore one whose transcript is not
what it was expected to be is played again with more patience, and that counts.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import compare
import scenarios
import script
from definitions import ORDINARY, vhosts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from compare import Known, Transcripts

#: Silence for which an amqpd must be given when it is played again.
PATIENCE_S = 0.6
#: How many are played again side by side, on amqpd and on RabbitMQ.
SOME = 16
FEW = 4
#: RabbitMQ's queues are processes of their own, each says what it has to say when it likes.
CAREFUL_S = 0.4


def record(
    places: list[script.Place], wanted: Iterable[str], quiet_s: float = script.QUIET_S
) -> Transcripts:
    """The transcripts of these scenarios, as many at a time as there are places."""
    functions = scenarios.load()
    free: SimpleQueue[script.Place] = SimpleQueue()
    for place in places:
        free.put(place)

    def one(name: str) -> list[str]:
        place = free.get()
        begin = time.monotonic()
        try:
            return play(place, functions[name], quiet_s)
        finally:
            free.put(place)
            print(f"{name} {time.monotonic() - begin:.2f} s", file=sys.stderr, flush=True)

    names = list(wanted)
    with ThreadPoolExecutor(len(places)) as players:
        return dict(zip(names, players.map(one, names), strict=True))


def play(place: script.Place, function: script.Scenario, quiet_s: float) -> list[str]:
    """The transcript of one scenario."""
    running = script.Script(place, quiet_s)
    try:
        try:
            function(running)
        except script.Over:
            running.note("(the rest is not done)")
        running.end()
    except (OSError, ValueError, script.Over):
        running.note(f"! {traceback.format_exc()}")
    return running.lines


def matching(wanted: str) -> list[str]:
    """Names of the scenarios whose name or file it is; all when it is empty."""
    return [
        name
        for name, function in scenarios.load().items()
        if not wanted or fnmatch(name, wanted) or wanted == function.__module__.split(".")[-1]
    ]


def against(
    places: list[script.Place], reference: Transcripts, known: Known, wanted: list[str]
) -> Transcripts:
    """Transcripts to be compared with these; what differs is played again."""
    transcripts = record(places, wanted)
    differing = compare.compare(reference, transcripts, known).unexpected
    return transcripts | record(places[:SOME], differing, PATIENCE_S)


def reliably(places: list[script.Place], wanted: list[str]) -> Transcripts:
    """Transcripts that a second play has confirmed; the last of four that all differ says so."""
    first, second = record(places, wanted, CAREFUL_S), record(places, wanted, CAREFUL_S)
    for _ in range(2):
        doubtful = [name for name in wanted if first[name] != second[name]]
        first, second = second, second | record(places[:FEW], doubtful, PATIENCE_S)
    for name in wanted:
        if first[name] != second[name]:
            second[name] = [*second[name], "! another time it says other things"]
    return second


def main() -> None:
    """Record what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--address", required=True, help="HOST:PORT")
    parser.add_argument("--only", default="")
    parser.add_argument("--workers", type=int, default=0, help="0: one, in vhost /")
    parser.add_argument("--reference", type=Path, help="what is expected")
    options = parser.parse_args()
    host, _, port = options.address.rpartition(":")
    places = [
        script.Place(host or "127.0.0.1", int(port), vhost)
        for vhost in vhosts(options.workers) or [ORDINARY]
    ]
    wanted = matching(options.only)
    if options.reference:
        transcripts = against(
            places, compare.read_transcripts(options.reference), compare.read_known(), wanted
        )
    else:
        transcripts = reliably(places, wanted)
    compare.write_transcripts(options.out, transcripts)


if __name__ == "__main__":
    main()
