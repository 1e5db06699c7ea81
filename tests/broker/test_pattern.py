"""Patterns: both engines agree with Python's own, and neither can run away."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpd.broker import pattern
from amqpd.broker.pattern import PATTERN_BYTES, compile_pattern, escape
from amqpd.errors import PreconditionFailed


def own(text: str, subject: str) -> bool:
    """The answer of our own engine, whatever the pattern would be given to."""
    return pattern._Machine(pattern._Parser(text).parse(), text).matches(subject)


def chosen(text: str, subject: str) -> bool:
    """The answer of the engine that is chosen for the pattern."""
    return compile_pattern(text).matches(subject)


@pytest.mark.parametrize(
    ("text", "matching", "failing"),
    [
        ("", ["", "any"], []),
        ("^$", [""], ["a"]),
        (".*", ["", "any"], []),
        ("^amq\\.", ["amq.direct"], ["amqp", "my.amq.direct"]),
        ("^(?!amq\\.).*", ["orders", "my.amq.x"], ["amq.direct"]),
        ("^(orders|billing)\\..+", ["orders.new", "billing.x"], ["orders.", "x.orders.y"]),
        ("^[a-c0-9_-]+$", ["a-b_9"], ["a.b", ""]),
        ("^[^.]+$", ["ab"], ["a.b"]),
        ("^[]x]+$", ["x]"], ["[x"]),
        ("^[a-]$", ["a", "-"], ["b"]),
        ("^[\\]\\-x]+$", ["]-x"], ["\\"]),
        ("^\\d{2,3}$", ["12", "123"], ["1", "1234"]),
        ("^a{2}$", ["aa"], ["a", "aaa"]),
        ("^a{2,}$", ["aa", "aaaa"], ["a"]),
        ("^(ab){2}$", ["abab"], ["ab", "ababab"]),
        ("^(ab){1,2}$", ["ab", "abab"], ["", "ababab"]),
        ("^(ab)*c$", ["c", "ababc"], ["abac"]),
        ("^a{,2}$", ["a{,2}"], ["a", ""]),
        ("^{x}$", ["{x}"], ["x"]),
        ("^a+?b*?$", ["aab"], ["b"]),
        ("\\bq\\b", ["a q b", "q"], ["aqb"]),
        ("\\Bq", ["aq"], ["q"]),
        ("\\B", ["", "aq"], ["q"]),
        ("\\w\\W\\s\\S\\D", ["a. xx"], ["a.xxx"]),
        ("\\Aab\\z", ["ab"], ["ab\n", "xab"]),
        ("ab$", ["ab", "ab\n", "xab"], ["abc", "ab\n\n"]),
        ("\\x41\\t\\n\\f\\r\\a\\e", ["A\t\n\f\r\a\x1b"], ["a"]),
        ("^[\\x41-C\\b\\d]+$", ["ABC\b7"], ["D"]),
        ("(?i)^aB[c-d]\\.$", ["AbC.", "abd."], ["abe."]),
        ("(?i)^[^a]$", ["b"], ["A", "a"]),
        ("^(?:a)(?<n>b)(?P<m>c)$", ["abc"], ["ab"]),
        ("a|b|", ["", "x"], []),
        ("^(a|)b$", ["ab", "b"], ["aab"]),
        ("^(?=.*x)(?=.*y).{3}$", ["axy", "yax"], ["axx"]),
        ("^(a(?!b))*$", ["aa", ""], ["ab"]),
        ("^\\.\\-\\{\\}\\ü$", [".-{}ü"], ["x"]),
        ("^[\\W\\d]$", [".", "5"], ["a"]),
        ("[^\\S\\s]", [], ["a", ""]),
        ("^é.$", ["éé"], ["e"]),
        ("^(){3}a$", ["a"], [""]),
        ("^((a*)*)*$", ["aaa", ""], ["b"]),
        ("^*a(?=b)+", ["xab"], ["ac"]),
    ],
)
def test_both_engines_find_what_the_pattern_says(
    text: str, matching: list[str], failing: list[str]
) -> None:
    for subject in matching + failing:
        expected = subject in matching
        assert own(text, subject) is expected, subject
        assert chosen(text, subject) is expected, subject


ATOMS = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", "\\w", "\\b", "^", "$", "(?=a)", "(?!b)", "\\.", "(?=(a|b)$)"]
)
TEXTS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: f"({'|'.join(each)})"),
        st.tuples(inner, st.sampled_from("*+?")).map(lambda each: f"(?:{each[0]}){each[1]}"),
        inner.map(lambda each: f"(?:{each}){{1,2}}"),
    ),
    max_leaves=8,
)
SUBJECTS = st.text(alphabet="ab.\n", max_size=8)


@given(TEXTS, SUBJECTS)
def test_patterns_mean_what_they_mean_to_python(text: str, subject: str) -> None:
    expected = re.search(text, subject, re.ASCII) is not None

    assert own(text, subject) is expected
    assert chosen(text, subject) is expected


@given(st.text(max_size=30), SUBJECTS)
def test_any_text_is_a_pattern_or_refused(text: str, subject: str) -> None:
    try:
        compiled = compile_pattern(text)
    except PreconditionFailed:
        return

    assert compiled.text == text
    assert compiled.matches(subject) is own(text, subject)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(a", "missing ')' at position 2"),
        ("a)", "')' without '(' at position 1"),
        ("[a", "unexpected end at position 2"),
        ("a\\", "unexpected end at position 2"),
        ("*a", "nothing to repeat at position 0"),
        ("a|+", "nothing to repeat at position 2"),
        ("a**", "multiple repeat at position 3"),
        ("a{2}{3}", "multiple repeat at position 7"),
        ("a{3,2}", "numbers out of order in {} at position 6"),
        ("a*+", "possessive quantifiers are not supported at position 3"),
        ("(?<=a)b", "this kind of group is not supported at position 2"),
        ("(?>a)", "this kind of group is not supported at position 2"),
        ("(?s)a", "this kind of group is not supported at position 2"),
        ("(a)\\1", "\\1 is not supported at position 5"),
        ("\\Qa\\E", "\\Q is not supported at position 2"),
        ("\\x4", "two hexadecimal digits expected at position 2"),
        ("[[:alpha:]]", "named classes are not supported at position 2"),
        ("[z-a]", "range out of order at position 4"),
        ("[\\d-z]", "a class cannot end a range at position 5"),
        ("[a-\\d]", "a class cannot end a range at position 5"),
        ("(" * 51, "groups are nested too deeply at position 51"),
        ("((a{999}){999}){999}", "too many repetitions"),
        ("(a{999}b{999}c{999}d{999}e{999})*", "too many repetitions"),
    ],
)
def test_what_is_not_supported_is_refused_with_its_place(text: str, reason: str) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        compile_pattern(text)

    assert refused.value.explanation == f"pattern '{text}': {reason}"


def test_a_pattern_has_at_most_1024_bytes() -> None:
    compile_pattern("é" * (PATTERN_BYTES // 2))

    with pytest.raises(PreconditionFailed, match="pattern is longer than 1024 bytes"):
        compile_pattern("é" * (PATTERN_BYTES // 2) + "x")


def test_nothing_occurs_in_an_overlong_subject() -> None:
    assert not compile_pattern(".*").matches("a" * 256)
    assert compile_pattern(".*").matches("a" * 255)


@given(st.text(max_size=40), st.text(max_size=40))
def test_escaped_text_stands_for_itself(text: str, subject: str) -> None:
    escaped = compile_pattern(f"\\A{escape(text)}\\z")

    assert escaped.matches(text)
    assert escaped.matches(subject) is (text == subject)


@pytest.mark.parametrize("name", [".*", "a-z", "[", "\\E", "^", "a|b", "{1}", "$", "a-"])
def test_escaped_text_stands_for_itself_within_a_class(name: str) -> None:
    only = compile_pattern(f"^[{escape(name)}]$")

    assert all(only.matches(each) for each in name)
    assert not only.matches("m")
    assert not only.matches("x")


#: Well known ways to keep a backtracking engine busy for years.
HOSTILE = [
    "(a+)+$",
    "(a*)*b",
    "([a-z]+)*$",
    "(a|aa)+$",
    "(a|a)*$",
    "(.*a){20}$",
    "(.*)*x",
    "a*a*a*a*a*a*a*a*b",
    "a?" * 60 + "a" * 60,
    "(a|a)" * 60 + "b",
    "(?=(a+)+$)a",
    "(?!(a*)*b)c",
    "(?=.*(?=.*(?=.*x)))b",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "(.{1,30}){1,30}$",
    "(\\w+\\s?)*$",
    ".*.*.*.*.*.*.*.*x",
    "(()*)*b",
    "(a{0,40}){0,40}b",
    # Few enough ways from one place, and from all of them too many.
    "(a|a)" * 18 + "b",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_pattern_takes_long(text: str) -> None:
    compiled = compile_pattern(text)

    for subject in ("a" * 254 + "!", "ab" * 127, "a" * 255):
        # The thread's own time: other load on the machine does not count. Measured: 60 ms.
        before = time.thread_time()
        compiled.matches(subject)
        assert time.thread_time() - before < 1.0, subject


def test_the_cost_of_a_match_is_known_before() -> None:
    assert compile_pattern("^orders\\.").cost("a" * 200) == 1
    assert 50 < compile_pattern("(a*)*b").cost("a" * 50) < compile_pattern("(a*)*b").cost("a" * 99)
    assert compile_pattern("(a{0,40}){0,40}b").cost("a" * 255) == pattern.STEPS


def test_a_match_that_needs_too_many_steps_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own("(a*)*b", "a" * 50 + "b")

    monkeypatch.setattr(pattern, "STEPS", 100)

    assert not own("(a*)*b", "a" * 50 + "b")
    assert not own("(?!(a*)*b)a", "a" * 50)
