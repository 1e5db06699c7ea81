"""x-super-stream: routes as direct does, with a place in line in the bindings."""

from __future__ import annotations

from tests.broker.types.exchanges import a_message, an_exchange, bind, names, to


def test_a_partition_gets_the_messages_with_its_key() -> None:
    exchange = bind(
        an_exchange("x-super-stream"),
        *(to(f"s-{n}", str(n), {"x-stream-partition-order": n}) for n in range(3)),
    )

    assert names(exchange, a_message("1")) == ["s-1"]
    assert names(exchange, a_message("3")) == []
    assert not exchange.uses_headers
