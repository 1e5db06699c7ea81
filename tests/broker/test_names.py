"""Exchange and routing key as two short strings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amqpd.broker.names import join, split

short = st.text(max_size=255).filter(lambda text: len(text.encode()) <= 255)


@given(short, short)
def test_names_come_back_as_they_were(exchange: str, routing_key: str) -> None:
    assert split(join(exchange, routing_key)) == (exchange, routing_key)


@given(st.binary(max_size=255), st.binary(max_size=255))
def test_octets_that_are_no_text_come_back_as_they_were(
    exchange: bytes, routing_key: bytes
) -> None:
    octets = b"".join(bytes((len(name),)) + name for name in (exchange, routing_key))

    assert join(*split(octets)) == octets


def test_each_name_has_its_size_in_octets_before_it() -> None:
    assert join("ä", "key") == b"\x02\xc3\xa4\x03key"
