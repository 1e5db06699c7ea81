"""Long scenarios by chance, the same ones every time: three queues that send each other their
dead letters, each with a channel of its own, and a channel that publishes.

What the brokers are free to do is avoided: a queue has one consumer at most, and what came on
several channels after one step is noted down channel by channel.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from script import Script, register

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from script import Channel, Scenario
    from wire import Value

SEEDS = 16
STEPS = 40
QUEUES = ("a", "b", "c")
KEYS = ("k", "l", "m.n")

#: What a queue may have of each; nothing is among it.
CHOICES: tuple[tuple[Mapping[str, Value], ...], ...] = (
    ({}, {}, {"x-max-length": 2}, {"x-max-length": 4}, {"x-max-length-bytes": 6}),
    ({}, {}, {"x-max-priority": 3}),
    ({}, {"x-dead-letter-exchange": "amq.fanout"}, {"x-dead-letter-exchange": "amq.direct"}),
    ({}, {}, {"x-overflow": "reject-publish"}, {"x-overflow": "reject-publish-dlx"}),
)


class Player:
    """One scenario while it is played."""

    def __init__(self, s: Script, seed: int) -> None:
        self.script = s
        self.random = random.Random(seed)  # noqa: S311 - the same every time
        connection = s.connect()
        self.publisher = connection.channel()
        self.channels = {queue: connection.channel() for queue in QUEUES}
        #: Tags that may still be settled, and whether there is a consumer.
        self.unacked: dict[str, list[int]] = {queue: [] for queue in QUEUES}
        self.consumed: set[str] = set()
        self.number = 0

    def begin(self) -> None:
        """Queues and bindings."""
        for queue in QUEUES:
            self.declare(queue)
        if self.random.random() < 0.5:
            self.publisher.call("confirm.select")

    def declare(self, queue: str) -> None:
        """Declare a queue with arguments by chance, and bind it."""
        arguments: dict[str, Value] = {}
        for choice in CHOICES:
            arguments |= self.random.choice(choice)
        self.publisher.queue(queue, arguments=arguments)
        for exchange in ("amq.direct", "amq.fanout", "amq.topic"):
            if self.random.random() < 0.6:
                self.publisher.bind(queue, exchange, self.random.choice((*KEYS, "#")))

    def step(self) -> None:
        """Do something, and note down what comes of it."""
        steps: tuple[tuple[int, Callable[[str, Channel], None]], ...] = (
            (9, self.publish),
            (4, self.get),
            (5, self.settle),
            (2, self.consume),
            (1, self.cancel),
            (1, self.recover),
            (1, self.purge),
            (1, self.reopen),
            (1, self.again),
            (2, self.look),
        )
        chosen = self.random.choices(steps, [weight for weight, _ in steps])[0][1]
        queue = self.random.choice(QUEUES)
        channel = self.channels[queue]
        first = len(self.script.lines)
        had = {name: len(each.delivered) for name, each in self.channels.items()}
        chosen(queue, channel)
        self.publisher.read()
        for name, each in self.channels.items():
            self.unacked[name] += each.delivered[had[name] :]
        self.script.lines[first + 1 :] = sorted(
            self.script.lines[first + 1 :], key=lambda line: line.split(" ")[0]
        )

    def publish(self, queue: str, channel: Channel) -> None:
        """One message to a queue or an exchange."""
        self.number += 1
        exchange = self.random.choice(("", "", "amq.direct", "amq.fanout", "amq.topic"))
        key = self.random.choice(KEYS) if exchange else queue
        properties: dict[str, Value] = {}
        if self.random.random() < 0.3:
            properties["priority"] = self.random.randrange(5)
        if self.random.random() < 0.15:
            properties["headers"] = {"CC": [self.random.choice((*KEYS, *QUEUES))]}
        mandatory = self.random.random() < 0.3
        body = f"{self.number}"
        self.publisher.publish(key, body, exchange, mandatory, **properties)  # type: ignore[arg-type]

    def get(self, queue: str, channel: Channel) -> None:
        """basic.get, to be settled later."""
        channel.get(queue, no_ack=False)

    def settle(self, queue: str, channel: Channel) -> None:
        """Ack, nack or reject something, or everything."""
        tags = self.unacked[queue]
        if not tags:
            return
        tag = self.random.choice(tags)
        multiple = self.random.random() < 0.3
        how = self.random.choice(("basic.ack", "basic.ack", "basic.nack", "basic.reject"))
        values: dict[str, Value] = {"delivery_tag": tag}
        if how != "basic.reject":
            values["multiple"] = multiple
        if how != "basic.ack":
            # With a consumer there is a difference: length_of_returned_with_consumer.
            values["requeue"] = self.random.random() < 0.5 and queue not in self.consumed
        several = bool(values.get("multiple"))
        self.unacked[queue] = [one for one in tags if one > tag or (one < tag and not several)]
        channel.send(how, **values)

    def consume(self, queue: str, channel: Channel) -> None:
        """Start the queue's consumer."""
        if queue not in self.consumed:
            self.consumed.add(queue)
            channel.call("basic.qos", prefetch_count=self.random.choice((1, 2, 3)))
            channel.consume(queue, queue)

    def cancel(self, queue: str, channel: Channel) -> None:
        """End it."""
        self.consumed.discard(queue)
        channel.call("basic.cancel", consumer_tag=queue)

    def recover(self, queue: str, channel: Channel) -> None:
        """Give everything back; with a consumer as in `settle`."""
        if queue in self.consumed:
            return
        self.unacked[queue].clear()
        channel.call("basic.recover", requeue=True)

    def purge(self, queue: str, channel: Channel) -> None:
        """Empty the queue."""
        channel.call("queue.purge", queue=queue)

    def reopen(self, queue: str, channel: Channel) -> None:
        """Close the channel; it is opened again when it is needed."""
        self.unacked[queue].clear()
        self.consumed.discard(queue)
        if channel.open:
            channel.close()
            channel.delivered.clear()

    def again(self, queue: str, channel: Channel) -> None:
        """Delete the queue and declare another one of its name."""
        # Where acks come late RabbitMQ takes them for those of the new queue.
        self.reopen(queue, channel)
        self.publisher.call("queue.delete", queue=queue)
        self.publisher.read()
        self.declare(queue)

    def look(self, queue: str, channel: Channel) -> None:
        """How many there are."""
        self.publisher.queue(queue, passive=True)


def _generated(seed: int) -> Scenario:
    def play(s: Script) -> None:
        player = Player(s, seed)
        player.begin()
        for _ in range(STEPS):
            player.step()
        for queue in QUEUES:
            player.reopen(queue, player.channels[queue])
        player.publisher.drain(*QUEUES)

    return play


for _seed in range(SEEDS):
    register(f"generated_{_seed}", _generated(_seed))
