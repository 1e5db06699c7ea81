"""x-jms-topic: topics with selectors."""

from __future__ import annotations

import pytest

from amqpd.broker.limits import Limits
from amqpd.broker.types.jms import lookup_in
from amqpd.errors import PreconditionFailed
from amqpd.fields import Field
from tests.broker.types.exchanges import a_message, an_exchange, bind, names, to

KIND = "x-jms-topic"
RED = {"rjms_erlang_selector": """{'=',{'ident',<<"colour">>},<<"red">>}."""}
HEAVY = {"x-filter-jms-selector": "weight > 100"}


def test_the_selector_and_the_key_must_match() -> None:
    exchange = bind(
        an_exchange(KIND),
        to("red", "a.*", RED),
        to("heavy", "#", HEAVY),
        to("all", "a.b"),
        to("any key"),
    )
    both = a_message("a.b", headers={"colour": "red", "weight": 200})

    assert set(names(exchange, both) or ()) == {"red", "heavy", "all", "any key"}
    assert set(names(exchange, a_message("a.b", headers={"colour": "blue"})) or ()) == {
        "all", "any key",
    }  # fmt: skip
    assert set(names(exchange, a_message("b", "a.c", headers={"colour": "red"})) or ()) == {
        "red", "any key",
    }  # fmt: skip
    assert [each.name for each in exchange.match(["b"], {"weight": Field("d", 100.5)})] == [
        "any key", "heavy",
    ]  # fmt: skip
    assert exchange.uses_headers
    assert exchange.has_topics


def test_bindings_go_one_by_one() -> None:
    exchange = bind(an_exchange(KIND), to("q", "k", RED), to("q", "k"))

    exchange.unbind(to("q", "k"))
    assert names(exchange, a_message("k")) == []
    assert names(exchange, a_message("k", headers={"colour": "red"})) == ["q"]
    exchange.unbind(to("q", "k", RED))
    assert names(exchange, a_message("k", headers={"colour": "red"})) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"rjms_erlang_selector": "{'='"},
            "cannot parse selector '\"{'='\"' binding destination 'q' to exchange 'x'",
        ),
        (
            {"rjms_erlang_selector": 5},
            "cannot parse selector '\"5\"' binding destination 'q' to exchange 'x'",
        ),
        (
            {"x-filter-jms-selector": "a = "},
            "invalid arg 'x-filter-jms-selector' for queue 'q' in vhost '/': "
            "column 5: a value expected, not the end",
        ),
        (
            {"x-filter-jms-selector": True},
            "invalid arg 'x-filter-jms-selector' for queue 'q' in vhost '/': not a text",
        ),
    ],
)
def test_a_selector_that_is_none_is_refused(arguments: dict[str, object], text: str) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        an_exchange(KIND).validate(to("q", "k", arguments), Limits())

    assert refused.value.explanation == text


def test_names_are_headers_and_properties() -> None:
    lookup = lookup_in(
        a_message(
            "k",
            headers={"h": 5, "on": Field("t", 1), "list": [1], "JMSType": "header wins"},
            message_id="m", correlation_id="c", type="t", reply_to="r", priority=3,
            timestamp=7, delivery_mode=2, content_type="text/plain",
        )
    )  # fmt: skip

    assert [lookup(name) for name in ("h", "header.h", "headers.h", "on", "list", "none")] == [
        5, 5, 5, True, None, None,
    ]  # fmt: skip
    assert [
        lookup("JMS" + name)
        for name in ("MessageID", "CorrelationID", "Type", "ReplyTo", "Priority", "Timestamp")
    ] == ["m", "c", "header wins", "r", 3, 7000]
    assert lookup("JMSDeliveryMode") == "PERSISTENT"
    assert [lookup("properties." + name) for name in ("content-type", "priority", "x")] == [
        "text/plain", 3, None,
    ]  # fmt: skip
    assert lookup("routing-key") == "k"
    bare = lookup_in(a_message())
    assert [bare("JMSTimestamp"), bare("JMSDeliveryMode"), bare("properties.headers")] == [
        None, "NON_PERSISTENT", None,
    ]  # fmt: skip


def test_a_selector_that_is_not_true_does_not_match_whatever_else_it_is() -> None:
    exchange = bind(an_exchange(KIND), to("q", "#", {"x-filter-jms-selector": "colour"}))

    for value, matches in (("red", False), (1, False), (True, True), (False, False)):
        found = names(exchange, a_message("a", headers={"colour": value})) or []
        assert (found == ["q"]) is matches, value
