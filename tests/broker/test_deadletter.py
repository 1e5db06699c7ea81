"""Dead letters: what is written into their headers, which keys they have, what is a cycle."""

from __future__ import annotations

import pytest

from amqpd.broker.deadletter import EXPIRED, MAXLEN, REJECTED, Burial, bury, carbon_copies
from amqpd.fields import Field, FieldValue, Table, plain_table, wrap
from amqpd.properties import Properties, decode_header, encode_header


def a_burial(
    properties: Properties | None = None,
    *,
    queue: str = "q",
    reason: str = REJECTED,
    new_key: str | None = None,
) -> Burial:
    return bury(
        properties or Properties(),
        "from",
        "key",
        queue=queue,
        reason=reason,
        now_ms=12_345,
        new_key=new_key,
    )


def headers(burial: Burial) -> dict[str, object]:
    assert burial.properties.headers is not None
    return dict(plain_table(burial.properties.headers))


def a_death(**values: FieldValue) -> Field:
    return Field("F", {name: wrap(value) for name, value in values.items()})


def died(*deaths: Field) -> Properties:
    return Properties(headers={"x-death": Field("A", list(deaths))})


def test_a_first_death_is_told_in_the_headers() -> None:
    burial = a_burial(Properties(content_type="text/plain", expiration="50"), reason=EXPIRED)

    found = headers(burial)
    (death,) = burial.deaths
    assert found["x-death"] == [plain_table(death)]
    assert plain_table({**death, "time": wrap(0)}) == {
        "time": 0,
        "original-expiration": "50",
        "count": 1,
        "reason": "expired",
        "queue": "q",
        "exchange": "from",
        "routing-keys": ["key"],
    }
    assert burial.deaths[0]["time"] == Field("T", 12)
    assert burial.deaths[0]["count"].kind == "l"
    for first_or_last in ("first", "last"):
        assert found[f"x-{first_or_last}-death-reason"] == "expired"
        assert found[f"x-{first_or_last}-death-queue"] == "q"
        assert found[f"x-{first_or_last}-death-exchange"] == "from"
    assert burial.properties.expiration is None
    assert burial.properties.content_type == "text/plain"


def test_a_message_without_expiration_has_none_in_its_death() -> None:
    assert "original-expiration" not in a_burial().deaths[0]


def test_the_headers_of_the_message_that_died_are_left_alone() -> None:
    first = a_burial().properties
    before = encode_header(first, 0)

    a_burial(first)

    assert encode_header(first, 0) == before


def test_another_death_in_the_same_queue_for_the_same_reason_is_counted() -> None:
    burial = a_burial(a_burial(a_burial(queue="other").properties).properties)

    assert [(plain_table(one)["queue"], plain_table(one)["count"]) for one in burial.deaths] == [
        ("q", 2),
        ("other", 1),
    ]
    assert headers(burial)["x-first-death-queue"] == "other"
    assert headers(burial)["x-last-death-queue"] == "q"


def test_the_newest_death_comes_first() -> None:
    burial = a_burial(a_burial(reason=REJECTED).properties, reason=MAXLEN)

    assert [plain_table(one)["reason"] for one in burial.deaths] == ["maxlen", "rejected"]


def test_a_count_that_a_client_made_up_does_not_run_over() -> None:
    made_up = a_death(queue="q", reason="rejected", count=2**63 - 1)

    burial = a_burial(died(made_up))

    header = encode_header(burial.properties, 0)
    assert decode_header(header)[2].headers == burial.properties.headers
    assert plain_table(burial.deaths[0])["count"] == 2**63 - 1


@pytest.mark.parametrize("count", [None, "many", True])
def test_a_count_that_is_no_number_begins_anew(count: FieldValue) -> None:
    made_up = a_death(queue="q", reason="rejected", count=count)

    assert plain_table(a_burial(died(made_up)).deaths[0])["count"] == 1


@pytest.mark.parametrize(
    "made_up",
    [wrap("text"), Field("A", [wrap(1), wrap("text")]), Field("A", [])],
)
def test_deaths_that_a_client_made_up_wrongly_do_not_count(made_up: Field) -> None:
    burial = a_burial(Properties(headers={"x-death": made_up}))

    assert len(burial.deaths) == 1


def test_it_is_routed_with_its_own_keys() -> None:
    copies = Properties(headers={"CC": wrap(["one", "two"])})

    burial = a_burial(copies)

    assert burial.keys == ["key", "one", "two"]
    assert plain_table(burial.deaths[0])["routing-keys"] == ["key", "one", "two"]
    assert "CC" in headers(burial)


def test_a_new_key_replaces_all_of_them() -> None:
    burial = a_burial(Properties(headers={"CC": wrap(["one"])}), new_key="new")

    assert burial.keys == ["new"]
    assert "CC" not in headers(burial)


@pytest.mark.parametrize(
    ("header", "keys"),
    [
        (None, []),
        (wrap("text"), []),
        (wrap(["a", "b"]), ["a", "b"]),
        (Field("A", [wrap(1), wrap("a"), Field("x", b"b")]), ["a"]),
    ],
)
def test_only_texts_of_an_array_are_carbon_copies(header: Field | None, keys: list[str]) -> None:
    table: Table = {} if header is None else {"CC": header}

    assert carbon_copies(table) == keys


@pytest.mark.parametrize(
    ("reason", "deaths", "is_cycle"),
    [
        (EXPIRED, [("q", EXPIRED)], True),
        (EXPIRED, [("other", EXPIRED)], False),
        (EXPIRED, [("other", MAXLEN), ("q", EXPIRED)], True),
        (EXPIRED, [("other", REJECTED), ("q", EXPIRED)], False),
        (EXPIRED, [("q", REJECTED)], False),
        (REJECTED, [("q", EXPIRED)], False),
    ],
)
def test_a_cycle_is_to_come_again_without_anybody_having_rejected_it(
    reason: str, deaths: list[tuple[str, str]], is_cycle: bool
) -> None:
    tables: list[Table] = [{"queue": wrap(queue), "reason": wrap(why)} for queue, why in deaths]

    assert Burial(Properties(), [], tables).is_cycle("q", reason) is is_cycle
