"""Runtime parameters: values are checked before they are set, by RabbitMQ's texts."""

from __future__ import annotations

import logging

import pytest

from amqpd.broker.definitions import DeleteVhost, PutParameter, PutVhost
from amqpd.broker.parameters import (
    GLOBAL,
    LIMITS,
    MOST_DEPTH,
    OPERATOR_POLICY,
    POLICY,
    UPSTREAM,
    UPSTREAM_SET,
    USER_LIMITS,
    VHOST_LIMITS,
    Parameters,
    check,
    parsed,
)
from amqpd.broker.pause import PAUSED
from amqpd.errors import PreconditionFailed
from tests.broker.model import Model

A_POLICY = {"pattern": "^q", "definition": {"expires": 1000}}


@pytest.mark.parametrize(
    ("component", "value"),
    [
        (POLICY, A_POLICY),
        (OPERATOR_POLICY, A_POLICY),
        (VHOST_LIMITS, {"max-queues": 3}),
        (USER_LIMITS, {"max-channels": 3}),
        (PAUSED, {"user": "ann", "since_ms": 7}),
        ("shovel", {"src-uri": "amqp://"}),
        (UPSTREAM, {"uri": "amqp://", "prefetch-count": 5, "trust-user-id": True}),
        (UPSTREAM, {"uri": ["amqp://a", "amqps://b/v"]}),
        (UPSTREAM_SET, [{"upstream": "a"}, {"upstream": "b"}]),
        (GLOBAL, "anything"),
    ],
)
def test_each_component_takes_its_values(component: str, value: object) -> None:
    check(component, "n", value)


@pytest.mark.parametrize(
    ("component", "value", "text"),
    [
        ("nothing", {}, "component nothing not found"),
        (POLICY, "text", "n not a list text"),
        ("shovel", 7, "n not a list 7"),
        (UPSTREAM, {}, "uri must be an AMQP URI"),
        (UPSTREAM, {"uri": []}, "uri must be an AMQP URI"),
        (UPSTREAM, {"uri": ["amqp://", 7]}, "uri must be an AMQP URI"),
        (UPSTREAM, {"uri": "http://a"}, "uri must be an AMQP URI"),
        (UPSTREAM, {"uri": "amqp://", "max-hops": "2"}, "max-hops must be a number, got 2"),
        (UPSTREAM, {"uri": "amqp://", "expires": True}, "expires must be a number, got True"),
        (VHOST_LIMITS, {"max-cats": 3}, "max-cats"),
    ],
)
def test_what_a_component_does_not_take_is_refused(
    component: str, value: object, text: str
) -> None:
    with pytest.raises(PreconditionFailed, match=r"Validation failed") as refused:
        check(component, "n", value)

    assert text in str(refused.value)


def nested(deep: int) -> object:
    """A value of lists and dictionaries within each other."""
    value: object = 1
    for level in range(deep):
        value = [value] if level % 2 else {"a": value}
    return value


def test_a_value_is_nested_so_deep_and_no_deeper() -> None:
    check(GLOBAL, "n", nested(MOST_DEPTH))

    for deep in (MOST_DEPTH + 1, 100_000):
        with pytest.raises(PreconditionFailed, match=f"n: nested more than {MOST_DEPTH} deep"):
            check(GLOBAL, "n", nested(deep))


def test_a_dictionary_without_entries_may_be_the_list_that_rabbitmq_makes_of_it() -> None:
    model = Model()
    check(VHOST_LIMITS, LIMITS, [])

    model.broker.change(PutParameter(VHOST_LIMITS, "/", LIMITS, "[]"))

    assert model.broker.presence.vhost_limits["/"].named() == {}


@pytest.mark.parametrize("component", [GLOBAL, "shovel", UPSTREAM_SET])
def test_values_of_other_rooms_mean_nothing_to_the_broker(component: str) -> None:
    assert parsed(PutParameter(component, "", "n", "not even json")) is None


def test_a_value_that_is_no_json_is_refused_with_the_reason() -> None:
    with pytest.raises(PreconditionFailed, match="Could not parse JSON document: Expecting"):
        parsed(PutParameter(POLICY, "/", "p", "{"))


def test_a_value_of_another_version_is_kept_without_effect_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = Model()
    of_tomorrow = PutParameter(VHOST_LIMITS, "/", LIMITS, '{"max-dreams": 1}')

    with caplog.at_level(logging.ERROR):
        model.broker.apply(of_tomorrow)

    assert model.broker.parameters.get(VHOST_LIMITS, "/", LIMITS) == of_tomorrow
    assert (
        "parameter 'limits' of component 'vhost-limits' in vhost '/' has no effect" in caplog.text
    )
    model.queue("still")


def test_parameters_of_a_vhost_go_with_it_and_the_others_stay() -> None:
    model = Model()
    model.broker.change(PutVhost("a"))
    for vhost in ("/", "a"):
        model.broker.change(PutParameter("shovel", vhost, "s", "{}"))

    model.broker.change(DeleteVhost("a"))

    assert [one.vhost for one in model.broker.parameters.listing("shovel")] == ["/"]


def test_a_listing_is_of_a_component_and_a_vhost_in_the_order_they_were_set() -> None:
    parameters = Parameters()
    for component, vhost, name in (("b", "/", "2"), ("a", "/", "1"), ("a", "v", "3")):
        parameters.put(PutParameter(component, vhost, name, "{}"))

    assert [one.name for one in parameters.listing()] == ["2", "1", "3"]
    assert [one.name for one in parameters.listing("a")] == ["1", "3"]
    assert [one.name for one in parameters.listing(None, "/")] == ["2", "1"]
