"""What the broker tells of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker import definitions as d
from amqpd.broker.broker import Alarms
from amqpd.broker.catalogue import QUEUES_A_SLICE
from amqpd.broker.content import body, header_payload
from amqpd.broker.events import INTERNAL, LONGEST, MOST_WAITING
from amqpd.broker.exchange import EVENTS, LOG
from amqpd.broker.names import split
from amqpd.broker.pause import Pause, pausing, resuming
from amqpd.broker.publishing import Publishing
from amqpd.fields import plain_table
from amqpd.properties import decode_header
from tests.broker.model import FakeConsumer, Model
from tests.broker.visitor import Guest

if TYPE_CHECKING:
    from amqpd.broker.lane import Lane
    from amqpd.broker.run import Run
    from amqpd.broker.stretch import Stretch
    from amqpd.fields import Plain

Told = dict[str, "Plain"]


class Listener(FakeConsumer):
    """Keeps keys, headers and bodies."""

    def __init__(self) -> None:
        super().__init__(no_ack=True)
        self.told: list[tuple[str, Told]] = []

    def deliver(self, lane: Lane, piece: Stretch) -> None:
        super().deliver(lane, piece)
        for index in range(piece.lo, piece.hi):
            properties = decode_header(header_payload(piece.run.contents[index]))[2]
            key = split(piece.run.names_of(index))[1]
            self.told.append((key, plain_table(properties.headers or {})))


class Watched(Model):
    """A broker with somebody bound to what it tells."""

    def __init__(self, exchange: str = EVENTS, key: str = "#") -> None:
        super().__init__()
        self.queue("told")
        self.vhost.bind(self.access, exchange, "told", "queue", key, {}, None)
        self.listener = Listener()
        self.consume(self.listener, "told")
        self.seen()

    def seen(self) -> dict[str, Told]:
        """What was told since the last time, by key."""
        self.turn()
        self.turn()
        told, self.listener.told = self.listener.told, []
        return dict(told)


@pytest.fixture
def model() -> Watched:
    return Watched()


def test_queues_exchanges_and_bindings_come_and_go(model: Watched) -> None:
    vhost, access = model.vhost, model.access
    model.broker.events.by = "ann"
    vhost.declare_exchange(
        access, "x", "topic", passive=False, durable=True, auto_delete=False, internal=False,
        arguments={},
    )  # fmt: skip
    model.queue("q")
    vhost.bind(access, "x", "q", "queue", "a.#", {}, None)
    made = model.seen()

    assert list(made) == ["exchange.created", "queue.created", "binding.created"]
    assert made["queue.created"]["name"] == "q"
    assert made["queue.created"]["vhost"] == "/"
    assert (made["queue.created"]["type"], made["queue.created"]["owner_pid"]) == (
        "rabbit_classic_queue",
        "",
    )
    assert made["exchange.created"]["type"] == "topic"
    assert made["binding.created"]["source_name"] == "x"
    assert made["binding.created"]["routing_key"] == "a.#"
    assert {one["user_who_performed_action"] for one in made.values()} == {"ann"}
    assert {one["timestamp_in_ms"] for one in made.values()} == {1_000_000}

    model.broker.events.by = INTERNAL
    vhost.delete_queue(access, "q", if_unused=False, if_empty=False, owner=None)
    vhost.delete_exchange(access, "x", if_unused=False)
    gone = model.seen()
    assert list(gone) == ["binding.deleted", "queue.deleted", "exchange.deleted"]
    assert gone["queue.deleted"]["user_who_performed_action"] == "rmq-internal"


def test_an_exchange_goes_before_its_bindings(model: Watched) -> None:
    vhost, access = model.vhost, model.access
    vhost.declare_exchange(
        access, "x", "topic", passive=False, durable=True, auto_delete=False, internal=False,
        arguments={},
    )  # fmt: skip
    model.queue("q")
    vhost.bind(access, "x", "q", "queue", "a.#", {}, None)
    model.seen()

    vhost.delete_exchange(access, "x", if_unused=False)

    assert list(model.seen()) == ["exchange.deleted", "binding.deleted"]


def test_what_deletes_itself_is_deleted_by_the_broker(model: Watched) -> None:
    vhost, access = model.vhost, model.access
    vhost.declare_exchange(
        access, "x", "fanout", passive=False, durable=False, auto_delete=True, internal=False,
        arguments={},
    )  # fmt: skip
    model.queue("q", auto_delete=True)
    vhost.bind(access, "x", "q", "queue", "", {}, None)
    consumer = FakeConsumer()
    model.consume(consumer)
    model.seen()
    model.broker.events.by = "ann"

    vhost.cancel(consumer)
    told = model.seen()

    assert {key: one["user_who_performed_action"] for key, one in told.items()} == {
        "consumer.deleted": "guest",
        "binding.deleted": INTERNAL,
        "queue.deleted": INTERNAL,
        "exchange.deleted": INTERNAL,
    }


def test_limits_of_a_user_are_told_of_one_by_one(model: Watched) -> None:
    change = model.broker.change
    change(d.PutParameter("user-limits", "", "u", '{"max-connections": 5}'))
    change(d.PutParameter("user-limits", "", "u", '{"max-connections": 5, "max-channels": 6}'))
    first = model.seen()["user.limits.set"]
    change(d.PutParameter("user-limits", "", "u", '{"max-connections": 5, "max-channels": 6}'))
    again = model.seen()["user.limits.set"]
    change(d.PutParameter("user-limits", "", "u", '{"max-connections": 5}'))
    one_less = model.seen()

    assert (first["max-channels"], "max-connections" in first) == (6, False)
    assert (again["max-channels"], again["max-connections"]) == (6, 5)
    assert list(one_less) == ["user.limits.cleared"]
    assert one_less["user.limits.cleared"]["username"] == "u"


def test_the_body_is_empty_and_the_message_survives(model: Watched) -> None:
    model.vhost.cancel(model.listener)
    model.seen()
    model.queue("q")
    model.turn()

    piece = model.vhost.queues["told"].lanes[0].head()
    assert piece is not None
    content = piece.run.contents[piece.lo]
    properties = decode_header(header_payload(content))[2]
    assert (body(content), properties.delivery_mode, properties.timestamp) == (b"", 2, 1000)


def test_users_permissions_and_parameters_are_told_of(model: Watched) -> None:
    change = model.broker.change
    algorithm = "rabbit_password_hashing_sha256"
    change(d.PutUser("bob", "hash", algorithm, ("monitoring",)))
    assert list(model.seen()) == ["user.created", "user.tags.set"]
    change(d.PutUser("bob", "other", algorithm))
    assert list(model.seen()) == ["user.password.changed", "user.tags.set"]
    change(d.PutUser("bob", "", algorithm))
    assert list(model.seen()) == ["user.password.cleared"]
    change(d.PutUser("bob", "", algorithm, ("management",)))
    assert list(model.seen()) == ["user.tags.set"]
    change(d.PutPermission("bob", "/", "a", "b", "c"))
    change(d.PutTopicPermission("bob", "/", "amq.topic", "w", "r"))
    granted = model.seen()
    assert granted["permission.created"]["configure"] == "a"
    assert granted["topic.permission.created"]["exchange"] == "amq.topic"
    change(d.DeleteTopicPermission("bob", "/"))
    change(d.DeletePermission("bob", "/"))
    change(d.DeleteUser("bob"))
    assert list(model.seen()) == [
        "topic.permission.deleted", "permission.deleted", "user.deleted"
    ]  # fmt: skip

    change(d.PutParameter("policy", "/", "p", '{"pattern": "a", "definition": {"expires": 9}}'))
    change(d.PutParameter("vhost-limits", "/", "limits", '{"max-queues": 9}'))
    change(d.PutParameter("user-limits", "", "u", '{"max-channels": 9}'))
    change(d.PutParameter("global", "", "cluster_name", '"c"'))
    change(d.PutParameter("shovel", "/", "s", "{}"))
    set_now = model.seen()
    assert set_now["policy.set"]["pattern"] == "a"
    assert set_now["vhost.limits.set"]["max-queues"] == 9
    assert set_now["user.limits.set"]["username"] == "u"
    assert set_now["parameter.set"]["component"] == "shovel"
    for component, vhost, name in (
        ("policy", "/", "p"), ("vhost-limits", "/", "limits"), ("user-limits", "", "u"),
        ("shovel", "/", "s"),
    ):  # fmt: skip
        change(d.DeleteParameter(component, vhost, name))
    assert list(model.seen()) == [
        "policy.cleared", "parameter.cleared", "vhost.limits.cleared", "user.limits.cleared"
    ]  # fmt: skip


def test_passwords_of_other_brokers_are_not_told(model: Watched) -> None:
    value = '{"src-uri": ["amqp://u:secret@there"], "src-queue": "q"}'
    model.broker.change(d.PutParameter("shovel", "/", "s", value))
    model.broker.change(d.PutParameter("federation-upstream", "/", "u", value))
    model.broker.change(d.PutParameter("global", "", "x", '"http://u:secret@there"'))

    told = str(model.seen())

    assert "there" in told
    assert "secret" not in told


def test_a_policy_is_told_of_and_each_queue_it_applies_to(model: Watched) -> None:
    change, value = model.broker.change, '{"pattern": "^q", "definition": {"max-length": 9}}'
    model.queue("q")
    model.seen()

    change(d.PutParameter("policy", "/", "p", value))
    change(d.PutParameter("operator_policy", "/", "o", value))
    told = model.seen()
    change(d.DeleteParameter("operator_policy", "/", "o"))
    cleared = model.seen()

    assert list(told) == ["queue.policy.updated", "policy.set", "parameter.set"]
    assert told["policy.set"]["definition"] == {"max-length": 9}
    assert told["queue.policy.updated"]["name"] == "q"
    assert told["queue.policy.updated"]["definition"] == {"max-length": 9}
    assert told["parameter.set"]["component"] == "operator_policy"
    assert list(cleared) == ["parameter.cleared", "queue.policy.cleared", "operator.policy.cleared"]
    change(d.PutParameter("global", "", "colour", '"red"'))
    assert model.seen()["parameter.set"]["component"] == "global"


def test_a_vhost_takes_its_rights_and_parameters_with_it(model: Watched) -> None:
    broker = model.broker
    broker.change(d.PutVhost("v"))
    broker.change(d.PutQueue("v", "q", True, False, False, {}, (900,)))
    for vhost in ("/", "v"):
        broker.change(d.PutPermission("u", vhost, ".*", ".*", ".*"))
        broker.change(d.PutTopicPermission("u", vhost, "amq.topic", ".*", ".*"))
    broker.change(
        d.PutParameter("policy", "v", "p", '{"pattern": "^q", "definition": {"max-length": 9}}')
    )
    broker.change(d.PutParameter("vhost-limits", "v", "limits", '{"max-queues": 5}'))
    model.seen()
    broker.events.by = "ann"

    broker.change(d.DeleteVhost("v"))
    told = model.seen()

    assert list(told) == [
        "permission.deleted", "topic.permission.deleted", "queue.deleted", "exchange.deleted",
        "vhost.deleted", "policy.cleared", "parameter.cleared", "vhost.limits.cleared",
        "vhost.down",
    ]  # fmt: skip
    for key in ("permission.deleted", "topic.permission.deleted"):
        assert (told[key]["user"], told[key]["vhost"]) == ("u", "v")
    assert told["vhost.deleted"]["user_who_performed_action"] == "ann"
    assert told["vhost.down"]["user_who_performed_action"] == "rmq-internal"
    assert (told["vhost.down"]["name"], "node" in told["vhost.down"]) == ("v", True)


def test_vhosts_pauses_purges_and_alarms_are_told_of(model: Watched) -> None:
    broker = model.broker
    broker.change(d.PutVhost("v", "for tests"))
    broker.change(d.PutVhost("v", "for more tests"))
    broker.change(d.DeleteVhost("v"))
    told = model.seen()
    assert list(told) == [
        "exchange.created", "vhost.created", "vhost.updated", "exchange.deleted", "vhost.deleted",
        "vhost.down",
    ]  # fmt: skip
    assert told["vhost.updated"]["description"] == "for more tests"

    queue = model.queue()
    broker.change(pausing("/", "q", Pause("ann", 7)))
    broker.change(resuming(queue))
    model.publish(b"a", b"b")
    model.vhost.purge_queue(model.access, "q", model)
    told = model.seen()
    assert told["queue.paused"]["user"] == "ann"
    assert "queue.resumed" in told
    assert told["queue.purged"]["messages"] == 2

    broker.resources(Alarms(memory=True))
    assert model.seen()["alarm.set"]["source"] == "memory"
    broker.resources(Alarms(disk=True))
    told = model.seen()
    assert (told["alarm.cleared"]["source"], told["alarm.set"]["source"]) == ("memory", "disk")
    assert "user_who_performed_action" not in told["alarm.set"]  # nobody does this


def test_connections_channels_and_consumers_are_told_of(model: Watched) -> None:
    presence, guest = model.broker.presence, Guest()
    presence.enter(guest, "/", "u")
    presence.open_channel(guest, 1)
    presence.open_channel(guest, 2)
    presence.close_channel(guest, 2)
    came = model.seen()
    assert list(came) == ["connection.created", "channel.created", "channel.closed"]
    assert came["connection.created"]["user"] == "u"
    assert came["channel.closed"]["number"] == 2
    presence.leave(guest)
    assert list(model.seen()) == ["channel.closed", "connection.closed"]

    model.queue()
    model.seen()
    consumer = FakeConsumer()
    model.consume(consumer)
    model.vhost.cancel(consumer)
    told = model.seen()
    assert list(told) == ["consumer.created", "consumer.deleted"]
    assert told["consumer.created"]["queue"] == "q"
    assert told["consumer.created"]["ack_required"] is True


def test_where_nobody_has_bound_nothing_waits() -> None:
    model = Model()
    assert not model.broker.events.on

    model.queue()

    assert not model.broker.events.waiting


def test_what_a_broker_remembers_at_its_start_is_no_news(model: Watched) -> None:
    model.broker.recover([d.PutVhost("v")], {})

    assert model.seen() == {}


def test_what_is_too_long_for_a_header_is_cut(model: Watched) -> None:
    model.broker.events.tell("audit.alert", {"text": "x" * (LONGEST + 1)})

    assert model.seen()["audit.alert"]["text"] == "x" * LONGEST


def test_too_much_at_once_is_lost_and_counted(model: Watched) -> None:
    for _ in range(MOST_WAITING + 3):
        model.broker.events.alarm("set", "memory")

    assert model.broker.events.lost == 3


def test_a_binding_made_when_another_vhost_heard_of_events_stays() -> None:
    model = Model()
    binding = d.PutBinding("v", EVENTS, "q", "queue", "#")
    queue = d.PutQueue("v", "q", True, False, False, {}, (1,))

    model.broker.recover([d.PutVhost("v"), queue, binding], {})

    assert len(model.broker.vhosts["v"].exchanges[EVENTS].bindings) == 1
    assert not model.broker.events.on


def test_a_line_of_the_log_is_published_by_its_level() -> None:
    model = Watched(LOG, "warning")
    events = model.broker.events
    assert events.logs

    events.log("info", "text/plain", 7, b"nobody wants it")
    events.log("warning", "text/plain", 7, b"a line")

    assert model.seen() == {"warning": {"node": "amqpd"}}
    assert model.listener.bodies == [b"a line"]


def test_what_publishing_a_line_says_is_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Watched(LOG)
    events, announce = model.broker.events, Publishing.announce

    def talkative(publishing: Publishing, exchange: str, key: str, run: Run) -> None:
        events.log("info", "text/plain", 7, b"published")
        announce(publishing, exchange, key, run)

    monkeypatch.setattr(Publishing, "announce", talkative)
    events.log("info", "text/plain", 7, b"a line")
    model.seen()

    assert model.listener.bodies == [b"a line"]


def test_events_of_a_vhost_that_is_gone_are_dropped(model: Watched) -> None:
    model.queue("q")
    model.broker.change(d.DeleteVhost("/"))

    model.turn()

    assert not model.broker.events.waiting


def test_queues_of_a_vhost_that_is_deleted_are_told_of(model: Watched) -> None:
    model.broker.change(d.PutVhost("v"))
    model.broker.change(d.PutQueue("v", "q", False, False, False, {}, (7,)))
    model.seen()

    model.broker.events.by = "ann"
    model.broker.change(d.DeleteVhost("v"))
    gone = model.seen()

    assert gone["queue.deleted"]["name"] == "q"
    assert gone["queue.deleted"]["vhost"] == "v"
    assert gone["queue.deleted"]["user_who_performed_action"] == "ann"


def test_a_vhost_is_told_of_after_the_last_of_its_many_queues(model: Watched) -> None:
    model.broker.change(d.PutVhost("v"))
    for number in range(QUEUES_A_SLICE + 1):
        put = d.PutQueue("v", f"q{number}", False, False, False, {}, (1000 + number,))
        model.broker.change(put)
    model.seen()

    model.broker.change(d.DeleteVhost("v"))
    at_once = model.seen()
    model.turn(2)
    later = model.seen()

    assert list(at_once) == ["queue.deleted"]
    assert list(later) == ["queue.deleted", "exchange.deleted", "vhost.deleted", "vhost.down"]


def test_an_exchange_that_is_not_there_is_deleted_without_harm(model: Watched) -> None:
    model.broker.change(d.DeleteExchange("/", "nothing"))

    assert "nothing" not in model.vhost.exchanges
    model.queue("q")
    assert "queue.created" in model.seen()
