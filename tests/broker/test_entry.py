"""Entries of a document of definitions: whatever is in them, it is said what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker.entry import Entry
from amqpd.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable


def entry(**values: object) -> Entry:
    """An entry with these values."""
    return Entry("queues", 1, values, None)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (lambda: Entry("queues", 1, [], None), r"queues\[1\]: not an object"),
        (lambda: entry().value("a"), "'a' is missing"),
        (lambda: entry(a=1).text("a"), "'a' is not a text"),
        (lambda: entry(a="").name("a"), "'a' is not between 1 and 255 bytes"),
        (lambda: entry(a="é" * 128).name("a"), "'a' is not between 1 and 255 bytes"),
        (lambda: entry(a="true").flag("a", True), "'a' is not true or false"),
        (lambda: entry(a=[1]).mapping("a", {}), "'a' is not an object"),
        (lambda: entry(a=[1]).texts("a"), "'a' is not a list of texts"),
        (lambda: entry(a=1).texts("a"), "'a' is not a list of texts"),
        (lambda: entry(a={"b": 1 << 70}).table("a"), "b"),
    ],
)
def test_what_is_wrong_is_said(read: Callable[[], object], text: str) -> None:
    with pytest.raises(PreconditionFailed, match=text):
        read()


def test_values_are_read_with_their_defaults() -> None:
    one = entry(a="x", b="p, q,p", c=[], d={"e": 1}, name="n" * 255)

    assert (one.text("a"), one.texts("b"), one.texts("z")) == ("x", ("p", "q"), ())
    assert (one.mapping("c", {"k": 1}), one.mapping("d", {})) == ({"k": 1}, {"e": 1})
    assert one.flag("z", True) is True
    assert one.name("name") == "n" * 255


@pytest.mark.parametrize(
    ("section", "values", "text"),
    [
        ("queues", {"name": "q"}, "queues[0] 'q'"),
        ("permissions", {"user": "u"}, "permissions[0] 'u'"),
        (
            "bindings",
            {"source": "x", "destination": "q", "routing_key": "k"},
            "bindings[0] 'x -> q (k)'",
        ),
        ("topic_permissions", {"user": "u", "exchange": "x"}, "topic_permissions[0] 'u on x'"),
        ("queues", {}, "queues[0]"),
    ],
)
def test_an_entry_says_which_it_is(section: str, values: object, text: str) -> None:
    assert str(Entry(section, 0, values, None)) == text


def test_the_vhost_is_that_of_the_document_or_of_the_entry() -> None:
    assert Entry("queues", 0, {"vhost": "a"}, "b").vhost == "b"
    assert Entry("queues", 0, {"vhost": "a"}, None).vhost == "a"
