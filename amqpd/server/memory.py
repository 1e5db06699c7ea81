"""What memory is used for, in RabbitMQ's words: what can be measured, and the rest.

    parts(server) -> dict[str, int]     bytes; together they are what the process has in memory

- `binary`: contents of messages that queues hold and clients have not acknowledged
- `connection_writers`: what waits for clients that read slowly
- `metadata_store`: SQLite's own (it says so only through apsw)
- `code`: pages of files, which are the interpreter, libraries and the index of the WAL
- `other_system`: all else. Python does not say which of its objects are a queue's, a channel's or
  the API's, and nothing is made up.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from amqpd.management.rates import vhost_sums
from amqpd.server.resources import resident_bytes
from amqpd.store import driver

if TYPE_CHECKING:
    from amqpd.server.app import BrokerServer

STATUS: Final = Path("/proc/self/status")
REST: Final = "other_system"


def parts(server: BrokerServer) -> dict[str, int]:
    """The parts, as far as they are known; costs a glance at each queue and connection."""
    whole = resident_bytes()
    sums = [vhost_sums(one) for one in server.broker.vhosts.values()]
    measured = {
        "binary": sum(one.loaded_bytes + one.unacked_bytes for one in sums),
        "connection_writers": sum(one.socket.get_write_buffer_size() for one in server.connections),
        "metadata_store": driver.memory_bytes(),
        "code": file_bytes(),
    }
    left = whole
    for name, size in measured.items():
        # What was swapped out is counted, and not in memory.
        measured[name] = min(size, left)
        left -= measured[name]
    return {**measured, REST: left}


def file_bytes(status: Path = STATUS) -> int:
    """Pages of files in memory; 0 where the system does not tell."""
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssFile:"))
