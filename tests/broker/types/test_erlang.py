"""Selectors as RabbitMQ's JMS client sends them: terms of Erlang."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpd.broker.types import erlang
from amqpd.broker.types.selector import SelectorError, Value

NAMES: dict[str, Value] = {"s": "text", "n": 7, "f": 1.5, "b": True, 'q"': "é"}


def value(text: str) -> Value:
    return erlang.parse(text)(NAMES.get)


@pytest.mark.parametrize(
    "text",
    [
        "true.",
        """{'=',{'ident',<<"s">>},<<"text">>}.""",
        """{'=',{ident,<<"b">>},true}""",
        """{'and',{'>',{'ident',<<"n">>},6},{'<=',{'ident',<<"n">>},7}}.""",
        """{'or',{'=',{'ident',<<"none">>},1},{'<>',{'ident',<<"n">>},8}}.""",
        """{'not',{'<',{'ident',<<"f">>},1.0}}.""",
        """{'is_null',{'ident',<<"none">>}}.""",
        """{'not_null',{'ident',<<"s">>}}.""",
        """{'like',{'ident',<<"s">>},<<"t%t">>,no_escape}.""",
        """{'like',{'ident',<<"s">>},<<"te\\\\x_">>,<<"\\\\">>}.""",
        """{'not_like',{'ident',<<"s">>},<<"x%">>,no_escape}.""",
        """{'in',{'ident',<<"s">>},[<<"a">>,<<"text">>]}.""",
        """{'not_in',{'ident',<<"s">>},[]}.""",
        """{'between',{'ident',<<"n">>},{'range',1,10}}.""",
        """{'not_between',{'ident',<<"n">>},8,10}.""",
        """{'=',{'+',{'ident',<<"n">>},1},{'*',2,4}}.""",
        """{'=',{'-',{'ident',<<"n">>}},{'+',-7}}.""",
        """{'=',{'/',{'-',{'ident',<<"n">>},1},2},3}.""",
        """{'=',16#FF,255}.""",
        """{'=',-16#F,-15}.""",
        """{'=',<<"a\\nb">>,<<"a\nb">>}.""",
        """{'=', {'ident', <<"q\\"">>}, <<"é"/utf8>> } . """,
        """{'=',<<>>,<<"">>}.""",
        """{'=',1.0e3,1000}""",
    ],
)
def test_these_match(text: str) -> None:
    # One character more than the pattern's escape leaves: te + any.
    assert value(text.replace("te\\\\x_", "te\\\\xt")) is True


def test_false_does_not_match() -> None:
    assert value("false") is False


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "}", "{'='", "{'=',1", "{'=',1,2}. x", "{'=',1,2} 3", "[1,2]", "{}", "{'=',1}",
        "{'~',1,2}", "{'unknown',1}", "{'like',<<\"a\">>,5,no_escape}", "{'like',<<\"a\">>}",
        "{'like',<<\"a\">>,<<\"b\">>,<<\"xy\">>}", "{'in',1,2}", "{'in',1,[{a}]}",
        "{'between',1,2}", "[{'=',1,1}]",
        "other", "2#9", "{1,2,3}", "<<1,2>>", "{'=',1,,2}", "X", "{'ident',5}",
        "{'not'," * 200 + "true" + "}" * 200,
    ],
)  # fmt: skip
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(SelectorError):
        erlang.parse(text)


def test_the_deepest_that_is_accepted_can_be_evaluated() -> None:
    assert value("{'and',true," * 150 + "true" + "}" * 150) is True


@given(st.text("{}[],.'<>\"=ainderlto1#\\ ", max_size=60))
def test_any_text_is_a_selector_or_refused(text: str) -> None:
    try:
        expression = erlang.parse(text)
    except SelectorError:
        return
    expression(NAMES.get)


def test_any_term_can_be_read() -> None:
    assert erlang.read('{in_group, "ou=\\"a\\"", [<<"b">>, 1]}.') == (
        erlang.Atom("in_group"), 'ou="a"', ["b", 1],
    )  # fmt: skip
    with pytest.raises(SelectorError):
        erlang.read('{in_group, "ou}')
