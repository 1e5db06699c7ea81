"""Publishes and consumes with the C tools of Debian's amqp-tools; speaks TAP."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

URL: Final = "--url=amqp://guest:guest@localhost:5672/%2f"
QUEUE: Final = "tools.queue"
LARGE: Final = b"0123456789abcdef" * 20_000


def tool(name: str, *options: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run one of the tools against the local broker."""
    command = [f"amqp-{name}", URL, *options]
    return subprocess.run(command, input=text, capture_output=True, timeout=20, check=False)


def publish(text: bytes, *options: str) -> int:
    """Publish one message to the queue through the default exchange."""
    return tool("publish", "-r", QUEUE, *options, text=text).returncode


def rules() -> list[tuple[str, bool]]:
    """Every rule with whether it holds, in the order they build on each other."""
    declared = tool("declare-queue", "-d", "-q", QUEUE)
    found = [("a durable queue is declared and named", declared.stdout.strip() == QUEUE.encode())]
    found.append(("publishing succeeds", publish(b"one", "-p") == 0))
    got = tool("get", "-q", QUEUE)
    found.append(("get returns what was published", got.stdout == b"one"))
    found.append(("get from an empty queue exits 2", tool("get", "-q", QUEUE).returncode == 2))
    publish(LARGE, "-p", "-C", "text/plain", "-t", "reply.here", "-H", "colour: blue")
    got = tool("get", "-q", QUEUE)
    found.append(("a body of several frames comes back whole", got.stdout == LARGE))
    for number in range(3):
        publish(b"%d" % number)
    consumed = tool("consume", "-q", QUEUE, "-c", "3", "cat")
    found.append(("three messages are consumed in order", consumed.stdout == b"012"))
    publish(b"left over")
    deleted = tool("delete-queue", "-q", QUEUE)
    found.append(("delete answers the number of messages", deleted.stdout.strip() == b"1"))
    missing = tool("get", "-q", QUEUE)
    found.append(("a deleted queue is gone", b"404" in missing.stderr))
    refused = subprocess.run(
        ["amqp-get", "--url=amqp://guest:wrong@localhost:5672/", "-q", QUEUE],
        capture_output=True,
        timeout=20,
        check=False,
    )
    found.append(("a wrong password is refused", refused.returncode != 0))
    return found


def main() -> int:
    """Print the rules as TAP."""
    found = rules()
    print(f"1..{len(found)}")
    for number, (name, holds) in enumerate(found, 1):
        print(f"{'' if holds else 'not '}ok {number} - {name}")
    return 0 if all(holds for _, holds in found) else 1


if __name__ == "__main__":
    sys.exit(main())
