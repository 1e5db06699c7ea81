"""The hash that is the same in every process."""

from __future__ import annotations

from amqpd.broker.types.hashing import hash_of


def test_the_hash_never_changes() -> None:
    assert hash_of("order.1") == 0x4EA416B318FFC841
    assert hash_of() == 0xE4A6A0577479B2B4


def test_where_a_text_ends_makes_a_difference() -> None:
    assert len({hash_of("ab", "c"), hash_of("a", "bc"), hash_of("abc"), hash_of("abc", "")}) == 4


def test_texts_that_are_not_utf_8_have_a_hash() -> None:
    assert hash_of(b"\xff".decode(errors="surrogateescape")) != hash_of("")
