"""The clients: connections whose channels publish, consume, get and hold messages, made with the
frames of the differential's own client.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "differential"))

import script

if TYPE_CHECKING:
    from script import Connection

VHOST = "shop"
#: What is counted once the clients have done what they do.
COUNTED = {
    "ready": 8,
    "publish": 15,
    "deliver": 5,
    "get": 1,
    "ack": 2,
    "connections": 2,
    "channels": 4,
    "idle": 5,
    "queues": 6,
    "lengths": 11,
}


class Clients:
    """Two connections, one that publishes and one that consumes."""

    def __init__(self, host: str, port: int) -> None:
        self._script = script.Script(script.Place(host, port, VHOST))
        self.publishing = self._connect("publishing")
        self.consuming = self._connect("consuming")

    def _connect(self, name: str) -> Connection:
        return self._script.connect(
            connection_name=name, product="shape", version="1", platform="any"
        )

    @property
    def names(self) -> dict[str, str]:
        """What the broker calls each connection."""
        return {
            name: "{}:{} -> {}:{}".format(
                *connection.socket.getsockname(), *connection.socket.getpeername()
            )
            for name, connection in (("publishing", self.publishing), ("consuming", self.consuming))
        }

    def act(self) -> None:
        """Do everything that leaves a trace."""
        self._publish()
        self._consume()
        for connection in (self.publishing, self.consuming):
            connection.read()

    def _publish(self) -> None:
        confirming = self.publishing.channel(1)
        confirming.call("confirm.select")
        for queue, times in (("classic", 4), ("quorum", 3), ("stream", 2), ("limited", 2)):
            for at in range(times):
                confirming.publish(queue, f"{queue} {at}", delivery_mode=2)
        confirming.publish("k", "by d", exchange="d")
        confirming.publish("a.b", "by t and f", exchange="t")
        confirming.publish("nowhere", "returned", exchange="d", mandatory=True)
        confirming.publish("nowhere", "dropped", exchange="d")
        confirming.read(5)
        transactional = self.publishing.channel(2)
        transactional.call("tx.select")
        transactional.publish("classic", "uncommitted")

    def _consume(self) -> None:
        first = self.consuming.channel(1)
        first.queue("exclusive", exclusive=True)
        first.call("basic.qos", prefetch_count=2)
        first.consume("classic", "on classic", arguments={"x-priority": 3})
        first.consume("exclusive", "alone", exclusive=True, no_ack=True)
        first.read(3)
        first.send("basic.ack", delivery_tag=1)
        first.read(3)
        second = self.consuming.channel(2)
        second.call("basic.qos", prefetch_count=7, **{"global": True})
        second.consume("single", "on single")
        second.get("quorum", no_ack=False)
        second.get("quorum", no_ack=True)
        second.get("single", no_ack=True)
        third = self.consuming.channel(3)
        third.call("basic.qos", prefetch_count=10)
        third.consume("stream", "on stream", arguments={"x-stream-offset": "first"})
        third.read(5)
        third.send("basic.ack", delivery_tag=1)

    def close(self) -> None:
        """Close the sockets."""
        for connection in (self.publishing, self.consuming):
            connection.abort()
