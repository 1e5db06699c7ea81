"""Who has done what the broker tells of: the user of an operation, nobody before or after."""

from __future__ import annotations

from pamqp.commands import Channel as ChannelClass
from pamqp.commands import Queue

from tests.wire.wire import World


def test_what_happens_by_itself_is_nobodys_doing_whatever_was_done_or_refused_before() -> None:
    world = World()
    client, watcher = world.client(), world.client(user="other")
    watcher.declare("told")
    binding = Queue.Bind(queue="told", exchange="amq.rabbitmq.event", routing_key="queue.deleted")
    watcher.ask(binding, Queue.BindOk)
    for refuse in (False, True):
        client.declare("q", arguments={"x-expires": 1_000})
        if refuse:
            client.send(Queue.Declare(queue="missing", passive=True))
            (close,) = client.hear()
            assert isinstance(close, ChannelClass.Close)

        world.now_ms += 2_000
        world.broker.tick(world.now_ms)
        world.turn()
        world.turn()

        told = watcher.get("told")
        assert told is not None
        assert told.properties.headers is not None
        assert told.properties.headers["user_who_performed_action"] == "rmq-internal"
