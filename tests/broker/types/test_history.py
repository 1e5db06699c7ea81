"""x-recent-history: new bindings get the last messages again."""

from __future__ import annotations

import pytest

from amqpd.broker.shelf import PREFIX
from amqpd.errors import PreconditionFailed
from amqpd.fields import Field
from tests.broker.types.exchanges import an_exchange, bind_queue, declare
from tests.broker.types.living import Living

KIND = "x-recent-history"


@pytest.fixture
def model() -> Living:
    """A model with an exchange x that remembers three messages, and queues q and r."""
    model = Living()
    declare(model, KIND, {"x-recent-history-length": 3})
    model.queue("q")
    model.queue("r")
    return model


def test_a_new_binding_gets_the_last_messages_oldest_first(model: Living) -> None:
    model.publish(b"1", b"2", b"3", b"4", exchange="x")

    bind_queue(model)
    model.publish(b"5", exchange="x")
    bind_queue(model, "r")

    assert model.bodies("q") == [b"2", b"3", b"4", b"5"]
    assert model.bodies("r") == [b"3", b"4", b"5"]


def test_a_binding_that_exists_gets_nothing_again(model: Living) -> None:
    bind_queue(model)
    model.publish(b"1", exchange="x")

    bind_queue(model)

    assert model.bodies() == [b"1"]


def test_durable_messages_are_kept_over_a_restart(model: Living) -> None:
    bind_queue(model)
    model.publish(b"1", b"2", exchange="x")
    model.publish(b"transient", exchange="x", mode=1)
    model.commit()

    model.restart()
    model.publish(b"3", exchange="x")
    bind_queue(model, "r")
    model.publish(b"4", exchange="x")
    bind_queue(model, "r", "again")

    assert model.bodies("r") == [b"1", b"2", b"3", b"4", b"2", b"3", b"4"]
    assert model.bodies("q") == [b"1", b"2", b"3", b"4"]


def test_what_is_kept_is_on_disk_with_the_message_or_not_at_all(model: Living) -> None:
    bind_queue(model)
    model.commit()
    published = model.publish(b"1", exchange="x")

    assert published.number > model.broker.journal.safe
    model.restart()
    bind_queue(model, "r")

    assert model.bodies("q") == model.bodies("r") == []


def test_bindings_made_while_the_history_is_read_get_it_when_it_is_there(model: Living) -> None:
    model.publish(b"1", b"2", exchange="x")
    model.commit()
    model.disk.crash()
    model.start(model.broker.around.now_ms)
    model.vhost, model.access = model.broker.open_vhost("/", "u")

    bind_queue(model, "q")
    bind_queue(model, "r")
    model.publish(b"3", exchange="x")
    model.publish(b"4", exchange="x")
    model.vhost.unbind(model.access, "x", "r", "queue", "", {}, model)
    assert model.vhost.queues["q"].ready == 2
    model.commit()

    assert sorted(model.bodies("q")) == [b"2", b"3", b"3", b"4", b"4"]
    assert model.bodies("r") == [b"3", b"4"]


def test_a_history_longer_than_one_read_comes_back_whole() -> None:
    model = Living()
    declare(model, KIND, {"x-recent-history-length": 5000})
    model.queue()
    model.publish(*[b"%d" % n for n in range(2500)], exchange="x")
    model.commit()

    model.restart()
    bind_queue(model)

    assert model.bodies() == [b"%d" % n for n in range(2500)]


def test_a_history_of_an_exchange_that_is_not_durable_is_in_memory() -> None:
    model = Living()
    declare(model, KIND, durable=False)
    model.queue()
    assert model.publish(*[b"%d" % n for n in range(25)], exchange="x").number == 0

    bind_queue(model)

    assert model.bodies() == [b"%d" % n for n in range(5, 25)]


def test_messages_that_ask_for_it_are_not_kept(model: Living) -> None:
    for value in (Field("t", True), Field("t", False), Field("S", "true")):
        headers = {"x-recent-history-no-store": value}
        model.publish(str(value.value).encode(), exchange="x", headers=headers)
    model.publish(b"other header", exchange="x", headers={"h": Field("I", 1)})

    bind_queue(model)

    assert model.bodies() == [b"False", b"true", b"other header"]


def test_what_has_expired_is_not_handed_over_and_the_rest_expires_on_time(model: Living) -> None:
    model.publish(b"short", exchange="x", expiration="100")
    model.publish(b"long", exchange="x", expiration="1000")
    model.turn(400)

    bind_queue(model)

    assert model.vhost.queues["q"].ready == 1
    model.turn(500)
    assert model.vhost.queues["q"].ready == 1
    model.turn(200)
    assert model.vhost.queues["q"].ready == 0


def test_an_exchange_that_is_bound_passes_the_history_on(model: Living) -> None:
    declare(model, "direct", name="y")
    bind_queue(model, "q", "k", exchange="y")
    model.publish(b"1", exchange="x", key="k")
    model.publish(b"2", exchange="x", key="other")

    bind_queue(model, "y", kind="exchange")

    assert model.bodies() == [b"1"]
    assert model.vhost.publishing.dropped == {"unroutable": 1}


def test_deleting_the_exchange_removes_the_history(model: Living) -> None:
    model.publish(b"1", exchange="x")
    model.commit()
    model.vhost.delete_exchange(model.access, "x", if_unused=False)
    declare(model, KIND)
    model.commit()

    model.restart()
    bind_queue(model)

    assert model.bodies() == []
    assert not list(model.vhost.shelves)


def test_no_client_sees_the_shelf(model: Living) -> None:
    model.publish(b"1", exchange="x")

    assert [shelf.name for shelf in model.vhost.shelves] == [f"{PREFIX}\nx\nkept"]
    assert set(model.vhost.queues) == {"q", "r"}


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (Field("I", 0), "0"),
        (Field("l", -5), "-5"),
        (Field("S", "5"), '<<"5">>'),
        (Field("t", True), "true"),
    ],
)
def test_the_length_is_a_positive_integer(length: Field, text: str) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        an_exchange(KIND, {"x-recent-history-length": length})

    assert refused.value.explanation == (
        f"Invalid argument {text}, 'x-recent-history-length' must be a positive integer"
    )


@pytest.mark.parametrize("kind", "bBsuIil")
def test_any_integer_type_will_do(kind: str) -> None:
    exchange = an_exchange(KIND, {"x-recent-history-length": Field(kind, 7)})

    assert getattr(exchange, "length", None) == 7


def test_dead_letters_that_come_together_are_remembered_one_by_one() -> None:
    model = Living()
    declare(model, "x-recent-history", {"x-recent-history-length": 2})
    model.queue(arguments={"x-dead-letter-exchange": "x", "x-message-ttl": 10})
    model.queue("late")
    model.publish(b"1", b"2", b"3")

    model.turn(10)
    model.turn()
    bind_queue(model, "late")

    assert model.bodies("late") == [b"2", b"3"]
