"""Policies come into force: at once for whoever looks, in slices for all the others."""

from __future__ import annotations

import json

from amqpd.broker.definitions import DeleteParameter, PutExchange, PutParameter
from amqpd.broker.enforcement import STEPS, STEPS_EACH
from amqpd.broker.parameters import POLICY
from tests.broker.model import Model

#: More queues than one slice takes.
MANY = STEPS // STEPS_EACH + 50


def put_policy(model: Model, **definition: object) -> None:
    value = {"pattern": "^q", "definition": definition}
    model.broker.change(PutParameter(POLICY, "/", "p", json.dumps(value)))


def of_all(model: Model) -> set[int | None]:
    """The lengths that are in force; nobody is made to look by this."""
    return {queue.arguments.max_length for queue in model.vhost.queues.values()}


def crowded() -> Model:
    model = Model()
    for number in range(MANY):
        model.queue(f"q{number}", durable=False)
    return model


def test_a_change_is_worked_off_in_slices_by_the_clock() -> None:
    model = crowded()

    put_policy(model, **{"max-length": 5})

    assert of_all(model) == {5, None}
    model.turn(1)
    assert of_all(model) == {5}


def test_whoever_finds_a_queue_by_its_name_sees_the_policies_of_now() -> None:
    model = crowded()
    put_policy(model, **{"max-length": 5})
    last = f"q{MANY - 1}"
    assert model.vhost.queues[last].arguments.max_length is None

    for number in range(7):
        model.publish(b"%d" % number, key=last)
    model.turn()

    assert model.vhost.queues[last].ready == 5


def test_a_change_amid_a_change_begins_anew_and_ends_once() -> None:
    model = crowded()
    put_policy(model, **{"max-length": 5})
    put_policy(model, **{"max-length": 6})

    model.turn(1)
    assert 5 not in of_all(model)
    model.turn(1)
    assert of_all(model) == {6}

    model.broker.change(DeleteParameter(POLICY, "/", "p"))
    model.turn(1)
    assert of_all(model) == {None}


def test_what_was_deleted_before_its_slice_came_is_passed_over() -> None:
    model = crowded()
    put_policy(model, **{"max-length": 5})
    last = f"q{MANY - 1}"
    model.vhost.delete_queue(model.access, last, if_unused=False, if_empty=False, owner=model)

    model.turn(1)

    assert last not in model.vhost.queues
    assert of_all(model) == {5}


def test_exchanges_that_were_deleted_before_their_slice_came_are_passed_over() -> None:
    model = Model()
    for number in range(MANY):
        command = PutExchange("/", f"q{number}", "fanout", False, False, False, {})
        model.broker.apply(command)
    put_policy(model, **{"alternate-exchange": "amq.topic"})
    gone, last = (f"q{MANY - back}" for back in (2, 1))
    assert model.vhost.exchanges[last].alternate_exchange is None
    model.vhost.delete_exchange(model.access, gone, if_unused=False)

    model.turn(1)

    assert gone not in model.vhost.exchanges
    assert model.vhost.exchanges[last].alternate_exchange == "amq.topic"
