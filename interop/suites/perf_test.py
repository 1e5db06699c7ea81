"""Runs RabbitMQ's PerfTest, which is in the current folder, with four workloads; speaks TAP."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Final

URI: Final = "amqp://guest:guest@localhost:5672/%2F"
SECONDS: Final = "5"
#: A release's jar, or what a compiled tree has.
CLASSES: Final = "*:target/classes:target/libs/*"
#: What each workload is, and PerfTest's options for it.
WORKLOADS: Final = {
    "transient messages, acknowledged automatically": ["-u", "fast", "-a"],
    "persistent messages of 1 kB with confirms and acks, two by two": [
        *("-x", "2", "-y", "2", "-u", "safe", "-s", "1000"),
        *("-c", "100", "-q", "100", "-f", "persistent"),
    ],
    "a quorum queue": ["-qq", "-u", "quorum", "-c", "50"],
    "a stream from its first message": [
        *("-sq", "-u", "stream", "-c", "50", "-q", "100"),
        *("--stream-consumer-offset", "first"),
    ],
}
RATE: Final = re.compile(r"(sending|receiving) rate avg: (\d+) msg/s")


def rates(options: list[str]) -> dict[str, int]:
    """Messages sent and received per second; nothing when PerfTest failed."""
    command = ["java", "-cp", CLASSES, "com.rabbitmq.perf.PerfTest"]
    done = subprocess.run(
        [*command, "-h", URI, "-z", SECONDS, *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    print("\n".join(f"# {line}" for line in done.stdout.splitlines()[-4:]))
    found = {} if done.returncode else dict(RATE.findall(done.stdout))
    return {name: int(rate) for name, rate in found.items()}


def main() -> int:
    """Print the workloads as TAP."""
    failed = 0
    print(f"1..{len(WORKLOADS)}")
    for number, (name, options) in enumerate(WORKLOADS.items(), 1):
        found = rates(options)
        holds = min(found.get("sending", 0), found.get("receiving", 0)) > 0
        failed += not holds
        print(f"{'' if holds else 'not '}ok {number} - {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
