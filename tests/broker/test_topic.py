"""Topic matching against a plain definition of it, and its cost in the worst cases."""

from __future__ import annotations

import time
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpd.broker.binding import Destination
from amqpd.broker.topic import TopicTrie, hash_wildcards, words

QUEUE = Destination("queue", "q")


def matches(pattern: str, key: str) -> bool:
    trie = TopicTrie()
    trie.add(pattern, QUEUE)
    return bool(trie.match(key))


def reference(pattern: str, key: str) -> bool:
    """The definition: words of the pattern against words of the key."""
    left, right = words(pattern), words(key)

    @cache
    def fits(at: int, word: int) -> bool:
        if at == len(left):
            return word == len(right)
        if left[at] == "#":
            return fits(at + 1, word) or (word < len(right) and fits(at, word + 1))
        return word < len(right) and left[at] in ("*", right[word]) and fits(at + 1, word + 1)

    return fits(0, 0)


PATTERNS = st.lists(st.sampled_from(["a", "b", "", "*", "#", "#"]), max_size=9).map(".".join)
KEYS = st.lists(st.sampled_from(["a", "b", "", "*", "#"]), max_size=9).map(".".join)


@given(PATTERNS, KEYS)
def test_a_pattern_matches_what_its_definition_says(pattern: str, key: str) -> None:
    assert matches(pattern, key) == reference(pattern, key)


@given(st.lists(PATTERNS, max_size=12), st.lists(st.integers(0, 11), max_size=12), KEYS)
def test_bindings_do_not_influence_each_other(
    patterns: list[str], removed: list[int], key: str
) -> None:
    trie = TopicTrie()
    bound = dict(enumerate(patterns))
    for number, pattern in bound.items():
        trie.add(pattern, Destination("queue", str(number)))
    for number in removed:
        if number in bound:
            trie.remove(bound.pop(number), Destination("queue", str(number)))

    found = trie.match(key)

    assert sorted(each.name for each in found) == sorted(
        str(number) for number, pattern in bound.items() if reference(pattern, key)
    )


@given(st.lists(PATTERNS, max_size=12))
def test_an_empty_trie_keeps_nothing(patterns: list[str]) -> None:
    trie = TopicTrie()
    for pattern in patterns:
        trie.add(pattern, QUEUE)
    for pattern in patterns:
        trie.remove(pattern, QUEUE)

    assert trie._root.is_empty


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("", "", True),
        ("*", "", False),
        ("#", "", True),
        ("a", "", False),
        ("*", ".", False),
        ("*.*", ".", True),
        ("a.*", "a.", True),
        ("a.#", "a", True),
        ("#.a", "a", True),
        ("#.a.#", "b.a.c", True),
        ("*.#.*", "a", False),
        ("#.*.#", "a", True),
        ("a.b.c", "a.b.c", True),
        ("a.b.c", "a.b", False),
        ("A", "a", False),
    ],
)
def test_empty_words_count_but_the_empty_key_has_none(
    pattern: str, key: str, expected: bool
) -> None:
    assert matches(pattern, key) is expected
    assert reference(pattern, key) is expected


def test_a_destination_bound_twice_by_a_key_stays_until_both_are_removed() -> None:
    trie = TopicTrie()
    trie.add("a.*", QUEUE)
    trie.add("a.*", QUEUE)

    trie.remove("a.*", QUEUE)
    assert trie.match("a.b") == [QUEUE]

    trie.remove("a.*", QUEUE)
    assert trie.match("a.b") == []


def test_patterns_that_mean_the_same_may_be_bound_and_removed_apart() -> None:
    trie = TopicTrie()
    trie.add("#.*", QUEUE)
    trie.add("*.#", QUEUE)

    trie.remove("#.*", QUEUE)

    assert trie.match("a.b") == [QUEUE]
    assert trie.match("") == []


def test_the_wildcards_of_a_key_are_counted() -> None:
    assert hash_wildcards("#.a.#.*.#b") == 2


def seconds(trie: TopicTrie, key: str) -> float:
    """The shortest of some matches, in this thread's own time."""
    taken = []
    for _ in range(5):
        before = time.thread_time()
        trie.match(key)
        taken.append(time.thread_time() - before)
    return min(taken)


#: What a key of 255 octets and 128 words may cost; measured: 0.8 ms and less.
WORST_S = 0.02


@pytest.mark.parametrize(
    "pattern",
    [
        ".".join(["#"] * 128),
        ".".join(["#", "a"] * 64),
        ".".join(["#", "*"] * 64),
        ".".join(["#"] * 127 + ["b"]),
        ".".join(["#", "a"] * 63 + ["#", "b"]),
        ".".join(["a", "#"] * 64),
        ".".join(["*"] * 128),
    ],
)
def test_no_binding_key_of_255_octets_is_expensive(pattern: str) -> None:
    assert len(pattern) == 255
    trie = TopicTrie()
    trie.add(pattern, QUEUE)

    for key in (".".join(["a"] * 128), ".".join(["a"] * 127 + ["c"]), "." * 127):
        assert seconds(trie, key) < WORST_S


def test_many_hostile_bindings_together_stay_linear() -> None:
    trie = TopicTrie()
    for number in range(200):
        trie.add(".".join(["#", "a"] * 10 + [f"b{number}"]), QUEUE)

    assert seconds(trie, ".".join(["a"] * 128)) < WORST_S


def test_bindings_that_do_not_match_cost_nothing() -> None:
    few, many = TopicTrie(), TopicTrie()
    for number in range(20_000):
        if number < 20:
            few.add(f"stock.*.exchange{number}.#", QUEUE)
        many.add(f"stock.*.exchange{number}.#", QUEUE)
        many.add(f"#.other{number}.*", QUEUE)
    key = "stock.usd.exchange7.today"

    assert few.match(key) == many.match(key) == [QUEUE]
    # One more node (`#`) is on the way; twenty thousand bindings are not.
    assert seconds(many, key) < 20 * seconds(few, key) + 1e-4
