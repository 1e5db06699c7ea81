"""Runs scenarios against one broker and writes their transcripts as JSON: what `run` starts,
once for each broker.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from fnmatch import fnmatch
from pathlib import Path

import scenarios
import script


def record(host: str, port: int, wanted: str) -> dict[str, list[str]]:
    """The transcripts of all scenarios whose name or file matches."""
    transcripts = {}
    for name, function in scenarios.load().items():
        if wanted and not fnmatch(name, wanted) and wanted != function.__module__.split(".")[-1]:
            continue
        begin = time.monotonic()
        transcripts[name] = play(host, port, function)
        print(f"{name} {time.monotonic() - begin:.2f} s", file=sys.stderr, flush=True)
    return transcripts


def play(host: str, port: int, function: script.Scenario) -> list[str]:
    """The transcript of one scenario."""
    running = script.Script(host, port)
    try:
        try:
            function(running)
        except script.Over:
            running.note("(the rest is not done)")
        running.end()
    except (OSError, ValueError, script.Over):
        running.note(f"! {traceback.format_exc()}")
    return running.lines


def main() -> None:
    """Record what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", help="HOST:PORT")
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    host, _, port = options.address.rpartition(":")
    transcripts = record(host or "127.0.0.1", int(port), options.only)
    options.out.write_text(json.dumps(transcripts), encoding="utf-8")


if __name__ == "__main__":
    main()
